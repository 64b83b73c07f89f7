//! An engine in memory that waits where it is told to, so that a test and not the scheduler decides who comes first. It
//! must keep every promise of [`Engine`]: what it does late, an engine may do late.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use stash_core::engine::{Decision, Engine, EngineInfo, Page, Scan, View, Writes};
use stash_core::{MemoryEngine, StorageError};
use tokio::sync::watch;

/// What happens to those who come to a [`Gate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Open,
    Closed,
    Step,
}

/// A place where calls wait.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<Pace>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(Pace::Open))
    }
}

impl Gate {
    /// Lets all pass, those who wait first.
    pub fn open(&self) {
        self.0.send_replace(Pace::Open);
    }

    /// Lets nobody pass.
    pub fn close(&self) {
        self.0.send_replace(Pace::Closed);
    }

    /// Lets everybody pass when polled once more.
    pub fn step(&self) {
        self.0.send_replace(Pace::Step);
    }

    async fn pass(&self) {
        if *self.0.borrow() == Pace::Step {
            let mut again = false;
            std::future::poll_fn(|context| {
                if std::mem::replace(&mut again, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
            return;
        }
        let mut pace = self.0.subscribe();
        drop(pace.wait_for(|pace| *pace != Pace::Closed).await);
    }
}

/// Where calls of a [`DelayedEngine`] wait. All are open at first.
#[derive(Debug, Clone, Default)]
pub struct Gates {
    /// Before a read looks.
    pub read_begins: Gate,
    /// After a read has looked, before it answers.
    pub read_ends: Gate,
    /// Before an update takes effect; one that is dropped here never does.
    pub update_begins: Gate,
    /// After an update has become visible, before its hook is called.
    pub update_is_visible: Gate,
    /// After its hook, before its answer.
    pub update_ends: Gate,
}

impl Gates {
    /// Every gate.
    pub fn all(&self) -> [&Gate; 5] {
        [&self.read_begins, &self.read_ends, &self.update_begins, &self.update_is_visible, &self.update_ends]
    }
}

/// A [`MemoryEngine`] with gates. Clones are the same engine.
#[derive(Debug, Clone, Default)]
pub struct DelayedEngine {
    inner: MemoryEngine,
    gates: Gates,
    // From taking effect to the end of the hook, so that hooks come in the order of commits.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl DelayedEngine {
    /// Where calls wait.
    pub fn gates(&self) -> &Gates {
        &self.gates
    }

    /// The engine below, which never waits.
    pub fn undelayed(&self) -> MemoryEngine {
        self.inner.clone()
    }
}

impl Engine for DelayedEngine {
    type Snapshot = <MemoryEngine as Engine>::Snapshot;

    fn info(&self) -> EngineInfo {
        EngineInfo { name: "delayed", durable: false }
    }

    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.gates.read_begins.pass().await;
        let values = self.inner.read(keys).await;
        self.gates.read_ends.pass().await;
        values
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        self.gates.read_begins.pass().await;
        let page = self.inner.scan(scan).await;
        self.gates.read_ends.pass().await;
        page
    }

    async fn update<D: Decision>(&self, decision: D) -> Result<D::Output, StorageError> {
        let wrapped = Later { decision: Some(decision), decided: Arc::default() };
        self.gates.update_begins.pass().await;
        let turn = self.turn.lock().await;
        let decided = Arc::clone(&wrapped.decided);
        let output = self.inner.update(wrapped).await?;
        let decision = decided.lock().unwrap().take().expect("the engine below calls the hook");
        // From here on the update has happened: the hook is called also if the caller goes away.
        let telling = Telling { decision, output: Some(output) };
        self.gates.update_is_visible.pass().await;
        let output = telling.tell();
        drop(turn);
        self.gates.update_ends.pass().await;
        Ok(output)
    }

    async fn snapshot(&self) -> Result<Self::Snapshot, StorageError> {
        self.inner.snapshot().await
    }
}

/// A decision that hands itself out instead of calling its hook.
struct Later<D> {
    decision: Option<D>,
    decided: Arc<Mutex<Option<D>>>,
}

impl<D: Decision> Decision for Later<D> {
    type Output = D::Output;

    fn queue(&self) -> &str {
        self.decision.as_ref().map_or("", Decision::queue)
    }

    fn cost(&self) -> usize {
        self.decision.as_ref().map_or(0, Decision::cost)
    }

    fn decide(&mut self, view: &dyn View, writes: &mut Writes) -> Result<D::Output, StorageError> {
        self.decision.as_mut().expect("decided before committed").decide(view, writes)
    }

    fn committed(&mut self, _: &D::Output) {
        *self.decided.lock().unwrap() = self.decision.take();
    }
}

/// A decision that has taken effect and whose hook is still to be called.
struct Telling<D: Decision> {
    decision: D,
    output: Option<D::Output>,
}

impl<D: Decision> Telling<D> {
    fn tell(mut self) -> D::Output {
        let output = self.output.take().expect("told once");
        self.decision.committed(&output);
        output
    }
}

impl<D: Decision> Drop for Telling<D> {
    fn drop(&mut self) {
        if let Some(output) = self.output.take() {
            self.decision.committed(&output);
        }
    }
}

/// A call that is driven by hand, one poll at a time.
pub struct ByHand<T>(Pin<Box<dyn Future<Output = T>>>);

impl<T> ByHand<T> {
    /// Does nothing of the call yet.
    pub fn new(call: impl Future<Output = T> + 'static) -> Self {
        Self(Box::pin(call))
    }

    /// Goes on with the call as far as it can now; the answer, if that was the end. Not to be called again after it.
    pub fn poll(&mut self) -> Option<T> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// Goes on with the call, which must wait for something.
    #[must_use]
    pub fn must_wait(mut self) -> Self {
        assert!(self.poll().is_none(), "the call did not wait");
        self
    }

    /// Goes on with the call, which must end now.
    pub fn must_end(mut self) -> T {
        self.poll().expect("the call still waits")
    }
}
