"""Every SQL statement that bangeod runs on a PostgreSQL server, in one place.

The names in braces are filled in from what the table really has (columns.py): ``{table}`` and all columns are quoted.
``{key}`` are the columns of a unique index by which rows are paged and locked, ``{time}`` the column that gives a row's
age. A ``%`` that is none of psycopg's placeholders is doubled. Lists come as one array a column, and are unnested.
"""

# --- the session ------------------------------------------------------------------------------------------------------

# What is set holds for this session alone or, with ``local``, for the transaction. The path is pinned: with no schema
# named, to what it is now. Temporary tables come last, so that none hides a table of the web app's. Each statement of
# bangeod's is for some keys of a table that may be large: so the plans are those by index, whatever the statistics say,
# and none is compiled for that (a scan that is not wanted counts as very dear, and JIT looks at what a plan costs).
SET_UP = (
    "SELECT set_config('search_path', coalesce(quote_ident(CAST(%(schema)s AS text)),"
    " (SELECT string_agg(quote_ident(name), ', ') FROM unnest(current_schemas(false)) AS name), '\"\"') || ', pg_temp',"
    " %(local)s),"
    " set_config('lock_timeout', %(lock_timeout)s, %(local)s),"
    " set_config('statement_timeout', %(statement_timeout)s, %(local)s),"
    " set_config('idle_in_transaction_session_timeout', %(idle_timeout)s, %(local)s),"
    " set_config('tcp_keepalives_idle', '30', %(local)s),"
    " set_config('tcp_keepalives_interval', '10', %(local)s),"
    " set_config('tcp_keepalives_count', '3', %(local)s),"
    " set_config('DateStyle', 'ISO, YMD', %(local)s),"
    " set_config('TimeZone', 'UTC', %(local)s),"
    " set_config('IntervalStyle', 'postgres', %(local)s),"
    " set_config('extra_float_digits', '1', %(local)s),"
    " set_config('bytea_output', 'hex', %(local)s),"
    " set_config('standard_conforming_strings', 'on', %(local)s),"
    " set_config('default_transaction_isolation', 'read committed', %(local)s),"
    " set_config('enable_seqscan', 'off', %(local)s),"
    " set_config('enable_hashjoin', 'off', %(local)s),"
    " set_config('enable_mergejoin', 'off', %(local)s),"
    " set_config('max_parallel_workers_per_gather', '0', %(local)s),"
    " set_config('jit', 'off', %(local)s)"
)
DATABASE = "SELECT oid, pg_is_in_recovery(), pg_backend_pid() FROM pg_database WHERE datname = current_database()"
SYSTEM = "SELECT system_identifier FROM pg_control_system()"
TIMELINE = "SELECT substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)"
NOTHING = "SELECT"
ANY_BYTES = "SET client_encoding = 'SQL_ASCII'"
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"

# --- looking at the tables --------------------------------------------------------------------------------------------

