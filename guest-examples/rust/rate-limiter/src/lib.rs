//! Lets each client ask so often in so much time, and no more. It must never let one through that is over the limit, however
//! many requests are answered at once.
//!
//! A window is a record that expires by itself: there is no clock to read and nothing to clean up. A transaction makes reading
//! the count and adding to it one.

#[path = "../../http.rs"]
mod http;

use http::{Answer, IncomingRequest, Request, ResponseOutparam};
use stash_guest::{Collection, Error, SetOptions, transaction};
use std::time::{Duration, SystemTime};

/// Requests in a window.
const REQUESTS: u32 = 10;
/// How long a window is, from its first request on.
const WINDOW: Duration = Duration::from_mins(1);

struct RateLimiter;

impl wasip2::exports::http::incoming_handler::Guest for RateLimiter {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        http::serve(request, out, |request| {
            answer(request).unwrap_or_else(|error| Answer::text(500, format!("{error}\n")))
        });
    }
}

wasip2::http::proxy::export!(RateLimiter);

fn answer(request: &Request) -> Result<Answer, Error> {
    // Who asks: in your own program the key of an API, or the address that a proxy in front of it tells.
    let Some(client) = request.header("x-client").filter(|client| (1..=200).contains(&client.len())) else {
        return Ok(Answer::text(400, "say who you are in the header x-client\n"));
    };
    Ok(match take(&client)? {
        Ok(left) => Answer::text(200, "here you are\n").header("x-requests-left", left.to_string()),
        Err(wait) => Answer::text(429, "too many requests\n").header("retry-after", whole_seconds(wait).to_string()),
    })
}

/// Takes one of the client's requests. Tells how many are left, or how long to wait for the next window.
fn take(client: &str) -> Result<Result<u32, Duration>, Error> {
    let windows: Collection<u32> = Collection::open_or_create("windows")?;
    transaction(|tx| {
        let window = tx.entry(&windows, client)?;
        // The first request begins the window, later ones leave its end as it is.
        let (taken, options) = match &window {
            None => (0, SetOptions::new().expires_after(WINDOW)),
            Some(window) => (window.value, SetOptions::new().keep_expiry()),
        };
        if taken >= REQUESTS {
            let end = window.and_then(|window| window.metadata.expires);
            let wait = end.and_then(|end| end.duration_since(SystemTime::now()).ok());
            return Ok(Err(wait.unwrap_or_default()));
        }
        tx.set_with(&windows, client, &(taken + 1), &options)?;
        Ok(Ok(REQUESTS - taken - 1))
    })
}

/// Rounded up: whoever comes back then is let in.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::whole_seconds;
    use std::time::Duration;

    #[test]
    fn waiting_is_long_enough() {
        for (millis, seconds) in [(0, 0), (1, 1), (1000, 1), (1001, 2)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }
}
