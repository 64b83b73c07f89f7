//! What a decision sees of a store that is far away: what was fetched, what its predecessors in the same commit write, and
//! for the rest a guess. A decision that was shown a guess must never count: it only tells what to fetch.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use bytes::Bytes;
use stash_core::StorageError;
use stash_core::engine::{Page, Scan, View};
use stash_core::keyspace::owner;

use crate::head::Head;
use crate::server::{Fetched, Wanted};

/// What a commit writes, by key: `None` removes it.
pub(crate) type Written = BTreeMap<Bytes, Option<Bytes>>;

/// One state of the store, as far as it was fetched.
#[derive(Default)]
pub(crate) struct Known {
    values: HashMap<Bytes, Option<Bytes>>,
    pages: Vec<(Scan, Page)>,
    heads: BTreeMap<Bytes, Head>,
    /// Bytes of all values.
    bytes: usize,
}

/// Keys of the first question, of whose values nothing is known yet.
const FIRST_KEYS: usize = 256;
/// Bytes of values that one question should come to.
const QUESTION_BYTES: usize = 64 * 1024 * 1024;

impl Known {
    /// What to ask for besides what a decision wants: all heads, so that the answer tells whether this is still one state.
    pub(crate) fn with_heads(&self, mut wanted: Wanted) -> Wanted {
        let owners: BTreeSet<Bytes> = wanted.owners.drain(..).chain(self.heads.keys().cloned()).collect();
        wanted.owners = owners.into_iter().collect();
        wanted
    }

    /// Takes in an answer. What was known before is dropped where a namespace has changed since.
    pub(crate) fn add(&mut self, wanted: Wanted, fetched: Fetched) {
        let heads: BTreeMap<Bytes, Head> = wanted.owners.into_iter().zip(fetched.heads).collect();
        let is_same = self.heads.iter().all(|(owner, head)| heads.get(owner) == Some(head));
        if !is_same {
            self.clear();
        }
        self.heads.extend(heads);
        for (key, value) in wanted.keys.into_iter().zip(fetched.values) {
            let length = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
            self.bytes += length(&value);
            self.bytes -= self.values.insert(key, value).as_ref().map_or(0, length);
        }
        for (scan, page) in wanted.scans.into_iter().zip(fetched.pages) {
            self.pages.retain(|(known, _)| !covers(&scan, known));
            self.pages.push((scan, page));
        }
    }

    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.bytes = 0;
        self.pages.clear();
        self.heads.clear();
    }

    /// How many keys to ask for at once: of values as large as those that are known, not too many bytes.
    pub(crate) fn keys_at_once(&self) -> usize {
        match self.bytes.checked_div(self.values.len()) {
            None => FIRST_KEYS,
            Some(each) => (QUESTION_BYTES / each.max(1)).max(1),
        }
    }

    /// Bytes of all values that are known.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn head(&self, owner: &[u8]) -> Option<&Head> {
        self.heads.get(owner)
    }
}

/// Whether what was asked for answers a scan, if it is long enough: it begins where that one does, and ends no earlier.
fn covers(asked: &Scan, scan: &Scan) -> bool {
    let is_long_enough = asked.end == scan.end || (!scan.reverse && end_order(&asked.end) >= end_order(&scan.end));
    is_long_enough
        && (&asked.start, asked.reverse) == (&scan.start, scan.reverse)
        && asked.value_bytes >= scan.value_bytes
        && asked.uncounted_key_bytes == scan.uncounted_key_bytes
        && asked.uncounted_value_bytes == scan.uncounted_value_bytes
}

/// Ends of ranges in the order of what they let in: whether there is none, the key, and whether it is let in.
fn end_order(end: &Bound<Bytes>) -> (bool, &[u8], bool) {
    match end {
        Bound::Unbounded => (true, &[], false),
        Bound::Included(key) => (false, key, true),
        Bound::Excluded(key) => (false, key, false),
    }
}

