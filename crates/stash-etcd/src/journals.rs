//! The journals that were read or written last, as long as they are pending: all readers of their namespaces need them. A
//! journal must be fetched once, however many ask for it at the same time.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::entry::{Id, Writes};

/// Journals that are kept. Each has up to what one commit may write.
const SLOTS: usize = 3;

/// One of them.
struct Slot {
    id: Id,
    /// The last revision at which it was pending, as far as is known.
    pending_at: i64,
    writes: Arc<OnceCell<Arc<Writes>>>,
}

/// What is known of journals; the one that was needed last is the last one.
#[derive(Default)]
pub(crate) struct Journals(Mutex<Vec<Slot>>);

impl Journals {
    /// What the journal says that is pending at this revision, fetched where that is not known and nobody else is about it.
    pub(crate) async fn get<E>(
        &self,
        id: Id,
        revision: i64,
        fetch: impl Future<Output = Result<Arc<Writes>, E>>,
    ) -> Result<Arc<Writes>, E> {
        let writes = self.slot(id, revision);
        // Whoever comes next fetches it where this one fails or goes away.
        writes.get_or_try_init(|| fetch).await.map(Arc::clone)
    }

    /// Says what a journal says that is pending since this revision.
    pub(crate) fn know(&self, id: Id, revision: i64, writes: &Arc<Writes>) {
        // Who fetches it at this moment comes to the same.
        let _ = self.slot(id, revision).set(Arc::clone(writes));
    }

    fn slot(&self, id: Id, revision: i64) -> Arc<OnceCell<Arc<Writes>>> {
        let mut slots = self.0.lock();
        let mut slot = match slots.iter().position(|slot| slot.id == id) {
            Some(at) => slots.remove(at),
            None => Slot { id, pending_at: revision, writes: Arc::default() },
        };
        slot.pending_at = slot.pending_at.max(revision);
        let writes = Arc::clone(&slot.writes);
        if slots.len() >= SLOTS {
            slots.remove(0);
        }
        slots.push(slot);
        writes
    }

    /// Nobody reads this journal any more, but old snapshots.
    pub(crate) fn forget(&self, id: Id) {
        self.0.lock().retain(|slot| slot.id != id);
    }

    /// Nothing is pending at this revision, so what was before is not needed any more. Later ones may be.
    pub(crate) fn none_at(&self, revision: i64) {
        let mut slots = self.0.lock();
        if !slots.is_empty() {
            slots.retain(|slot| slot.pending_at > revision);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_many_ask_for_is_fetched_once() {
        let (journals, fetched) = (Journals::default(), AtomicUsize::new(0));
        let id = |n: u8| [n; 16];
        let get = async |n: u8, revision: i64| {
            let fetch = async {
                fetched.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok::<_, ()>(Arc::new(Writes::from([(vec![n].into(), None)])))
            };
            let writes = journals.get(id(n), revision, fetch).await.unwrap();
            assert!(writes.contains_key(&[n][..]));
            fetched.load(Ordering::SeqCst)
        };
        // Who is first fails, and who is second goes away.
        assert_eq!(journals.get(id(1), 5, async { Err(()) }).await, Err(()));
        let gone = journals.get(id(1), 5, std::future::pending::<Result<_, ()>>());
        tokio::select! {
            biased;
            _ = gone => panic!("it has an answer"),
            () = std::future::ready(()) => {}
        }
        let all = futures_util::future::join_all((0..20).map(|n| get(1 + n % 3, 5))).await;
        assert_eq!(all.last(), Some(&3));
        // What an old snapshot says, or one of the other journals, is no reason to fetch these again.
        journals.none_at(4);
        journals.forget(id(9));
        assert_eq!((get(1, 7).await, get(2, 5).await, get(3, 5).await), (3, 3, 3));
        journals.none_at(5);
        assert_eq!((get(1, 7).await, get(2, 8).await), (3, 4));
        journals.know(id(4), 9, &Arc::new(Writes::from([(vec![4].into(), None)])));
        assert_eq!(get(4, 9).await, 4);
        // The one that was not needed for the longest time has gone.
        assert_eq!((get(5, 9).await, get(2, 9).await, get(1, 9).await), (5, 5, 6));
        journals.forget(id(2));
        assert_eq!(get(2, 9).await, 7);
    }
}
