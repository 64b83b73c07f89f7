//! A group of updates on its way to the server: fetched for, decided, applied, told. Nobody may be told of an update before
//! all that it builds on is applied.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use stash_core::StorageError;
use stash_core::engine::Writes;
use stash_core::keyspace::owner;
use stash_group_commit::{Job, unless_it_panics};
use tokio::time::Instant;

use crate::engine::Inner;
use crate::head::Head;
use crate::reach::NOT_IN_TIME;
use crate::server::{Commit, CommitError, CommitLimits, Expected, Outcome, Server, ServerError, Wanted};
use crate::view::{Known, KnownView, Written};

/// Times that one group may ask for more before it decides: a decision that is a function of what it reads needs few.
const MOST_QUESTIONS: usize = 10_000;
/// Bytes of values that one group may look at: they are in memory until it is over.
const MOST_BYTES: usize = 512 * 1024 * 1024;
/// How long to wait before another try, at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What a group came to on what is known.
enum Decided {
    /// More has to be known.
    Unknown(Wanted),
    /// All that fit were decided.
    Done { commit: Box<Commit>, fitting: usize },
    /// One of them alone is more than a commit can have.
    TooLarge { job: usize, error: StorageError },
    /// One of them panicked.
    Panicked { job: usize, error: StorageError },
}

impl<S: Server> Inner<S> {
    /// Sees a group through to its end; gives back what did not fit into its commit.
    pub(crate) async fn run_group(&self, mut jobs: Vec<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        let deadline = Instant::now() + self.options.patience;
        let mut left = Vec::new();
        let mut known = Known::default();
        let (mut tries, mut questions) = (0_u32, 0);
        loop {
            if jobs.is_empty() {
                return left;
            }
            let (commit, fitting) = match decide(&mut jobs, &known, self.server.limits()) {
                Decided::Unknown(wanted) => {
                    questions += 1;
                    if known.bytes() > MOST_BYTES {
                        if jobs.len() > 1 {
                            return self.each_alone(jobs, left).await;
                        }
                        let (what, instead) = ("the size in bytes of what the commit looks at", "commit less at once");
                        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
                        let (actual, limit) = (number(known.bytes()), number(MOST_BYTES));
                        fail(jobs, &StorageError::LimitExceeded { what, actual, limit, instead });
                        return left;
                    }
                    let mut asked = known.with_heads(wanted);
                    asked.keys.truncate(known.keys_at_once());
                    match self.ask(|| self.server.fetch(&asked), deadline).await {
                        Err(error) => {
                            fail(jobs, &error);
                            return left;
                        }
                        _ if questions > MOST_QUESTIONS => {
                            fail(jobs, &StorageError::Unsupported { reason: "a decision without an end".to_owned() });
                            return left;
                        }
                        _ if questions > 1 && Instant::now() >= deadline => {
                            let reason = format!("{questions} questions took too long; commit less at once");
                            fail(jobs, &StorageError::Unavailable { reason });
                            return left;
                        }
                        Ok(fetched) => {
                            for (owner, head) in asked.owners.iter().zip(&fetched.heads) {
                                self.news.heard(owner, head, self.host, None);
                            }
                            known.add(asked, fetched);
                        }
                    }
                    continue;
                }
                Decided::TooLarge { job, error } | Decided::Panicked { job, error } => {
                    jobs.remove(job).fail(error);
                    continue;
                }
                Decided::Done { commit, fitting } => (commit, fitting),
            };
            left.splice(..0, jobs.split_off(fitting));
            if commit.writes.is_empty() {
                // What was read is one state, and nothing depends on it any more.
                jobs.into_iter().for_each(Job::finish);
                return left;
            }
            let commit = self.with_heads(*commit, &known);
            tries += 1;
            let outcome = self.apply(&commit, deadline).await;
            if !matches!(outcome, Ok(Outcome::Applied)) {
                self.news.over(&commit.owners);
            }
            match outcome {
                Ok(Outcome::Applied) => {
                    self.news.committed(&commit.owners, self.host);
                    self.announcements.add(&commit.owners);
                    jobs.into_iter().for_each(Job::finish);
                    return left;
                }
                Ok(Outcome::Conflict) if Instant::now() >= deadline => {
                    let reason = format!("{tries} tries to commit met with commits of other hosts; try again later");
                    fail(jobs, &StorageError::Unavailable { reason });
                    return left;
                }
                Ok(Outcome::Conflict) => {
                    known.clear();
                    if tries > 1 {
                        tokio::time::sleep(self.pause(tries)).await;
                    }
                }
                Err(error) if jobs.len() > 1 && is_about_one(&error) => {
                    // Nothing was applied. Whose fault it is shows when each goes alone.
                    return self.each_alone(jobs, left).await;
                }
                Err(error) => {
                    fail(jobs, &error);
                    return left;
                }
            }
        }
    }

