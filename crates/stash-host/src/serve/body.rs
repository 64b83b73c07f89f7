//! Bodies that are counted and bounded. A body over its limit must be an error for whoever reads it, never a shorter body.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use wasmtime_wasi_http::{Error, WasiBody};

/// A request's body, up to a limit.
pub(super) struct Bounded {
    body: Incoming,
    limit: u64,
    /// None once it was too long: then it stays an error.
    left: Option<u64>,
}

impl Bounded {
    pub(super) fn new(body: Incoming, limit: u64) -> Self {
        Self { body, limit, left: Some(limit) }
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Some(Ok(frame)) = frame else { return Poll::Ready(frame.map(|frame| frame.map_err(Error::from))) };
        let bytes = frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
        self.left = self.left.and_then(|left| left.checked_sub(bytes));
        Poll::Ready(Some(match self.left {
            Some(_) => Ok(frame),
            None => Err(Error::HttpRequestBodySize(Some(self.limit))),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body, which tells how large it was when it is over, or was given up.
pub(super) struct Counted<F: FnOnce(u64)> {
    body: WasiBody,
    bytes: u64,
    over: Option<F>,
}

impl<F: FnOnce(u64)> Counted<F> {
    pub(super) fn new(body: WasiBody, over: F) -> Self {
        Self { body, bytes: 0, over: Some(over) }
    }
}

impl<F: FnOnce(u64)> Unpin for Counted<F> {}

impl<F: FnOnce(u64)> Body for Counted<F> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.bytes += u64::try_from(data.len()).unwrap_or(u64::MAX);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<F: FnOnce(u64)> Drop for Counted<F> {
    fn drop(&mut self) {
        if let Some(over) = self.over.take() {
            over(self.bytes);
        }
    }
}
