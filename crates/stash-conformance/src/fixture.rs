//! How the suite gets the engines that it tests. A fixture must never give the same state to two cases.

use std::future::Future;

use stash_core::Engine;

/// Makes engines for the suite, and keeps what they need (a temporary folder, a server) for as long as it lives.
pub trait EngineFixture: Send + Sync + 'static {
    /// The engine under test.
    type Engine: Engine;

    /// A new engine with nothing in it, independent of all others.
    fn fresh(&self) -> impl Future<Output = Self::Engine> + Send;

    /// Closes `engine` cleanly and opens what it left. A durable engine's fixture must do this; `None` where there is
    /// nothing to open.
    fn reopen(&self, engine: Self::Engine) -> impl Future<Output = Option<Self::Engine>> + Send {
        async move {
            drop(engine);
            None
        }
    }

    /// Opens a copy of what would be on the disk had the power failed just now, while `engine` stays open: for an engine
    /// in a file, a copy of the file. `None` where that cannot be had.
    fn crash(&self, engine: &Self::Engine) -> impl Future<Output = Option<Self::Engine>> + Send {
        let _ = engine;
        async { None }
    }
}

/// A fixture made of an async closure or function, for engines that cannot be opened again.
#[derive(Debug, Clone, Copy)]
pub struct Fresh<C>(pub C);

impl<C, Fut, E> EngineFixture for Fresh<C>
where
    C: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = E> + Send,
    E: Engine,
{
    type Engine = E;

    fn fresh(&self) -> impl Future<Output = E> + Send {
        (self.0)()
    }
}