/// What of a page is in the range of a scan that it covers.
fn cut(page: &Page, scan: &Scan) -> Page {
    let range = (scan.start.as_ref(), scan.end.as_ref());
    let within = page.entries.partition_point(|(key, _)| {
        use std::ops::RangeBounds;
        RangeBounds::<Bytes>::contains(&range, key)
    });
    // What comes after an entry beyond the range is beyond it too.
    let entries = page.entries.get(..within).unwrap_or_default().to_vec();
    Page { entries, more: page.more && within == page.entries.len() }
}

/// The end of the last range that begins like this one and is of one namespace; see [`range_owner`].
fn widest_end(scan: &Scan) -> Option<Bound<Bytes>> {
    let (Bound::Included(start) | Bound::Excluded(start)) = &scan.start else { return None };
    let first = owner(start);
    if first.is_empty() {
        return None;
    }
    let (before, after) = start.split_at_checked(1 + first.len())?;
    let next = after.first()?.checked_add(1)?;
    Some(Bound::Excluded(Bytes::from([before, &[next]].concat())))
}

/// What one decision sees.
pub(crate) struct KnownView<'a> {
    known: &'a Known,
    written: &'a Written,
    seen: RefCell<Seen>,
}

/// What a decision has looked at.
#[derive(Default)]
pub(crate) struct Seen {
    /// Whose keys.
    pub(crate) owners: BTreeSet<Bytes>,
    /// What of it was not known, and guessed.
    pub(crate) unknown: Wanted,
}

impl Seen {
    /// Whether nothing was guessed.
    pub(crate) fn is_certain(&self) -> bool {
        self.unknown.keys.is_empty() && self.unknown.scans.is_empty()
    }
}

impl<'a> KnownView<'a> {
    pub(crate) fn new(known: &'a Known, written: &'a Written) -> Self {
        Self { known, written, seen: RefCell::default() }
    }

    pub(crate) fn seen(self) -> Seen {
        self.seen.into_inner()
    }

    fn touch(&self, owner: &[u8]) {
        let mut seen = self.seen.borrow_mut();
        if !seen.owners.contains(owner) {
            seen.owners.insert(Bytes::copy_from_slice(owner));
        }
    }
}

impl View for KnownView<'_> {
    fn look(&self, key: &[u8], see: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StorageError> {
        self.touch(owner(key));
        if let Some(written) = self.written.get(key) {
            see(written.as_deref());
        } else if let Some(value) = self.known.values.get(key) {
            see(value.as_deref());
        } else {
            self.seen.borrow_mut().unknown.keys.push(Bytes::copy_from_slice(key));
            see(None);
        }
        Ok(())
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        if scan.is_empty() {
            return Ok(Page::default());
        }
        self.touch(range_owner(scan)?);
        let page = self.known.pages.iter().find(|(known, _)| covers(known, scan));
        let Some((asked, page)) = page else {
            self.seen.borrow_mut().unknown.scans.push(self.asked(scan, None));
            return Ok(Page::default());
        };
        let range = (scan.start.as_ref(), scan.end.as_ref());
        let written = self.written.range::<Bytes, _>(range);
        let written: Vec<_> = if scan.reverse { written.rev().collect() } else { written.collect() };
        let cut = (asked.end != scan.end).then(|| cut(page, scan));
        let mut merge = Merge::new(cut.as_ref().unwrap_or(page), &written, scan.reverse);
        match scan.collect(&mut merge) {
            Ok(page) if !merge.guesses => Ok(page),
            Ok(_) | Err(NeedsMore) => {
                self.seen.borrow_mut().unknown.scans.push(self.asked(scan, Some(asked)));
                Ok(Page::default())
            }
        }
    }
}

