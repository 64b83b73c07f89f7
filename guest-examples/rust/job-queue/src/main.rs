//! A queue of jobs: whoever takes one has it for some time, and it comes back by itself if nobody says that it is done. An
//! ordinary Rust program.
//! It must never give a job to two at once, nor lose one, however many of it run at once.

wit_bindgen::generate!({ path: "../../../wit", world: "stash:storage/imports", generate_all });

use stash::storage::collections::{self, Collection, Retention, Settings};
use stash::storage::transactions::{self, Isolation, Transaction};
use stash::storage::types::{Change, Error as StoreError, Expiry, Item, KeyPage, KeyRange, ListOptions, SetOptions};
use std::collections::BTreeSet;
use std::error::Error;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

const USAGE: &str = "\
usage: job-queue add TEXT..              add a job
       job-queue take [SECONDS]          take the oldest job that nobody has, for so long (60)
       job-queue done NUMBER RECEIPT     the job that was taken is done
       job-queue list                    all jobs";

/// The jobs, each under its number.
const JOBS: &str = "jobs";
/// Who takes a job puts a record of the same key here, which expires: a lease. There is nothing to clean up, and no clock
/// to ask, if he never comes back.
const LEASES: &str = "leases";
/// The number of the last job, in the component's default collection.
const LAST: &str = "last";
/// How long a job is given away for.
const SECONDS: u64 = 60;
/// How often a transaction is run again that others got in the way of.
const ATTEMPTS: usize = 100;

type Done<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["add", text @ ..] if !text.is_empty() => add(&text.join(" ")),
        ["take"] => take(SECONDS),
        ["take", seconds] => number("a number of seconds", seconds).and_then(take),
        ["done", job, receipt] => {
            number("a job's number", job).and_then(|job| number("a receipt", receipt).and_then(|r| finish(job, r)))
        }
        ["list"] => list(),
        ["help" | "--help" | "-h"] => print(format!("{USAGE}\n").as_bytes()),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("job-queue: {e}");
            ExitCode::FAILURE
        }
    }
}

/// What the store is made of.
struct Queue {
    default: Collection,
    jobs: Collection,
    leases: Collection,
}

impl Queue {
    fn open() -> Done<Self> {
        let default = collections::open("").map_err(reason)?;
        Ok(Self { default, jobs: open_or_create(JOBS)?, leases: open_or_create(LEASES)? })
    }

    /// Runs `step` as if nobody else were there, again and again until nobody was. Its answer counts only then, and so
    /// does the version.
    fn alone<T>(&self, step: impl Fn(&Self, &Transaction) -> Done<T>) -> Done<(T, u64)> {
        for _ in 0..ATTEMPTS {
            let transaction = transactions::begin(Isolation::Serializable).map_err(reason)?;
            let answer = step(self, &transaction)?;
            match transaction.commit() {
                Ok(version) => return Ok((answer, version)),
                Err(StoreError::Conflict(_)) => {}
                Err(e) => return Err(reason(e).into()),
            }
        }
        Err("too many others use the queue; try again".into())
    }
}

fn open_or_create(name: &str) -> Done<Collection> {
    let settings = Settings { attributes: Vec::new(), retention: Retention { versions: None, age: None } };
    Ok(collections::open_or_create(name, &settings).map_err(reason)?)
}

/// Keys are in byte order, so that numbers need the same length to be in theirs.
fn key(job: u64) -> String {
    format!("{job:020}")
}

fn add(text: &str) -> Done<()> {
    let (job, _) = Queue::open()?.alone(|queue, tx| {
        let job = tx.change(&queue.default, &Change::Increment((LAST.to_owned(), 1))).map_err(reason)?;
        let job = u64::try_from(job.ok_or("the store did not tell the number")?)?;
        tx.set(&queue.jobs, &key(job), text.as_bytes()).map_err(reason)?;
        Ok(job)
    })?;
    print(format!("{job}\n").as_bytes())
}

