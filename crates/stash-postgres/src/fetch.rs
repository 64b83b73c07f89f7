//! All that a decision wants, from one state: one statement, whatever it is. Ranges of one direction go as arrays, so that there
//! are few shapes of it.

use std::sync::Arc;

use bytes::Bytes;
use stash_core::engine::{Page, Scan};
use stash_shared::{Fetched, Head, Wanted};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::Failure;
use crate::link::Link;
use crate::reads::{bounds, bytes, first_entries, head, int, long, more_entries, number, page, put};
use crate::sql::Shape;

/// Asks for everything, and again for longer pages where the server was told to look at too few entries.
pub(crate) async fn fetch(link: &Arc<Link>, wanted: &Wanted) -> Result<Fetched, Failure> {
    let mut ranges = Ranges::of(&wanted.scans);
    let keys: Vec<&[u8]> = wanted.keys.iter().map(|key| &key[..]).collect();
    let owners: Vec<&[u8]> = wanted.owners.iter().map(|owner| &owner[..]).collect();
    if keys.is_empty() && owners.is_empty() && ranges.is_empty() {
        return Ok(Fetched { pages: vec![Page::default(); wanted.scans.len()], ..Fetched::default() });
    }
    loop {
        let shape = Shape::Fetch {
            keys: !keys.is_empty(),
            heads: !owners.is_empty(),
            forward: !ranges.forward.is_empty(),
            backward: !ranges.backward.is_empty(),
        };
        let arrays = [Arrays::of(&ranges.forward), Arrays::of(&ranges.backward)];
        let mut parameters: Vec<&(dyn ToSql + Sync)> = Vec::new();
        for names in [&keys, &owners] {
            if !names.is_empty() {
                parameters.push(names);
            }
        }
        for arrays in arrays.iter().filter(|arrays| !arrays.starts.is_empty()) {
            arrays.add_to(&mut parameters);
        }
        let rows = link.ask(shape, &parameters).await?;
        if let Some(fetched) = ranges.answered(wanted, &rows)? {
            return Ok(fetched);
        }
    }
}

/// A range, its place among the wanted ones, and how many entries the server is to look at.
struct Range<'a> {
    scan: &'a Scan,
    start: Bytes,
    end: Bytes,
    place: usize,
    entries: usize,
}

/// The ranges that can hold anything, by direction.
struct Ranges<'a> {
    forward: Vec<Range<'a>>,
    backward: Vec<Range<'a>>,
}

impl<'a> Ranges<'a> {
    fn of(scans: &'a [Scan]) -> Self {
        let wanted = scans.iter().enumerate().filter(|(_, scan)| !scan.is_empty());
        let ranges = wanted.map(|(place, scan)| {
            let (start, end) = bounds(scan);
            Range { scan, start, end, place, entries: first_entries(scan) }
        });
        let (backward, forward) = ranges.partition(|range| range.scan.reverse);
        Self { forward, backward }
    }

    fn is_empty(&self) -> bool {
        self.forward.is_empty() && self.backward.is_empty()
    }

    /// What the rows say; `None` where a page needs more of them.
    fn answered(&mut self, wanted: &Wanted, rows: &[Row]) -> Result<Option<Fetched>, Failure> {
        let mut fetched = Fetched {
            values: vec![None; wanted.keys.len()],
            pages: vec![Page::default(); wanted.scans.len()],
            heads: vec![Head::default(); wanted.owners.len()],
        };
        let mut forward: Vec<Vec<(i64, &Row)>> = vec![Vec::new(); self.forward.len()];
        let mut backward: Vec<Vec<(i64, &Row)>> = vec![Vec::new(); self.backward.len()];
        for row in rows {
            let place = number(row, 1)?;
            let found = match row.try_get::<_, i32>(0).map_err(Failure::Sent)? {
                0 => {
                    put(&mut fetched.values, place, Some(bytes(row, 3)?));
                    continue;
                }
                1 => {
                    put(&mut fetched.heads, place, head(row, 4, 3)?);
                    continue;
                }
                2 => &mut forward,
                _ => &mut backward,
            };
            if let Some(rows) = usize::try_from(place - 1).ok().and_then(|n| found.get_mut(n)) {
                rows.push((number(row, 4)?, row));
            }
        }
        let mut is_whole = true;
        let found = forward.iter_mut().chain(&mut backward);
        for (range, rows) in self.forward.iter_mut().chain(&mut self.backward).zip(found) {
            rows.sort_unstable_by_key(|(order, _)| *order);
            let is_cut = rows.len() >= range.entries && range.entries <= range.scan.limit;
            match page(range.scan, rows.iter().map(|(_, row)| (*row, 2, 3)), is_cut)? {
                Some(page) => put(&mut fetched.pages, long(range.place) + 1, page),
                None => {
                    range.entries = more_entries(range.scan, range.entries);
                    is_whole = false;
                }
            }
        }
        Ok(is_whole.then_some(fetched))
    }
}

/// Ranges of one direction, as the statement takes them.
struct Arrays<'a> {
    starts: Vec<&'a [u8]>,
    ends: Vec<&'a [u8]>,
    entries: Vec<i64>,
    bytes: Vec<i64>,
    keys: Vec<i32>,
    parts: Vec<i32>,
    uncounted: Vec<i32>,
}

impl<'a> Arrays<'a> {
    fn of(ranges: &'a [Range<'_>]) -> Self {
        let each = |number: fn(&Scan) -> usize| ranges.iter().map(move |range| number(range.scan));
        Self {
            starts: ranges.iter().map(|range| &range.start[..]).collect(),
            ends: ranges.iter().map(|range| &range.end[..]).collect(),
            entries: ranges.iter().map(|range| long(range.entries)).collect(),
            bytes: each(|scan| scan.max_bytes).map(long).collect(),
            keys: each(|scan| scan.uncounted_key_bytes).map(int).collect(),
            parts: each(|scan| scan.value_bytes).map(int).collect(),
            uncounted: each(|scan| scan.uncounted_value_bytes).map(int).collect(),
        }
    }

    fn add_to<'b>(&'b self, parameters: &mut Vec<&'b (dyn ToSql + Sync)>) {
        parameters.extend([&self.starts as &(dyn ToSql + Sync), &self.ends, &self.entries, &self.bytes]);
        parameters.extend([&self.keys as &(dyn ToSql + Sync), &self.parts, &self.uncounted]);
    }
}