# A table that others inherit from counts as a partitioned one: what is read of it is read of them as well. Rows are
# found by the blocks that hold them from PostgreSQL 14 on, and in tables of its own kind.
RELATION = (
    "SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname),"
    " CASE WHEN c.relkind = 'r' AND c.relhassubclass THEN 'p' ELSE CAST(c.relkind AS text) END,"
    " has_any_column_privilege(c.oid, 'UPDATE'),"
    " coalesce(c.relkind = 'r' AND NOT c.relhassubclass AND am.amname = 'heap', false)"
    " AND CAST(current_setting('server_version_num') AS int) >= 140000"
    " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace LEFT JOIN pg_am AS am ON am.oid = c.relam"
    " WHERE c.relname = %(name)s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
    " AND n.nspname = ANY (current_schemas(false))"
    " ORDER BY array_position(current_schemas(false), n.nspname) LIMIT 1"
)
# A domain counts as the type that it is made of.
COLUMNS = (
    "SELECT CAST(a.attname AS text), quote_ident(a.attname), CAST(base.typname AS text), format_type(base.oid, -1),"
    " CASE WHEN t.typbasetype = 0 THEN a.atttypmod ELSE t.typtypmod END,"
    " a.attnotnull OR t.typnotnull, pg_get_expr(d.adbin, d.adrelid),"
    " a.attgenerated <> '' OR a.attidentity = 'a', a.attidentity <> ''"
    " FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid"
    " JOIN pg_type AS base ON base.oid = coalesce(nullif(t.typbasetype, 0), t.oid)"
    " LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    " WHERE a.attrelid = %(table)s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
)
UNIQUE_KEYS = (  # the columns of each whole unique index whose columns can't be NULL, the primary key first
    "SELECT array_agg(CAST(a.attname AS text) ORDER BY k.place)"
    " FROM pg_index AS i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (number, place)"
    " JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number"
    " WHERE i.indrelid = %(table)s AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL"
    " AND k.place <= i.indnkeyatts"
    " GROUP BY i.indexrelid, i.indisprimary HAVING bool_and(a.attnotnull)"
    " ORDER BY i.indisprimary DESC, i.indexrelid"
)

# --- values -----------------------------------------------------------------------------------------------------------

# Microseconds since the epoch of a time column, NULL where it can't be read. They agree with times.read() of the same
# moment: a date and time of the years 1 to 9999, a number of the years 1990 to 2200. Text is read by times.py alone.
MICROS_OF_MOMENT = (
    "CASE WHEN {c} >= '0001-01-01 00:00:00+00' AND {c} < '10000-01-01 00:00:00+00'"
    " THEN CAST(EXTRACT(EPOCH FROM {c}) * 1000000 AS bigint) END"
)
MICROS_OF_INTEGER = "CASE WHEN {c} >= 631152000 AND {c} < 7258118400 THEN CAST({c} AS bigint) * 1000000 END"
MICROS_OF_REAL = (
    "CASE WHEN {c} >= 631152000 AND {c} < 7258118400"
    " THEN CAST(trunc(CAST({c} AS double precision) * 1000000) AS bigint) END"
)
MICROS_OF_NUMERIC = "CASE WHEN {c} >= 631152000 AND {c} < 7258118400 THEN CAST(trunc({c} * 1000000) AS bigint) END"
NO_MICROS = "CAST(NULL AS bigint)"

# --- paging: the rows of a page are found by an index, so no statement reads more than a page -------------------------

