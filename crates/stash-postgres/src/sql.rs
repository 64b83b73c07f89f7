//! The statements, one for each shape of a question. Each is a transaction of its own, so that a host which stops between two
//! of them leaves nothing open; why a commit is all or nothing in READ COMMITTED is in `docs/decisions/0026-postgres.md`.
//! Values must come as parameters only.

use std::fmt::Write as _;

/// What a server can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// PostgreSQL, and what is built of it.
    Postgres,
    /// A server that speaks its protocol and lacks some of it: one change of a table in a statement, no ranges side by side,
    /// no advisory locks, no NOTIFY.
    Portable,
}

impl Dialect {
    /// That of a server which calls itself so.
    pub(crate) fn of(version: &str) -> Self {
        if version.contains("CockroachDB") { Self::Portable } else { Self::Postgres }
    }
}

/// The statements' shapes: few, so that each connection can keep all of them prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// The value of a key.
    ReadOne,
    /// Those of several.
    ReadMany,
    /// The same, where they have few bytes together.
    ReadUpTo,
    /// The heads of namespaces.
    Heads,
    /// A range with a number of entries.
    Plain { reverse: bool, whole: bool },
    /// A range with a number of bytes too.
    Exact { reverse: bool },
    /// All that a decision wants.
    Fetch { keys: bool, heads: bool, forward: bool, backward: bool },
    /// A commit.
    Commit { heads: Heads, sets: bool, removes: bool },
    /// Heads of revision 0, where there are none.
    Begin,
    /// Removes keys, whatever the heads are.
    Remove,
    /// Tells those who listen.
    Notify,
}

/// Which heads a commit expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Heads {
    /// One that is there.
    One,
    /// One of revision 0, which may be there or not.
    New,
    /// Several, all of which are there.
    Several,
}

/// The text of statements about one schema.
#[derive(Debug, Clone)]
pub(crate) struct Sql {
    /// The schema, quoted.
    schema: String,
    pub(crate) dialect: Dialect,
}

