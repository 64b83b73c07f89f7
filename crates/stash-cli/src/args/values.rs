//! How the command line writes sizes, times and names: the parsers that several commands share. Each must say what to
//! write where a text is wrong, and must never guess.

use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use bytesize::ByteSize;
use stash_core::Timestamp;
use stash_core::limits::MAX_VALUE_BYTES;

use super::guest::Preset;

/// A number of bytes, with or without a unit.
pub(crate) fn bytes(text: &str) -> Result<ByteSize, &'static str> {
    text.parse().map_err(|_| "write a number of bytes, or one with a unit such as 10MiB")
}

/// How large a value may be.
pub(super) fn value_bytes(text: &str) -> Result<usize, String> {
    let bytes = bytes(text)?;
    let size = usize::try_from(bytes.0).ok().filter(|size| *size <= MAX_VALUE_BYTES);
    size.ok_or_else(|| format!("no store takes larger values than {MAX_VALUE_BYTES} bytes"))
}

/// A time span: seconds, or with a unit.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    if text.split(|c: char| !c.is_alphabetic()).any(|unit| unit == "M") {
        return Err("are these minutes or months? Write m for minutes, and months in days, such as 30d");
    }
    humantime::parse_duration(text).map_err(
        |_| "write a number of seconds, or a time with a unit: ms, s, m (minutes), h, d or w, such as 500ms or 1h 30m",
    )
}

/// A time span in which something can happen.
pub(crate) fn some_time(text: &str) -> Result<Duration, &'static str> {
    match duration(text)? {
        // What is stored has milliseconds.
        time if time.as_millis() == 0 => Err("it is no time at all; write at least 1ms"),
        time => Ok(time),
    }
}

/// A moment in UTC, as RFC 3339 has it; a date alone is its beginning.
pub(super) fn moment(text: &str) -> Result<Timestamp, &'static str> {
    // A bare number is refused: seconds and milliseconds look alike, and the wrong one is a moment that has passed.
    const HELP: &str = "write a moment in UTC such as 2030-12-31T23:59:59Z, or a date such as 2030-12-31";
    // Whether it has an offset is asked here: `humantime` overlooks one behind a fraction.
    if text.contains('+') && !text.ends_with("+00:00") {
        return Err(HELP);
    }
    let date_alone = text.len() == "2030-12-31".len();
    let full = if date_alone { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let moment = humantime::parse_rfc3339_weak(&full).map_err(|_| HELP)?;
    let since = moment.duration_since(UNIX_EPOCH).map_err(|_| HELP)?;
    Ok(Timestamp(u64::try_from(since.as_millis()).map_err(|_| HELP)?))
}

/// Where to listen: an address of this machine and a port.
pub(crate) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    const HELP: &str =
        "write an address and a port such as 127.0.0.1:8080, or 0.0.0.0:8080 for every address of this machine";
    text.parse().map_err(|_| HELP)
}

/// `NAME=VALUE`; the value may have more of the `=`.
pub(super) fn attribute(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    if name.is_empty() {
        return Err("an attribute has a name: write NAME=VALUE");
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// `BUCKET/KEY=VALUE`. The bucket ends at the first `/`, the key at the first `=` behind that.
pub(super) fn preset(text: &str) -> Result<Preset, &'static str> {
    const HELP: &str = "write BUCKET/KEY=VALUE, in the default collection default/KEY=VALUE";
    let (bucket, rest) = text.split_once('/').ok_or(HELP)?;
    let (key, value) = rest.split_once('=').ok_or(HELP)?;
    if key.is_empty() || bucket.contains('=') {
        return Err(HELP);
    }
    Ok(Preset { bucket: bucket.to_owned(), key: key.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_utc_and_nothing_is_guessed() {
        for (text, millis) in [
            ("1970-01-01", 0),
            ("2030-12-31", 1_924_905_600_000),
            ("2030-12-31T23:59:59Z", 1_924_991_999_000),
            ("2030-12-31 23:59:59", 1_924_991_999_000),
            ("2030-12-31T23:59:59.250Z", 1_924_991_999_250),
            ("2030-12-31T23:59:59+00:00", 1_924_991_999_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
        ] {
            assert_eq!(moment(text), Ok(Timestamp(millis)), "{text}");
        }
        for text in [
            "",
            "1735689600",
            "1735689600000",
            "tomorrow",
            "2030-13-01",
            "2030-12-31T23:59:59+02:00",
            "2030-12-31T23:59:59.5+02:00",
            "2030-12-31T23:59:59-02:00",
            "1969-12-31",
            "ééééé",
            "2030-12-3é",
        ] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_sizes_and_attributes() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(some_time("1h 30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("2w"), Ok(Duration::from_hours(14 * 24)));
        for months in ["1M", "1h 2M", "1 M", "3M5s"] {
            assert!(duration(months).unwrap_err().contains("minutes or months"), "{months}");
        }
        assert!(duration("soon").unwrap_err().contains("m (minutes)"));
        assert!(some_time("0").is_err() && some_time("999us").is_err() && some_time("-1s").is_err());
        assert_eq!(value_bytes("1KiB"), Ok(1024));
        assert!(value_bytes("65MiB").unwrap_err().contains("67108864"));
        assert_eq!(attribute("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(attribute("a="), Ok(("a".to_owned(), String::new())));
        assert!(attribute("a").is_err() && attribute("=b").is_err());
    }
}
