//! How keys and values are printed: for people, without letting stored bytes drive their terminal; for scripts, exactly.

use std::io;

use bytesize::ByteSize;
use serde_json::{Map, Value, json};
use stash_core::{Metadata, Record, Timestamp, Version};

use crate::times;

/// The value as text, if a terminal can show it as it is.
pub(crate) fn as_plain_text(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    is_plain(text).then_some(text)
}

/// Whether nothing in the text moves the cursor, changes colours or reorders the line.
fn is_plain(text: &str) -> bool {
    let moves = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    let reorders =
        |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.chars().any(|c| moves(c) || reorders(c))
}

/// Whether the character shows as itself in a key. Those that do not show at all are text's own business in a value; in
/// a key they would make two different ones look alike.
fn shows(c: char) -> bool {
    let hidden = matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !(c.is_control() || hidden)
}

/// A key on one line: as it is, or quoted and escaped where it would not print as itself.
pub(crate) fn key(key: &str) -> String {
    let ends_show = !key.starts_with(['"', ' ']) && !key.ends_with(' ') && !key.is_empty();
    if ends_show && key.chars().all(shows) { key.to_owned() } else { format!("\"{}\"", escape(key)) }
}

fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if shows(c) && c != '"' && c != '\\' {
            out.push(c);
        } else {
            out.extend(c.escape_default());
        }
        out
    })
}

/// Tells the person something on standard error. That nobody can hear it is no reason to stop.
pub(crate) fn say(text: &str) {
    crate::stderr::line(text);
}

/// An error's text without anything that drives the terminal: names in it may be a guest's, or a file's.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if shows(c) {
            out.push(c);
        } else {
            out.extend(c.escape_default());
        }
        out
    })
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a string does not fail.
        let _ = std::fmt::Write::write_fmt(&mut out, format_args!("{byte:02x}"));
        out
    })
}

/// A value for a script: `text` where it is UTF-8, else `hex`.
pub(crate) fn value_json(value: &[u8]) -> (&'static str, Value) {
    match std::str::from_utf8(value) {
        Ok(text) => ("text", json!(text)),
        Err(_) => ("hex", json!(hex(value))),
    }
}

/// A record with its value, for a script.
pub(crate) fn record_json(key: &str, record: &Record) -> Map<String, Value> {
    let mut row = Map::new();
    row.insert("key".into(), json!(key));
    row.insert("version".into(), json!(record.version.0));
    row.insert("bytes".into(), json!(record.value.len()));
    let (name, value) = value_json(&record.value);
    row.insert(name.into(), value);
    row
}

/// What is known of a record beside its value, for a script: moments in milliseconds after 1970.
pub(crate) fn add_metadata(row: &mut Map<String, Value>, metadata: &Metadata) {
    let millis = |moment: Option<Timestamp>| json!(moment.map(|moment| moment.0));
    row.insert("created_ms".into(), millis(metadata.created));
    row.insert("updated_ms".into(), millis(metadata.updated));
    row.insert("expires_ms".into(), millis(metadata.expires));
    row.insert("content_type".into(), json!(metadata.content_type()));
    row.insert("attributes".into(), json!(metadata.attributes()));
}

/// What stands above [`record_columns`].
pub(crate) const RECORD_HEADING: &str = "   VERSION        SIZE               UPDATED               EXPIRES";

/// A record's version, size and times in columns.
pub(crate) fn record_columns(record: &Record) -> String {
    let version = record.version;
    let size = ByteSize(u64::try_from(record.value.len()).unwrap_or(u64::MAX)).to_string();
    let (updated, expires) = (times::short(record.metadata.updated), times::short(record.metadata.expires));
    format!("{version:>10}  {size:>10}  {updated:>20}  {expires:>20}")
}

/// The columns of a version that deleted the record.
pub(crate) fn deleted_columns(version: Version) -> String {
    format!("{version:>10}  {:>10}  {:>20}  {:>20}", "deleted", "-", "-")
}

/// A size for people, to the byte.
pub(crate) fn size(bytes: usize) -> String {
    match u64::try_from(bytes).unwrap_or(u64::MAX) {
        bytes @ 0..1024 => counted(bytes, "byte"),
        bytes => format!("{} ({bytes} bytes)", ByteSize(bytes)),
    }
}

/// `1 key`, `2 keys`.
pub(crate) fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// An attribute on one line.
pub(crate) fn attribute(name: &str, value: &str) -> String {
    // An empty value shows as nothing: there is no doubt after the `=`.
    let value = if value.is_empty() { String::new() } else { key(value) };
    format!("{}={value}", key(name))
}

/// Rows of JSON as one array, written as they come.
pub(crate) struct JsonRows<W: io::Write> {
    out: W,
    any: bool,
}

impl<W: io::Write> JsonRows<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, any: false }
    }

    pub(crate) fn row(&mut self, row: &Value) -> io::Result<()> {
        let before = if self.any { ",\n " } else { "[" };
        self.any = true;
        write!(self.out, "{before}{row}")
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    pub(crate) fn end(mut self) -> io::Result<()> {
        writeln!(self.out, "{}", if self.any { "]" } else { "[]" })?;
        // What a buffer holds when it is dropped may be lost without a word.
        self.out.flush()
    }
}

/// Whether the error is that nobody reads our output any more.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_headings() {
        let mut record = Record::default();
        record.metadata.updated = Some(Timestamp(0));
        let columns = record_columns(&record);
        assert_eq!(columns.len(), RECORD_HEADING.len(), "{columns}");
        assert_eq!(deleted_columns(Version(1)).len(), RECORD_HEADING.len());
        assert!(columns.contains("  1970-01-01T00:00:00Z  "), "{columns}");
        assert_eq!(size(1), "1 byte");
        assert_eq!(size(2048), "2.0 KiB (2048 bytes)");
    }

    #[test]
    fn stored_bytes_do_not_drive_the_terminal() {
        assert_eq!(as_plain_text(b"two\nlines\tand a tab"), Some("two\nlines\tand a tab"));
        for value in [&b"\x1b[2J"[..], b"\xff", b"\0", "a\u{202e}b".as_bytes(), "\u{2028}".as_bytes(), b"over\rwrite"] {
            assert_eq!(as_plain_text(value), None, "{value:?}");
        }
        assert_eq!(key("user:123"), "user:123");
        assert_eq!(key("ключ 鍵"), "ключ 鍵");
        assert_eq!(key("a\nb\x1b"), r#""a\nb\u{1b}""#);
        assert_eq!(key("a\u{200b}b\u{feff}"), r#""a\u{200b}b\u{feff}""#);
        assert_eq!(key("trailing "), r#""trailing ""#);
        assert_eq!(key("\"q\""), r#""\"q\"""#);
        assert_eq!(hex(&[0, 0xab]), "00ab");
        assert_eq!(attribute("a", ""), "a=");
        assert_eq!(attribute("a\u{1b}", "b\nc"), r#""a\u{1b}"="b\nc""#);
    }
}