/// A name in SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Sql {
    pub(crate) fn new(schema: &str, dialect: Dialect) -> Self {
        Self { schema: quoted(schema), dialect }
    }

    /// The schema, quoted.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// The statement of a shape.
    pub(crate) fn text(&self, shape: Shape) -> String {
        let s = &self.schema;
        match shape {
            Shape::ReadOne => format!("SELECT value FROM {s}.entries WHERE key = $1"),
            Shape::ReadMany => format!(
                "SELECT w.n, e.value FROM unnest($1::bytea[]) WITH ORDINALITY AS w(key, n) \
                 JOIN {s}.entries e ON e.key = w.key"
            ),
            // Of a value that is too much the length is looked at only.
            Shape::ReadUpTo => format!(
                "SELECT n, CASE WHEN total <= $2::bigint THEN value END FROM (\
                     SELECT w.n, e.value, sum(octet_length(e.value)) OVER () AS total \
                     FROM unnest($1::bytea[]) WITH ORDINALITY AS w(key, n) JOIN {s}.entries e ON e.key = w.key) AS found"
            ),
            Shape::Heads => format!(
                "SELECT w.n, h.revision, h.writers FROM unnest($1::bytea[]) WITH ORDINALITY AS w(owner, n) \
                 JOIN {s}.heads h ON h.owner = w.owner"
            ),
            Shape::Plain { reverse, whole } => {
                let value = if whole {
                    "CASE WHEN octet_length(value) <= $4::int THEN value END"
                } else {
                    "substring(value FROM 1 FOR $4::int)"
                };
                format!(
                    "SELECT key, {value} FROM {s}.entries WHERE key >= $1 AND key < $2 ORDER BY key{} LIMIT $3::bigint",
                    direction(reverse)
                )
            }
            Shape::Exact { reverse } => {
                let range = Range {
                    limit: "$3::bigint",
                    max_bytes: "$4::bigint",
                    key_bytes: "$5::int",
                    value_bytes: "$6::int",
                    uncounted: "$7::int",
                    start: "$1::bytea",
                    end: "$2::bytea",
                };
                format!("SELECT key, part FROM ({}) AS page ORDER BY n", self.range(&range, reverse))
            }
            Shape::Fetch { keys, heads, forward, backward } => self.fetch(keys, heads, forward, backward),
            Shape::Commit { heads, sets, removes } => self.commit(heads, sets, removes),
            Shape::Begin => format!(
                "INSERT INTO {s}.heads (owner, revision, writers) SELECT owner, 0, ''::bytea \
                 FROM unnest($1::bytea[]) AS w(owner) ORDER BY owner ON CONFLICT (owner) DO NOTHING"
            ),
            Shape::Remove => format!("DELETE FROM {s}.entries WHERE key = ANY($1::bytea[])"),
            Shape::Notify => "SELECT pg_notify($1::text, $2::text)".to_owned(),
        }
    }

    /// A range as [`Scan`](stash_core::engine::Scan) has it: the entries that fit, and one more without a value where the
    /// range goes on. What the entries before it come to, and those before its predecessor, tells whether an entry fits and
    /// whether its predecessor did.
    fn range(&self, range: &Range<'_>, reverse: bool) -> String {
        let Range { start, end, limit, max_bytes, key_bytes, value_bytes, uncounted } = range;
        let (s, order) = (&self.schema, direction(reverse));
        format!(
            "SELECT n, key, CASE WHEN n = 1 OR before < {max_bytes} THEN substring(value FROM 1 FOR {value_bytes}) END AS part \
             FROM (SELECT key, value, row_number() OVER w AS n, \
                 coalesce(sum(size) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before, \
                 coalesce(sum(size) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING), 0) AS earlier \
                 FROM (SELECT key, value, greatest(octet_length(key) - {key_bytes}, 0) \
                         + greatest(least(octet_length(value), {value_bytes}) - {uncounted}, 0) AS size \
                     FROM {s}.entries WHERE key >= {start} AND key < {end} ORDER BY key{order} LIMIT {limit}) AS found \
                 WINDOW w AS (ORDER BY key{order})) AS sized \
             WHERE n <= 2 OR earlier < {max_bytes}"
        )
    }

    // Each is a part of the statement that is there or not.
    #[allow(clippy::fn_params_excessive_bools)]
    fn fetch(&self, keys: bool, heads: bool, forward: bool, backward: bool) -> String {
        let s = &self.schema;
        let (mut parts, mut parameters) = (Vec::new(), 0);
        let mut next = || {
            parameters += 1;
            format!("${parameters}")
        };
        if keys {
            parts.push(format!(
                "SELECT 0 AS part, w.n AS n, NULL::bytea AS key, e.value AS value, 0::bigint AS number \
                 FROM unnest({}::bytea[]) WITH ORDINALITY AS w(key, n) JOIN {s}.entries e ON e.key = w.key",
                next()
            ));
        }
        if heads {
            parts.push(format!(
                "SELECT 1 AS part, w.n AS n, NULL::bytea AS key, h.writers AS value, h.revision AS number \
                 FROM unnest({}::bytea[]) WITH ORDINALITY AS w(owner, n) JOIN {s}.heads h ON h.owner = w.owner",
                next()
            ));
        }
        for (part, wanted) in [(2, forward), (3, backward)] {
            if !wanted {
                continue;
            }
            let range = Range {
                start: "s.low",
                end: "s.high",
                limit: "s.entries",
                max_bytes: "s.bytes",
                key_bytes: "s.keys",
                value_bytes: "s.part",
                uncounted: "s.uncounted",
            };
            let types = ["bytea", "bytea", "bigint", "bigint", "int", "int", "int"];
            let arrays = types.map(|name| format!("{}::{name}[]", next())).join(", ");
            parts.push(format!(
                "SELECT {part} AS part, s.n AS n, page.key AS key, page.part AS value, page.n AS number \
                 FROM unnest({arrays}) WITH ORDINALITY \
                     AS s(low, high, entries, bytes, keys, part, uncounted, n) \
                 CROSS JOIN LATERAL ({}) AS page",
                self.range(&range, part == 3)
            ));
        }
        parts.join(" UNION ALL ")
    }

    fn commit(&self, heads: Heads, sets: bool, removes: bool) -> String {
        let s = &self.schema;
        let (heads, mut parameters) = match heads {
            Heads::One => (
                format!(
                    "WITH bumped AS (UPDATE {s}.heads SET revision = $2::bigint + 1, writers = $3::bytea \
                     WHERE owner = $1::bytea AND revision = $2::bigint AND writers = $4::bytea RETURNING 1)"
                ),
                4,
            ),
            Heads::New => (
                format!(
                    "WITH bumped AS (INSERT INTO {s}.heads AS h (owner, revision, writers) \
                     VALUES ($1::bytea, $2::bigint + 1, $3::bytea) ON CONFLICT (owner) DO UPDATE \
                     SET revision = excluded.revision, writers = excluded.writers WHERE h.revision = 0 RETURNING 1)"
                ),
                3,
            ),
            // All are locked, in one order, before any is compared, and all agree before any is changed.
            Heads::Several => (
                format!(
                    "WITH expected AS (SELECT owner, revision, writers, before \
                         FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bytea[]) \
                             AS e(owner, revision, writers, before)), \
                     locked AS (SELECT h.owner, h.revision, h.writers FROM {s}.heads h WHERE h.owner = ANY($1::bytea[]) \
                         ORDER BY h.owner FOR UPDATE), \
                     agreed AS (SELECT count(*) = cardinality($1::bytea[]) AS yes FROM expected e \
                         JOIN locked l ON l.owner = e.owner AND l.revision = e.revision AND l.writers = e.before), \
                     bumped AS (UPDATE {s}.heads h SET revision = e.revision + 1, writers = e.writers FROM expected e \
                         WHERE h.owner = e.owner AND (SELECT yes FROM agreed) RETURNING 1)"
                ),
                4,
            ),
        };
        let mut text = heads;
        if sets {
            let (keys, values) = (parameters + 1, parameters + 2);
            parameters += 2;
            let _ = write!(
                text,
                ", written AS (INSERT INTO {s}.entries (key, value) SELECT w.key, w.value \
                 FROM unnest(${keys}::bytea[], ${values}::bytea[]) AS w(key, value) WHERE EXISTS (SELECT 1 FROM bumped) \
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value)"
            );
        }
        if removes {
            let keys = parameters + 1;
            let _ = write!(
                text,
                ", removed AS (DELETE FROM {s}.entries WHERE key = ANY(${keys}::bytea[]) \
                 AND EXISTS (SELECT 1 FROM bumped))"
            );
        }
        text.push_str(" SELECT count(*) FROM bumped");
        text
    }
}

/// The expressions that a range is made of.
struct Range<'a> {
    start: &'a str,
    end: &'a str,
    limit: &'a str,
    max_bytes: &'a str,
    key_bytes: &'a str,
    value_bytes: &'a str,
    uncounted: &'a str,
}

fn direction(reverse: bool) -> &'static str {
    if reverse { " DESC" } else { "" }
}
