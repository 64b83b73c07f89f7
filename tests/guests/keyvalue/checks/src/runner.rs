//! The command around the checks: arguments, a line for each check, a summary, the exit code. It must end with 0 only when
//! every check that was asked for has passed, and there was one.

use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::expect::{Case, ok};
use crate::shape::{Bucket, Error};

/// In front of every key that a check uses, so that what others keep in the bucket stays theirs.
const PREFIX: &str = "keyvalue-checks/";

/// Something that must hold.
pub struct Check<B> {
    name: &'static str,
    host_specific: bool,
    run: Box<dyn Run<B>>,
}

impl<B: 'static> Check<B> {
    /// What the interface itself says.
    pub(crate) fn portable(name: &'static str, run: impl AsyncFn(&Place<B>) -> Case + 'static) -> Self {
        Self { name, host_specific: false, run: Box::new(run) }
    }

    /// What it leaves to the host, and guests have come to expect.
    pub(crate) fn host_specific(name: &'static str, run: impl AsyncFn(&Place<B>) -> Case + 'static) -> Self {
        Self { name, host_specific: true, run: Box::new(run) }
    }
}

/// An async function of a check, whichever it is.
trait Run<B> {
    fn run<'a>(&'a self, at: &'a Place<B>) -> Pin<Box<dyn Future<Output = Case> + 'a>>;
}

impl<B, F: AsyncFn(&Place<B>) -> Case> Run<B> for F {
    fn run<'a>(&'a self, at: &'a Place<B>) -> Pin<Box<dyn Future<Output = Case> + 'a>> {
        Box::pin(self(at))
    }
}

/// Where a check works: a bucket, and keys of its own in it.
pub struct Place<B> {
    /// The bucket that all checks share: on some hosts only one handle sees what was set through it.
    pub(crate) bucket: B,
    /// The name it was opened with.
    pub(crate) name: String,
    /// The name of another bucket.
    pub(crate) other: String,
    /// When the first check began.
    pub(crate) begun: Instant,
    prefix: &'static str,
}

impl<B: Bucket> Place<B> {
    /// A key that nobody else uses.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The keys with `name` in front and a number behind.
    pub(crate) fn numbered(&self, name: &str, count: usize) -> Vec<String> {
        (0..count).map(|n| format!("{}{name}{n:05}", self.prefix)).collect()
    }

    /// The checks' own keys in a bucket, in order.
    pub(crate) fn own(&self, keys: Vec<String>) -> Vec<String> {
        let mut own: Vec<String> = keys.into_iter().filter(|key| key.starts_with(self.prefix)).collect();
        own.sort();
        own
    }

    /// Removes the checks' keys from a bucket.
    pub(crate) async fn sweep(&self, bucket: &B) -> Result<(), Error> {
        bucket.sweep(&self.own(bucket.keys().await?)).await
    }

    async fn run(&self, check: &Check<B>) -> Case {
        ok("removing what an earlier run has left", self.sweep(&self.bucket).await)?;
        let outcome = check.run.run(self).await;
        let swept = ok("removing what the check has set", self.sweep(&self.bucket).await);
        outcome.and(swept)
    }
}

/// Arguments for hosts that give a component none, between spaces.
const VARIABLE: &str = "KEYVALUE_CHECKS";

const HELP: &str = "\
Checks the key-value interface of the host that this component runs on.

Usage: [OPTIONS] [FILTER...]

  FILTER            run only the checks whose names contain one of these texts
  --list            only tell the names of the checks
  --portable        leave out the checks of what the interface leaves to the host
  --bucket NAME     the bucket to work in [default: default]; wasmtime has only ''
  --other NAME      another bucket, for the host-specific checks [default: keyvalue-checks-other]
  --help            this text

The environment variable KEYVALUE_CHECKS may have more of them, for hosts that give a component no arguments.

Ends with 0 when all that ran have passed.";

struct Arguments {
    list: bool,
    portable: bool,
    bucket: String,
    other: String,
    filters: Vec<String>,
}

