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

RELATION = (
    "SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname), CAST(c.relkind AS text),"
    " has_any_column_privilege(c.oid, 'UPDATE')"
    " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
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
DUE = "coalesce({micros} < CAST(%(before)s AS bigint), true)"
# Of a text that is a time beyond doubt, in UTC, on no day that not every month has: whether it is of a later day.
# Everything else times.py reads.
DUE_TEXT = (
    'NOT coalesce(left({c}, 10) COLLATE "C" > %(day)s AND {c} ~'
    " ('^[0-9]{{4}}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])[T ]([01][0-9]|2[0-3])(:[0-5][0-9]){{2}}"
    '([.][0-9]{{1,6}})?(Z|[+]00:00)?$\' COLLATE "C"), false)'
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

# --- writing: decided from rows read before (row_values.py), and written only to those still as they were -------------

# Which version of a row it is, ctid and xmin say together. What another transaction has locked is passed over, or
# waited for. The rows are locked in the order of their keys, so that no two that do so wait for each other. The result
# is one row: the numbers of those that were locked, and of those that were changed.
UPDATE = (
    "WITH input AS (SELECT * FROM unnest({arrays}) WITH ORDINALITY AS i ({names}, n)),"
    " held AS MATERIALIZED (SELECT {held}, i.* FROM input AS i JOIN {table} AS t ON {same_row}"
    " AND t.ctid = CAST(i.place AS tid) AND t.xmin = CAST(i.version AS xid)"
    " ORDER BY {key} FOR NO KEY UPDATE OF t {wait}),"
    " changed AS (UPDATE {table} AS t SET {sets} FROM held AS i WHERE {is_held} RETURNING i.n)"
    " SELECT (SELECT array_agg(n) FROM held), (SELECT array_agg(n) FROM changed)"
)
SKIP_LOCKED = "SKIP LOCKED"
INSERT = (
    "INSERT INTO {table} AS t ({columns}) SELECT {values} FROM unnest({arrays}) AS i ({names})"
    " ORDER BY CAST(i.ip AS {ip_type}) ON CONFLICT DO NOTHING RETURNING {ip_text}"
)

# --- deleting: the keys are found first, and deleted where the row's time is still what it was ------------------------

# A deletion that a crash of the server undoes is done again: its commit need not wait for the disk, with rows locked.
DELETE = (
    "WITH input AS (SELECT * FROM unnest({arrays}) WITH ORDINALITY AS i ({names}, n)),"
    " due AS MATERIALIZED (SELECT {held_keys}, i.n FROM input AS i JOIN {table} AS t ON {same_key}"
    " AND {time_as_found} ORDER BY {key} {lock}),"
    " gone AS (DELETE FROM {table} AS t USING due AS i WHERE {has_held_keys} RETURNING i.n)"
    " SELECT (SELECT array_agg(n) FROM due), (SELECT array_agg(n) FROM gone),"
    " (SELECT set_config('synchronous_commit', 'off', true))"
)
LOCK_DUE = "FOR UPDATE OF t SKIP LOCKED"  # for which one must be permitted to update

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
