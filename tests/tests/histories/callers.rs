//! Those who ask hosts, and write down what they asked, when, and what they heard. A caller must never take a call for done, or
//! for not done, that was not answered.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fastrand::Rng;
use http_body_util::Empty;
use stash_tests::history::bank::{Account, Accounts, Transaction, Transfer};
use stash_tests::history::register::{Call, Did};
use stash_tests::history::{Span, bank, register};
use stash_tests::http::{Answer, Connection};
use tokio::sync::watch;

/// The number of a host's run, and where it answers; none until it has started.
pub(crate) type Started = Option<(usize, SocketAddr)>;

/// What an account begins with; the guest has the same.
pub(crate) const START: i64 = 10;

const REGISTERS: [&str; 3] = ["x", "y", "z"];
const ACCOUNTS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// How old what a host has in its cache may be, as docs/decisions/0025 has it.
const STALENESS: Duration = Duration::from_secs(2);
/// How long a caller waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it then waits before it asks again.
const PAUSE: Duration = Duration::from_millis(20);
/// How long all may take to serve again, on a machine that does more.
const RECOVERY: Duration = Duration::from_mins(1);

/// All that was asked and heard.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) registers: BTreeMap<&'static str, Vec<register::Call>>,
    pub(crate) bank: Vec<bank::Transaction>,
    /// Calls that were answered, those that were refused without an effect, and those of which nothing is known.
    answered: usize,
    refused: usize,
    unknown: usize,
}

impl Record {
    pub(crate) fn extend(&mut self, other: Self) {
        for (key, calls) in other.registers {
            self.registers.entry(key).or_default().extend(calls);
        }
        self.bank.extend(other.bank);
        self.answered += other.answered;
        self.refused += other.refused;
        self.unknown += other.unknown;
    }

    /// A history in which little has happened shows nothing.
    pub(crate) fn assert_worth(&self) {
        let transfers = self.bank.iter().filter(|done| done.transfer.is_some() && done.committed == Some(true)).count();
        assert!(transfers >= 50, "there were only {transfers} transfers");
        assert!(self.unknown > 0, "no answer was lost: the faults have met nothing");
        for key in REGISTERS {
            let calls = self.registers.get(key).map_or(&[][..], Vec::as_slice);
            let replaced = |call: &&Call| matches!(call.did, Did::Wrote { version: Some(_), expected: Some(_), .. });
            assert!(calls.iter().filter(replaced).count() >= 5, "{key} was hardly replaced");
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} calls answered, {} refused, {} without an answer", self.answered, self.refused, self.unknown)
    }
}

/// What became of a call.
enum Outcome {
    Answered(Answer),
    /// Nothing has happened.
    Refused,
    /// It may have happened, or may yet.
    Unknown,
}

pub(crate) struct Caller {
    name: usize,
    host: watch::Receiver<Started>,
    run: usize,
    connection: Option<Connection>,
    clock: Instant,
    random: Rng,
    calls: u64,
    /// The version that it has last seen of each register.
    seen: BTreeMap<&'static str, u64>,
    record: Record,
}

impl Caller {
    pub(crate) fn new(name: usize, host: watch::Receiver<Started>, clock: Instant) -> Self {
        let random = Rng::with_seed(name as u64);
        let (seen, record) = (BTreeMap::new(), Record::default());
        Self { name, host, run: 0, connection: None, clock, random, calls: 0, seen, record }
    }

