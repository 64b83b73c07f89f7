//! Whether the server answers, said to operators when it changes. It must never say the same twice in a row.

use std::sync::atomic::{AtomicBool, Ordering};

/// Why there is no answer, where there is nothing else to say.
pub(crate) const NOT_IN_TIME: &str = "it did not answer in time";

/// Whether it was said that the server is away.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    is_away: AtomicBool,
}

impl Reach {
    /// It has not answered, for this reason. Whether that was said now.
    pub(crate) fn failed(&self, server: &str, reason: &str) -> bool {
        let is_news = !self.is_away.swap(true, Ordering::Relaxed);
        if is_news {
            tracing::warn!("{server} cannot be reached: {reason}; it is asked again and again");
        }
        is_news
    }

    /// It has answered. Whether it was said now that it does again.
    pub(crate) fn answered(&self, server: &str) -> bool {
        // Nearly always it was there.
        let is_news = self.is_away.load(Ordering::Relaxed) && self.is_away.swap(false, Ordering::Relaxed);
        if is_news {
            tracing::warn!("{server} answers again");
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_said_once() {
        let reach = Reach::default();
        assert!(!reach.answered("etcd"));
        assert!(reach.failed("etcd", "it is gone") && !reach.failed("etcd", "it is gone"));
        assert!(reach.answered("etcd") && !reach.answered("etcd"));
        assert!(reach.failed("etcd", "it is gone"));
    }
}
