//! Lists as iterators. Whatever is added or removed meanwhile, an iterator must tell no key twice and none that was there all
//! the time not at all: the store's cursors see to that, so it must use them and nothing else.

use std::fmt;

use crate::error::Result;
use crate::raw::types::{KeyRange, ListOptions};

/// Which records, and in which direction.
///
/// ```
/// use stash_guest::Range;
///
/// let all = Range::all();
/// let newest_first = Range::prefix("order/").reversed().page_size(10);
/// let of_march = Range::all().from("2026-03").until("2026-04");
/// ```
#[derive(Debug, Clone)]
pub struct Range(ListOptions);

impl Range {
    /// All of them, in the byte order of the keys.
    pub fn all() -> Self {
        let range = KeyRange { prefix: None, start: None, end: None, pattern: None };
        Self(ListOptions { range, start_after: None, reverse: false, limit: None, cursor: None })
    }

    /// Those whose keys begin with `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        let mut all = Self::all();
        all.0.range.prefix = Some(prefix.into());
        all
    }

    /// Only keys from this one on, itself included.
    #[must_use]
    pub fn from(mut self, start: impl Into<String>) -> Self {
        self.0.range.start = Some(start.into());
        self
    }

    /// Only keys before this one, itself not included.
    #[must_use]
    pub fn until(mut self, end: impl Into<String>) -> Self {
        self.0.range.end = Some(end.into());
        self
    }

    /// Only keys that match as a whole: `*` stands for any text, `?` for one character, a backslash takes the meaning from
    /// the character after it.
    #[must_use]
    pub fn matching(mut self, pattern: impl Into<String>) -> Self {
        self.0.range.pattern = Some(pattern.into());
        self
    }

    /// Only keys beyond this one, in the direction of the list, whether or not it is there: where the page before has ended.
    #[must_use]
    pub fn after(mut self, key: impl Into<String>) -> Self {
        self.0.start_after = Some(key.into());
        self
    }

    /// From the last key to the first.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.0.reverse = true;
        self
    }

    /// How many records are fetched at once: 1,000 where nothing is said, at least 1, at most 10,000. It does not end the
    /// list; say as many as you are going to `take`, and no more is read.
    #[must_use]
    pub fn page_size(mut self, records: u32) -> Self {
        self.0.limit = Some(records.clamp(1, 10_000));
        self
    }

    /// What it is about, without a direction.
    pub(crate) fn keys(&self) -> &KeyRange {
        &self.0.range
    }
}

/// What a page has, and where the next one begins.
pub(crate) type Page<T> = (Vec<T>, Option<String>);

/// What a page is fetched with.
type Fetch<'a, T> = dyn FnMut(&ListOptions) -> Result<Page<T>> + 'a;

/// Keys or entries, fetched page by page while they are asked for. After an error there are no more.
pub struct Pages<'a, T> {
    fetch: Box<Fetch<'a, T>>,
    options: ListOptions,
    page: std::vec::IntoIter<T>,
    over: bool,
}

impl<'a, T> Pages<'a, T> {
    pub(crate) fn new(range: &Range, fetch: impl FnMut(&ListOptions) -> Result<Page<T>> + 'a) -> Self {
        Self { fetch: Box::new(fetch), options: range.0.clone(), page: Vec::new().into_iter(), over: false }
    }
}

impl<T> Iterator for Pages<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        loop {
            if let Some(item) = self.page.next() {
                return Some(Ok(item));
            }
            if self.over {
                return None;
            }
            match (self.fetch)(&self.options) {
                // A page can be empty and still not be the last.
                Ok((items, cursor)) => {
                    self.page = items.into_iter();
                    self.over = cursor.is_none();
                    self.options.cursor = cursor;
                }
                Err(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<T> std::iter::FusedIterator for Pages<'_, T> {}

impl<T> fmt::Debug for Pages<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("options", &self.options).field("over", &self.over).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Error;

    #[test]
    fn pages_become_one_list_and_are_fetched_when_needed() {
        let mut fetched = 0;
        let range = Range::prefix("a").reversed().page_size(2);
        let mut list = Pages::new(&range, |options| {
            fetched += 1;
            assert!(options.reverse && options.range.prefix.as_deref() == Some("a") && options.limit == Some(2));
            Ok(match options.cursor.as_deref() {
                None => (vec![1, 2], Some("x".to_owned())),
                Some("x") => (vec![], Some("y".to_owned())),
                Some("y") => (vec![3], None),
                Some(other) => unreachable!("{other}"),
            })
        });
        assert_eq!(list.next().unwrap().unwrap(), 1);
        assert_eq!(list.map(Result::unwrap).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(fetched, 3);
    }

    #[test]
    fn an_error_ends_the_list() {
        let mut list = Pages::<u8>::new(&Range::all(), |_| Err(Error::other("no")));
        assert!(list.next().unwrap().is_err());
        assert!(list.next().is_none());
    }
}
