//! One namespace of a copy, from its first record to its state, which says that it is whole.

use std::collections::HashSet;
use std::ops::Bound;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{BATCH_BYTES, BATCH_ENTRIES, CopyError, CopyPhase, Copying};
use crate::engine::Scan;
use crate::error::StorageError;
use crate::keyspace::{KeySpace, after_prefix};

/// Where a namespace's entries are, beside its state. In the order of their bytes: how far a copy is, is a key.
const SPACES: [KeySpace; 4] = [KeySpace::ChangeLog, KeySpace::Expiry, KeySpace::Record, KeySpace::History];

impl Copying<'_> {
    /// Copies what is not there yet of the namespace with this prefix (`app/service-a/001/`) and state.
    pub(super) async fn namespace(&mut self, prefix: &str, state: &Bytes) -> Result<(), CopyError> {
        let (at_state, at_place) = (KeySpace::Namespace.key(prefix), place_key(prefix));
        let found = self.to.read_dyn(&[at_state.clone(), at_place.clone()]).await.map_err(CopyError::Target)?;
        let [copied, place] = &*found else { return Err(unanswered()) };
        if copied.as_ref() == Some(state) && place.is_none() {
            return Ok(());
        }
        let mut last = place.clone().and_then(|place| read_place(place, state));
        if last.is_none() {
            // Of another state, which the source had then.
            if copied.is_some() {
                self.write(vec![(at_state.clone(), None)]).await?;
            }
            for range in ranges(prefix) {
                self.clear(&range).await?;
            }
        }
        for range in ranges(prefix) {
            let mut scan = Scan { limit: BATCH_ENTRIES, max_bytes: BATCH_BYTES, ..range };
            if let Some(last) = &last {
                match &scan.end {
                    Bound::Excluded(end) if last >= end => continue,
                    _ => {}
                }
                if matches!(&scan.start, Bound::Included(start) if last >= start) {
                    scan.start = Bound::Excluded(last.clone());
                }
            }
            loop {
                let page = self.from.scan_dyn(&scan).await.map_err(CopyError::Source)?;
                let Some((end, _)) = page.entries.last() else { break };
                let end = end.clone();
                self.put(&page.entries, &at_place, state).await?;
                self.count(&page.entries);
                self.tell(CopyPhase::Copying);
                if !page.more {
                    break;
                }
                scan.start = Bound::Excluded(end);
            }
            last = None;
        }
        self.write(vec![(at_state, Some(state.clone())), (at_place, None)]).await
    }

    /// Writes entries and how far that is, in as many commits as the target needs for them.
    async fn put(&mut self, entries: &[(Bytes, Bytes)], at_place: &Bytes, state: &Bytes) -> Result<(), CopyError> {
        let write = |(key, value): &(Bytes, Bytes)| (key.clone(), Some(value.clone()));
        self.in_pieces(entries, |piece| {
            let far = piece.last().map(|(last, _)| (at_place.clone(), Some(place(last, state))));
            piece.iter().map(write).chain(far).collect()
        })
        .await
    }

    /// Writes what `writes` makes of pieces, none of them larger than the target takes.
    async fn in_pieces<T>(
        &mut self,
        mut all: &[T],
        writes: impl Fn(&[T]) -> Vec<(Bytes, Option<Bytes>)>,
    ) -> Result<(), CopyError> {
        while !all.is_empty() {
            let (piece, rest) = all.split_at(all.len().min(self.most_at_once));
            match self.to.write_dyn(writes(piece)).await {
                // It is not asked for as much again.
                Err(StorageError::LimitExceeded { .. }) if piece.len() > 1 => self.most_at_once = piece.len() / 2,
                written => {
                    written.map_err(CopyError::Target)?;
                    all = rest;
                }
            }
        }
        Ok(())
    }

    /// Removes the namespaces of the target that the source does not have.
    pub(super) async fn remove_others(&mut self, states: &[(String, (Bytes, u64))]) -> Result<(), CopyError> {
        let ours: HashSet<&str> = states.iter().map(|(prefix, _)| prefix.as_str()).collect();
        let mut scan = Scan { limit: BATCH_ENTRIES, value_bytes: 0, ..Scan::prefix(&KeySpace::Namespace.key("")) };
        loop {
            let page = self.to.scan_dyn(&scan).await.map_err(CopyError::Target)?;
            for (key, _) in &page.entries {
                let Some(prefix) = KeySpace::Namespace.name(key).filter(|prefix| !ours.contains(prefix)) else {
                    continue;
                };
                for range in ranges(prefix) {
                    self.clear(&range).await?;
                }
                self.write(vec![(key.clone(), None), (place_key(prefix), None)]).await?;
            }
            match page.entries.last() {
                Some((last, _)) if page.more => scan.start = Bound::Excluded(last.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Removes what the target has in a range, but for the facts that every store has.
    pub(super) async fn clear(&mut self, range: &Scan) -> Result<(), CopyError> {
        let mut scan = Scan { limit: BATCH_ENTRIES, value_bytes: 0, ..range.clone() };
        loop {
            let page = self.to.scan_dyn(&scan).await.map_err(CopyError::Target)?;
            let Some((last, _)) = page.entries.last() else { return Ok(()) };
            scan.start = Bound::Excluded(last.clone());
            let own = |key: &&(Bytes, Bytes)| {
                KeySpace::Host.name(&key.0).is_none() || !crate::keyspace::owner(&key.0).is_empty()
            };
            let keys: Vec<Bytes> = page.entries.iter().filter(own).map(|(key, _)| key.clone()).collect();
            // One owner after another: not every engine commits for several at once.
            for of_one in keys.chunk_by(|a, b| crate::keyspace::owner(a) == crate::keyspace::owner(b)) {
                self.in_pieces(of_one, |piece| piece.iter().map(|key| (key.clone(), None)).collect()).await?;
            }
            self.tell(CopyPhase::Clearing);
            if !page.more {
                return Ok(());
            }
        }
    }
}

/// Everything of a namespace but its state, in the order in which it is copied.
fn ranges(prefix: &str) -> impl Iterator<Item = Scan> {
    let id = prefix.strip_suffix('/').unwrap_or(prefix).to_owned();
    SPACES.into_iter().flat_map(move |space| {
        // Behind an id comes a control character, or the slash.
        let control = |byte: u8| {
            let mut key = BytesMut::from(&space.key(&id)[..]);
            key.put_u8(byte);
            key.freeze()
        };
        let slash = space.key(&format!("{id}/"));
        let collections = (control(0), control(0x20));
        let own = (slash.clone(), after_prefix(&slash).unwrap_or(slash));
        [collections, own].map(|(start, end)| Scan {
            start: Bound::Included(start),
            end: Bound::Excluded(end),
            ..Scan::prefix(b"")
        })
    })
}

/// How far the copy of a namespace is.
fn place_key(prefix: &str) -> Bytes {
    KeySpace::Host.key(&format!("{prefix}copying"))
}

/// The last key that was copied, of the namespace in this state.
fn place(last: &Bytes, state: &Bytes) -> Bytes {
    let mut place = BytesMut::new();
    place.put_u16(u16::try_from(state.len()).unwrap_or_default());
    place.extend_from_slice(state);
    place.extend_from_slice(last);
    place.freeze()
}

fn read_place(mut place: Bytes, state: &Bytes) -> Option<Bytes> {
    let length = usize::from(place.try_get_u16().ok()?);
    (place.get(..length)? == &state[..]).then(|| place.slice(length..))
}

fn unanswered() -> CopyError {
    CopyError::Target(StorageError::Io { reason: "it did not answer for every key".to_owned() })
}
