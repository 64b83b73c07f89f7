//! How keys and values are printed: for people, without letting stored bytes drive their terminal; for scripts, exactly.

use std::fmt::Write as _;
use std::io;

use serde_json::{Value, json};

/// The value as text, if a terminal can show it as it is.
pub(crate) fn as_plain_text(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    is_plain(text, true).then_some(text)
}

/// Whether nothing in the text moves the cursor, changes colours or reorders the line.
fn is_plain(text: &str, many_lines: bool) -> bool {
    let reorders = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().all(|c| (many_lines && matches!(c, '\n' | '\t')) || !(c.is_control() || reorders(c)))
}

/// A key on one line: as it is, or quoted and escaped where it would not print as itself.
pub(crate) fn key(key: &str) -> String {
    if is_plain(key, false) && !key.starts_with('"') { key.to_owned() } else { format!("\"{}\"", escape(key)) }
}

fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if is_plain(c.encode_utf8(&mut [0; 4]), false) && c != '"' && c != '\\' {
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
        let _ = write!(out, "{byte:02x}");
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
    fn stored_bytes_do_not_drive_the_terminal() {
        assert_eq!(as_plain_text(b"two\nlines\tand a tab"), Some("two\nlines\tand a tab"));
        for value in [&b"\x1b[2J"[..], b"\xff", b"\0", "a\u{202e}b".as_bytes(), b"over\rwrite"] {
            assert_eq!(as_plain_text(value), None, "{value:?}");
        }
        assert_eq!(key("user:123"), "user:123");
        assert_eq!(key("ключ 鍵"), "ключ 鍵");
        assert_eq!(key("a\nb\x1b"), r#""a\nb\u{1b}""#);
        assert_eq!(key("\"q\""), r#""\"q\"""#);
        assert_eq!(hex(&[0, 0xab]), "00ab");
    }
}
