"""Every SQL statement that bangeod runs on the shared database and on fail2ban's, in one place.

The names in braces are filled in from what the table really has (columns.py): ``{key}`` is the column by which rows
are paged, ``{time}`` the column that gives a row's age, ``{micros}`` the expression below applied to it.
"""

# Microseconds since the epoch of a time column, NULL where it can't be read. It agrees with times.read() for every
# value that SQLite can store. SQLite's date functions alone accept too much (`now`, a time alone, 30 February), so the
# form is checked first and the day by a round trip. `{c}` is the column. It is evaluated for every row of a table, so
# the usual endings are checked first; the expressions for any fraction and any offset cost three times as much.
# The `+` before a column keeps a numeric column from converting the value that it is compared with to a number.
_ZONE = "CASE WHEN substr({c}, 20, 1) = '.' THEN ltrim(substr({c}, 21), '0123456789') ELSE substr({c}, 20) END"
_FRACTION_DIGITS = "(length({c}) - 20 - length(" + _ZONE + "))"
_FRACTION = (
    "CASE WHEN substr({c}, 20, 1) != '.' THEN 0"
    " WHEN " + _FRACTION_DIGITS + " BETWEEN 1 AND 6"
    " THEN CAST(substr(substr({c}, 21, " + _FRACTION_DIGITS + ") || '00000', 1, 6) AS INTEGER) END"
)
_OFFSET = (
    "CASE WHEN " + _ZONE + " IN ('', 'Z') THEN 0"
    " WHEN " + _ZONE + " GLOB '[+-][0-2][0-9]:[0-5][0-9]' AND substr(" + _ZONE + ", 2, 2) < '24'"
    " THEN (CAST(substr(" + _ZONE + ", 2, 2) AS INTEGER) * 60 + CAST(substr(" + _ZONE + ", 5, 2) AS INTEGER))"
    " * CASE substr(" + _ZONE + ", 1, 1) WHEN '-' THEN -60 ELSE 60 END END"
)
_ENDING = (
    "CASE WHEN substr({c}, 20) IN ('', 'Z', '+00:00') THEN 0"
    " WHEN substr({c}, 20) GLOB '.[0-9][0-9][0-9]Z' THEN CAST(substr({c}, 21, 3) AS INTEGER) * 1000"
    " WHEN substr({c}, 20) GLOB '.[0-9][0-9][0-9][0-9][0-9][0-9]*' AND substr({c}, 27) IN ('', 'Z', '+00:00')"
    " THEN CAST(substr({c}, 21, 6) AS INTEGER)"
    " ELSE " + _FRACTION + " - " + _OFFSET + " * 1000000 END"
)
# GLOB, substr() and length() see a text only up to its first NUL, whatever follows; instr() sees all of it, and in
# every encoding (the length in bytes would say the same in UTF-8 alone).
_WHOLE = "instr({c}, char(0)) = 0"
_TEXT = (
    "CASE WHEN {c} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][T ][0-9][0-9]:[0-9][0-9]:[0-9][0-9]*'"
    " THEN CASE WHEN datetime(substr({c}, 1, 19), '+0 days') = replace(substr({c}, 1, 19), 'T', ' ')"
    " AND +{c} >= '0001' AND " + _WHOLE + " THEN unixepoch(substr({c}, 1, 19)) * 1000000 + " + _ENDING + " END"
    " WHEN length({c}) BETWEEN 1 AND 12 AND {c} NOT GLOB '*[^0-9]*' AND "
    + _WHOLE
    + " AND CAST({c} AS INTEGER) BETWEEN 631152000 AND 7258118399 THEN CAST({c} AS INTEGER) * 1000000"
    " WHEN instr({c}, '.') BETWEEN 10 AND 13 AND length({c}) - instr({c}, '.') BETWEEN 1 AND 17"
    " AND replace({c}, '.', '') NOT GLOB '*[^0-9]*' AND length(replace({c}, '.', '')) = length({c}) - 1 AND "
    + _WHOLE
    + " AND CAST({c} AS INTEGER) BETWEEN 631152000 AND 7258118399 THEN CAST({c} AS INTEGER) * 1000000"
    " + CAST(substr(substr({c}, instr({c}, '.') + 1) || '00000', 1, 6) AS INTEGER) END"
)
MICROSECONDS = (
    "CASE typeof({c}) WHEN 'text' THEN " + _TEXT + " WHEN 'integer'"
    " THEN CASE WHEN {c} BETWEEN 631152000 AND 7258118399 THEN {c} * 1000000 END"
    " WHEN 'real' THEN CASE WHEN {c} >= 631152000 AND {c} < 7258118400 THEN CAST({c} * 1000000.0 AS INTEGER) END END"
)

