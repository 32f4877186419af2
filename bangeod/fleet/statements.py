"""Every SQL statement on the fleet's own tables, the schema ``bangeod`` of a server, and how they are made."""

from typing import Final

SCHEMA: Final = "bangeod"
TABLES: Final = ("geo", "bans", "claims", "pauses", "state")

# --- making the tables ------------------------------------------------------------------------------------------------

ONE_MAKES_TABLES = "SELECT pg_advisory_xact_lock(2127301960)"  # any number that nobody else takes
MAKE_SCHEMA = "CREATE SCHEMA bangeod"

# ``writer`` is the role that wrote a row, whatever role it has set since: row-level security goes by it. Two rows of
# different writers never meet in a key, so that none keeps another from writing, except where it is meant to: a claim.
MADE: Final = {
    # Where an address is, as a host's own sources said.
    "geo": (
        (
            "CREATE TABLE bangeod.geo (ip inet NOT NULL, writer name NOT NULL DEFAULT session_user,"
            " country_code text, country_name text, asn text, org text, origin text NOT NULL,"
            " resolved_at timestamptz NOT NULL, last_seen timestamptz NOT NULL, PRIMARY KEY (ip, writer))"
        ),
        "CREATE INDEX geo_age ON bangeod.geo (writer, last_seen)",
    ),
    # Who is banned, on which host; ``until`` is NULL for good.
    "bans": (
        (
            "CREATE TABLE bangeod.bans (host text NOT NULL, writer name NOT NULL DEFAULT session_user,"
            " ip inet NOT NULL, jail text NOT NULL, since timestamptz NOT NULL, until timestamptz,"
            " PRIMARY KEY (writer, host, jail, ip))"
        ),
        "CREATE INDEX bans_ip ON bangeod.bans (ip)",
    ),
    # Addresses that one host asks ip-api about, or has asked: until then nobody else does.
    "claims": (
        (
            "CREATE TABLE bangeod.claims (ip inet PRIMARY KEY, writer name NOT NULL DEFAULT session_user,"
            " host text NOT NULL, until timestamptz NOT NULL)"
        ),
        "CREATE INDEX claims_until ON bangeod.claims (until)",
    ),
    # What each host says of ip-api's limit for the public address that it shares with others, its ``egress``.
    "pauses": (
        (
            "CREATE TABLE bangeod.pauses (egress text NOT NULL, writer name NOT NULL DEFAULT session_user,"
            " host text NOT NULL, until timestamptz NOT NULL, requests_left integer, window_end timestamptz,"
            " said_at timestamptz NOT NULL, PRIMARY KEY (egress, writer, host))"
        ),
    ),
    # Named moments: when a daemon was last there, and when a job last succeeded.
    "state": (
        (
            "CREATE TABLE bangeod.state (host text NOT NULL, writer name NOT NULL DEFAULT session_user,"
            " name text NOT NULL, at timestamptz NOT NULL, value text, PRIMARY KEY (writer, host, name))"
        ),
        "CREATE INDEX state_name ON bangeod.state (name, at)",
    ),
}
# Everybody who is granted a table reads all of it, and changes what is its own. An expired claim anybody may remove.
SECURED: Final = (
    "ALTER TABLE bangeod.{table} ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE bangeod.{table} FORCE ROW LEVEL SECURITY",
    "CREATE POLICY read_all ON bangeod.{table} FOR SELECT USING (true)",
    "CREATE POLICY add_own ON bangeod.{table} FOR INSERT WITH CHECK (writer = session_user)",
    (
        "CREATE POLICY change_own ON bangeod.{table} FOR UPDATE USING (writer = session_user)"
        " WITH CHECK (writer = session_user)"
    ),
    "CREATE POLICY delete_own ON bangeod.{table} FOR DELETE USING (writer = session_user)",
)
EXPIRED_CLAIMS_GO = "CREATE POLICY delete_expired ON bangeod.claims FOR DELETE USING (until < now())"

# --- granting what a host needs, by names that are quoted -------------------------------------------------------------

GRANTED: Final = (
    "GRANT USAGE ON SCHEMA bangeod TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {role}",
)
ROLES = (
    "SELECT CAST(rolname AS text), quote_ident(rolname) FROM pg_roles WHERE rolname = ANY (CAST(%(names)s AS text[]))"
)

# --- looking at them --------------------------------------------------------------------------------------------------