    /// Reads one register again and again, so that it is in the host's cache whenever it can be, until it is told to stop.
    pub(crate) async fn read_only(mut self, stop: watch::Receiver<bool>) -> Record {
        while !*stop.borrow() {
            if self.read_of(REGISTERS[0], false).await.is_none() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.record
    }

    /// Asks this and that until it is told to stop.
    pub(crate) async fn run(mut self, stop: watch::Receiver<bool>) -> Record {
        while !*stop.borrow() {
            let refused = self.record.refused;
            match self.random.u8(0..10) {
                0..=2 => self.transfer().await,
                3 => drop(self.look().await),
                4 | 5 => self.read(false).await,
                6 => self.read(true).await,
                7 => self.write(None).await,
                _ => self.replace().await,
            }
            if self.record.refused > refused {
                // Nobody asks a host without a pause that cannot answer.
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.record
    }

    /// Reads all that there is, as often as it takes.
    pub(crate) async fn everything(&mut self) -> (Record, Accounts) {
        let deadline = Instant::now() + RECOVERY;
        for key in REGISTERS {
            while self.read_of(key, true).await.is_none() {
                assert!(Instant::now() < deadline, "host {} does not serve again", self.name);
            }
        }
        let accounts = loop {
            if let Some(accounts) = self.look().await {
                break accounts;
            }
            assert!(Instant::now() < deadline, "host {} does not serve again", self.name);
        };
        (std::mem::take(&mut self.record), accounts)
    }

    /// A name or value that nobody else gives.
    fn fresh(&mut self) -> String {
        self.calls += 1;
        format!("{}-{}", self.name, self.calls)
    }

    /// Asks once. Where there is no host, waits until there is one, or for as long as for an answer.
    async fn ask(&mut self, method: &str, target: &str) -> (Span, Outcome) {
        let start = self.clock.elapsed();
        let outcome = match tokio::time::timeout(PATIENCE, self.send(method, target)).await {
            Ok(Ok(Some(answer))) => match answer.status {
                200 | 409 => Outcome::Answered(answer),
                503 => Outcome::Refused,
                500 | 504 => Outcome::Unknown,
                _ => panic!("{method} {target}: {answer:?}"),
            },
            // It was never sent.
            Ok(Ok(None)) => Outcome::Refused,
            Ok(Err(_)) | Err(_) => {
                self.connection = None;
                Outcome::Unknown
            }
        };
        let end = match outcome {
            Outcome::Unknown => Duration::MAX,
            _ => self.clock.elapsed(),
        };
        match outcome {
            Outcome::Answered(_) => self.record.answered += 1,
            Outcome::Refused => self.record.refused += 1,
            Outcome::Unknown => self.record.unknown += 1,
        }
        (Span { start, end }, outcome)
    }

    /// Sends a request; none where there was nobody to send it to.
    async fn send(&mut self, method: &str, target: &str) -> hyper::Result<Option<Answer>> {
        if self.connection.is_none() {
            let started = self.host.wait_for(Option::is_some).await.ok().and_then(|started| *started);
            let Some((run, addr)) = started else { return Ok(None) };
            let Ok(stream) = tokio::net::TcpStream::connect(addr).await else {
                // It was killed: until there is another one.
                let _ = tokio::time::timeout(PATIENCE, self.host.changed()).await;
                return Ok(None);
            };
            self.run = run;
            self.connection = Connection::over(stream).await.ok();
        }
        match &mut self.connection {
            Some(connection) => connection.send(method, target, Empty::new()).await.map(Some),
            None => Ok(None),
        }
    }

    fn note(&mut self, key: &'static str, span: Span, did: Did, staleness: Duration) {
        self.record.registers.entry(key).or_default().push(Call { host: self.run, span, did, staleness });
    }

    fn register(&mut self) -> &'static str {
        REGISTERS[self.random.usize(0..REGISTERS.len())]
    }

    async fn read(&mut self, exact: bool) {
        let key = self.register();
        self.read_of(key, exact).await;
    }

    async fn read_of(&mut self, key: &'static str, exact: bool) -> Option<()> {
        let target = format!("/{key}{}", if exact { "?exact=1" } else { "" });
        let (span, outcome) = self.ask("GET", &target).await;
        let Outcome::Answered(answer) = outcome else { return None };
        let (version, value) = answer.text.split_once(' ').unwrap_or((&answer.text, ""));
        let version = version.parse().expect("a version");
        self.seen.insert(key, version);
        let staleness = if exact { Duration::ZERO } else { STALENESS };
        self.note(key, span, Did::Read { version, value: value.to_owned() }, staleness);
        Some(())
    }

    async fn replace(&mut self) {
        let key = self.register();
        let expected = self.seen.get(key).copied().unwrap_or(0);
        self.write(Some((key, expected))).await;
    }

    async fn write(&mut self, over: Option<(&'static str, u64)>) {
        let (value, any) = (self.fresh(), self.register());
        let (key, expected) = over.map_or((any, None), |(key, expected)| (key, Some(expected)));
        let condition = expected.map_or(String::new(), |expected| format!("&version={expected}"));
        let (span, outcome) = self.ask("POST", &format!("/{key}?value={value}{condition}")).await;
        let did = match outcome {
            Outcome::Answered(answer) if answer.status == 200 => {
                let version = answer.text.parse().expect("a version");
                self.seen.insert(key, version);
                Did::Wrote { value, version: Some(version), expected }
            }
            Outcome::Answered(answer) => {
                let current = answer.text.parse().ok();
                if let Some(current) = current {
                    self.seen.insert(key, current);
                }
                Did::Refused { expected: expected.expect("only what expects something is refused"), current }
            }
            Outcome::Refused => return,
            Outcome::Unknown => Did::Wrote { value, version: None, expected },
        };
        self.note(key, span, did, Duration::ZERO);
    }

    async fn transfer(&mut self) {
        let (id, from) = (self.fresh(), self.random.usize(0..ACCOUNTS.len()));
        let to = (from + self.random.usize(1..ACCOUNTS.len())) % ACCOUNTS.len();
        let transfer = Transfer { id, from: ACCOUNTS[from].to_owned(), to: ACCOUNTS[to].to_owned() };
        let target = format!("/bank?id={}&from={}&to={}", transfer.id, transfer.from, transfer.to);
        let (span, outcome) = self.ask("POST", &target).await;
        let (seen, committed) = match outcome {
            Outcome::Answered(answer) => (accounts(&answer.text), Some(answer.status == 200)),
            // If it is found in an account all the same, it is one that nobody asked for.
            Outcome::Refused => return,
            Outcome::Unknown => (Accounts::new(), None),
        };
        self.record.bank.push(Transaction { span, seen, transfer: Some(transfer), committed });
    }

    async fn look(&mut self) -> Option<Accounts> {
        let (span, outcome) = self.ask("GET", "/bank").await;
        let Outcome::Answered(answer) = outcome else { return None };
        let seen = accounts(&answer.text);
        self.record.bank.push(Transaction { span, seen: seen.clone(), transfer: None, committed: Some(true) });
        Some(seen)
    }
}

fn accounts(text: &str) -> Accounts {
    let account = |line: &str| {
        let mut words = line.split(' ');
        let (name, balance) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        let ids = words.next()?.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
        Some((name, Account { balance, ids }))
    };
    text.lines().map(|line| account(line).unwrap_or_else(|| panic!("no account: {line}"))).collect()
}
