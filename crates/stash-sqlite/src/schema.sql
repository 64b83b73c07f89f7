-- The text of the two tables is compared with what is in a store: it stays as it is.

-- Everything that a store holds: one map, in the order of its keys. docs/FORMAT.md tells what the bytes are.
CREATE TABLE entries (
  key BLOB NOT NULL PRIMARY KEY,
  value BLOB NOT NULL, -- the whole of it, or its first 57 bytes
  rest INTEGER         -- the row of `rests` that has the other bytes
) STRICT, WITHOUT ROWID;

CREATE TABLE rests (
  id INTEGER PRIMARY KEY,
  bytes BLOB NOT NULL
) STRICT;

-- The same map with whole values.
CREATE VIEW map (key, value) AS
SELECT key, CASE
    WHEN rest IS NULL THEN value
    ELSE CAST(value || (SELECT bytes FROM rests WHERE id = entries.rest) AS BLOB)
  END
FROM entries;

-- The components that have data, or had some.
CREATE VIEW namespaces (namespace, version, bytes, keys) AS
WITH
  digit (n) AS (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), (13), (14), (15), (16)),
  found AS (
    SELECT CAST(substr(key, 2, length(key) - 2) AS TEXT) AS namespace,
      hex(substr(value, 2, 8)) AS version, hex(substr(value, 10, 8)) AS bytes, hex(substr(value, 18, 8)) AS keys
    FROM map WHERE key >= CAST('n' AS BLOB) AND key < CAST('o' AS BLOB)
  )
SELECT namespace,
  (SELECT sum(instr('123456789ABCDEF', substr(version, n, 1)) << 64 - 4 * n) FROM digit),
  (SELECT sum(instr('123456789ABCDEF', substr(bytes, n, 1)) << 64 - 4 * n) FROM digit),
  (SELECT sum(instr('123456789ABCDEF', substr(keys, n, 1)) << 64 - 4 * n) FROM digit)
FROM found;

-- The records of all components: values that are UTF-8 as text, others as they are; times in UTC.
CREATE VIEW records (namespace, collection, key, value, version, created, updated, expires, content_type, attributes) AS
WITH
  digit (n) AS (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), (13), (14), (15), (16)),
  -- A record's key begins with its namespace, "a/b/c", and its collection, and then comes the third slash.
  entry AS (SELECT substr(key, 2) AS name, value AS s FROM map WHERE key >= CAST('r' AS BLOB) AND key < CAST('s' AS BLOB)),
  entry1 AS (SELECT *, instr(name, x'2f') AS slash1 FROM entry),
  entry2 AS (SELECT *, slash1 + instr(substr(name, slash1 + 1), x'2f') AS slash2 FROM entry1),
  entry3 AS (SELECT *, slash2 + instr(substr(name, slash2 + 1), x'2f') AS slash FROM entry2),
  placed AS (SELECT *, instr(substr(name, 1, slash - 1), x'1f') AS mark FROM entry3),
  -- Which parts the envelope has, and where.
  flagged AS (
    SELECT *, instr('123456789ABCDEF', substr(hex(substr(s, 2, 1)), 2, 1)) AS flags FROM placed
    WHERE mark = 0 OR mark < slash - 1 -- else it is in the list of collections
  ),
  timed AS (
    SELECT *, 11 + 6 * ((flags & 1) + (flags >> 1 & 1) + (flags >> 2 & 1)) AS texts,
      CASE WHEN flags & 1 THEN '0000' || hex(substr(s, 11, 6)) END AS hex_updated,
      CASE WHEN flags & 2 THEN '0000' || hex(substr(s, 11 + 6 * (flags & 1), 6)) END AS hex_created,
      CASE WHEN flags & 4 THEN '0000' || hex(substr(s, 11 + 6 * ((flags & 1) + (flags >> 1 & 1)), 6)) END AS hex_expires
    FROM flagged
  ),
  numbered AS (
    SELECT *,
      (SELECT sum(instr('123456789ABCDEF', substr(hex(substr(s, 3, 8)), n, 1)) << 64 - 4 * n) FROM digit) AS version,
      (SELECT sum(instr('123456789ABCDEF', substr(hex_updated, n, 1)) << 64 - 4 * n) FROM digit) AS updated,
      (SELECT sum(instr('123456789ABCDEF', substr(hex_created, n, 1)) << 64 - 4 * n) FROM digit) AS created,
      (SELECT sum(instr('123456789ABCDEF', substr(hex_expires, n, 1)) << 64 - 4 * n) FROM digit) AS expires,
      CASE WHEN flags & 8 THEN 4 + (
        SELECT sum(instr('123456789ABCDEF', substr(hex(substr(s, texts, 4)), n, 1)) << 32 - 4 * n) FROM digit WHERE n < 9
      ) ELSE 0 END AS text_bytes,
      CASE WHEN flags & 8 THEN
        instr('123456789ABCDEF', substr(hex(substr(s, texts + 4, 1)), 1, 1)) * 16
        + instr('123456789ABCDEF', substr(hex(substr(s, texts + 4, 1)), 2, 1))
      END AS type_bytes
    FROM timed
  ),
  record AS (SELECT *, substr(s, texts + text_bytes) AS v FROM numbered)
