//! How keys and values are printed: for people, without letting stored bytes drive their terminal; for scripts, exactly.

use std::io::{self, Write as _};

use serde_json::{Value, json};

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
    let _ = writeln!(io::stderr(), "{text}");
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

    pub(crate) fn end(mut self) -> io::Result<()> {
        writeln!(self.out, "{}", if self.any { "]" } else { "[]" })
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
    }
}