impl KnownView<'_> {
    /// What to ask for so that this scan can be answered, where `before` was not enough.
    fn asked(&self, scan: &Scan, before: Option<&Scan>) -> Scan {
        let range = (scan.start.as_ref(), scan.end.as_ref());
        // What is written may hide as many.
        let hidden = self.written.range::<Bytes, _>(range).count();
        let (limit, bytes) = before.map_or((0, 0), |before| (before.limit, before.max_bytes));
        // A range that ends with the present moment is another one each time that it is asked for.
        let moves = || {
            let begins_alike = |(known, _): &(Scan, Page)| known.start == scan.start && known.reverse == scan.reverse;
            !scan.reverse && self.known.pages.iter().any(begins_alike)
        };
        let end = match before {
            Some(before) => before.end.clone(),
            None if moves() => widest_end(scan).unwrap_or_else(|| scan.end.clone()),
            None => scan.end.clone(),
        };
        Scan {
            end,
            limit: scan.limit.saturating_add(hidden).max(limit.saturating_mul(2)),
            max_bytes: scan.max_bytes.max(bytes.saturating_mul(2)),
            ..scan.clone()
        }
    }
}

/// The page is not long enough.
#[derive(Debug)]
struct NeedsMore;

/// The entries of a page and what is written over them, in the direction of the scan.
struct Merge<'a> {
    page: std::iter::Peekable<std::slice::Iter<'a, (Bytes, Bytes)>>,
    written: std::iter::Peekable<std::slice::Iter<'a, (&'a Bytes, &'a Option<Bytes>)>>,
    more: bool,
    reverse: bool,
    /// Whether the page has ended before what is written: what is stored behind it may all be hidden.
    guesses: bool,
}

impl<'a> Merge<'a> {
    fn new(page: &'a Page, written: &'a [(&'a Bytes, &'a Option<Bytes>)], reverse: bool) -> Self {
        let (entries, written) = (page.entries.iter().peekable(), written.iter().peekable());
        Self { page: entries, written, more: page.more, reverse, guesses: false }
    }
}

impl<'a> Iterator for Merge<'a> {
    type Item = Result<(&'a Bytes, &'a Bytes), NeedsMore>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.page.peek(), self.written.peek()) {
                (None, written) if self.more => {
                    self.guesses = written.is_some();
                    return Some(Err(NeedsMore));
                }
                (None, None) => return None,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((stored, _)), Some((written, _))) => {
                    let order = stored.cmp(written);
                    if self.reverse { order.reverse() } else { order }
                }
            };
            if order == std::cmp::Ordering::Less {
                return self.page.next().map(|(key, value)| Ok((key, value)));
            }
            if order == std::cmp::Ordering::Equal {
                self.page.next();
            }
            if let Some((key, Some(value))) = self.written.next() {
                return Some(Ok((key, value)));
            }
        }
    }
}