# A page has the rows that are wanted, and in any case its last row, by which the next page begins, and the row after
# that, where there is one.
PAGE = (
    "SELECT * FROM (SELECT row_number() OVER (ORDER BY {key}) AS n, {wanted} AS wanted, {key_texts}, {items}"
    " FROM {table} AS t WHERE {after} ORDER BY {key} LIMIT %(limit)s + 1) AS page"
    " WHERE wanted OR n >= %(limit)s ORDER BY n"
)
ALL = "true"
# Values that are no upper-case code: row_values.py reads them, and finds a country in some of them.
ODD_COUNTRY = "coalesce({code} <> ALL (CAST(%(codes)s AS text[])), true)"
# The same of the rows that some blocks hold, in whatever order: each block is read once, and only once. Where a row is,
# and which version of it, ctid and xmin say together.
BLOCKS = "SELECT pg_relation_size(CAST(%(table)s AS oid)) / CAST(current_setting('block_size') AS bigint)"
OF_BLOCKS = (
    "SELECT {key_texts}, CAST(t.ctid AS text), CAST(t.xmin AS text), {items} FROM {table} AS t"
    " WHERE t.ctid >= CAST(%(first)s AS tid) AND t.ctid < CAST(%(end)s AS tid) AND {wanted}"
)
DUE = "coalesce({micros} < CAST(%(before)s AS bigint), true)"
# Of a text that is a time beyond doubt, in UTC, on no day that not every month has: whether it is of a later day.
# Everything else times.py reads.
DUE_TEXT = (
    'NOT coalesce(left({c}, 10) COLLATE "C" > %(day)s AND {c} ~'
    " ('^[0-9]{{4}}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])[T ]([01][0-9]|2[0-3])(:[0-5][0-9]){{2}}"
    '([.][0-9]{{1,6}})?(Z|[+]00:00)?$\' COLLATE "C"), false)'
)
# The same in two texts: of the rows that are due the keys and times, and the times of the others. To see which texts
# are times takes a moment here, and ten times as long by the server's regular expressions. What was written before the
# horizon was there to be read, as long as the table is in the same file.
SURE_OF_BLOCKS = (
    "SELECT string_agg({key_text} || chr(10) || {stored} || chr(10), '') FILTER (WHERE {is_due}),"
    " string_agg({stored} || chr(10), '') FILTER (WHERE NOT {is_due}),"
    " CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS xid) AS text), pg_relation_filenode(CAST(%(table)s AS oid))"
    " FROM {table} AS t WHERE t.ctid >= CAST(%(first)s AS tid) AND t.ctid < CAST(%(end)s AS tid)"
)
SURELY_DUE = "coalesce({micros} < CAST(%(before)s AS bigint), false)"
# Of a day the texts have T or a space next.
SURELY_DUE_TEXT = (
    'coalesce({c} COLLATE "C" < %(day)s'
    ' OR ({c} COLLATE "C" < %(day)s || \'U\' AND substr({c}, 12, 8) COLLATE "C" < %(time)s), false)'
)
PAGE_END = (
    "SELECT {key_texts} FROM {table} AS t WHERE {after} ORDER BY {key} OFFSET CAST(%(limit)s AS bigint) - 1 LIMIT 1"
)
NAMES_OF_PAGE = (
    "SELECT {code}, {name}, count(*) FROM {table} AS t WHERE {after} AND {upto} AND {code} IS NOT NULL"
    " AND {name} IS NOT NULL AND upper(CAST({code} AS text)) <> ALL (CAST(%(but)s AS text[])) GROUP BY 1, 2"
)
COUNT = "SELECT count(*) FROM {table}"
COUNT_UP_TO = "SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT %(limit)s) AS counted"
ESTIMATED_ROWS = "SELECT CAST(reltuples AS bigint) FROM pg_class WHERE oid = %(table)s"  # by the last vacuum or ANALYZE

# --- reading by address -----------------------------------------------------------------------------------------------

FIND = "SELECT {ip_text}, {place}, {seen} FROM {table} AS t WHERE t.ip = ANY (CAST(%(ips)s AS {ip_type}[]))"
HELD = (
    "SELECT {ip_text}, CAST(t.ctid AS text), CAST(t.xmin AS text), {unseen}, {seen_exactly}, {place}, {key_texts}"
    " FROM {table} AS t WHERE t.ip = ANY (CAST(%(ips)s AS {ip_type}[]))"
)
HAS_MAPPED = (  # of type inet; two index lookups
    "SELECT EXISTS (SELECT 1 FROM {table} WHERE ip >= '::ffff:0.0.0.0' AND ip <= '::ffff:255.255.255.255')"
)
# Keys of addresses that may be written unusually: capitals, leading zeros, zeros that could be left out, or IPv4 as
# IPv6. Compared by their bytes, so that a range of letters means what it says in every language.
ODD_KEY = (
    "k ~ ':' COLLATE \"C\" AND k !~ '^::ffff:[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+$' COLLATE \"C\""
    " AND (k ~ '[A-Z.]|:0|^[:0]' COLLATE \"C\" OR (k ~ '(:.*){7}' COLLATE \"C\" AND k ~ '::' COLLATE \"C\"))"
)
ODD_KEYS_PAGE = (
    "WITH page AS MATERIALIZED (SELECT CAST(t.ip AS text) AS k, row_number() OVER (ORDER BY t.ip) AS n"
    " FROM {table} AS t WHERE {after_ip} ORDER BY t.ip LIMIT %(limit)s)"
    " SELECT count(*), (SELECT k FROM page WHERE n = %(limit)s),"
    " coalesce(bool_or(k ~ '^::[fF]' COLLATE \"C\"), false), coalesce(array_agg(k) FILTER (WHERE {odd}), '{{}}')"
    " FROM page"
)
AFTER_IP = "t.ip > CAST(%(after)s AS {ip_type})"

