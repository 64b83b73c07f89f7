//! Telling other hosts of commits before they ask. What is told may be lost, doubled or late; it must never be needed.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::head::HostId;
use crate::server::Expected;

/// Bytes of one announcement: servers send small ones.
const MOST_BYTES: usize = 4 * 1024;

/// What is still to be announced.
#[derive(Default)]
pub(crate) struct Announcements {
    waiting: Mutex<Vec<(Bytes, u64)>>,
    more: Notify,
}

impl Announcements {
    /// These namespaces have new revisions.
    pub(crate) fn add(&self, owners: &[Expected]) {
        let mut waiting = self.waiting.lock();
        for expected in owners {
            let revision = expected.head.revision;
            match waiting.iter_mut().find(|(owner, _)| *owner == expected.owner) {
                Some((_, waiting)) => *waiting = revision.max(*waiting),
                None => waiting.push((expected.owner.clone(), revision)),
            }
        }
        drop(waiting);
        self.more.notify_one();
    }

    /// Waits for something to announce, and takes as much as one message has room for.
    pub(crate) async fn next(&self, us: HostId) -> Bytes {
        loop {
            if let Some(message) = self.take(us) {
                return message;
            }
            self.more.notified().await;
        }
    }

    fn take(&self, us: HostId) -> Option<Bytes> {
        let mut waiting = self.waiting.lock();
        if waiting.is_empty() {
            return None;
        }
        let mut message = BytesMut::new();
        message.put_u64(us.0);
        while let Some((owner, revision)) = waiting.pop() {
            message.put_u64(revision);
            message.put_u16(u16::try_from(owner.len()).unwrap_or(0));
            message.extend_from_slice(owner.get(..usize::from(u16::MAX)).unwrap_or(&owner));
            if message.len() >= MOST_BYTES {
                break;
            }
        }
        Some(message.freeze())
    }
}

/// What another host has announced; nothing where it was this one, or where it cannot be read.
pub(crate) fn read(mut message: &[u8], us: HostId) -> Vec<(Bytes, u64)> {
    let mut told = Vec::new();
    if message.len() < 8 || message.get_u64() == us.0 {
        return told;
    }
    while message.len() >= 10 {
        let revision = message.get_u64();
        let length = usize::from(message.get_u16());
        let Some((owner, rest)) = message.split_at_checked(length) else { break };
        told.push((Bytes::copy_from_slice(owner), revision));
        message = rest;
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Head;

    fn expected(owner: &str, revision: u64) -> Expected {
        let head = Head { revision: revision + 1, ..Head::default() };
        Expected { owner: Bytes::copy_from_slice(owner.as_bytes()), revision, writers: Bytes::new(), head }
    }

    #[test]
    fn what_is_announced_is_heard_by_others() {
        let (us, other) = (HostId(1), HostId(2));
        let announcements = Announcements::default();
        announcements.add(&[expected("a", 1), expected("b", 7), expected("a", 2)]);
        let message = announcements.take(us).unwrap();
        assert!(announcements.take(us).is_none());
        assert!(read(&message, us).is_empty());
        let mut heard = read(&message, other);
        heard.sort_unstable();
        assert_eq!(heard, [("a".into(), 3), ("b".into(), 8)]);
        for cut in 0..message.len() {
            assert!(read(&message[..cut], other).len() < 2, "{cut}");
        }
    }

    #[test]
    fn messages_are_small() {
        let announcements = Announcements::default();
        let owners: Vec<_> = (0..500).map(|n| expected(&format!("app/a/{n}"), n)).collect();
        announcements.add(&owners);
        let mut count = 0;
        while let Some(message) = announcements.take(HostId(1)) {
            assert!(message.len() < MOST_BYTES + 1024);
            count += read(&message, HostId(2)).len();
        }
        assert_eq!(count, 500);
    }
}