SERVER = (
    "SELECT current_setting('server_version'), CAST(rolname AS text), rolsuper, rolbypassrls, pg_is_in_recovery(),"
    " current_setting('transaction_read_only') = 'on', pg_backend_pid(),"
    " has_database_privilege(current_database(), 'CREATE'), CAST(current_database() AS text)"
    " FROM pg_roles WHERE rolname = session_user"
)
SCHEMA_SEEN = (
    "SELECT CAST(pg_get_userbyid(nspowner) AS text), has_schema_privilege(oid, 'USAGE'),"
    " has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = 'bangeod'"
)
# All that has a name of its own there; a column as its name and its type's.
TABLES_SEEN = (
    "SELECT CAST(c.relname AS text), c.relkind IN ('r', 'p'), CAST(pg_get_userbyid(c.relowner) AS text),"
    " pg_has_role(c.relowner, 'USAGE'), c.relrowsecurity, c.relforcerowsecurity,"
    " CASE WHEN c.reltuples >= 0 THEN CAST(c.reltuples AS bigint) END,"
    " ARRAY[has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'),"
    " has_table_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE')],"
    " (SELECT coalesce(array_agg(CAST(a.attname AS text) || ' ' || CAST(t.typname AS text)), '{}')"
    " FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid"
    " WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)"
    " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE n.nspname = 'bangeod' AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY c.relname"
)

# --- where an address is ----------------------------------------------------------------------------------------------

# Times are read as microseconds since the epoch, NULL for what no daemon writes: infinity, BC, the year 10000.
_PLACES = (
    "SELECT host(g.ip), CAST(g.writer AS text), left(g.country_code, 3), left(g.country_name, %(longest)s),"
    " left(g.asn, %(longest)s), left(g.org, %(longest)s), left(g.origin, %(longest)s),"
    " CASE WHEN g.resolved_at >= '0001-01-01 00:00:00+00' AND g.resolved_at < '10000-01-01 00:00:00+00'"
    " THEN CAST(EXTRACT(EPOCH FROM g.resolved_at) * 1000000 AS bigint) END,"
    " CASE WHEN g.last_seen >= '0001-01-01 00:00:00+00' AND g.last_seen < '10000-01-01 00:00:00+00'"
    " THEN CAST(EXTRACT(EPOCH FROM g.last_seen) * 1000000 AS bigint) END,"
    " greatest(g.resolved_at, g.last_seen) > now() + interval '1 minute'"  # clocks differ a little after a failover
    " FROM ({rows}) AS g"
)
# A host's own row comes first, then the newest, but those of the future last.
_FIRST = (
    "SELECT DISTINCT ON (t.ip) * FROM bangeod.geo AS t WHERE t.ip = ANY (CAST(%(ips)s AS inet[]))"
    " ORDER BY t.ip, t.writer = session_user DESC, t.resolved_at > now() + interval '1 minute', t.resolved_at DESC"
)
_SOME = (
    "SELECT r.* FROM unnest(CAST(%(ips)s AS inet[])) AS i (ip) CROSS JOIN LATERAL (SELECT * FROM bangeod.geo AS t"
    " WHERE t.ip = i.ip ORDER BY t.writer = session_user DESC, t.resolved_at > now() + interval '1 minute',"
    " t.resolved_at DESC LIMIT 10) AS r"
)
FIND_PLACES = _PLACES.format(rows=_FIRST)
FIND_MORE_PLACES = _PLACES.format(rows=_SOME)  # of addresses whose first row is odd
MAY_FIND_PLACES = "SELECT FROM bangeod.geo LIMIT 0"
# Writes a host's own rows, and only those that say something new; a day is something new. In the same transaction, the
# others are told which addresses to read again. The result has a row where anything was written.
SHARE_PLACES = (
    "WITH input AS (SELECT CAST(ip AS inet), code, name, asn, org, origin,"
    " least(to_timestamp(CAST(resolved AS double precision)), now()) AS resolved_at,"
    " least(to_timestamp(CAST(seen AS double precision)), now()) AS last_seen"
    " FROM unnest(CAST(%(ip)s AS text[]), CAST(%(code)s AS text[]), CAST(%(name)s AS text[]), CAST(%(asn)s AS text[]),"
    " CAST(%(org)s AS text[]), CAST(%(origin)s AS text[]), CAST(%(resolved)s AS text[]), CAST(%(seen)s AS text[]))"
    " AS i (ip, code, name, asn, org, origin, resolved, seen)),"
    " written AS (INSERT INTO bangeod.geo AS g"
    " (ip, country_code, country_name, asn, org, origin, resolved_at, last_seen)"
    " SELECT * FROM input ORDER BY ip ON CONFLICT (ip, writer) DO UPDATE SET"
    " country_code = excluded.country_code, country_name = excluded.country_name, asn = excluded.asn,"
    " org = excluded.org, origin = excluded.origin, resolved_at = excluded.resolved_at,"
    " last_seen = CASE WHEN g.last_seen > now() THEN excluded.last_seen"
    " ELSE greatest(g.last_seen, excluded.last_seen) END"
    " WHERE g.resolved_at > now() OR (g.resolved_at <= excluded.resolved_at AND ("
    "(g.country_code, g.country_name, g.asn, g.org, g.origin) IS DISTINCT FROM"
    " (excluded.country_code, excluded.country_name, excluded.asn, excluded.org, excluded.origin)"
    " OR g.last_seen > now() OR g.last_seen <= excluded.last_seen - interval '1 day')) RETURNING 1)"
    " SELECT (SELECT count(*) FROM written), pg_notify(%(channel)s, payload)"
    " FROM unnest(CAST(%(payloads)s AS text[])) AS payload WHERE EXISTS (SELECT FROM written)"
)
# A row that another daemon of the same role has locked is passed over: it is seen again tomorrow.
SEE_PLACES = (
    "WITH seen AS (SELECT g.ip, g.writer, least(to_timestamp(CAST(i.seen AS double precision)), now()) AS seen_at"
    " FROM unnest(CAST(%(ip)s AS inet[]), CAST(%(seen)s AS text[])) AS i (ip, seen)"
    " JOIN bangeod.geo AS g ON g.ip = i.ip AND g.writer = session_user"
    " AND g.last_seen <= to_timestamp(CAST(i.seen AS double precision)) - interval '1 day'"
    " ORDER BY g.ip FOR NO KEY UPDATE OF g SKIP LOCKED)"
    " UPDATE bangeod.geo AS g SET last_seen = seen.seen_at FROM seen WHERE g.ip = seen.ip AND g.writer = seen.writer"
)
DELETE_STALE_PLACES = (
    "WITH due AS (SELECT ip, writer FROM bangeod.geo WHERE writer = session_user"
    " AND last_seen < to_timestamp(CAST(%(before)s AS double precision))"
    " ORDER BY last_seen LIMIT %(limit)s FOR UPDATE SKIP LOCKED)"
    " DELETE FROM bangeod.geo AS g USING due WHERE g.ip = due.ip AND g.writer = due.writer RETURNING 1"
)