/// Whose keys a range is about: one namespace's, or those of none.
pub(crate) fn range_owner(scan: &Scan) -> Result<&[u8], StorageError> {
    let (Bound::Included(start) | Bound::Excluded(start)) = &scan.start else { return Ok(&[]) };
    let first = owner(start);
    if first.is_empty() {
        // The facts of the store, and keys that have no namespace.
        return Ok(first);
    }
    // Behind the namespace comes one byte that ends it: all keys of the range must have it.
    let ends_at = 1 + first.len();
    let within = match (&scan.end, start.get(ends_at)) {
        (Bound::Included(end), Some(_)) => end.get(..=ends_at) == start.get(..=ends_at),
        (Bound::Excluded(end), Some(byte)) => {
            end.get(..=ends_at) == start.get(..=ends_at)
                || (end.get(..ends_at) == start.get(..ends_at)
                    && end.len() == ends_at + 1
                    && end.get(ends_at) == byte.checked_add(1).as_ref())
        }
        _ => false,
    };
    if within {
        return Ok(first);
    }
    let reason = "a commit cannot depend on a range that several components share".to_owned();
    Err(StorageError::Unsupported { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&str], more: bool) -> Page {
        let entries = keys.iter().map(|key| (Bytes::copy_from_slice(key.as_bytes()), Bytes::from_static(b"stored")));
        Page { entries: entries.collect(), more }
    }

    fn known(scan: &Scan, page: Page) -> Known {
        let mut known = Known::default();
        known.add(
            Wanted { scans: vec![scan.clone()], ..Wanted::default() },
            Fetched { pages: vec![page], ..Fetched::default() },
        );
        known
    }

    fn written_over(writes: &[(&str, Option<&str>)]) -> Written {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        writes.iter().map(|(key, value)| (bytes(key), value.map(bytes))).collect()
    }

    fn text(page: &Page) -> (String, bool) {
        let entries = page
            .entries
            .iter()
            .map(|(key, value)| format!("{}={} ", String::from_utf8_lossy(key), String::from_utf8_lossy(value)));
        (entries.collect::<String>().trim().to_owned(), page.more)
    }

    #[test]
    fn what_is_not_known_is_asked_for() {
        let (known, written) = (Known::default(), Written::new());
        let view = KnownView::new(&known, &written);
        view.look(b"ra/b/c/k", &mut |value| assert!(value.is_none())).unwrap();
        assert!(view.scan(&Scan::prefix(b"ra/b/c/")).unwrap().entries.is_empty());
        let seen = view.seen();
        assert!(!seen.is_certain());
        assert_eq!(seen.unknown.keys, ["ra/b/c/k"]);
        assert_eq!(seen.unknown.scans, [Scan::prefix(b"ra/b/c/")]);
        assert_eq!(seen.owners.into_iter().collect::<Vec<_>>(), ["a/b/c"]);
    }

    #[test]
    fn ranges_have_what_is_written_over_them() {
        let writes = written_over(&[("k0", Some("new")), ("k1", None), ("k2", Some("new")), ("k9", Some("new"))]);
        for reverse in [false, true] {
            let scan = Scan { limit: 3, reverse, ..Scan::prefix(b"k") };
            let (stored, answer) = if reverse {
                (["k3", "k2", "k1"], "k9=new k3=stored k2=new")
            } else {
                (["k1", "k2", "k3"], "k0=new k2=new k3=stored")
            };
            let known = known(&scan, page(&stored, false));
            let view = KnownView::new(&known, &writes);
            assert_eq!(text(&view.scan(&scan).unwrap()), (answer.to_owned(), true));
            assert!(view.seen().is_certain());
        }
    }

    #[test]
    fn a_page_that_is_too_short_is_asked_for_anew() {
        let scan = Scan { limit: 2, ..Scan::prefix(b"k") };
        let writes = written_over(&[("k1", None), ("k2", None)]);
        let known = known(&scan, page(&["k1", "k2"], true));
        let view = KnownView::new(&known, &writes);
        assert!(view.scan(&scan).unwrap().entries.is_empty());
        let seen = view.seen();
        assert_eq!(seen.unknown.scans, [Scan { limit: 4, ..scan.clone() }]);
        // And that is enough.
        let known = self::known(&seen.unknown.scans[0], page(&["k1", "k2", "k3", "k4"], true));
        let view = KnownView::new(&known, &writes);
        assert_eq!(text(&view.scan(&scan).unwrap()), ("k3=stored k4=stored".to_owned(), true));
        assert!(view.seen().is_certain());
        let hides_more = written_over(&[("k1", None), ("k2", None), ("k5", None)]);
        let view = KnownView::new(&known, &hides_more);
        assert!(view.scan(&scan).unwrap().entries.is_empty());
        assert!(!view.seen().is_certain(), "k5 may be all that is stored behind k4");
    }

    #[test]
    fn a_range_whose_end_moves_is_asked_for_once_more_and_no_more() {
        let until = |end: &'static str| Scan {
            end: Bound::Included(Bytes::from_static(end.as_bytes())),
            limit: 3,
            ..Scan::prefix(b"ra/b/c/")
        };
        let (mut known, written) = (Known::default(), Written::new());
        let ask = |known: &Known, end| {
            let view = KnownView::new(known, &written);
            let page = view.scan(&until(end)).unwrap();
            (text(&page), view.seen().unknown.scans)
        };
        let (_, asked) = ask(&known, "ra/b/c/2");
        assert_eq!(asked, [until("ra/b/c/2")]);
        let answer = |known: &mut Known, scans: Vec<Scan>, page: Page| {
            known.add(Wanted { scans, ..Wanted::default() }, Fetched { pages: vec![page], ..Fetched::default() });
        };
        answer(&mut known, asked, page(&["ra/b/c/1"], false));
        let (_, asked) = ask(&known, "ra/b/c/3");
        assert_eq!(asked, [Scan { limit: 3, ..Scan::prefix(b"ra/b/c/") }]);
        answer(&mut known, asked, page(&["ra/b/c/1", "ra/b/c/4", "ra/b/c/5"], true));
        for (end, found) in [("ra/b/c/3", "ra/b/c/1=stored"), ("ra/b/c/4", "ra/b/c/1=stored ra/b/c/4=stored")] {
            assert_eq!(ask(&known, end), ((found.to_owned(), false), Vec::new()));
        }
        // Longer than what is known: more of the same.
        let (_, asked) = ask(&known, "ra/b/c/9");
        assert_eq!(asked.len(), 0, "three is what was asked for");
        let longer = Scan { limit: 4, ..until("ra/b/c/9") };
        let view = KnownView::new(&known, &written);
        assert!(view.scan(&longer).unwrap().entries.is_empty());
        assert_eq!(view.seen().unknown.scans, [Scan { limit: 6, ..Scan::prefix(b"ra/b/c/") }]);
    }

    #[test]
    fn what_is_asked_for_at_once_goes_by_how_large_it_is() {
        let mut known = Known::default();
        assert_eq!(known.keys_at_once(), FIRST_KEYS);
        let mut answer = |key: &'static str, value: Option<Bytes>| {
            let wanted = Wanted { keys: vec![key.into()], ..Wanted::default() };
            known.add(wanted, Fetched { values: vec![value], ..Fetched::default() });
            (known.bytes(), known.keys_at_once())
        };
        assert_eq!(answer("none", None), (0, QUESTION_BYTES));
        assert_eq!(answer("small", Some("1234".into())), (4, QUESTION_BYTES / 2));
        let large = Bytes::from(vec![0; 32 << 20]);
        assert_eq!(answer("none", Some(large.clone())), ((32 << 20) + 4, 3));
        assert_eq!(answer("small", Some(large)), (64 << 20, 2));
    }

    #[test]
    fn ranges_are_of_one_namespace() {
        for (prefix, owner) in [("ra/b/c/", "a/b/c"), ("ra/b/c/x", "a/b/c"), ("ra/b/c\u{1f}d/", "a/b/c"), ("k", "")] {
            assert_eq!(range_owner(&Scan::prefix(prefix.as_bytes())).unwrap(), owner.as_bytes(), "{prefix:?}");
        }
        let bound = |text: &'static str| Bound::Included(Bytes::from_static(text.as_bytes()));
        let two = Scan { start: bound("ra/b/c/"), end: bound("ra/b/d/"), ..Scan::prefix(b"") };
        assert!(range_owner(&two).is_err());
        assert!(range_owner(&Scan { end: Bound::Unbounded, ..two }).is_err());
    }

    #[test]
    fn a_namespace_that_has_changed_makes_all_unknown() {
        let mut known = Known::default();
        let owner = Bytes::from_static(b"a/b/c");
        let head = |revision| Head { revision, ..Head::default() };
        let wanted =
            |key: &'static str| Wanted { keys: vec![key.into()], owners: vec![owner.clone()], ..Wanted::default() };
        let fetched = |revision| Fetched { values: vec![None], heads: vec![head(revision)], ..Fetched::default() };
        known.add(wanted("x"), fetched(1));
        known.add(wanted("y"), fetched(1));
        assert_eq!(known.values.len(), 2);
        known.add(wanted("z"), fetched(2));
        assert_eq!(known.values.len(), 1);
    }
}
