//! The body of a guest's answer. It must end well only where its guest did: a client takes what ends well for the whole
//! answer.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, WasiBody};

/// One request, from its turn to the end of both its guest and its answer.
pub(super) struct Exchange {
    /// Dropped with it.
    _kept: Box<dyn Any + Send + Sync>,
    /// Whether its guest has ended before its time.
    cut: AtomicBool,
}

impl Exchange {
    pub(super) fn new(kept: impl Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { _kept: Box::new(kept), cut: AtomicBool::new(false) })
    }

    /// Its guest has ended before its time. To be told before anything of the guest is let go of: that alone ends a body
    /// as if it were whole.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }

    /// The body of its answer.
    pub(super) fn body(self: Arc<Self>, body: WasiBody) -> WasiBody {
        Whole { body, exchange: self }.boxed_unsync()
    }
}

/// Cuts an exchange when it is dropped, unless its guest was let go on to its end.
pub(super) struct CutUnlessEnded(Option<Arc<Exchange>>);

impl CutUnlessEnded {
    pub(super) fn new(exchange: &Arc<Exchange>) -> Self {
        Self(Some(Arc::clone(exchange)))
    }

    /// The guest has ended by itself.
    pub(super) fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for CutUnlessEnded {
    fn drop(&mut self) {
        if let Some(exchange) = &self.0 {
            exchange.cut();
        }
    }
}

/// A body that fails where its guest has.
struct Whole {
    body: WasiBody,
    exchange: Arc<Exchange>,
}

impl Whole {
    fn is_cut(&self) -> bool {
        self.exchange.cut.load(Ordering::Acquire)
    }
}

impl http_body::Body for Whole {
    type Data = bytes::Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(None) if self.is_cut() => Poll::Ready(Some(Err(Error::HttpProtocolError))),
            frame => frame,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && !self.is_cut()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Empty, Full};

    fn body() -> WasiBody {
        Full::new(bytes::Bytes::from_static(b"text")).map_err(|never| match never {}).boxed_unsync()
    }

    #[tokio::test]
    async fn a_body_ends_well_only_where_its_guest_has() {
        let exchange = Exchange::new(());
        CutUnlessEnded::new(&exchange).ended();
        assert_eq!(exchange.body(body()).collect().await.unwrap().to_bytes(), "text");
        let exchange = Exchange::new(());
        drop(CutUnlessEnded::new(&exchange));
        assert!(Arc::clone(&exchange).body(body()).collect().await.is_err());
        let empty = Empty::new().map_err(|never| match never {}).boxed_unsync();
        assert!(!http_body::Body::is_end_stream(&exchange.body(empty)), "it is to be asked");
    }
}