/// What was asked for; `Err` is what to print, and whether that was asked for.
fn arguments(given: impl IntoIterator<Item = String>) -> Result<Arguments, (String, bool)> {
    let mut arguments = Arguments {
        list: false,
        portable: false,
        bucket: "default".to_owned(),
        other: "keyvalue-checks-other".to_owned(),
        filters: Vec::new(),
    };
    let mut given = given.into_iter();
    while let Some(argument) = given.next() {
        let mut name = || given.next().ok_or_else(|| (format!("{argument} needs a name"), false));
        match argument.as_str() {
            "--list" => arguments.list = true,
            "--portable" => arguments.portable = true,
            "--bucket" => arguments.bucket = name()?,
            "--other" => arguments.other = name()?,
            "--help" | "-h" => return Err((HELP.to_owned(), true)),
            unknown if unknown.starts_with('-') => {
                return Err((format!("there is no option {unknown}; --help tells those there are"), false));
            }
            _ => arguments.filters.push(argument),
        }
    }
    Ok(arguments)
}

/// What a future is that never waits, as those of a shape of WASI 0.2; none where it does wait.
pub fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// The whole command of a shape of WASI 0.2, whose calls never wait; see [`run`].
pub fn main<B: Bucket>(shape: &str, checks: impl IntoIterator<Item = Check<B>>) -> ExitCode {
    match now(run(shape, checks)) {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => {
            println!("FAILED: a call of the shape waits, so that run must be awaited");
            ExitCode::FAILURE
        }
    }
}

/// Runs the checks of the shape called `shape`, as the command's arguments and its environment say, and prints what came.
/// Whether all that was asked for went well.
pub async fn run<B: Bucket>(shape: &str, checks: impl IntoIterator<Item = Check<B>>) -> bool {
    report(shape, checks, |line| println!("{line}")).await
}

/// The same, with each line told to `say`, for a component that is no command.
pub async fn report<B: Bucket>(
    shape: &str,
    checks: impl IntoIterator<Item = Check<B>>,
    mut say: impl FnMut(&str),
) -> bool {
    let more = std::env::var(VARIABLE).unwrap_or_default();
    let given = std::env::args().skip(1).chain(more.split_whitespace().map(str::to_owned));
    let arguments = match arguments(given) {
        Ok(arguments) => arguments,
        Err((text, asked_for)) => {
            say(&text);
            return asked_for;
        }
    };
    let chosen: Vec<Check<B>> = checks
        .into_iter()
        .filter(|check| !(arguments.portable && check.host_specific))
        .filter(|check| {
            arguments.filters.is_empty() || arguments.filters.iter().any(|filter| check.name.contains(filter.as_str()))
        })
        .collect();
    if arguments.list {
        for check in &chosen {
            say(&format!("{}{}", check.name, if check.host_specific { " (host-specific)" } else { "" }));
        }
        return true;
    }
    let bucket = match B::open(&arguments.bucket).await {
        Ok(bucket) => bucket,
        Err(error) => {
            say(&format!(
                "FAILED opening the bucket {:?}: expected ok, got {error}; --bucket names another",
                arguments.bucket
            ));
            return false;
        }
    };
    let place = Place { bucket, name: arguments.bucket, other: arguments.other, begun: Instant::now(), prefix: PREFIX };
    run_each(shape, &place, &chosen, say).await
}

async fn run_each<B: Bucket>(shape: &str, place: &Place<B>, checks: &[Check<B>], mut say: impl FnMut(&str)) -> bool {
    let mut failed = 0;
    for (number, check) in (1..).zip(checks) {
        let beyond = if check.host_specific { " (host-specific)" } else { "" };
        match place.run(check).await {
            Ok(()) => say(&format!("ok {number} {}{beyond}", check.name)),
            Err(reason) => {
                failed += 1;
                say(&format!("FAILED {number} {}{beyond}: {reason}", check.name));
            }
        }
    }
    say(&format!("{shape}: {} of {} checks passed", checks.len() - failed, checks.len()));
    failed == 0 && !checks.is_empty()
}
