//! Questions on one connection, and how answers become pages. What comes back must be bounded by what was asked for.

use std::ops::Bound;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use stash_core::engine::{Page, Scan};
use stash_shared::Head;
use tokio_postgres::Row;

use crate::error::Failure;
use crate::link::{Link, Parameters};
use crate::sql::Shape;

/// Bytes in a key: what fits into an entry of a B-tree's page, 2704, less what is around it there.
pub(crate) const MOST_KEY_BYTES: usize = 2692;
/// Behind every key.
const AFTER_ALL: &[u8] = &[0xff; MOST_KEY_BYTES + 1];
/// Bytes of each value for which it does not pay to count on the server.
const FEW_BYTES: usize = 1024;
/// Bytes on a page for which it does not pay.
const SMALL_PAGE: usize = 1 << 20;
/// Entries that the server looks at for a page, beyond one for each so many bytes on it.
const SOME_ENTRIES: usize = 2_000;
const BYTES_AN_ENTRY: usize = 16;
/// A length that no value has.
const MOST_VALUE_BYTES: usize = 1 << 30;

/// The values of some keys.
pub(crate) async fn read(link: &Arc<Link>, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, Failure> {
    match keys {
        [] => Ok(Vec::new()),
        [key] => {
            let rows = link.ask(Shape::ReadOne, &[key]).await?;
            Ok(vec![rows.first().map(|row| bytes(row, 0)).transpose()?])
        }
        _ => {
            let rows = link.ask(Shape::ReadMany, &[&keys]).await?;
            let mut values = vec![None; keys.len()];
            for row in &rows {
                put(&mut values, number(row, 0)?, Some(bytes(row, 1)?));
            }
            Ok(values)
        }
    }
}

/// The same, unless they have more bytes together.
pub(crate) async fn read_up_to(
    link: &Arc<Link>,
    keys: &[&[u8]],
    max_bytes: usize,
) -> Result<Option<Vec<Option<Bytes>>>, Failure> {
    if keys.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let rows = link.ask(Shape::ReadUpTo, &[&keys, &long(max_bytes)]).await?;
    let mut values = vec![None; keys.len()];
    for row in &rows {
        let Some(value) = some_bytes(row, 1)? else { return Ok(None) };
        put(&mut values, number(row, 0)?, Some(value));
    }
    Ok(Some(values))
}

/// The heads of some namespaces.
pub(crate) async fn heads(link: &Arc<Link>, owners: &[Bytes]) -> Result<Vec<Head>, Failure> {
    if owners.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&[u8]> = owners.iter().map(|owner| &owner[..]).collect();
    let rows = link.ask(Shape::Heads, &[&names]).await?;
    let mut heads = vec![Head::default(); owners.len()];
    for row in &rows {
        put(&mut heads, number(row, 0)?, head(row, 1, 2)?);
    }
    Ok(heads)
}

/// A page.
pub(crate) async fn scan(link: &Arc<Link>, scan: &Scan) -> Result<Page, Failure> {
    if scan.is_empty() {
        return Ok(Page::default());
    }
    let (start, end) = bounds(scan);
    let entries = long(scan.limit.saturating_add(1));
    if let Some(plain) = Plain::of(scan) {
        let shape = Shape::Plain { reverse: scan.reverse, whole: plain.whole };
        let rows = link.ask(shape, &[&&start[..], &&end[..], &entries, &int(plain.bytes)]).await?;
        if let Some(page) = page(scan, rows.iter().map(|row| (row, 0, 1)), false)? {
            return Ok(page);
        }
    }
    let mut most = first_entries(scan);
    loop {
        let parameters: &Parameters<'_> = &[
            &&start[..],
            &&end[..],
            &long(most),
            &long(scan.max_bytes),
            &int(scan.uncounted_key_bytes),
            &int(scan.value_bytes),
            &int(scan.uncounted_value_bytes),
        ];
        let rows = link.ask(Shape::Exact { reverse: scan.reverse }, parameters).await?;
        let is_cut = rows.len() >= most && most <= scan.limit;
        if let Some(page) = page(scan, rows.iter().map(|row| (row, 0, 1)), is_cut)? {
            return Ok(page);
        }
        most = more_entries(scan, most);
    }
}

