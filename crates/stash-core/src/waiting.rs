//! Waiting for the next commit of a namespace, whatever runtime there is. Nobody may be left waiting for a commit that was
//! visible before they looked, and whoever is dropped must leave nothing behind.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// Those who wait, by the namespace that they wait for.
#[derive(Default)]
pub(crate) struct Waiters(Mutex<HashMap<String, Vec<Arc<Waiter>>>>);

/// One who waits: woken, or to be.
#[derive(Default)]
struct Waiter(Mutex<State>);

#[derive(Default)]
struct State {
    woken: bool,
    waker: Option<Waker>,
}

impl Waiters {
    /// Ready after the next [`wake`](Self::wake): look at the state after this call, and wait if it is not yet as hoped.
    ///
    /// A commit wakes after it is visible, and both take the lock: so either it finds the waiter, or the look finds it.
    pub(crate) fn listen(self: &Arc<Self>, scope: &str) -> Waiting {
        let waiter = Arc::<Waiter>::default();
        self.0.lock().entry(scope.to_owned()).or_default().push(Arc::clone(&waiter));
        Waiting { waiters: Arc::clone(self), scope: scope.to_owned(), waiter }
    }

    /// Wakes those who wait for this namespace. Next to nothing where nobody does.
    pub(crate) fn wake(&self, scope: &str) {
        let woken = {
            let mut waiters = self.0.lock();
            if waiters.is_empty() { None } else { waiters.remove(scope) }
        };
        for waiter in woken.into_iter().flatten() {
            let waker = {
                let mut state = waiter.0.lock();
                state.woken = true;
                state.waker.take()
            };
            // Outside all locks: a waker may do as it pleases.
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// Waits for a wake; see [`Waiters::listen`].
pub(crate) struct Waiting {
    waiters: Arc<Waiters>,
    scope: String,
    waiter: Arc<Waiter>,
}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.waiter.0.lock();
        if state.woken {
            return Poll::Ready(());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiters = self.waiters.0.lock();
        if let Some(others) = waiters.get_mut(&self.scope) {
            others.retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
            if others.is_empty() {
                waiters.remove(&self.scope);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_waiting(waiting: &mut Waiting) -> bool {
        std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *waiting).poll(context).is_pending())).await
    }

    #[tokio::test]
    async fn whoever_listens_is_woken_and_nobody_else() {
        let waiters = Arc::<Waiters>::default();
        let (mut one, mut other) = (waiters.listen("a/b/c/"), waiters.listen("a/b/d/"));
        waiters.wake("a/b/e/");
        for waiting in [&mut one, &mut other] {
            assert!(is_waiting(waiting).await);
        }
        let again = waiters.listen("a/b/c/");
        let task = tokio::spawn(one);
        tokio::task::yield_now().await;
        waiters.wake("a/b/c/");
        task.await.unwrap();
        // Woken before it was ever asked.
        again.await;
        assert!(is_waiting(&mut other).await);
        drop(other);
        assert!(waiters.0.lock().is_empty(), "whoever is dropped leaves nothing behind");
    }
}
