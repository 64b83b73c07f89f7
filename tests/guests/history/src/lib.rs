//! Registers and a bank over HTTP, for histories that are checked: every answer tells all that the call has seen. It must
//! never try again what may have happened, nor hide which error there was.
//!
//! - `GET /NAME`, or `GET /NAME?exact=1` in a transaction: `VERSION VALUE`, or `0` where there is nothing.
//! - `POST /NAME?value=V`: `VERSION`. With `&version=N`, only over that one (0: nothing): else 409 and `VERSION`, that there is.
//! - `POST /bank?id=ID&from=A&to=B`: moves 1, and appends the id to both accounts. Answers what they were.
//! - `GET /bank`: all accounts. An account is a line: `NAME BALANCE ID,ID,...`. It starts with 10.
//!
//! 503 is an error after which nothing has happened, 500 one after which it may have.

#[path = "../../../../guest-examples/rust/http.rs"]
mod http;

use http::{Answer, IncomingRequest, Method, Request, ResponseOutparam};
use stash_guest::{Collection, Condition, Error, ErrorKind, Range, SetOptions, Text, Transaction, transaction};
use std::fmt::Write;

/// What an account has that was never used.
const START: i64 = 10;

struct History;

impl wasip2::exports::http::incoming_handler::Guest for History {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        http::serve(request, out, |request| answer(request).unwrap_or_else(|error| failed(&error)));
    }
}

wasip2::http::proxy::export!(History);

fn failed(error: &Error) -> Answer {
    let nothing_done =
        matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Unavailable | ErrorKind::TransactionOver);
    Answer::text(if nothing_done { 503 } else { 500 }, format!("{:?}: {error}\n", error.kind()))
}

fn answer(request: &Request) -> Result<Answer, Error> {
    match (&request.method, request.name()) {
        (Method::Get, "bank") => all_accounts(),
        (Method::Post, "bank") => match ["id", "from", "to"].map(|name| request.parameter(name)) {
            [Some(id), Some(from), Some(to)] if from != to => transfer(id, from, to),
            _ => Ok(Answer::text(400, "id, from and to: two accounts\n")),
        },
        (Method::Get, name) => read(name, request.parameter("exact").is_some()),
        (Method::Post, name) => match request.parameter("value") {
            Some(value) => write(name, value, request.parameter("version")),
            None => Ok(Answer::text(400, "value\n")),
        },
        _ => Ok(Answer::text(405, "use GET or POST\n")),
    }
}

type Registers = Collection<String, Text>;

fn read(name: &str, exact: bool) -> Result<Answer, Error> {
    let registers = Registers::main()?;
    let entry = if exact { transaction(|tx| tx.entry(&registers, name))? } else { registers.entry(name)? };
    Ok(Answer::text(200, entry.map_or("0".to_owned(), |entry| format!("{} {}", entry.metadata.version, entry.value))))
}

fn write(name: &str, value: &str, version: Option<&str>) -> Result<Answer, Error> {
    let registers = Registers::main()?;
    let value = value.to_owned();
    let written = match version.map(str::parse) {
        None => registers.set(name, &value),
        Some(Ok(0)) => registers.set_if(name, &value, Condition::Absent, &SetOptions::new()),
        Some(Ok(version)) => registers.set_if(name, &value, Condition::Version(version), &SetOptions::new()),
        Some(Err(_)) => return Ok(Answer::text(400, "version: a number\n")),
    };
    match written {
        Ok(version) => Ok(Answer::text(200, version.to_string())),
        // Another version is there, which the error tells; or there is one, and was to be none.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Answer::text(409, "")),
        Err(error) => match error.conflict() {
            Some(conflict) => Ok(Answer::text(409, conflict.current.unwrap_or(0).to_string())),
            None => Err(error),
        },
    }
}

struct Account {
    balance: i64,
    ids: String,
}

fn account(tx: &Transaction, accounts: &Registers, name: &str) -> Result<Account, Error> {
    let Some(text) = tx.get(accounts, name)? else { return Ok(Account { balance: START, ids: String::new() }) };
    let (balance, ids) = text.split_once(' ').ok_or_else(|| Error::other("no account"))?;
    Ok(Account { balance: balance.parse().map_err(Error::other)?, ids: ids.to_owned() })
}

fn transfer(id: &str, from: &str, to: &str) -> Result<Answer, Error> {
    let accounts = Registers::open_or_create("bank")?;
    let done = transaction(|tx| {
        let (mut payer, mut receiver) = (account(tx, &accounts, from)?, account(tx, &accounts, to)?);
        let seen = format!("{from} {} {}\n{to} {} {}\n", payer.balance, payer.ids, receiver.balance, receiver.ids);
        if payer.balance == 0 {
            return Ok((409, seen));
        }
        payer.balance -= 1;
        receiver.balance += 1;
        for (name, mut account) in [(from, payer), (to, receiver)] {
            if !account.ids.is_empty() {
                account.ids.push(',');
            }
            account.ids.push_str(id);
            tx.set(&accounts, name, &format!("{} {}", account.balance, account.ids))?;
        }
        Ok((200, seen))
    })?;
    Ok(Answer::text(done.0, done.1))
}

fn all_accounts() -> Result<Answer, Error> {
    let accounts = Registers::open_or_create("bank")?;
    let text = transaction(|tx| {
        let mut text = String::new();
        for account in tx.entries(&accounts, &Range::all()) {
            let account = account?;
            let _ = writeln!(text, "{} {}", account.key, account.value);
        }
        Ok(text)
    })?;
    Ok(Answer::text(200, text))
}
