//! Keys as names of files. Two keys must never have names that any file system takes for the same one: whatever it does to
//! capitals, accents, trailing dots and the names of devices, and however short its names are.
//!
//! Small letters, digits and `-_.=@,` stand for themselves, all other bytes are written `%2F`. A capital has `^` in front;
//! where three or more follow each other, `^^` comes before the first and `^` before the next small letter. So a name says
//! the same in capitals, in small letters and as it is. `+` is left for what is no key: collections.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// What a name has at most, in bytes: file systems allow 255, those that encrypt names 143.
const MAX_NAME_BYTES: usize = 140;
/// Bytes of the hash in a name that would be longer.
const HASH_BYTES: usize = 16;
/// Between the beginning of such a name and the hash: no other name has it.
const HASH_MARK: &str = "%-";
/// So many capitals in a row are marked together.
const CAPITALS: usize = 3;

/// Between the parts of a collection's name in an engine's key: see `stash-core`'s `collection.rs`.
const SEPARATOR: u8 = 0x1f;

/// Where a record's file is, below the store's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordPath {
    /// The folder and the file, with `/` between the parts.
    path: String,
    folder_bytes: usize,
}

impl RecordPath {
    pub(crate) fn as_str(&self) -> &str {
        &self.path
    }

    pub(crate) fn folder(&self) -> &str {
        self.path.get(..self.folder_bytes).unwrap_or_default()
    }
}

/// The parts of a record's key: `r app/service-a/001 1f orders/7`.
struct Parts<'a> {
    id: [&'a [u8]; 3],
    /// Empty for the default collection.
    collection: &'a [u8],
    key: &'a [u8],
}

/// What an engine's key is made of, if it is that of a record of a component.
fn parts(key: &[u8]) -> Option<Parts<'_>> {
    let mut parts = key.strip_prefix(b"r")?.splitn(4, |byte| *byte == b'/');
    let (namespace, name, third, key) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let separator = third.iter().position(|byte| *byte == SEPARATOR);
    let (instance, collection) = match separator.and_then(|at| third.split_at_checked(at)) {
        // The list of collections is no collection.
        Some((_, collection)) if collection.len() == 1 => return None,
        Some((instance, collection)) => (instance, collection.get(1..)?),
        None => (third, Default::default()),
    };
    let id = [namespace, name, instance];
    let whole = id.iter().all(|part| !part.is_empty()) && !key.is_empty();
    whole.then_some(Parts { id, collection, key })
}

/// Whether this is the key of something that has a file.
pub(crate) fn is_record(key: &[u8]) -> bool {
    parts(key).is_some()
}

/// Where the file of a record is; `None` where the key is of something that has none.
pub(crate) fn record_path(key: &[u8]) -> Option<RecordPath> {
    let Parts { id, collection, key } = parts(key)?;
    let mut path = String::with_capacity(64 + key.len());
    for part in id {
        push_name(&mut path, part);
        path.push('/');
    }
    if !collection.is_empty() {
        push_collection(&mut path, collection);
        path.push('/');
    }
    let folder_bytes = path.len() - 1;
    push_name(&mut path, key);
    Some(RecordPath { path, folder_bytes })
}

fn push_collection(path: &mut String, collection: &[u8]) {
    let mut folders = String::new();
    for part in collection.split(|byte| *byte == SEPARATOR) {
        folders.push_str(if folders.is_empty() { "+" } else { "/+" });
        push_name(&mut folders, part);
    }
    if folders.len() <= MAX_NAME_BYTES {
        path.push_str(&folders);
    } else {
        // One folder: a path must not get longer than systems allow either.
        path.push('+');
        let mut whole = String::new();
        escape_into(&mut whole, collection);
        push_hashed(path, &whole, collection);
    }
}

/// The name of the file in which a record with this key is, in the folder of its component or collection.
///
/// Names that would have more than 140 bytes end in a hash of the key instead.
///
/// ```
/// assert_eq!(stash_files::file_name(b"user:123"), "user%3A123");
/// assert_eq!(stash_files::file_name("Größe".as_bytes()), "^Gr%C3%B6%C3%9Fe");
/// ```
pub fn file_name(key: &[u8]) -> String {
    let mut name = String::with_capacity(key.len() + 8);
    push_name(&mut name, key);
    name
}

fn push_name(path: &mut String, key: &[u8]) {
    let start = path.len();
    escape_into(path, key);
    if path.len() - start > MAX_NAME_BYTES {
        let name = path.split_off(start);
        push_hashed(path, &name, key);
    }
}

fn push_hashed(path: &mut String, name: &str, key: &[u8]) {
    let mut end = MAX_NAME_BYTES - HASH_MARK.len() - 2 * HASH_BYTES - 1;
    // Not in the midst of an escape.
    if let Some(at) = name.get(end - 2..end).and_then(|last| last.find('%')) {
        end = end - 2 + at;
    }
    path.push_str(name.get(..end).unwrap_or_default());
    path.push_str(HASH_MARK);
    for byte in Sha256::digest(key).iter().take(HASH_BYTES) {
        push_hex(path, *byte, false);
    }
}

