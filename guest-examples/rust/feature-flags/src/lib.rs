//! Feature flags: on, off, or on for a part of the users. It must never give one user two answers while a flag stays as it is.
//!
//! Whoever wants to know of changes at once asks for those after a version that it has seen, and is answered when there is one.

#[path = "../../http.rs"]
mod http;

use http::{Answer, IncomingRequest, Method, Request, ResponseOutparam};
use stash_guest::raw::changes::{self, PollOptions};
use stash_guest::raw::types;
use stash_guest::{Collection, Entry, Error, Range, SetOptions, Text, Version};
use std::fmt::Write;

/// How long whoever waits for a change is let wait; then he asks again.
const WAIT_MILLIS: u32 = 20_000;
/// The collection.
const FLAGS: &str = "flags";

/// Each flag's state under its name; what it is about and who set it are attributes.
type Flags = Collection<String, Text>;

struct FeatureFlags;

impl wasip2::exports::http::incoming_handler::Guest for FeatureFlags {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        http::serve(request, out, |request| {
            answer(request).unwrap_or_else(|error| Answer::text(500, format!("{error}\n")))
        });
    }
}

wasip2::http::proxy::export!(FeatureFlags);

fn answer(request: &Request) -> Result<Answer, Error> {
    let flags = Flags::open_or_create(FLAGS)?;
    let name = request.name();
    match request.method {
        Method::Get if name.is_empty() => match request.parameter("after").map(str::parse) {
            None => list(&flags),
            Some(Ok(version)) if changed_after(version)? => list(&flags),
            Some(Ok(_)) => Ok(Answer::empty(304)),
            Some(Err(_)) => Ok(Answer::text(400, "after: the version that an earlier answer told\n")),
        },
        Method::Get | Method::Put | Method::Delete if !is_name(name) => {
            Ok(Answer::text(400, "a name has 1 to 64 letters, digits, '-' and '_'\n"))
        }
        // A flag that nobody has set is off.
        Method::Get => {
            let state = flags.get(name)?.and_then(|state| State::parse(&state)).unwrap_or(State::Off);
            let on = state.is_on(name, request.parameter("for").unwrap_or_default());
            Ok(Answer::text(200, if on { "on\n" } else { "off\n" }))
        }
        Method::Put => put(&flags, name, request),
        Method::Delete => {
            flags.delete(name)?;
            Ok(Answer::empty(204))
        }
        _ => Ok(Answer::text(405, "use GET, PUT or DELETE\n").header("allow", "GET, PUT, DELETE")),
    }
}

fn put(flags: &Flags, name: &str, request: &Request) -> Result<Answer, Error> {
    let body = request.body(16).and_then(|body| String::from_utf8(body).ok()).unwrap_or_default();
    let Some(state) = State::parse(body.trim()) else {
        return Ok(Answer::text(400, "a flag is on, off, or a part of the users such as 25%\n"));
    };
    let mut options = SetOptions::new();
    for attribute in ["owner", "about"] {
        if let Some(value) = request.header(&format!("x-{attribute}")) {
            options = options.attribute(attribute, value);
        }
    }
    flags.set_with(name, &state.text(), &options)?;
    Ok(Answer::empty(204))
}

/// All flags with what is known of them. The version is read first: a change in between is told again, never left out.
fn list(flags: &Flags) -> Result<Answer, Error> {
    let version = stash_guest::version()?;
    let mut text = String::new();
    for flag in flags.entries(&Range::all()) {
        let Entry { key, value, metadata, .. } = flag?;
        let _ = write!(text, "{key} {value}");
        for (name, value) in &metadata.attributes {
            let _ = write!(text, " {name}={value:?}");
        }
        text.push('\n');
    }
    Ok(Answer::text(200, text).header("x-version", version.to_string()))
}

/// Waits until a flag has changed after this version of the component, and says whether one has.
fn changed_after(version: Version) -> Result<bool, Error> {
    let options = PollOptions {
        collection: Some(FLAGS.to_owned()),
        prefix: None,
        limit: Some(1),
        wait_millis: Some(WAIT_MILLIS),
        values: false,
    };
    let (mut since, mut started) = (version, false);
    loop {
        match changes::poll(since, &options) {
            Ok(page) if !page.changes.is_empty() => return Ok(true),
            Ok(page) if page.more => since = page.through,
            Ok(_) => return Ok(false),
            // Nobody has asked before: from now on they are kept.
            Err(types::Error::VersionForgotten(_)) if !started && changes::start()? <= since => started = true,
            // It may have, or the version is not one of this component's.
            Err(types::Error::VersionForgotten(_)) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// How a flag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    On,
    Off,
    /// For so many of a hundred users.
    Part(u64),
}

impl State {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "on" => Some(Self::On),
            "off" => Some(Self::Off),
            _ => text.strip_suffix('%')?.parse().ok().filter(|part| *part <= 100).map(Self::Part),
        }
    }

    fn text(self) -> String {
        match self {
            Self::On => "on".to_owned(),
            Self::Off => "off".to_owned(),
            Self::Part(part) => format!("{part}%"),
        }
    }

    fn is_on(self, flag: &str, user: &str) -> bool {
        match self {
            Self::On => true,
            Self::Off => false,
            Self::Part(part) => place(flag, user) < part,
        }
    }
}

/// A user's place among a hundred: always the same of one flag, another of the next. FNV-1a, which every language has.
fn place(flag: &str, user: &str) -> u64 {
    let bytes = flag.bytes().chain([0]).chain(user.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    // Its low bits alone are those of the last letters.
    ((hash >> 32) ^ hash) % 100
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::{State, place};

    #[test]
    fn a_state_is_written_as_it_is_read() {
        for text in ["on", "off", "0%", "25%", "100%"] {
            assert_eq!(State::parse(text).map(State::text).as_deref(), Some(text));
        }
        for text in ["", "On", "%", "101%", "-1%", "1.5%", "25"] {
            assert_eq!(State::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_part_of_the_users_is_about_that_part_and_grows() {
        let users: Vec<String> = (0..10_000).map(|n| format!("user-{n}")).collect();
        let on = |part| users.iter().filter(|user| State::Part(part).is_on("flag", user)).count();
        assert_eq!((on(0), on(100)), (0, users.len()));
        assert!((2_300..2_700).contains(&on(25)), "{}", on(25));
        assert!(users.iter().all(|user| !State::Part(25).is_on("flag", user) || State::Part(30).is_on("flag", user)));
        assert!(users.iter().any(|user| place("flag", user) != place("other", user)));
    }
}