fn take(seconds: u64) -> Done<()> {
    let expires = Expiry::After(seconds.saturating_mul(1000));
    let (taken, receipt) = Queue::open()?.alone(|queue, tx| {
        let leased = leased(|options| tx.list_keys(&queue.leases, options))?;
        let mut options = all();
        loop {
            let page = tx.list_entries(&queue.jobs, &options).map_err(reason)?;
            if let Some(job) = page.entries.into_iter().find(|job| !leased.contains(&job.key)) {
                let options = SetOptions { expires, content_type: None, attributes: Vec::new() };
                let lease = Item { key: job.key.clone(), value: Vec::new(), options: Some(options) };
                tx.change(&queue.leases, &Change::Set(lease)).map_err(reason)?;
                return Ok(Some(job));
            }
            options.cursor = page.cursor;
            if options.cursor.is_none() {
                return Ok(None);
            }
        }
    })?;
    let job = taken.ok_or("there is nothing to do")?;
    let number: u64 = job.key.parse()?;
    // The version of the commit that made the lease: no other lease has it, also not a later one of the same job.
    print(format!("{number} {receipt} {}\n", String::from_utf8_lossy(&job.value)).as_bytes())
}

fn finish(job: u64, receipt: u64) -> Done<()> {
    let key = key(job);
    Queue::open()?.alone(|queue, tx| {
        let lease = tx.get_entry(&queue.leases, &key).map_err(reason)?;
        if lease.is_none_or(|lease| lease.metadata.version != receipt) {
            return Err(format!("job {job} is not yours: it is done already, or you had it for too long").into());
        }
        tx.delete(&queue.leases, &key).map_err(reason)?;
        Ok(tx.delete(&queue.jobs, &key).map_err(reason)?)
    })?;
    Ok(())
}

fn list() -> Done<()> {
    let queue = Queue::open()?;
    let leased = leased(|options| queue.leases.list_keys(options))?;
    let (mut options, mut lines) = (all(), Vec::new());
    loop {
        let page = queue.jobs.list_entries(&options).map_err(reason)?;
        for job in page.entries {
            let state = if leased.contains(&job.key) { "taken" } else { "waiting" };
            let text = String::from_utf8_lossy(&job.value);
            writeln!(lines, "{} {state} {text}", job.key.trim_start_matches('0'))?;
        }
        options.cursor = page.cursor;
        if options.cursor.is_none() {
            return print(&lines);
        }
    }
}

/// The keys of all jobs that somebody has, page by page.
fn leased(list: impl Fn(&ListOptions) -> Result<KeyPage, StoreError>) -> Done<BTreeSet<String>> {
    let (mut options, mut keys) = (all(), BTreeSet::new());
    loop {
        let page = list(&options).map_err(reason)?;
        keys.extend(page.keys);
        options.cursor = page.cursor;
        if options.cursor.is_none() {
            return Ok(keys);
        }
    }
}

fn all() -> ListOptions {
    let range = KeyRange { prefix: None, start: None, end: None, pattern: None };
    ListOptions { range, start_after: None, reverse: false, limit: None, cursor: None }
}

fn number(what: &str, text: &str) -> Done<u64> {
    text.parse().map_err(|_| format!("'{text}' is not {what}").into())
}

/// Prints bytes; a reader that has seen enough is no error.
fn print(bytes: &[u8]) -> Done<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(format!("cannot write the output: {e}").into()),
        _ => Ok(()),
    }
}

/// What the store said, for a person: all that these calls can meet.
fn reason(error: StoreError) -> String {
    match error {
        StoreError::InvalidNumber(text)
        | StoreError::QuotaExceeded(text)
        | StoreError::IoError(text)
        | StoreError::Unavailable(text)
        | StoreError::TransactionOver(text)
        | StoreError::LimitExceeded(text) => text,
        other => other.to_string(),
    }
}