# --- the newest times: in the last blocks, into which new rows mostly go ----------------------------------------------

LAST_BLOCKS = (
    "SELECT greatest(0, pg_relation_size(CAST(%(table)s AS oid)) / CAST(current_setting('block_size') AS bigint)"
    " - CAST(%(blocks)s AS bigint))"
)
LATEST_TIMES = "SELECT DISTINCT {c} FROM (SELECT {c} FROM {table} AS t WHERE {where} LIMIT %(limit)s) AS t"
FROM_BLOCK = "t.ctid >= CAST(%(first)s AS tid)"
# What the constraints on one column alone say of a value, by the server's own expression for them.
CHECKS = (
    "SELECT pg_get_expr(c.conbin, c.conrelid) FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.conrelid"
    " WHERE c.conrelid = %(table)s AND c.contype = 'c' AND a.attname = %(column)s AND c.conkey = ARRAY[a.attnum]"
)
PASSES = "SELECT {checks} FROM (SELECT {value} AS {c}) AS t"

# --- writing: decided from rows read before (row_values.py), and written only to those still as they were -------------

# Which version of a row it is, ctid and xmin say together; only VACUUM FULL and CLUSTER move it, so its key is looked
# at, too. What another transaction has locked is passed over, or waited for. The rows are locked in the order of their
# keys, so that no two that do so wait for each other. The result is one row: the numbers of those that were locked, and
# of those that were changed.
# The server's own measure knows nothing of the way to it, nor of what else this process does meanwhile.
SECONDS_SO_FAR = "CAST(extract(epoch FROM clock_timestamp() - statement_timestamp()) AS double precision)"
SAME_VERSION = "t.ctid = CAST(i.place AS tid) AND t.xmin = CAST(i.version AS xid)"
UPDATE = (
    "WITH input AS (SELECT * FROM unnest({arrays}) WITH ORDINALITY AS i ({names}, n)),"
    " held AS MATERIALIZED (SELECT {held}, i.* FROM input AS i JOIN {table} AS t ON {same_key}"
    " AND {is_same} ORDER BY {key} FOR NO KEY UPDATE OF t {wait}),"
    " changed AS (UPDATE {table} AS t SET {sets} FROM held AS i WHERE {is_held} RETURNING i.n)"
    " SELECT (SELECT array_agg(n) FROM held), (SELECT array_agg(n) FROM changed), {seconds_so_far}"
)
SKIP_LOCKED = "SKIP LOCKED"
INSERT = (
    "INSERT INTO {table} AS t ({columns}) SELECT {values} FROM unnest({arrays}) AS i ({names})"
    " ORDER BY CAST(i.ip AS {ip_type}) ON CONFLICT DO NOTHING RETURNING {ip_text}, {seconds_so_far}"
)

# --- deleting: the rows are found first, and deleted where they are still what they were ------------------------------

