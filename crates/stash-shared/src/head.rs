//! The head of a namespace: how often it was committed to, and by whom last. It must tell for certain whether a commit took
//! effect, or that this is no longer known.

use bytes::{BufMut, Bytes, BytesMut};

/// A host, as heads and announcements name it: another one each time a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HostId(pub u64);

/// Hosts whose last commit a head remembers. One that is pushed out by as many others, before it could ask what became of
/// a commit whose answer was lost, gets the error that this is not known.
const WRITERS: usize = 16;
/// Bytes of each: the host, and the number of its commit.
const WRITER_BYTES: usize = 16;

/// The head of a namespace. A namespace that nobody has written to has the default one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// How many commits the namespace has had. It never goes back.
    pub revision: u64,
    /// Who made the last ones, in a form that servers keep as it is: at most 256 bytes.
    pub writers: Bytes,
}

impl Head {
    /// The head after a commit of this host with this number.
    pub(crate) fn after(&self, host: HostId, number: u64) -> Self {
        let mut writers = BytesMut::with_capacity(WRITERS * WRITER_BYTES);
        writers.put_u64(host.0);
        writers.put_u64(number);
        let others = self.writers().filter(|(other, _)| *other != host);
        for (other, number) in others.take(WRITERS - 1) {
            writers.put_u64(other.0);
            writers.put_u64(number);
        }
        Self { revision: self.revision + 1, writers: writers.freeze() }
    }

    /// Who has made the last commit, and its number.
    pub(crate) fn last(&self) -> Option<(HostId, u64)> {
        self.writers().next()
    }

    /// The number of this host's last commit, where that is still known.
    pub(crate) fn last_of(&self, host: HostId) -> Option<u64> {
        self.writers().find(|(other, _)| *other == host).map(|(_, number)| number)
    }

    /// Whether the commit of this host with this number was applied; `None` where that is no longer known. To be asked of a
    /// head which that commit can no longer change.
    pub(crate) fn has(&self, host: HostId, number: u64) -> Option<bool> {
        match self.last_of(host) {
            Some(last) if last == number => Some(true),
            // A later one may have pushed it out.
            Some(last) if last > number => None,
            None if self.writers.len() >= WRITERS * WRITER_BYTES => None,
            Some(_) | None => Some(false),
        }
    }

    /// From the last one on.
    fn writers(&self) -> impl Iterator<Item = (HostId, u64)> {
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).unwrap_or_default();
        self.writers.chunks_exact(WRITER_BYTES).map(move |writer| {
            let (host, commit) = writer.split_at(WRITER_BYTES / 2);
            (HostId(number(host)), number(commit))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_knows_the_last_commit_of_each_of_some_hosts() {
        let head = Head::default().after(HostId(1), 7).after(HostId(2), 1).after(HostId(1), 8);
        assert_eq!((head.revision, head.last()), (3, Some((HostId(1), 8))));
        assert_eq!(head.writers.len(), 2 * WRITER_BYTES);
        for (host, number, expected) in
            [(1, 8, Some(true)), (1, 7, None), (1, 9, Some(false)), (2, 1, Some(true)), (3, 1, Some(false))]
        {
            assert_eq!(head.has(HostId(host), number), expected, "{host} {number}");
        }
        let crowded = (100..100 + 15).fold(head, |head, host| head.after(HostId(host), 1));
        assert_eq!(
            (crowded.has(HostId(1), 8), crowded.has(HostId(2), 1)),
            (Some(true), None),
            "the oldest is forgotten"
        );
        assert_eq!(crowded.writers.len(), WRITERS * WRITER_BYTES);
    }
}