fn push_hex(path: &mut String, byte: u8, capitals: bool) {
    // Writing to a string does not fail.
    let _ = if capitals { write!(path, "{byte:02X}") } else { write!(path, "{byte:02x}") };
}

fn escape_into(name: &mut String, key: &[u8]) {
    let start = name.len();
    let mut in_capitals = false;
    for (at, &byte) in key.iter().enumerate() {
        let at_end = at == 0 || at + 1 == key.len();
        match byte {
            b'a'..=b'z' => {
                if std::mem::take(&mut in_capitals) {
                    name.push('^');
                }
                name.push(char::from(byte));
            }
            b'A'..=b'Z' => {
                if !in_capitals {
                    in_capitals = begins_capitals(key.get(at..).unwrap_or_default());
                    name.push_str(if in_capitals { "^^" } else { "^" });
                }
                name.push(char::from(byte));
            }
            b'0'..=b'9' | b'_' | b'=' | b'@' | b',' => name.push(char::from(byte)),
            // Hidden files, `..`, and what commands take for options; trailing dots get lost on Windows.
            b'-' | b'.' if !at_end => name.push(char::from(byte)),
            byte => {
                name.push('%');
                push_hex(name, byte, true);
            }
        }
    }
    let device = name.get(start..).and_then(|name| name.split('.').next()).is_some_and(is_device);
    if let Some(first) = key.first().filter(|_| device) {
        let mut escaped = String::from("%");
        push_hex(&mut escaped, *first, true);
        name.replace_range(start..=start, &escaped);
    }
}

/// Whether so many capitals come before the next small letter that they are marked together.
fn begins_capitals(rest: &[u8]) -> bool {
    let letters = rest.iter().filter(|byte| byte.is_ascii_alphabetic());
    letters.take(CAPITALS).filter(|byte| byte.is_ascii_uppercase()).count() == CAPITALS
}

/// The names that Windows has for devices, with whatever extension.
fn is_device(stem: &str) -> bool {
    match stem.split_at_checked(3) {
        Some(("con" | "prn" | "aux" | "nul", "")) => true,
        Some(("com" | "lpt", number)) => matches!(number.as_bytes(), [b'0'..=b'9']),
        _ => false,
    }
}