# As with an UPDATE: a row is the same by where it is and which version, or by its key and time. What another
# transaction has locked is passed over, so that nothing is waited for, in whatever order. What can't be locked is
# looked at again by the DELETE itself, which waits for who has it. A deletion that a crash of the server undoes is done
# again: its commit need not wait for the disk, with rows locked.
DELETE = (
    "WITH input AS (SELECT * FROM unnest({arrays}) WITH ORDINALITY AS i ({names}, n)),"
    " due AS MATERIALIZED (SELECT i.* FROM input AS i JOIN {table} AS t ON {same_key} AND {is_same} {lock}),"
    " gone AS (DELETE FROM {table} AS t USING due AS i WHERE {same_key} AND {is_same} RETURNING i.n)"
    " SELECT (SELECT array_agg(n) FROM due), (SELECT array_agg(n) FROM gone), {seconds_so_far},"
    " set_config('synchronous_commit', 'off', true)"
)
STILL_DUE = (  # where no row could be locked: those that nobody has changed meanwhile
    "SELECT i.n FROM unnest({arrays}) WITH ORDINALITY AS i ({names}, n) JOIN {table} AS t ON {same_key} AND {is_same}"
)
LOCK_DUE = "FOR UPDATE OF t SKIP LOCKED"  # for which one must be permitted to update
IN_ORDER = "ORDER BY {key}"  # else the DELETE waits for locks, and takes its own in the order of the keys

# Of what some blocks hold, the rows that are due and were so when they were read, but for some; which they are is told
# where there are not as many as expected.
DELETE_SURE = (
    "WITH gone AS (DELETE FROM {table} AS t WHERE t.ctid = ANY (ARRAY (SELECT t.ctid FROM {table} AS t"
    " WHERE t.ctid >= CAST(%(first)s AS tid) AND t.ctid < CAST(%(end)s AS tid) AND {is_due}"
    " AND age(t.xmin) > age(CAST(%(horizon)s AS xid)) AND pg_relation_filenode(CAST(%(table)s AS oid)) = %(file)s"
    ' AND ({key_text}) COLLATE "C" <> ALL (CAST(%(kept)s AS text[]))'
    " FOR UPDATE OF t SKIP LOCKED)) RETURNING {key_text} AS k)"
    " SELECT count(*), CASE WHEN count(*) IS DISTINCT FROM CAST(%(expected)s AS bigint)"
    " THEN (SELECT array_agg(k) FROM gone) END, {seconds_so_far}, set_config('synchronous_commit', 'off', true)"
    " FROM gone"
)

# --- notices: which addresses have changed, to whoever listens on the channel -----------------------------------------

LISTEN = "LISTEN {channel}"
# A notice that a crash of the server takes along is one that others catch up on: it need not wait for the disk.
NOTIFY = (
    "SELECT pg_notify(CAST(%(channel)s AS text), payload), set_config('synchronous_commit', 'off', true)"
    " FROM unnest(CAST(%(payloads)s AS text[])) AS payload"
)

# --- housekeeping -----------------------------------------------------------------------------------------------------

SIZE = "SELECT pg_database_size(current_database())"

# --- bangeod check, and bangeod init ----------------------------------------------------------------------------------

INSPECT_FROM = (  # in this transaction, bare names mean what they mean to the jobs
    "SELECT set_config('search_path', coalesce(quote_ident(CAST(%(schema)s AS text)),"
    " (SELECT string_agg(quote_ident(name), ', ') FROM unnest(current_schemas(false)) AS name), '\"\"'), true)"
)
INSPECT_SERVER = (
    "SELECT current_setting('server_version'), CAST(current_user AS text),"
    " coalesce((SELECT rolsuper FROM pg_roles WHERE rolname = current_user), false),"
    " pg_is_in_recovery(), current_setting('transaction_read_only') = 'on', pg_backend_pid(),"
    " CAST(current_schema() AS text), coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
)
INSPECT_TABLES = (
    "SELECT CAST(n.nspname AS text), CAST(c.relname AS text), pg_table_is_visible(c.oid),"
    " has_schema_privilege(n.oid, 'USAGE'), c.relkind IN ('r', 'p'),"
    " CASE WHEN c.reltuples >= 0 THEN CAST(c.reltuples AS bigint) END, row_security_active(c.oid),"
    " ARRAY[has_any_column_privilege(c.oid, 'SELECT'), has_any_column_privilege(c.oid, 'INSERT'),"
    " has_any_column_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE')]"
    " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE c.relname IN ('geo_cache', 'sessions') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
    " AND n.nspname !~ '^pg_' ORDER BY n.nspname, c.relname"
)
ONE_MAKES_TABLES = "SELECT pg_advisory_xact_lock(2127301959)"  # any number that nobody else takes
TABLES_MADE = {
    "geo_cache": (
        "CREATE TABLE geo_cache (ip text PRIMARY KEY, country_code text, country_name text, asn text, org text,"
        " cached_at timestamptz, last_seen timestamptz)"
    ),
    "sessions": (
        "CREATE TABLE sessions (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, token text UNIQUE,"
        " created_at timestamptz, expires_at timestamptz)"
    ),
}

