//! Waiting without a runtime, for what does not wait: reads of an embedded engine.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The output of a future that is ready at once.
/// Stops the benchmark where it is not.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a read had to wait"),
    }
}
