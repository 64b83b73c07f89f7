//! Whether both sides of a copy hold the same, entry by entry. It must read all of both.

use std::ops::Bound;

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::{BATCH_BYTES, Copied, CopyError, CopyPhase, Copying};
use crate::engine::{Page, Scan};
use crate::keyspace::{KeySpace, owner};

/// What one side has.
#[derive(Default)]
struct Side {
    hash: Box<Xxh3>,
    entries: u64,
    bytes: u64,
}

impl Side {
    fn add(&mut self, page: &Page) {
        for (key, value) in page.entries.iter().filter(|(key, _)| counts(key)) {
            for part in [key, value] {
                self.hash.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
                self.hash.update(part);
            }
            self.entries += 1;
            self.bytes += u64::try_from(key.len() + value.len()).unwrap_or(u64::MAX);
        }
    }
}

/// The facts of a store are its own, but for what cursors are sealed with.
fn counts(key: &Bytes) -> bool {
    KeySpace::Host.name(key).is_none_or(|name| name == crate::format::CURSORS || !owner(key).is_empty())
}

impl Copying<'_> {
    /// Reads both sides.
    pub(super) async fn compare(&mut self) -> Result<Copied, CopyError> {
        let (mut source, mut target) = (Side::default(), Side::default());
        self.expected_bytes = self.expected_bytes.max(self.bytes).saturating_mul(2);
        (self.entries, self.bytes) = (0, 0);
        let whole = Scan { max_bytes: BATCH_BYTES, ..Scan::prefix(b"") };
        for is_source in [true, false] {
            let mut scan = whole.clone();
            loop {
                let page = if is_source {
                    self.from.scan_dyn(&scan).await.map_err(CopyError::Source)?
                } else {
                    self.to.scan_dyn(&scan).await.map_err(CopyError::Target)?
                };
                if is_source { &mut source } else { &mut target }.add(&page);
                self.count(page.entries.iter().filter(|(key, _)| counts(key)));
                self.tell(CopyPhase::Comparing);
                match page.entries.last() {
                    Some((last, _)) if page.more => scan.start = Bound::Excluded(last.clone()),
                    _ => break,
                }
            }
            if is_source {
                // Now it is known.
                self.expected_bytes = self.bytes.saturating_mul(2);
            }
        }
        let (of_source, of_target) = (source.hash.digest128(), target.hash.digest128());
        if of_source != of_target {
            let difference = if source.entries == target.entries {
                format!("both have {} entries, and not the same ones", source.entries)
            } else {
                format!("it has {} entries and the copy {}", source.entries, target.entries)
            };
            return Err(CopyError::Differs { difference });
        }
        let Side { entries, bytes, .. } = source;
        Ok(Copied { components: 0, entries, bytes, resumed: false, digest: of_source })
    }
}