# Whole seconds since the epoch of a time column, as MICROSECONDS has them, rounded towards zero. They are computed for
# each row that is read: so the usual forms of times after 1970 in UTC go a shorter way, except on the last days of a
# month. unixepoch() itself refuses what is no digit, and months, days, minutes and seconds that are too large. The `+`
# is as above; a BLOB is larger than any text.
_DAY_AND_TIME = "'????-??-[012]?[T ]{hour}:??:??*'"
_BY_LENGTH = (
    f" WHEN {length} THEN {{c}} GLOB '???????????????????{ending}'"
    for length, ending in (
        (20, "Z"),
        (24, ".[0-9][0-9][0-9]Z"),
        (25, "+00:00"),
        (26, ".[0-9][0-9][0-9][0-9][0-9][0-9]"),
        (27, ".[0-9][0-9][0-9][0-9][0-9][0-9]Z"),
        (32, ".[0-9][0-9][0-9][0-9][0-9][0-9]+00:00"),
    )
)
_USUAL_TEXT = (
    "+{c} BETWEEN '1970' AND ':'"
    " AND CASE WHEN {c} GLOB " + _DAY_AND_TIME.format(hour="[01]?") + " THEN 1"
    " ELSE {c} GLOB " + _DAY_AND_TIME.format(hour="2[0-3]") + " END"
    " AND substr({c}, 6, 5) != '02-29'"
    " AND CASE length({c}) WHEN 19 THEN 1" + "".join(_BY_LENGTH) + " END AND " + _WHOLE
)
SECONDS = "CASE WHEN " + _USUAL_TEXT + " THEN unixepoch(substr({c}, 1, 19)) ELSE (" + MICROSECONDS + ") / 1000000 END"

# --- looking at the file and the schema ----------------------------------------------------------------------------