    /// Sees each through to its end by itself.
    async fn each_alone(&self, jobs: Vec<Box<dyn Job>>, mut left: Vec<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        for job in jobs {
            left.splice(..0, Box::pin(self.run_group(vec![job])).await);
        }
        left
    }

    /// Asks until there is an answer, or the deadline is over.
    pub(crate) async fn ask<T, F>(&self, question: impl Fn() -> F, deadline: Instant) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, ServerError>>,
    {
        let mut tries = 0;
        loop {
            tries += 1;
            let reason = match tokio::time::timeout(self.options.call_timeout, question()).await {
                Ok(Ok(answer)) => {
                    self.reach.answered(self.server.info().name);
                    return Ok(answer);
                }
                Ok(Err(ServerError::Refused(error))) => return Err(error),
                Ok(Err(ServerError::Unreachable(reason))) => reason,
                Err(_) => NOT_IN_TIME.to_owned(),
            };
            if Instant::now() >= deadline {
                self.reach.failed(self.server.info().name, &reason);
                return Err(unreachable(self.server.info().name, &reason));
            }
            tracing::debug!(tries, "{}: {reason}", self.server.info().name);
            tokio::time::sleep(self.pause(tries)).await;
        }
    }

    /// Applies a commit, or finds out what became of it.
    async fn apply(&self, commit: &Commit, deadline: Instant) -> Result<Outcome, StorageError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let name = self.server.info().name;
            self.news.under_way(&commit.owners);
            let time = self.options.time_for(commit.bytes());
            let answer = tokio::time::timeout(time, self.server.commit(commit)).await;
            match answer.unwrap_or_else(|_| Err(CommitError::Lost(NOT_IN_TIME.to_owned()))) {
                Ok(outcome) => return Ok(outcome),
                Err(CommitError::Refused(error)) => return Err(error),
                Err(CommitError::NotSent(reason)) if Instant::now() >= deadline => {
                    return Err(unreachable(name, &reason));
                }
                Err(CommitError::NotSent(_)) => tokio::time::sleep(self.pause(tries)).await,
                Err(CommitError::Lost(reason)) => {
                    tracing::warn!("the answer of {name} to a commit was lost: {reason}; asking what became of it");
                    return self.settle(commit, &reason).await;
                }
            }
        }
    }

    /// What became of a commit whose answer was lost. Where it was not applied, it cannot be any more afterwards: the head
    /// that it expects is no longer there.
    async fn settle(&self, commit: &Commit, lost: &str) -> Result<Outcome, StorageError> {
        let unknown = |why: &str| {
            let name = self.server.info().name;
            StorageError::io(
                "committing",
                format!("the answer of {name} was lost ({lost}), and {why}: it may be stored"),
            )
        };
        let deadline = Instant::now() + self.options.patience;
        let Some(expected) = commit.owners.first() else { return Err(unknown("it depends on nothing")) };
        let Some((host, number)) = expected.head.last() else { return Err(unknown("it has no number")) };
        let owners = [expected.owner.clone()];
        let mut fences = Vec::new();
        loop {
            let heads = self.ask(|| self.server.heads(&owners), deadline).await;
            let heads = heads.map_err(|error| unknown(&format!("it could not be asked again ({error})")))?;
            let Some(head) = heads.first() else { return Err(unknown("it was told nothing")) };
            if head.revision > expected.revision {
                if head.last_of(host).is_some_and(|last| fences.contains(&last)) {
                    return Ok(Outcome::Conflict);
                }
                return match head.has(host, number) {
                    Some(true) => Ok(Outcome::Applied),
                    Some(false) => Ok(Outcome::Conflict),
                    None => Err(unknown("other commits have come after it")),
                };
            }
            // It may still be on its way: another revision keeps it out.
            let fence = self.next_number();
            fences.push(fence);
            let after = head.after(host, fence);
            let shut = Expected {
                owner: expected.owner.clone(),
                revision: head.revision,
                writers: head.writers.clone(),
                head: after,
            };
            let shut = Commit { owners: vec![shut], writes: Vec::new() };
            let answer = tokio::time::timeout(self.options.call_timeout, self.server.commit(&shut)).await;
            match answer {
                Ok(Ok(Outcome::Applied)) => return Ok(Outcome::Conflict),
                Ok(Err(CommitError::Refused(error))) => return Err(unknown(&error.to_string())),
                _ if Instant::now() >= deadline => return Err(unknown("it could not be asked again")),
                // Shown by the head.
                _ => tokio::time::sleep(self.pause(2)).await,
            }
        }
    }

    /// Numbers the commit, and says what each namespace's head is to be.
    fn with_heads(&self, mut commit: Commit, known: &Known) -> Commit {
        let number = self.next_number();
        for expected in &mut commit.owners {
            let before = known.head(&expected.owner).cloned().unwrap_or_default();
            expected.revision = before.revision;
            expected.writers = before.writers.clone();
            expected.head = before.after(self.host, number);
        }
        commit
    }

    /// Longer from one try to the next, and not the same for two hosts.
    fn pause(&self, tries: u32) -> Duration {
        let most = Duration::from_millis(1 << tries.min(7)).min(LONGEST_PAUSE);
        let part = self.next_number().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.host.0.rotate_left(tries);
        most.mul_f64(0.5 + 0.5 * f64::from(u16::try_from(part >> 48).unwrap_or_default()) / f64::from(u16::MAX))
    }
}

