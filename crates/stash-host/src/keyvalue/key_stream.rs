//! A bucket's keys as a guest's stream, in small pages. What a guest has not read yet of a page is kept and counted; where
//! there is no room for it, it is read again. A guest may open a stream and never read it to its end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use stash_core::KeyPage;

use super::failure::Failure;
use super::kept::Room;
use super::operations::OpenBucket;

type Page = (OpenBucket, Result<KeyPage, Failure>);

/// The keys of a bucket, as far as they were asked for.
pub(super) struct KeyStream {
    bucket: OpenBucket,
    /// What was read and not asked for yet.
    page: VecDeque<String>,
    /// While something is left of a page.
    room: Option<Room>,
    rest: Rest,
}

/// What comes after the page.
enum Rest {
    /// The keys after this one.
    After(Option<String>),
    /// Those that are being read.
    Reading(Pin<Box<dyn Future<Output = Page> + Send>>),
    Nothing,
}

impl KeyStream {
    pub(super) fn new(bucket: OpenBucket) -> Self {
        Self { bucket, page: VecDeque::new(), room: None, rest: Rest::After(None) }
    }

    pub(super) fn bucket(&self) -> &OpenBucket {
        &self.bucket
    }

    /// The next keys, at least one and at most so many; none after the last.
    pub(super) fn poll_keys(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<Vec<String>, Failure>> {
        while self.page.is_empty() {
            match &mut self.rest {
                Rest::Nothing => return Poll::Ready(Ok(Vec::new())),
                Rest::After(after) => {
                    let (bucket, after) = (self.bucket.clone(), after.take());
                    self.rest = Rest::Reading(Box::pin(async move {
                        let page = bucket.few_keys(after).await;
                        (bucket, page)
                    }));
                }
                Rest::Reading(reading) => {
                    let (_, page) = ready!(reading.as_mut().poll(cx));
                    self.rest = Rest::Nothing;
                    let KeyPage { keys, resume } = page?;
                    self.page = keys.into();
                    self.rest = resume.map_or(Rest::Nothing, |last| Rest::After(Some(last)));
                }
            }
        }
        Poll::Ready(Ok(self.hand_out(wanted.max(1))))
    }

    /// Whether nothing comes any more.
    pub(super) fn is_over(&self) -> bool {
        self.page.is_empty() && matches!(self.rest, Rest::Nothing)
    }

    fn hand_out(&mut self, wanted: usize) -> Vec<String> {
        let keys: Vec<String> = self.page.drain(..wanted.min(self.page.len())).collect();
        if self.page.is_empty() {
            self.room = None;
        } else if self.room.is_none() {
            self.room = self.bucket.room_for(&self.page);
            if self.room.is_none() {
                self.page = VecDeque::new();
                self.rest = Rest::After(keys.last().cloned());
            }
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use stash_core::{Batch, ComponentStorage};

    use super::*;
    use crate::view::StorageCtx;
    use crate::{KeyValueConfig, Stash, StashConfig, StoreUrl};

    /// A bucket of these keys, whose guest may keep so many bytes.
    async fn bucket(keys: &[String], max_result_bytes: usize) -> OpenBucket {
        let stash = Stash::open(&StoreUrl::Memory, StashConfig::default()).await.unwrap();
        let store = stash.component(&"app/streams/1".parse().unwrap());
        for keys in keys.chunks(1000) {
            let batch = keys.iter().fold(Batch::new(), |batch, key| batch.set(key.as_str(), "v"));
            store.commit(batch).await.unwrap();
        }
        let rules = KeyValueConfig { max_result_bytes, ..KeyValueConfig::default() };
        OpenBucket::new(&StorageCtx::new(store.clone()).with_keyvalue(rules.into()), store)
    }

    async fn next(stream: &mut KeyStream, wanted: usize) -> Vec<String> {
        poll_fn(|cx| stream.poll_keys(cx, wanted)).await.unwrap()
    }

    #[tokio::test]
    async fn what_has_no_room_is_read_again() {
        let keys: Vec<String> = (0..3000).map(|n| format!("{n:0100}")).collect();
        for limit in [0, 1000, 1_000_000] {
            let bucket = bucket(&keys, limit).await;
            let mut streams = [(); 30].map(|()| KeyStream::new(bucket.clone()));
            for stream in &mut streams {
                assert_eq!(next(stream, 1).await, keys[..1], "{limit}");
            }
            let kept: Vec<usize> = streams.iter().map(|stream| stream.page.len()).collect();
            assert!(kept.iter().sum::<usize>() * 100 <= limit, "{limit}: {kept:?}");
            // A page is small, so that there is one for many.
            assert!(kept.iter().all(|kept| *kept < 700), "{kept:?}");
            assert_eq!(kept.iter().filter(|kept| **kept > 0).count() > 8, limit == 1_000_000, "{kept:?}");

            let [stream, ..] = &mut streams;
            let mut all = vec![keys[0].clone()];
            while !stream.is_over() {
                let wanted = 1 + all.len() % 500;
                let more = next(stream, wanted).await;
                assert!(more.len() <= wanted);
                all.extend(more);
            }
            assert_eq!(all, keys);
            assert!(next(stream, 1).await.is_empty());
            drop(streams);
            assert!(bucket.room_for(&VecDeque::new()).is_some());
        }
    }
}