# --- the daemons of one database: whose turn a job is, and when it was last done --------------------------------------

# A lock is of a job on the web app's tables, as the session finds them; NULL where there are none.
TAKE_JOB = (
    "SELECT pg_try_advisory_lock(CAST(%(job)s AS integer),"
    " CAST(CAST(coalesce(to_regclass('geo_cache'), to_regclass('sessions')) AS oid) AS integer))"
)
# The schema of these tables, whose name outlives a dump and its restoring.
SERVED_SCHEMA = (
    "SELECT CAST(n.nspname AS text) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE c.oid = coalesce(to_regclass('geo_cache'), to_regclass('sessions'))"
)
MAY_USE_STATE = (
    "SELECT usable AND has_table_privilege(c.oid, 'SELECT'), usable AND has_table_privilege(c.oid, 'SELECT')"
    " AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')"
    " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " CROSS JOIN LATERAL has_schema_privilege(n.oid, 'USAGE') AS usable"
    " WHERE n.nspname = 'bangeod' AND c.relname = 'state' AND c.relkind IN ('r', 'p')"
)
# Of what may stand there, written by whomever: times that have passed.
SINCE_SUCCESS = (
    "SELECT CAST(EXTRACT(EPOCH FROM now() - max(at)) AS double precision) FROM bangeod.state"
    " WHERE name = %(name)s AND at <= now() AND at > '2000-01-01Z'"
)
NOTE_SUCCESS = (
    "INSERT INTO bangeod.state (host, name, at)"
    " VALUES (%(host)s, %(name)s, now() - make_interval(secs => CAST(%(ago)s AS double precision)))"
    " ON CONFLICT (writer, host, name) DO UPDATE SET at = EXCLUDED.at"
)

# --- which daemons are there ------------------------------------------------------------------------------------------

DAEMON: Final = "daemon "  # and what tells it from others of its host
BEAT = (
    "INSERT INTO bangeod.state (host, name, at, value) VALUES (%(host)s, %(name)s, now(), %(clock)s)"
    " ON CONFLICT (writer, host, name) DO UPDATE SET at = EXCLUDED.at, value = EXCLUDED.value"
)
DAEMONS = (
    "SELECT host, value, CAST(EXTRACT(EPOCH FROM at) AS double precision) FROM bangeod.state"
    " WHERE name LIKE 'daemon %%' AND at > now() - INTERVAL '1 minute' AND at < now() + INTERVAL '1 minute'"
)
FORGET_OLD_DAEMONS = (
    "DELETE FROM bangeod.state WHERE writer = session_user AND name LIKE 'daemon %%' AND at < now() - INTERVAL '1 day'"
)
LEAVE = "DELETE FROM bangeod.state WHERE writer = session_user AND host = %(host)s AND name = %(name)s"