SELECT
  CAST(substr(name, 1, CASE WHEN mark = 0 THEN slash ELSE mark END - 1) AS TEXT),
  CASE WHEN mark = 0 THEN '' ELSE replace(CAST(substr(name, mark + 1, slash - mark - 1) AS TEXT), char(31), '/') END,
  CAST(substr(name, slash + 1) AS TEXT),
  CASE
    WHEN instr(v, x'00') = 0 AND CAST(v AS TEXT) NOT GLOB '*[^' || char(1) || '-' || char(127) || ']*' THEN CAST(v AS TEXT)
    -- Character by character, in windows of 1 KiB: a row whose `i` is null has met something else.
    WHEN EXISTS (
      WITH RECURSIVE
        step (at, w, i, bytes) AS (
          SELECT 1, substr(record.v, 1, 1024), 1, length(record.v)
          UNION ALL
          SELECT iif(i > 1020, at + i - 1, at), iif(i > 1020, substr(record.v, at + i - 1, 1024), w), CASE
              WHEN i > 1020 THEN 1
              WHEN substr(w, i, 1) < x'80' THEN i + 1
              WHEN substr(w, i + 1, 1) NOT BETWEEN x'80' AND x'bf' THEN NULL
              WHEN substr(w, i, 1) BETWEEN x'c2' AND x'df' THEN i + 2
              WHEN substr(w, i + 2, 1) NOT BETWEEN x'80' AND x'bf' THEN NULL
              WHEN substr(w, i, 2) BETWEEN x'eda0' AND x'edbf' THEN NULL
              WHEN substr(w, i, 2) BETWEEN x'e0a0' AND x'efbf' THEN i + 3
              WHEN substr(w, i + 3, 1) NOT BETWEEN x'80' AND x'bf' THEN NULL
              WHEN substr(w, i, 2) BETWEEN x'f090' AND x'f48f' THEN i + 4
            END, bytes
          FROM step WHERE at + i - 1 <= bytes
        )
      SELECT 1 FROM step WHERE i IS NULL
    ) THEN v
    ELSE CAST(v AS TEXT)
  END,
  version,
  coalesce(
    strftime('%Y-%m-%dT%H:%M:%fZ', nullif(coalesce(created, updated), 0) / 1000.0, 'unixepoch'),
    nullif(coalesce(created, updated), 0) || ' ms'
  ),
  coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', updated / 1000.0, 'unixepoch'), updated || ' ms'),
  coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', expires / 1000.0, 'unixepoch'), expires || ' ms'),
  nullif(CAST(substr(s, texts + 5, type_bytes) AS TEXT), ''),
  CASE WHEN flags & 8 THEN (
    WITH RECURSIVE
      given (t) AS MATERIALIZED (SELECT substr(s, texts + 4 + 1 + type_bytes, text_bytes - 4 - 1 - type_bytes)),
      -- For each attribute where it begins, and the lengths of its name and its value.
      attribute (at, name_bytes, value_bytes) AS (
        SELECT 3,
          (SELECT sum(instr('123456789ABCDEF', substr(hex(substr(t, 3, 2)), n, 1)) << 16 - 4 * n) FROM digit WHERE n < 5),
          (SELECT sum(instr('123456789ABCDEF', substr(hex(substr(t, 5, 2)), n, 1)) << 16 - 4 * n) FROM digit WHERE n < 5)
        FROM given WHERE length(t) > 2
        UNION ALL
        SELECT at + 4 + name_bytes + value_bytes,
          (SELECT sum(instr('123456789ABCDEF', substr(hex(substr(t, at + 4 + name_bytes + value_bytes, 2)), n, 1)) << 16 - 4 * n)
            FROM digit WHERE n < 5),
          (SELECT sum(instr('123456789ABCDEF', substr(hex(substr(t, at + 6 + name_bytes + value_bytes, 2)), n, 1)) << 16 - 4 * n)
            FROM digit WHERE n < 5)
        FROM attribute, given WHERE at + 4 + name_bytes + value_bytes <= length(t)
      )
    SELECT nullif(json_group_object(
      CAST(substr(t, at + 4, name_bytes) AS TEXT), CAST(substr(t, at + 4 + name_bytes, value_bytes) AS TEXT)), '{}')
    FROM attribute, given
  ) END
FROM record;
