//! A range of the store under a range of what was written over it. Must never show a key twice, or one that was removed.

use std::cmp::Ordering;
use std::iter::Peekable;

use bytes::Bytes;
use stash_core::StorageError;

/// The bytes of a key or value, wherever they are.
pub(crate) enum Entry<'a> {
    Stored(fjall::Slice),
    Written(&'a Bytes),
}

impl AsRef<[u8]> for Entry<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Stored(bytes) => bytes,
            Self::Written(bytes) => bytes,
        }
    }
}

/// Both ranges as one, in the direction that both are in.
pub(crate) struct Merged<S: Iterator, W: Iterator> {
    stored: Peekable<S>,
    written: Peekable<W>,
    reverse: bool,
}

impl<'a, S, W> Merged<S, W>
where
    S: Iterator<Item = Result<(Entry<'a>, Entry<'a>), StorageError>>,
    W: Iterator<Item = (&'a Bytes, &'a Option<Bytes>)>,
{
    pub(crate) fn new(stored: S, written: W, reverse: bool) -> Self {
        Self { stored: stored.peekable(), written: written.peekable(), reverse }
    }

    /// Which of the two comes next; equal where both have the key.
    fn order(&mut self) -> Ordering {
        match (self.stored.peek(), self.written.peek()) {
            (None, _) => Ordering::Greater,
            (Some(Err(_)), _) | (_, None) => Ordering::Less,
            (Some(Ok((stored, _))), Some((written, _))) => {
                let order = stored.as_ref().cmp(&written[..]);
                if self.reverse { order.reverse() } else { order }
            }
        }
    }
}

impl<'a, S, W> Iterator for Merged<S, W>
where
    S: Iterator<Item = Result<(Entry<'a>, Entry<'a>), StorageError>>,
    W: Iterator<Item = (&'a Bytes, &'a Option<Bytes>)>,
{
    type Item = Result<(Entry<'a>, Entry<'a>), StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.order() {
                Ordering::Less => return self.stored.next(),
                Ordering::Equal => drop(self.stored.next()),
                Ordering::Greater => {}
            }
            let (key, value) = self.written.next()?;
            if let Some(value) = value {
                return Some(Ok((Entry::Written(key), Entry::Written(value))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_was_written_hides_what_is_stored_either_way() {
        // Every way in which three keys can be stored, written, removed or absent.
        for case in 0..6_u32.pow(3) {
            let (mut stored, mut written, mut expected) = (Vec::new(), BTreeMap::new(), Vec::new());
            for n in 0..3 {
                let (key, state) = (Bytes::from(format!("k{n}")), case / 6_u32.pow(n) % 6);
                if state % 2 == 1 {
                    stored.push(key.clone());
                }
                let write = [None, Some(Some(Bytes::from("new"))), Some(None)][(state / 2) as usize].clone();
                match (&write, state % 2) {
                    (Some(Some(new)), _) => expected.push((key.clone(), new.clone())),
                    (None, 1) => expected.push((key.clone(), Bytes::from("old"))),
                    _ => {}
                }
                write.map(|write| written.insert(key, write));
            }
            for reverse in [false, true] {
                let old = |key: &Bytes| Ok((Entry::Stored((&key[..]).into()), Entry::Stored(b"old".into())));
                let (mut stored, mut written): (Vec<_>, Vec<_>) =
                    (stored.iter().map(old).collect(), written.iter().collect());
                if reverse {
                    stored.reverse();
                    written.reverse();
                }
                let bytes = |entry: Entry<'_>| Bytes::copy_from_slice(entry.as_ref());
                let merged = Merged::new(stored.into_iter(), written.into_iter(), reverse);
                let mut found: Vec<_> = merged.map(|entry| entry.map(|(k, v)| (bytes(k), bytes(v))).unwrap()).collect();
                if reverse {
                    found.reverse();
                }
                assert_eq!(found, expected, "case {case}, reverse {reverse}");
            }
        }
    }
}
