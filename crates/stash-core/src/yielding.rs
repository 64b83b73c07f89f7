//! Letting others have their turn in the midst of long work, whatever runtime there is.

use std::future::poll_fn;
use std::task::Poll;

/// Ready when it is asked the second time; asks to be woken at once.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
