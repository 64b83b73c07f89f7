//! Short names for long URLs, over HTTP. It uses nothing but the standard `wasi:keyvalue`, so it runs on every host that has
//! that. It must never lose a hit: it adds inside the store.

#[path = "../../http.rs"]
mod http;

wit_bindgen::generate!({ path: "../../../wit/deps/keyvalue-draft.wit", world: "wasi:keyvalue/imports", generate_all });

use http::{Answer, IncomingRequest, Method, Request, ResponseOutparam};
use wasi::keyvalue::store::{self, Bucket, Error};
use wasi::keyvalue::{atomics, batch};

/// No URL is longer.
const MAX_URL: usize = 2048;
/// Links that are read in one call.
const BATCH: usize = 1000;

struct ShortLinks;

impl wasip2::exports::http::incoming_handler::Guest for ShortLinks {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        http::serve(request, out, |request| {
            answer(request).unwrap_or_else(|error| Answer::text(500, format!("{}\n", reason(error))))
        });
    }
}

wasip2::http::proxy::export!(ShortLinks);

fn answer(request: &Request) -> Result<Answer, Error> {
    let (name, hits) = match request.name().strip_suffix("/hits") {
        Some(name) if matches!(request.method, Method::Get) => (name, true),
        _ => (request.name(), false),
    };
    match request.method {
        Method::Get if request.path == "/" => list(),
        Method::Get | Method::Put | Method::Delete if !is_name(name) => {
            Ok(Answer::text(400, "a name has 1 to 64 letters, digits, '-' and '_'\n"))
        }
        Method::Get if hits => count(name),
        Method::Get => follow(name),
        Method::Put => match link_in(request) {
            Some(link) => put(name, &link),
            None => Ok(Answer::text(400, "a link is a URL that begins with http:// or https://\n")),
        },
        Method::Delete => delete(name),
        _ => Ok(Answer::text(405, "use GET, PUT or DELETE\n").header("allow", "GET, PUT, DELETE")),
    }
}

fn links() -> Result<Bucket, Error> {
    store::open("links")
}

fn hits() -> Result<Bucket, Error> {
    store::open("hits")
}

fn list() -> Result<Answer, Error> {
    let links = links()?;
    let (mut names, mut cursor) = (Vec::new(), None);
    loop {
        let page = links.list_keys(cursor)?;
        names.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    names.sort_unstable();
    let mut text = String::new();
    for some in names.chunks(BATCH) {
        // One that somebody has deleted since it was listed is none.
        for (name, link) in batch::get_many(&links, some)?.into_iter().flatten() {
            text.extend([&name, " ", &String::from_utf8_lossy(&link), "\n"]);
        }
    }
    Ok(Answer::text(200, text))
}

fn follow(name: &str) -> Result<Answer, Error> {
    let Some(link) = links()?.get(name)? else { return Ok(unknown()) };
    atomics::increment(&hits()?, name, 1)?;
    Ok(Answer::empty(302).header("location", link))
}

fn count(name: &str) -> Result<Answer, Error> {
    if !links()?.exists(name)? {
        return Ok(unknown());
    }
    let hits = hits()?.get(name)?.unwrap_or_else(|| b"0".to_vec());
    Ok(Answer::text(200, format!("{}\n", String::from_utf8_lossy(&hits))))
}

fn put(name: &str, link: &str) -> Result<Answer, Error> {
    let links = links()?;
    let replaced = links.exists(name)?;
    links.set(name, link.as_bytes())?;
    Ok(Answer::empty(if replaced { 204 } else { 201 }))
}

fn delete(name: &str) -> Result<Answer, Error> {
    // The link first: after it nobody counts.
    links()?.delete(name)?;
    hits()?.delete(name)?;
    Ok(Answer::empty(204))
}

fn unknown() -> Answer {
    Answer::text(404, "no such link\n")
}

/// The URL in a request's body, if there is one.
fn link_in(request: &Request) -> Option<String> {
    // White space around it is nobody's fault, but not without end.
    let body = String::from_utf8(request.body(2 * MAX_URL)?).ok()?;
    let link = body.trim();
    is_link(link).then(|| link.to_owned())
}

fn is_link(link: &str) -> bool {
    let is_url = link.starts_with("http://") || link.starts_with("https://");
    is_url && link.len() <= MAX_URL && !link.contains(|c: char| c.is_control() || c.is_whitespace())
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn reason(error: Error) -> String {
    match error {
        Error::NoSuchStore => "no-such-store".to_owned(),
        Error::AccessDenied => "access-denied".to_owned(),
        Error::Other(text) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_URL, is_link};

    #[test]
    fn a_link_is_a_url_of_the_web() {
        let long = format!("http://{}", "x".repeat(MAX_URL - "http://".len()));
        for link in ["http://a", "https://a/b?c=d#e", "https://ä", &long] {
            assert!(is_link(link), "{link}");
        }
        for link in ["", "a", "ftp://a", "http:/a", "HTTP://a", "http://a b", "http://a\u{7f}", &format!("{long}x")] {
            assert!(!is_link(link), "{link}");
        }
    }
}