SCHEMA_VERSION = "PRAGMA schema_version"
COLUMNS = 'SELECT name, pk, type, "notnull", dflt_value, hidden FROM pragma_table_xinfo(?)'
TYPES = "SELECT lower(name), type FROM pragma_table_info('geo_cache')"
KIND_OF_TABLE = "SELECT type, sql FROM sqlite_schema WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')"
WHOLE_SCHEMA = (
    "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT GLOB 'sqlite_*'"
    " ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'view' THEN 1 WHEN 'index' THEN 2 ELSE 3 END"
)
SCHEMA_OF_GEO = (  # without triggers
    "SELECT sql FROM sqlite_schema WHERE tbl_name = 'geo_cache' COLLATE NOCASE AND sql IS NOT NULL"
    " AND type IN ('table', 'index') ORDER BY type DESC"
)
ENCODING = "PRAGMA encoding"
SET_ENCODING = "PRAGMA encoding = '{encoding}'"
JOURNAL_MODE = "PRAGMA journal_mode"
FOREIGN_KEYS_OF_ALL = (
    'SELECT child.name, fk.id, fk."from", fk."table", fk.on_delete'
    " FROM sqlite_schema AS child, pragma_foreign_key_list(child.name) AS fk"
    " WHERE child.type = 'table' ORDER BY child.name, fk.id, fk.seq"
)
# The parent's column may be left out: then it is its primary key (sqlite.org/foreignkeys.html, 3).
PARENTS_OF_COUNTRY = (
    'SELECT fk."table", coalesce(fk."to", (SELECT name FROM pragma_table_info(fk."table") WHERE pk = 1))'
    " FROM pragma_foreign_key_list('geo_cache') AS fk WHERE lower(fk.\"from\") = 'country_code'"
)
MISSING_IN_PARENT = (
    "SELECT count(*), min(value) FROM json_each(:values) WHERE NOT EXISTS"
    " (SELECT 1 FROM {parent} WHERE {parent}.{column} = value)"
)
PLAN_OF_CHILD = "EXPLAIN QUERY PLAN SELECT 1 FROM {child} WHERE {where}"
EXPLAIN = "EXPLAIN {statement}"  # compiles the statement without running it, and so finds what is missing
# The limit, even -1 (none), keeps SQLite from merging the inner statement and computing each time repeatedly.
TIME_CENSUS = (
    "SELECT count(raw), count(raw) - count(t), max(CASE WHEN t IS NULL THEN raw END), max(t) / 1000000,"
    " count(CASE WHEN t <= :now * 1000000 THEN 1 END)"
    " FROM (SELECT {time} AS raw, {micros} AS t FROM {table} ORDER BY {key} DESC LIMIT :limit)"
)
# A copy of the table, in memory, with one row (time_trial.py). Generated columns can't be given a value.
STORED_COLUMNS = "SELECT name FROM pragma_table_info('geo_cache')"
LAST_ROW = "SELECT {columns} FROM geo_cache ORDER BY {key} DESC LIMIT 1"
INSERT_ROW = "INSERT INTO geo_cache ({columns}) VALUES ({values})"
SET_TIME = "UPDATE geo_cache SET {c} = ?"
# Values that are no upper-case code: row_values.py reads them, and finds a country in some of them.
_ODD_COUNTRY = "(country_code IS NULL OR country_code NOT IN ({codes}))"
ODD_COUNTRIES = "SELECT country_code, count(*) FROM geo_cache WHERE " + _ODD_COUNTRY + " GROUP BY 1"  # noqa: S608 - no input in it

# --- paging: the upper bound is found first, so that a page reads only its own rows, whatever the filter --------------

PAGE_END = "SELECT max(k), count(*) FROM (SELECT {key} AS k FROM {table} WHERE {after} ORDER BY {key} LIMIT :limit)"
AFTER_START = "1"
AFTER_KEY = "{key} > :after"

