//! A leaderboard: each player's best score, and who is best of all. It must never show a player twice, nor a score that the
//! player has beaten.
//!
//! Keys are in byte order, so a key that begins with the score is in the order of the scores: the best are the first page of
//! the list in reverse, however many players there are. A transaction keeps the two collections one.

#[path = "../../http.rs"]
mod http;

use http::{Answer, IncomingRequest, Method, Request, ResponseOutparam};
use stash_guest::{Collection, Error, Range, transaction};
use std::fmt::Write;

/// How many are listed, unless the query says how many.
const TOP: u32 = 10;

struct Leaderboard;

impl wasip2::exports::http::incoming_handler::Guest for Leaderboard {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        http::serve(request, out, |request| {
            answer(request).unwrap_or_else(|error| Answer::text(500, format!("{error}\n")))
        });
    }
}

wasip2::http::proxy::export!(Leaderboard);

/// What the board is made of.
struct Board {
    /// Each player's best score.
    scores: Collection<u64>,
    /// The players in the order of their scores: nothing under keys that say it all.
    order: Collection<()>,
}

fn answer(request: &Request) -> Result<Answer, Error> {
    let board = Board { scores: Collection::open_or_create("scores")?, order: Collection::open_or_create("order")? };
    let player = request.name();
    match request.method {
        Method::Get if player.is_empty() => match request.parameter("top").map_or(Some(TOP), |top| top.parse().ok()) {
            Some(top @ 1..=1000) => board.top(top),
            _ => Ok(Answer::text(400, "top: a number from 1 to 1000\n")),
        },
        Method::Get | Method::Post | Method::Delete if !is_name(player) => {
            Ok(Answer::text(400, "a name has 1 to 64 letters, digits, '-' and '_'\n"))
        }
        Method::Get => board.rank(player),
        Method::Post => match request.parameter("score").and_then(|score| score.parse().ok()) {
            Some(score) => board.add(player, score),
            None => Ok(Answer::text(400, "score: a whole number, not negative\n")),
        },
        Method::Delete => board.remove(player),
        _ => Ok(Answer::text(405, "use GET, POST or DELETE\n").header("allow", "GET, POST, DELETE")),
    }
}

impl Board {
    /// The best so many, the best first.
    fn top(&self, top: u32) -> Result<Answer, Error> {
        let mut text = String::new();
        for (place, key) in (1..=top).zip(self.order.keys(&Range::all().reversed().page_size(top))) {
            let key = key?;
            let (score, player) = of_key(&key)?;
            let _ = writeln!(text, "{place} {player} {score}");
        }
        Ok(Answer::text(200, text))
    }

    /// How many are better, and one: counted without reading them.
    fn rank(&self, player: &str) -> Result<Answer, Error> {
        let Some(score) = self.scores.get(player)? else { return Ok(unknown()) };
        let better = self.order.count(&Range::all().from(format!("{}\u{1}", key(score, player))))?;
        Ok(Answer::text(200, format!("{} {player} {score}\n", better + 1)))
    }

    /// Keeps the score if it is the player's best.
    fn add(&self, player: &str, score: u64) -> Result<Answer, Error> {
        let best = transaction(|tx| {
            let before = tx.get(&self.scores, player)?;
            if let Some(before) = before {
                if before >= score {
                    return Ok(before);
                }
                tx.delete(&self.order, &key(before, player))?;
            }
            tx.set(&self.scores, player, &score)?;
            tx.set(&self.order, &key(score, player), &())?;
            Ok(score)
        })?;
        Ok(Answer::text(200, format!("{best}\n")))
    }

    fn remove(&self, player: &str) -> Result<Answer, Error> {
        transaction(|tx| {
            if let Some(score) = tx.get(&self.scores, player)? {
                tx.delete(&self.scores, player)?;
                tx.delete(&self.order, &key(score, player))?;
            }
            Ok(())
        })?;
        Ok(Answer::empty(204))
    }
}

fn unknown() -> Answer {
    Answer::text(404, "no such player\n")
}

/// Numbers of one length are in their order.
fn key(score: u64, player: &str) -> String {
    format!("{score:020} {player}")
}

fn of_key(key: &str) -> Result<(u64, &str), Error> {
    let parts = key.split_once(' ').and_then(|(score, player)| Some((score.parse().ok()?, player)));
    parts.ok_or_else(|| Error::other(format!("'{key}' is no place on the board")))
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::{key, of_key};

    #[test]
    fn keys_are_in_the_order_of_the_scores() {
        assert!(key(9, "z") < key(10, "a") && key(10, "a") < key(10, "b") && key(10, "b") < key(u64::MAX, "a"));
        assert!(of_key(&key(10, "a b")).is_ok_and(|parts| parts == (10, "a b")));
        assert!(of_key("x").is_err());
    }
}