/// A range that needs no counting on the server: whatever is in it, what comes back is no more than the page may have.
struct Plain {
    /// Values as they are, if each has at most so many bytes; else so many bytes of each.
    whole: bool,
    bytes: usize,
}

impl Plain {
    fn of(scan: &Scan) -> Option<Self> {
        let part = scan.value_bytes < MOST_VALUE_BYTES;
        if scan.max_bytes >= usize::MAX / 2 {
            return Some(Self { whole: !part, bytes: if part { scan.value_bytes } else { MOST_VALUE_BYTES } });
        }
        let entries = scan.limit.saturating_add(1);
        let each = scan.max_bytes.max(SMALL_PAGE) / entries;
        if part {
            (scan.value_bytes <= each).then_some(Self { whole: false, bytes: scan.value_bytes })
        } else {
            (each >= FEW_BYTES).then_some(Self { whole: true, bytes: each })
        }
    }
}

/// Entries for the server to look at: a page has few of the smallest ones.
pub(crate) fn first_entries(scan: &Scan) -> usize {
    scan.limit.saturating_add(1).min(SOME_ENTRIES + scan.max_bytes / BYTES_AN_ENTRY)
}

/// The same, where so many were not enough.
pub(crate) fn more_entries(scan: &Scan, before: usize) -> usize {
    scan.limit.saturating_add(1).min(before.saturating_mul(8))
}

/// The range's first key, and the first one behind it.
pub(crate) fn bounds(scan: &Scan) -> (Bytes, Bytes) {
    let start = match &scan.start {
        Bound::Included(key) => key.clone(),
        Bound::Excluded(key) => after(key),
        Bound::Unbounded => Bytes::new(),
    };
    let end = match &scan.end {
        Bound::Included(key) => after(key),
        Bound::Excluded(key) => key.clone(),
        Bound::Unbounded => Bytes::from_static(AFTER_ALL),
    };
    (start, end)
}

/// The first key after this one.
fn after(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}

/// Why rows are not a page.
enum Stop {
    /// They end, or have no value, before the page does.
    TooFew,
    Failed(Failure),
}

/// The page that rows make, each with the columns of its key and value; `None` where they are too few.
pub(crate) fn page<'a>(
    scan: &Scan,
    rows: impl Iterator<Item = (&'a Row, usize, usize)>,
    is_cut: bool,
) -> Result<Option<Page>, Failure> {
    let entries = rows.map(|(row, key, value)| {
        let key: &[u8] = row.try_get(key).map_err(|error| Stop::Failed(Failure::Sent(error)))?;
        let value: Option<&[u8]> = row.try_get(value).map_err(|error| Stop::Failed(Failure::Sent(error)))?;
        value.map(|value| (key, value)).ok_or(Stop::TooFew)
    });
    match scan.collect(entries.chain(is_cut.then_some(Err(Stop::TooFew)))) {
        Ok(page) => Ok(Some(page)),
        Err(Stop::TooFew) => Ok(None),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// A head in these columns.
pub(crate) fn head(row: &Row, revision: usize, writers: usize) -> Result<Head, Failure> {
    let revision = u64::try_from(number(row, revision)?).unwrap_or_default();
    Ok(Head { revision, writers: bytes(row, writers)? })
}

pub(crate) fn number(row: &Row, column: usize) -> Result<i64, Failure> {
    row.try_get(column).map_err(Failure::Sent)
}

pub(crate) fn bytes(row: &Row, column: usize) -> Result<Bytes, Failure> {
    let bytes: &[u8] = row.try_get(column).map_err(Failure::Sent)?;
    Ok(Bytes::copy_from_slice(bytes))
}

fn some_bytes(row: &Row, column: usize) -> Result<Option<Bytes>, Failure> {
    let bytes: Option<&[u8]> = row.try_get(column).map_err(Failure::Sent)?;
    Ok(bytes.map(Bytes::copy_from_slice))
}

/// Puts something in the place that the server counted, from 1.
pub(crate) fn put<T>(places: &mut [T], place: i64, value: T) {
    if let Some(at) = usize::try_from(place - 1).ok().and_then(|n| places.get_mut(n)) {
        *at = value;
    }
}

pub(crate) fn long(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn int(number: usize) -> i32 {
    i32::try_from(number.min(MOST_VALUE_BYTES)).unwrap_or(i32::MAX)
}