GEO_PAGE = "SELECT {geo}, {seconds} FROM geo_cache WHERE {after} AND {key} <= :upto"
# All rows of a page in one: between two rows Python's lock must be taken. Each list is in the same order. The places
# are arrays in JSON, which has no line break in it, so that each is looked up as it is. JSON holds no BLOB, except one
# that is JSON in SQLite's own form, and then means something else (sqlite.org/json1.html, 3): so it is asked whether
# there are any. All texts and numbers are less than an empty one.
_IN_ONE = (
    "SELECT max({blob}), json_group_array(geo_cache.ip), group_concat(json_array({place}), char(10)),"
    " json_group_array({seconds})"
)
GEO_PAGE_IN_ONE = _IN_ONE + " FROM geo_cache WHERE {after} AND {key} <= :upto"
# By time: the times that equal the last one are a range of their own, or each page would go through all of them.
NEWEST_KEYS = (
    "SELECT max(k >= x''), json_group_array(k), min(t) FROM (SELECT t, k FROM"
    " (SELECT {time} AS t, {key} AS k FROM geo_cache WHERE {time} = :time AND {key} < :key"
    " ORDER BY {key} DESC LIMIT :limit)"
    " UNION ALL SELECT t, k FROM (SELECT {time} AS t, {key} AS k FROM geo_cache WHERE {time} < :time"
    " ORDER BY {time} DESC, {key} DESC LIMIT :limit) LIMIT :limit)"
)
KEYS_WITHOUT_TIME = (
    "SELECT max(k >= x''), json_group_array(k), NULL FROM"
    " (SELECT {key} AS k FROM geo_cache WHERE {time} IS NULL AND {after} ORDER BY {key} LIMIT :limit)"
)
PLAN_BY_TIME = "EXPLAIN QUERY PLAN " + NEWEST_KEYS
_BY_KEYS = " FROM json_each(:keys) AS sought CROSS JOIN geo_cache WHERE geo_cache.{key} = sought.value"
GEO_OF_KEYS_IN_ONE = _IN_ONE + _BY_KEYS
GEO_OF_KEYS = "SELECT {geo}, {seconds}" + _BY_KEYS
FIRST_AND_LAST_ROW = "SELECT min({key}), max({key}) FROM geo_cache"
# Grouped by the exact values, whatever collation the columns have; row_values.py reads these.
GEO_NAMES = (
    "SELECT country_code, country_name, count(*) FROM geo_cache WHERE {after} AND {key} <= :upto"
    " AND country_code IS NOT NULL AND country_name IS NOT NULL"
    " AND upper(country_code) NOT IN (SELECT value FROM json_each(:but))"
    " GROUP BY country_code COLLATE BINARY, country_name COLLATE BINARY"
)
GEO_PAGE_ODD = GEO_PAGE + " AND " + _ODD_COUNTRY
# CROSS JOIN: the sought keys are taken in their order; IN would sort them first (sqlite.org/optoverview.html, 8.2).
_SOUGHT = " FROM json_each(:keys) AS sought CROSS JOIN geo_cache WHERE geo_cache.ip = sought.value"
GEO_FIND = "SELECT {geo}, {seconds}" + _SOUGHT
GEO_HAS_MAPPED = (  # ::ffff:192.0.2.1 and the like; two index lookups
    "SELECT EXISTS (SELECT 1 FROM geo_cache WHERE ip >= '::f' AND ip < '::g')"
    " OR EXISTS (SELECT 1 FROM geo_cache WHERE ip >= '::F' AND ip < '::G')"
)
# Keys of IPv6 addresses that may be written unusually: capitals, leading zeros, or zeros that could be left out.
ODD_KEY = (
    "ip GLOB '*:*' AND (ip GLOB '*[A-Z.]*' OR ip GLOB '*:0*' OR ip GLOB '[:0]*'"
    " OR (ip GLOB '*:*:*:*:*:*:*:*' AND ip GLOB '*::*'))"
)
# Ranges for the beginnings of routable addresses: 2000::/3, 64:ff9b::/96, and zeros before an embedded IPv4 address.
KEY_RANGES = ((":", ";"), ("0:", "0;"), ("00", "01"), ("2", "4"), ("64:", "64;"))
HAS_MAPPED_OTHERWISE = (
    "SELECT EXISTS (SELECT 1 FROM geo_cache WHERE ip >= ':' AND ip < ';')"
    " OR EXISTS (SELECT 1 FROM geo_cache WHERE ip >= '0:' AND ip < '0;')"
    " OR EXISTS (SELECT 1 FROM geo_cache WHERE ip >= '00' AND ip < '01')"
)
RANGE_END = (
    "SELECT max(k), count(*) FROM"
    " (SELECT ip AS k FROM geo_cache WHERE ip > :after AND ip < :until ORDER BY ip LIMIT :limit)"
)
RANGE_ODD_KEYS = "SELECT ip FROM geo_cache WHERE ip > :after AND ip <= :upto AND " + ODD_KEY  # noqa: S608 - no input in it
NEWEST_ROW = "SELECT max({key}) FROM geo_cache"
LATER_ODD_KEYS = "SELECT ip FROM geo_cache WHERE {key} > :after AND {key} <= :upto AND " + ODD_KEY  # noqa: S608 - as above
KEY_OF_ROW = "SELECT quote(ip) FROM geo_cache WHERE {key} = :upto"

# The newest time among the latest rows, as stored; of equal ones the last in SQLite's order, so always the same.
NEWEST_TIME = (
    "WITH latest (raw) AS (SELECT {c} FROM geo_cache ORDER BY {key} DESC LIMIT :limit),"
    " known (raw, t) AS MATERIALIZED (SELECT raw, {micros} FROM latest)"
    " SELECT raw FROM known WHERE t IS NOT NULL ORDER BY t DESC, typeof(raw) DESC, raw DESC LIMIT 1"
)

