//! Running named cases and telling how they went. One case must never keep the others from running.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stash_core::BoxFuture;

/// How long one case may take before it counts as hung. Only a broken engine ever meets it.
const CASE_LIMIT: Duration = Duration::from_mins(2);

/// How a case went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The promise is kept.
    Passed,
    /// Not tried, and why.
    Skipped(String),
    /// The promise is broken, and how.
    Failed(String),
}

/// How all cases of a suite went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a report only tells; `assert_passed` fails"]
pub struct Report {
    suite: String,
    outcomes: Vec<(&'static str, Outcome)>,
}

impl Report {
    /// The cases and their outcomes, in the order in which they ran.
    pub fn outcomes(&self) -> &[(&'static str, Outcome)] {
        &self.outcomes
    }

    /// The names of the cases that failed.
    pub fn failed(&self) -> Vec<&'static str> {
        let failed = self.outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_)));
        failed.map(|(name, _)| *name).collect()
    }

    /// Prints what was skipped, and panics with the report if a case failed.
    pub fn assert_passed(&self) {
        for (name, outcome) in &self.outcomes {
            if let Outcome::Skipped(why) = outcome {
                println!("{}: {name} skipped: {why}", self.suite);
            }
        }
        assert!(self.failed().is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} of {} cases failed", self.suite, self.failed().len(), self.outcomes.len())?;
        for (name, outcome) in &self.outcomes {
            match outcome {
                Outcome::Passed => writeln!(f, "  ok       {name}")?,
                Outcome::Skipped(why) => writeln!(f, "  skipped  {name}: {why}")?,
                Outcome::Failed(how) => writeln!(f, "  FAILED   {name}: {how}")?,
            }
        }
        Ok(())
    }
}

/// Why a case was not tried.
pub(crate) struct Skip(pub(crate) String);

/// What a case may return: nothing, or that it was skipped.
pub(crate) trait Verdict: Send + 'static {
    fn outcome(self) -> Outcome;
}

impl Verdict for () {
    fn outcome(self) -> Outcome {
        Outcome::Passed
    }
}

impl Verdict for Result<(), Skip> {
    fn outcome(self) -> Outcome {
        self.map_or_else(|skip| Outcome::Skipped(skip.0), |()| Outcome::Passed)
    }
}

/// A named test of fixtures of the type `F`.
pub(crate) struct Case<F> {
    name: &'static str,
    start: Start<F>,
}

type Start<F> = Box<dyn Fn(Arc<F>) -> BoxFuture<'static, Outcome>>;

impl<F: Send + Sync + 'static> Case<F> {
    pub(crate) fn new<Fut>(name: &'static str, case: fn(Arc<F>) -> Fut) -> Self
    where
        Fut: Future<Output: Verdict> + Send + 'static,
    {
        Self { name, start: Box::new(move |fixture| Box::pin(async move { case(fixture).await.outcome() })) }
    }
}

/// Lists cases by module and name; the name is what a report shows.
macro_rules! cases {
    ($fixture:ident: $($module:ident::$name:ident),* $(,)?) => {
        vec![$($crate::report::Case::new(stringify!($name), $module::$name::<$fixture>)),*]
    };
}
pub(crate) use cases;

/// Runs the cases one after another, each as a task of its own on a runtime with several threads.
pub(crate) fn run_cases<F>(suite: String, fixture: &Arc<F>, cases: Vec<Case<F>>) -> Report {
    let runtime = runtime();
    let outcomes = runtime.block_on(async {
        let mut outcomes = Vec::with_capacity(cases.len());
        for case in cases {
            let task = tokio::spawn((case.start)(Arc::clone(fixture)));
            let outcome = match tokio::time::timeout(CASE_LIMIT, task).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(error)) => Outcome::Failed(what_it_said(error)),
                Err(_) => Outcome::Failed(format!("it did not end within {} s", CASE_LIMIT.as_secs())),
            };
            outcomes.push((case.name, outcome));
        }
        outcomes
    });
    // Without waiting: a case that hung still hangs.
    runtime.shutdown_background();
    Report { suite, outcomes }
}

/// Does something with each of some things, with so many at once. The first that panics ends it, as it would a loop: what is
/// under way ends first, and nothing more is begun.
pub(crate) fn at_once_each<T: Send>(things: Vec<T>, at_once: usize, each: impl Fn(T) + Sync) {
    if at_once <= 1 {
        return things.into_iter().for_each(each);
    }
    let left = Mutex::new(things.into_iter());
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap().next();
                    let Some(next) = next.filter(|_| failure.lock().unwrap().is_none()) else { return };
                    let done = std::panic::catch_unwind(AssertUnwindSafe(|| each(next)));
                    if let Err(panic) = done {
                        failure.lock().unwrap().get_or_insert(panic);
                        return;
                    }
                }
            });
        }
    });
    if let Some(panic) = failure.into_inner().unwrap() {
        std::panic::resume_unwind(panic);
    }
}

/// Four threads, however many cores there are: the cases about concurrency need real threads.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap()
}

fn what_it_said(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => panic.downcast_ref::<&str>().map_or("it panicked", |text| text).to_owned(),
        },
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn all_are_done_and_a_panic_is_passed_on() {
        for at_once in [0, 1, 3] {
            let sum = AtomicUsize::new(0);
            at_once_each((1..=10).collect(), at_once, |n: usize| {
                sum.fetch_add(n, Ordering::SeqCst);
            });
            assert_eq!(sum.into_inner(), 55, "{at_once}");
            let failed = std::panic::catch_unwind(|| {
                at_once_each((1..=10).collect(), at_once, |n: usize| assert!(n != 4, "the fourth"));
            });
            assert_eq!(failed.unwrap_err().downcast_ref::<&str>(), Some(&"the fourth"), "{at_once}");
        }
    }
}