/// Runs every decision on what its predecessors left.
fn decide(jobs: &mut [Box<dyn Job>], known: &Known, limits: CommitLimits) -> Decided {
    let (mut written, mut bytes) = (Written::new(), 0_usize);
    let mut owners = BTreeSet::<Bytes>::new();
    let mut unknown = Wanted::default();
    let mut is_certain = true;
    let mut fitting = 0;
    let mut writes = Writes::default();
    for (n, job) in jobs.iter_mut().enumerate() {
        let view = KnownView::new(known, &written);
        let decided = unless_it_panics(|| job.decide(&view, &mut writes));
        let seen = view.seen();
        let here: Vec<_> = writes.drain().collect();
        let decided = match decided {
            Ok(decided) => decided,
            // It may not have been made for what was guessed.
            Err(_) if !seen.is_certain() => false,
            Err(reason) => return Decided::Panicked { job: n, error: StorageError::Corrupt { reason } },
        };
        let certain = seen.is_certain();
        unknown.keys.extend(seen.unknown.keys);
        unknown.scans.extend(seen.unknown.scans);
        let written_owners = here.iter().map(|(key, _)| Bytes::copy_from_slice(owner(key)));
        let touched: BTreeSet<Bytes> = seen.owners.into_iter().chain(written_owners).collect();
        unknown.owners.extend(touched.iter().filter(|owner| known.head(owner).is_none()).cloned());
        is_certain = is_certain && certain;
        if !is_certain {
            // What follows builds on a guess: it only tells what to ask for.
            continue;
        }
        if decided {
            let size = |(key, value): &(Bytes, Option<Bytes>)| key.len() + value.as_ref().map_or(0, Bytes::len);
            let more = here.iter().map(size).sum::<usize>();
            let count = here.iter().filter(|(key, _)| !written.contains_key(key)).count();
            let too_many = written.len() + count > limits.writes;
            let too_large = bytes + more > limits.bytes && written.len() + here.len() > 1;
            if (too_many || too_large) && fitting == 0 {
                let error = too_large_for(limits, count, more, too_many);
                return Decided::TooLarge { job: n, error };
            }
            if too_many || too_large {
                break;
            }
            bytes += more;
            written.extend(here);
        }
        owners.extend(touched);
        fitting = n + 1;
    }
    if !is_certain || !unknown.owners.is_empty() {
        unknown.keys.sort_unstable();
        unknown.keys.dedup();
        unknown.scans.dedup();
        return Decided::Unknown(unknown);
    }
    let expected = |owner| Expected { owner, revision: 0, writers: Bytes::new(), head: Head::default() };
    let commit = Commit { owners: owners.into_iter().map(expected).collect(), writes: written.into_iter().collect() };
    Decided::Done { commit: Box::new(commit), fitting }
}

/// The namespaces that a decision looks at or writes to, as far as can be told without knowing anything.
pub(crate) fn owners_of(job: &mut dyn Job) -> BTreeSet<Bytes> {
    let (known, written) = (Known::default(), Written::new());
    let view = KnownView::new(&known, &written);
    let mut writes = Writes::default();
    // Whatever it comes to, it is decided again.
    let _ = unless_it_panics(|| job.decide(&view, &mut writes));
    let owners = view.seen().owners;
    owners.into_iter().chain(writes.drain().map(|(key, _)| Bytes::copy_from_slice(owner(&key)))).collect()
}

fn too_large_for(limits: CommitLimits, writes: usize, bytes: usize, too_many: bool) -> StorageError {
    let (what, actual, limit) = if too_many {
        ("the number of entries that the commit writes in this engine", writes, limits.writes)
    } else {
        ("the size in bytes of what the commit writes in this engine", bytes, limits.bytes)
    };
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    StorageError::LimitExceeded { what, actual: number(actual), limit: number(limit), instead: "commit less at once" }
}

/// Whether an error may be the fault of one update of several.
fn is_about_one(error: &StorageError) -> bool {
    !matches!(error, StorageError::Unavailable { .. } | StorageError::Io { .. } | StorageError::Closed)
}

fn unreachable(name: &str, reason: &str) -> StorageError {
    StorageError::Unavailable { reason: format!("{name} cannot be reached: {reason}") }
}

fn fail(jobs: Vec<Box<dyn Job>>, error: &StorageError) {
    for job in jobs {
        job.fail(error.clone());
    }
}