# --- deleting: find the keys without the lock, then delete by key, checking the age once more -------------------------

DUE_PAGE = (  # materialized, or the time would be computed twice
    "WITH page (key, label, t, raw) AS MATERIALIZED"
    " (SELECT {key}, {label}, {micros}, {time} FROM {table} WHERE {after} AND {key} <= :upto)"
    " SELECT key, label, t, raw FROM page WHERE coalesce(t, -9223372036854775808) < :before"
)
_DELETE_ALL = "DELETE FROM {table} WHERE {key} IN (SELECT value FROM json_each(:keys)) AND "
DELETE_ALL_DUE = _DELETE_ALL + "{micros} < :before"
# A value that was due when it was found is due in any row. Looking for it saves a third of the time that computing it
# takes, all of that with the lock held.
DELETE_ALL_UNCHANGED = _DELETE_ALL + "+{time} COLLATE BINARY IN (SELECT value FROM json_each(:times))"  # noqa: S608 - as above
DELETE_DUE = "DELETE FROM {table} WHERE {key} = :key AND {micros} < :before"
STILL_DUE = "SELECT 1 FROM {table} WHERE {key} = :key AND {micros} < :before"
AGES_PAGE = "SELECT {key}, {label}, {micros} FROM {table} WHERE {after} AND {key} <= :upto"
COUNT = "SELECT count(*) FROM {table}"

# --- writing: decided without the lock (row_values.py), and written only to rows still as they were read --------------

# The columns of a row that decide its change. Hexadecimal, since JSON can't hold text that is not UTF-8.
HELD = "hex({values})"
GEO_HELD = "SELECT geo_cache.ip, {raw}, {unseen}, {micros}, {held}" + _SOUGHT
# All rows of a slice in one statement, as an array of arrays: between two statements Python's lock must be taken, and
# meanwhile the write lock would be held. `WHERE true` is for the parser (sqlite.org/lang_upsert.html, 2.2).
INSERT = (
    "INSERT INTO geo_cache ({columns}) SELECT {values} FROM json_each(:rows) WHERE true ON CONFLICT (ip) DO NOTHING"
)
# Materialized: a subquery would be merged into the update, and the whole table read once for each entry.
UPDATE = (
    "WITH found (k, v) AS MATERIALIZED (SELECT geo_cache.{key}, wanted.value"
    " FROM json_each(:rows) AS wanted CROSS JOIN geo_cache"
    " WHERE geo_cache.ip = wanted.value ->> 0 AND {held} = wanted.value ->> {n})"
    " UPDATE geo_cache SET {sets} FROM found WHERE geo_cache.{key} = found.k"
)
CHANGES = "SELECT changes()"

# --- transactions and housekeeping ----------------------------------------------------------------------------------

