//! Sessions: made, read, kept alive and ended. It must never take an id that a client made up, nor answer for a session whose
//! time is over.
//!
//! A session is a record that expires; whoever uses it pushes the expiry on, so it ends some time after its last use.

#[path = "../../http.rs"]
mod http;

use http::{Answer, IncomingRequest, Method, Request, ResponseOutparam};
use serde::{Deserialize, Serialize};
use stash_guest::{Collection, Error, ErrorKind, SetOptions};
use std::time::Duration;

/// How long a session stays after its last use.
const IDLE: Duration = Duration::from_mins(20);
/// How large what a program keeps in a session may be.
const MAX_DATA: usize = 64 * 1024;

/// What is kept of a session.
#[derive(Serialize, Deserialize)]
struct Session {
    /// JSON of the program that uses the session.
    data: serde_json::Value,
}

struct Sessions;

impl wasip2::exports::http::incoming_handler::Guest for Sessions {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        http::serve(request, out, |request| {
            answer(request).unwrap_or_else(|error| Answer::text(500, format!("{error}\n")))
        });
    }
}

wasip2::http::proxy::export!(Sessions);

fn answer(request: &Request) -> Result<Answer, Error> {
    let sessions: Collection<Session> = Collection::open_or_create("sessions")?;
    match (&request.method, request.name()) {
        (Method::Post, "") => create(&sessions, request),
        (Method::Get, id) if is_id(id) => read(&sessions, id),
        (Method::Put, id) if is_id(id) => replace(&sessions, id, request),
        (Method::Delete, id) if is_id(id) => {
            sessions.delete(id)?;
            Ok(Answer::empty(204))
        }
        (Method::Get | Method::Put | Method::Delete, _) => Ok(over()),
        _ => Ok(Answer::text(405, "use POST on /, and GET, PUT or DELETE on a session\n")
            .header("allow", "GET, POST, PUT, DELETE")),
    }
}

fn create(sessions: &Collection<Session>, request: &Request) -> Result<Answer, Error> {
    let Some(session) = session_in(request) else { return Ok(no_json()) };
    let id = new_id();
    // 128 random bits do not repeat; should they, this is an error and not somebody else's session.
    if !sessions.insert(&id, &session, &SetOptions::new().expires_after(IDLE))? {
        return Err(Error::other("the id is taken"));
    }
    Ok(Answer::text(201, format!("{id}\n")).header("location", format!("/{id}")))
}

fn read(sessions: &Collection<Session>, id: &str) -> Result<Answer, Error> {
    let Some(session) = sessions.get(id)? else { return Ok(over()) };
    // It may have ended between the two calls: then it has.
    match sessions.expire_after(id, IDLE) {
        Ok(_) => Ok(Answer::json(200, session.data.to_string())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(over()),
        Err(error) => Err(error),
    }
}

fn replace(sessions: &Collection<Session>, id: &str, request: &Request) -> Result<Answer, Error> {
    let Some(session) = session_in(request) else { return Ok(no_json()) };
    // Only a session that there is: what has ended does not come back.
    let options = SetOptions::new().expires_after(IDLE);
    match sessions.set_if(id, &session, stash_guest::Condition::Present, &options) {
        Ok(_) => Ok(Answer::empty(204)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(over()),
        Err(error) => Err(error),
    }
}

fn over() -> Answer {
    Answer::text(404, "no such session\n")
}

fn no_json() -> Answer {
    Answer::text(400, "a session holds JSON, of 64 KiB at most\n")
}

/// What a request wants to keep; nothing is `null`.
fn session_in(request: &Request) -> Option<Session> {
    let body = request.body(MAX_DATA)?;
    let data = if body.is_empty() { serde_json::Value::Null } else { serde_json::from_slice(&body).ok()? };
    Some(Session { data })
}

/// An id that nobody can guess.
fn new_id() -> String {
    format!("{:032x}", u128::from_be_bytes(random()))
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // WASI gives as many as it is asked for, from the system's own source.
    for (byte, random) in bytes.iter_mut().zip(wasip2::random::random::get_random_bytes(16)) {
        *byte = random;
    }
    bytes
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