/// The key of the record that is in a file of this name; `None` where no key has it, or it ends in a hash.
///
/// ```
/// assert_eq!(stash_files::key_of_file_name("user%3A123").as_deref(), Some(&b"user:123"[..]));
/// assert_eq!(stash_files::key_of_file_name(".user%3A123.swp"), None);
/// ```
pub fn key_of_file_name(name: &str) -> Option<Vec<u8>> {
    let (mut key, mut in_capitals) = (Vec::with_capacity(name.len()), false);
    let mut bytes = name.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                key.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            b'^' if in_capitals => in_capitals = false,
            b'^' if bytes.next_if_eq(&b'^').is_some() => in_capitals = true,
            b'^' => key.push(bytes.next()?.to_ascii_uppercase()),
            byte if in_capitals => key.push(byte.to_ascii_uppercase()),
            byte => key.push(byte.to_ascii_lowercase()),
        }
    }
    // There is one name for each key: what is written another way is no name.
    (!key.is_empty() && file_name(&key) == name).then_some(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_keys_are_read_as_they_are() {
        for (key, name) in [
            ("user:123", "user%3A123"),
            ("photo.jpg", "photo.jpg"),
            ("a/b", "a%2Fb"),
            ("iPhone", "i^Phone"),
            ("UserName", "^User^Name"),
            ("README.md", "^^README.^md"),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "01^^ARZ3NDEKTSV4RRFFQ69G5FAV"),
            ("ABc", "^A^Bc"),
            ("mail@example.org", "mail@example.org"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            (".git", "%2Egit"),
            ("end.", "end%2E"),
            ("-rf", "%2Drf"),
            ("a b", "a%20b"),
            ("con", "%63on"),
            ("CON", "^^CON"),
            ("nul.txt", "%6Eul.txt"),
            ("com5", "%63om5"),
            ("com55", "com55"),
            ("console", "console"),
            ("lost+found", "lost%2Bfound"),
            ("50%", "50%25"),
            ("\0", "%00"),
            ("~", "%7E"),
        ] {
            assert_eq!(file_name(key.as_bytes()), name);
            assert_eq!(key_of_file_name(name).as_deref(), Some(key.as_bytes()));
        }
    }

    #[test]
    fn what_no_key_has_is_no_name() {
        for name in [
            "", ".", "..", ".git", "a b", "A", "^a", "^", "^^", "^^AB", "%", "%2", "%2f", "%41", "a~", "é", "con", "a.",
        ] {
            assert_eq!(key_of_file_name(name), None, "{name}");
        }
        let long = file_name(&[b'x'; 200]);
        assert!(long.starts_with("xxx") && long.len() <= MAX_NAME_BYTES, "{long}");
        assert_eq!(key_of_file_name(&long), None);
        assert_ne!(long, file_name(&[b'x'; 201]));
    }

    #[test]
    fn a_component_is_a_folder_and_a_collection_one_in_it() {
        for (key, path) in [
            ("rapp/service-a/001/user:1", Some("app/service-a/001/user%3A1")),
            ("rapp/service-a/001/a/b", Some("app/service-a/001/a%2Fb")),
            ("rapp/service-a/001\u{1f}orders/7", Some("app/service-a/001/+orders/7")),
            ("rapp/service-a/001\u{1f}orders\u{1f}2026/7", Some("app/service-a/001/+orders/+2026/7")),
            ("ra/b/c/\u{1f}x", Some("a/b/c/%1Fx")),
            ("rapp/service-a/001\u{1f}/orders", None),
            ("ra/b/c/", None),
            ("ra/b/c", None),
            ("ra//c/k", None),
            ("na/b/c/", None),
            ("va/b/c/k", None),
            ("", None),
        ] {
            let found = record_path(key.as_bytes());
            assert_eq!(found.as_ref().map(RecordPath::as_str), path, "{key:?}");
            assert_eq!(is_record(key.as_bytes()), path.is_some());
            if let Some(found) = found {
                assert_eq!(Some(found.folder()), path.and_then(|path| path.rsplit_once('/')).map(|(folder, _)| folder));
            }
        }
        let deep = ["x".repeat(60), "y".repeat(60), "z".repeat(60)].join("\u{1f}");
        let path = record_path(format!("ra/b/c\u{1f}{deep}/k").as_bytes()).unwrap();
        assert_eq!(path.as_str().matches('/').count(), 4, "{path:?}");
        assert!(path.as_str().split('/').all(|name| name.len() <= MAX_NAME_BYTES));
    }

    /// Keys of a few bytes that are easily mixed up, and of any.
    fn keys() -> impl Strategy<Value = Vec<u8>> {
        let near = proptest::sample::select(&b"aAbBcCoOnN^%~+-./\\ 0F\x1f"[..]);
        prop_oneof![
            proptest::collection::vec(near, 1..8),
            proptest::collection::vec(any::<u8>(), 1..300),
            "\\PC{1,40}".prop_map(String::into_bytes),
        ]
    }

    fn assert_safe(name: &str) {
        assert!(!name.is_empty() && name.len() <= MAX_NAME_BYTES, "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.=@,^%".contains(&byte)), "{name}");
        assert!(!name.starts_with(['.', '-', '+']) && !name.ends_with('.'), "{name}");
        let stem = name.split('.').next().unwrap().to_ascii_lowercase();
        assert!(!is_device(&stem), "{name}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_name_is_safe_and_tells_its_key(key in keys()) {
            let name = file_name(&key);
            assert_safe(&name);
            match key_of_file_name(&name) {
                Some(told) => prop_assert_eq!(told, key),
                None => prop_assert!(name.contains(HASH_MARK)),
            }
        }

        #[test]
        fn no_two_keys_have_one_name(one in keys(), other in keys()) {
            prop_assume!(one != other);
            prop_assert_ne!(file_name(&one).to_lowercase(), file_name(&other).to_lowercase());
        }

        #[test]
        fn keys_that_differ_in_their_capitals_have_two_names(key in "[a-cA-C]{1,8}", capitals in any::<u8>()) {
            let other: String = key
                .chars()
                .enumerate()
                .map(|(n, c)| if capitals >> n & 1 == 1 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
                .collect();
            prop_assume!(key != other);
            let names = [&key, &other].map(|key| file_name(key.as_bytes()).to_lowercase());
            prop_assert_ne!(&names[0], &names[1]);
        }

        #[test]
        fn no_two_records_have_one_path(
            one in "r[a.]{1,2}/[a+]{1,2}/[a\u{1f}+]{1,4}/[a/\u{1f}+]{1,5}",
            other in "r[a.]{1,2}/[a+]{1,2}/[a\u{1f}+]{1,4}/[a/\u{1f}+]{1,5}",
        ) {
            prop_assume!(one != other);
            if let (Some(one), Some(other)) = (record_path(one.as_bytes()), record_path(other.as_bytes())) {
                prop_assert_ne!(one.as_str(), other.as_str());
                // A file of one is no folder of the other.
                let inside = format!("{}/", one.as_str());
                prop_assert!(!other.as_str().starts_with(&inside));
            }
        }
    }
}