# --- bangeod migrate: rows of SQLite's, compared and written by the page ----------------------------------------------

# Each column's type with its length or precision, and the sequence that numbers it: its own, or its default's.
COPIED_COLUMNS = (
    "SELECT CAST(a.attname AS text), format_type(a.atttypid, a.atttypmod), CAST(s.number AS text),"
    " CAST(CAST(s.number AS regclass) AS text),"
    " has_sequence_privilege(s.number, 'USAGE') AND has_sequence_privilege(s.number, 'UPDATE')"
    " FROM pg_attribute AS a LEFT JOIN LATERAL"
    " (SELECT d.objid FROM pg_depend AS d JOIN pg_class AS c ON c.oid = d.objid AND c.relkind = 'S'"
    " WHERE d.classid = CAST('pg_class' AS regclass) AND d.refclassid = CAST('pg_class' AS regclass)"
    " AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum"
    " UNION SELECT d.refobjid FROM pg_attrdef AS ad JOIN pg_depend AS d"
    " ON d.classid = CAST('pg_attrdef' AS regclass) AND d.objid = ad.oid"
    " AND d.refclassid = CAST('pg_class' AS regclass) JOIN pg_class AS c ON c.oid = d.refobjid AND c.relkind = 'S'"
    " WHERE ad.adrelid = a.attrelid AND ad.adnum = a.attnum) AS s (number) ON true"
    " WHERE a.attrelid = %(table)s AND a.attnum > 0 AND NOT a.attisdropped"
)
COPIED_IDENTITY = "SELECT CAST(attname AS text) FROM pg_attribute WHERE attrelid = %(table)s AND attidentity = 'a'"
# For each row given: what the server makes of its values, and the row that is there.
COPIED_HELD = (
    "SELECT i.n, {told}, CAST(t.ctid AS text), CAST(t.xmin AS text), {key_texts}, {items}"
    " FROM unnest({arrays}) WITH ORDINALITY AS i ({names}, n) LEFT JOIN {table} AS t ON {same}"
)
COPIED_INSERT = (
    "INSERT INTO {table} AS t ({columns}) OVERRIDING SYSTEM VALUE SELECT {values}"
    " FROM unnest({arrays}) WITH ORDINALITY AS i ({names}, n) ORDER BY {order}"
    " ON CONFLICT DO NOTHING RETURNING {recognised}"
)
TRANSACTION = "SELECT CAST(txid_current() AS text)"
END_OF_TRANSACTION = "SELECT txid_status(CAST(%(transaction)s AS bigint))"
LAST_NUMBER = (
    "SELECT pg_sequence_last_value(CAST(%(sequence)s AS oid)), seqstart, seqincrement, seqmax FROM pg_sequence"
    " WHERE seqrelid = CAST(%(sequence)s AS oid)"
)
NEXT_NUMBERS = (
    "SELECT count(nextval(CAST(CAST(%(sequence)s AS oid) AS regclass)))"
    " FROM generate_series(1, CAST(%(count)s AS bigint))"
)
SET_NUMBER = "SELECT setval(CAST(CAST(%(sequence)s AS oid) AS regclass), CAST(%(number)s AS bigint))"