BEGIN = "BEGIN IMMEDIATE"
BEGIN_READING = "BEGIN"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"
SAVEPOINT = "SAVEPOINT one_row"
ROLLBACK_TO_SAVEPOINT = "ROLLBACK TO one_row"
RELEASE_SAVEPOINT = "RELEASE one_row"
FOREIGN_KEYS = "PRAGMA foreign_keys = ON"  # off unless each connection asks for it; outside of a transaction
ON_OPEN = (
    FOREIGN_KEYS,
    # As with Debian's SQLite, which is built with it: the token of a deleted session can't be read in a free page. FAST
    # would leave it there, if the whole page was freed. Deleting 100,000 rows takes 1.5 % more frames and 5 to 20 %
    # more time than without, and than with FAST.
    "PRAGMA secure_delete = ON",
    "PRAGMA synchronous = NORMAL",  # FULL would fsync under the lock; entries lost in a power cut are found again
    "PRAGMA wal_autocheckpoint = 0",  # checkpoints are planned (slicing.py)
    "PRAGMA mmap_size = 0",
    "PRAGMA cache_size = -2000",  # KiB: SQLite's own default; sqlcipher3's is four times that
    "PRAGMA temp_store = MEMORY",
    "PRAGMA analysis_limit = 400",  # sqlite.org/lang_analyze.html: keeps PRAGMA optimize short
)
FORGET_PAGES = "PRAGMA shrink_memory"
COMMITS_OF_OTHERS = "PRAGMA data_version"
CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"
EMPTY_WAL = "PRAGMA wal_checkpoint(TRUNCATE)"
CHECKPOINT_ALL = "PRAGMA wal_checkpoint(FULL)"  # with the write lock held; with no busy timeout it waits for nobody
LENGTH_OF_WAL = "PRAGMA wal_checkpoint(NOOP)"  # before SQLite 3.51 this is PASSIVE
# What the file of the WAL is cut to by a commit that starts it over; and the least that such a commit can write.
SIZE_OF_WAL = "PRAGMA journal_size_limit = {limit}"
ANY_SIZE_OF_WAL = "PRAGMA journal_size_limit = -1"
USER_VERSION = "PRAGMA user_version"
SET_USER_VERSION = "PRAGMA user_version = {version}"
OPTIMIZE = "PRAGMA optimize"
FREE_PAGES = "PRAGMA freelist_count"
PAGE_SIZE = "PRAGMA page_size"
AUTO_VACUUM = "PRAGMA auto_vacuum"
GIVE_BACK = "PRAGMA incremental_vacuum({pages})"

# --- bangeod migrate: rows as they are, in the order of their keys ----------------------------------------------------

COPIED_PAGE = "SELECT {key}, {columns} FROM {table} WHERE {after} ORDER BY {key} LIMIT :limit"
COPIED_AGAIN = "SELECT {key}, {columns} FROM {table} WHERE {after} AND {key} <= :upto ORDER BY {key}"
HIGHEST_NUMBER = "SELECT max({column}) FROM {table} WHERE typeof({column}) = 'integer'"

# --- fail2ban's own database: bips has the last ban of each address in each jail, bans has every ban ----------------

FAIL2BAN_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"
FAIL2BAN_JAILS = "SELECT CAST(name AS TEXT) FROM jails WHERE enabled != 0"
# Bans in force at :now. A bantime of -1 is for good; -2, after an upgrade from 0.10, is unknown. It may be REAL.
FAIL2BAN_STILL = "bantime <= -1 OR timeofban + bantime > :now"
FAIL2BAN_BEGUN = "({still}) AND timeofban >= :begun"
FAIL2BAN_JAIL_OF_BAN = "coalesce(CAST(jail AS TEXT), '')"
FAIL2BAN_LATELY = "timeofban > :since"
# The times of a ban, where they are asked for, as whole numbers: others may be no JSON. Without an end: for LATELY.
FAIL2BAN_TIMES = ("CAST(timeofban AS INTEGER)", "CAST(bantime AS INTEGER)")
FAIL2BAN_TIMES_LATELY = ("CAST(timeofban AS INTEGER)", ":lately")
FAIL2BAN_NO_TIMES = ("NULL", "NULL")
# A page comes as one JSON value: between two rows Python's lock must be taken, and fail2ban would wait for that too.
FAIL2BAN_PAGE_END = (
    "SELECT max(k), count(*) FROM (SELECT rowid AS k FROM {table} WHERE rowid > :after ORDER BY rowid LIMIT :limit)"
)
FAIL2BAN_PAGE = (
    "SELECT json_group_array(json_array(rowid, CASE typeof(ip) WHEN 'text' THEN ip END, {jail}, {since}, {length}))"
    " FROM {table} WHERE rowid > :after AND rowid <= :upto AND ({still})"
)
FAIL2BAN_DATA = (  # a BLOB of JSON
    "SELECT json_group_array(json_array(jail, since, length,"
    " json_extract(text, '$.ip'), json_extract(text, '$.ip4'), json_extract(text, '$.ip6')))"
    " FROM (SELECT {jail} AS jail, {since} AS since, {length} AS length, CAST(data AS TEXT) AS text"
    " FROM json_each(:rowids) AS wanted CROSS JOIN {table} WHERE {table}.rowid = wanted.value) WHERE json_valid(text)"
)
