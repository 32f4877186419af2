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
LET_JOBS_GO = "SELECT pg_advisory_unlock_all()"
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


# --- claims and pauses: who asks ip-api.com, and about what -----------------------------------------------------------

# A claim further ahead than any daemon makes one does not bind: nobody but its writer could ever remove it.
_PARTS: Final = {
    "binds": "c.until >= now() AND c.until <= now() + INTERVAL '25 hours'",
    # Of all rows of an egress: who acts by what was read has to find the same.
    "digest": (
        "SELECT coalesce(md5(string_agg(CAST(p AS text), '' ORDER BY p.writer, p.host)), '') AS digest"
        " FROM bangeod.pauses AS p WHERE p.egress = %(egress)s"
    ),
    # In the order of their keys, so that no two wait for each other. Which of the addresses may be asked about, by
    # their numbers: those that are claimed now, and those whose claim does not bind.
    "claiming": (
        "wanted AS MATERIALIZED (SELECT w.ip, w.n, c.ip IS NOT NULL AS is_odd"
        " FROM unnest(CAST(%(ips)s AS inet[])) WITH ORDINALITY AS w (ip, n)"
        " LEFT JOIN bangeod.claims AS c ON c.ip = w.ip"
        " WHERE (c.ip IS NULL OR c.until > now() + INTERVAL '25 hours') AND (SELECT same FROM there)"
        " ORDER BY w.n LIMIT CAST(%(most)s AS bigint)),"
        " claimed AS (INSERT INTO bangeod.claims (ip, host, until)"
        " SELECT ip, CAST(%(host)s AS text),"
        " clock_timestamp() + make_interval(secs => CAST(%(claim)s AS double precision))"
        " FROM wanted WHERE NOT is_odd ORDER BY ip ON CONFLICT (ip) DO NOTHING RETURNING ip),"
        " asked AS MATERIALIZED (SELECT w.n, w.is_odd FROM wanted AS w"
        " WHERE w.is_odd OR EXISTS (SELECT 1 FROM claimed AS c WHERE c.ip = w.ip))"
    ),
    "asked": (
        "SELECT (SELECT same FROM there), ARRAY(SELECT n FROM asked ORDER BY n),"
        " (SELECT count(*) FROM asked WHERE asked.is_odd)"
    ),
}
# Which of the addresses are claimed, by their numbers among those that are given.
_CLAIMED = (
    "SELECT w.n FROM unnest(CAST(%(ips)s AS inet[])) WITH ORDINALITY AS w (ip, n)"
    " JOIN bangeod.claims AS c ON c.ip = w.ip WHERE {binds}"
)
# What all hosts of an egress say; the first columns are the same in each row, and there is one.
_PAUSES = (
    "WITH d AS MATERIALIZED ({digest})"
    " SELECT CAST(EXTRACT(EPOCH FROM now()) AS double precision), d.digest, CAST(p.writer AS text), p.host,"
    " CAST(EXTRACT(EPOCH FROM p.until) AS double precision), p.requests_left,"
    " CAST(EXTRACT(EPOCH FROM p.window_end) AS double precision),"
    " CAST(EXTRACT(EPOCH FROM p.said_at) AS double precision)"
    " FROM d LEFT JOIN bangeod.pauses AS p ON p.egress = %(egress)s"
    " ORDER BY p.until DESC NULLS LAST LIMIT 1000"
)
_TAKE = (
    "WITH there AS MATERIALIZED (SELECT digest = %(digest)s AS same FROM ({digest}) AS d), {claiming},"
    " said AS (INSERT INTO bangeod.pauses (egress, host, until, requests_left, window_end, said_at)"
    " SELECT CAST(%(egress)s AS text), CAST(%(host)s AS text),"
    " t.now + make_interval(secs => CAST(%(pause)s AS double precision)), CAST(%(left)s AS integer),"
    " t.now + make_interval(secs => CAST(%(window)s AS double precision)), t.now"
    " FROM (SELECT clock_timestamp() AS now) AS t WHERE EXISTS (SELECT 1 FROM asked)"
    " ON CONFLICT (egress, writer, host) DO UPDATE SET until = EXCLUDED.until,"
    " requests_left = EXCLUDED.requests_left, window_end = EXCLUDED.window_end, said_at = EXCLUDED.said_at)"
    " {asked}"
)
CLAIMED: Final = _CLAIMED.format(**_PARTS)
PAUSES: Final = _PAUSES.format(**_PARTS)
CLAIM: Final = "WITH there AS (SELECT true AS same), {claiming} {asked}".format(**_PARTS)
TAKE: Final = _TAKE.format(**_PARTS)  # to be run behind LOCK_EGRESS
# Expired claims go first, in a transaction of their own: nobody who claims an address then waits for one who deletes
# others.
EXPIRE = "DELETE FROM bangeod.claims WHERE ip = ANY (CAST(%(ips)s AS inet[])) AND until < now()"
# The egress's turn: held for the one statement behind it, and no longer.
LOCK_EGRESS = "SELECT pg_advisory_xact_lock(CAST(%(key)s AS bigint))"
# What came of a request: for the egress, with or without news of the window, and for the addresses. What was said with
# the request stays where there is no news: it counts the request already.
_END_TURN = (
    "UPDATE bangeod.pauses SET until = now() + make_interval(secs => CAST(%(pause)s AS double precision)){news}"
    " WHERE egress = %(egress)s AND host = %(host)s AND writer = session_user"
)
END_TURN = _END_TURN.format(news="")
END_TURN_WITH_NEWS = _END_TURN.format(
    news=", requests_left = CAST(%(left)s AS integer),"
    " window_end = now() + make_interval(secs => CAST(%(window)s AS double precision)),"
    " said_at = now() - make_interval(secs => CAST(%(age)s AS double precision))"
)
KEEP_CLAIMS = (
    "UPDATE bangeod.claims AS c SET until = now() + make_interval(secs => w.seconds)"
    " FROM unnest(CAST(%(ips)s AS inet[]), CAST(%(seconds)s AS double precision[])) AS w (ip, seconds)"
    " WHERE c.ip = w.ip AND c.host = %(host)s AND c.writer = session_user"
)
RELEASE_CLAIMS = (
    "DELETE FROM bangeod.claims WHERE ip = ANY (CAST(%(ips)s AS inet[])) AND host = %(host)s AND writer = session_user"
)
# Claims of addresses that nobody asks about any more, and what this host said of egresses that it has left.
TIDY_CLAIMS = (
    "DELETE FROM bangeod.claims WHERE ip = ANY (ARRAY(SELECT c.ip FROM bangeod.claims AS c WHERE c.until < now()"
    " ORDER BY c.until LIMIT CAST(%(most)s AS bigint))) AND until < now()"
)
TIDY_PAUSES = (
    "DELETE FROM bangeod.pauses WHERE host = %(host)s AND writer = session_user AND egress <> %(egress)s"
    " AND (until < now() OR said_at < now() - INTERVAL '1 day')"
)

# --- bans -------------------------------------------------------------------------------------------------------------


def _filled(statement: str, **parts: str) -> str:
    return statement.format(**parts)


# A host's own rows, in the order of their key. Times are seconds since the epoch; an ``until`` of -1 is for good, and
# of -2, like a ``since`` of -2, none that a daemon has written. An address comes without its prefix.
_SECONDS: Final = "CAST(extract(epoch FROM {time}) AS double precision)"
_OWN_BANS: Final = (
    "SELECT jail, abbrev(ip), CASE WHEN isfinite(since) THEN {since} ELSE -2 END,"
    " CASE WHEN until IS NULL THEN -1 WHEN isfinite(until) THEN {until} ELSE -2 END"
    " FROM bangeod.bans WHERE writer = session_user AND host = %(host)s {after}ORDER BY jail, ip LIMIT %(limit)s"
)
_TIMES: Final = {"since": _filled(_SECONDS, time="since"), "until": _filled(_SECONDS, time="until")}
OWN_BANS = _filled(_OWN_BANS, **_TIMES, after="")
OWN_BANS_AFTER = _filled(_OWN_BANS, **_TIMES, after="AND (jail, ip) > (%(jail)s, CAST(%(ip)s AS inet)) ")
PUT_BANS = (
    "INSERT INTO bangeod.bans (host, ip, jail, since, until)"
    " SELECT %(host)s, CAST(n.ip AS inet), n.jail, to_timestamp(n.since), to_timestamp(n.until)"
    " FROM unnest(CAST(%(jails)s AS text[]), CAST(%(ips)s AS text[]), CAST(%(since)s AS double precision[]),"
    " CAST(%(until)s AS double precision[])) AS n (jail, ip, since, until) ORDER BY n.jail, n.ip"
    " ON CONFLICT (writer, host, jail, ip) DO UPDATE SET since = excluded.since, until = excluded.until"
)
# Each row is looked for by its whole key, whatever the server knows of the table.
REMOVE_BANS = (
    "DELETE FROM bangeod.bans WHERE ctid = ANY (ARRAY(SELECT found.ctid FROM"
    " unnest(CAST(%(jails)s AS text[]), CAST(%(ips)s AS text[])) AS n (jail, ip) CROSS JOIN LATERAL ("
    "SELECT ctid FROM bangeod.bans AS b WHERE b.writer = session_user AND b.host = %(host)s AND b.jail = n.jail"
    " AND b.ip = CAST(n.ip AS inet) LIMIT 1) AS found))"
)
# That a host has told of its bans: by the server's clock.
BANS_ARE_TOLD = (
    "INSERT INTO bangeod.state (host, name, at) VALUES (%(host)s, 'bans', now())"
    " ON CONFLICT (writer, host, name) DO UPDATE SET at = excluded.at"
)
# What this role wrote for hosts, by other names, that have not told of their bans for long.
REMOVE_BANS_OF_LOST_HOSTS = (
    "WITH gone AS (DELETE FROM bangeod.bans WHERE ctid = ANY (ARRAY("
    "SELECT ctid FROM bangeod.bans AS b WHERE writer = session_user AND host <> %(host)s AND NOT EXISTS (SELECT"
    " FROM bangeod.state AS s WHERE s.writer = session_user AND s.host = b.host AND s.name = 'bans'"
    " AND s.at > now() - CAST(%(lost)s AS interval)) LIMIT %(limit)s)) RETURNING 1) SELECT count(*) FROM gone"
)

# Of all hosts: a ban counts until it ends; one for good, while its host tells of its bans. What no daemon writes does
# not: names that are too long or can't be shown, times that are not finite or are to come.
_BAN_IS_GOOD: Final = (
    "host <> '' AND char_length(host) <= 255 AND host !~ '[[:cntrl:]]'"
    " AND char_length(jail) <= 255 AND jail !~ '[[:cntrl:]]'"
    " AND since BETWEEN '1970-01-01T00:00:00Z' AND now() + interval '1 day'"
    " AND (until IS NULL OR isfinite(until))"
)
_BAN_IS_IN_FORCE: Final = (
    "CASE WHEN until IS NOT NULL THEN until > now() ELSE (writer, host) IN (SELECT writer, host FROM bangeod.state"
    " WHERE name = 'bans' AND at BETWEEN now() - CAST(%(silent)s AS interval) AND now() + interval '1 day') END"
)
_BAN_COUNTS: Final = f"{_BAN_IS_GOOD} AND {_BAN_IS_IN_FORCE} AND since >= to_timestamp(%(begun)s)"
# Each address or network once, in order, and whether a ban of it counts. Step by step along the index: for whatever the
# server takes the filters to leave, a page takes no more time than its addresses need.
ALL_BANNED = _filled(
    "WITH RECURSIVE walk (ip, nth) AS ("
    "(SELECT ip, 1 FROM bangeod.bans WHERE ip > CAST(%(after)s AS inet) ORDER BY ip LIMIT 1)"
    " UNION ALL SELECT (SELECT b.ip FROM bangeod.bans AS b WHERE b.ip > walk.ip ORDER BY b.ip LIMIT 1), nth + 1"
    " FROM walk WHERE walk.ip IS NOT NULL AND nth < %(limit)s)"
    " SELECT abbrev(ip), EXISTS (SELECT FROM bangeod.bans AS b WHERE b.ip = walk.ip AND {counts})"
    " FROM walk WHERE ip IS NOT NULL ORDER BY nth",
    counts=_BAN_COUNTS,
)
FIRST_INET = "0.0.0.0/0"  # sorts before all others
# By host: addresses, networks, when the newest ban began; and over all of them hosts, addresses, networks.
BANNED_BY_HOST = _filled(
    "SELECT host, addresses, networks, {newest}, count(*) OVER (), CAST(sum(addresses) OVER () AS bigint),"
    " CAST(sum(networks) OVER () AS bigint) FROM ("
    "SELECT host, count(*) FILTER (WHERE is_single) AS addresses, count(*) FILTER (WHERE NOT is_single) AS networks,"
    " max(newest) AS newest FROM (SELECT host, masklen(ip) = CASE family(ip) WHEN 4 THEN 32 ELSE 128 END AS is_single,"
    " max(since) AS newest FROM bangeod.bans WHERE {counts} GROUP BY host, ip) AS each_once GROUP BY host) AS by_host"
    " ORDER BY addresses DESC, networks DESC, host LIMIT %(limit)s",
    newest=_filled(_SECONDS, time="newest"),
    counts=_BAN_COUNTS,
)
# How many rows are bad, and whose some are.
BAD_BANS = _filled(
    "SELECT count(*), CAST(min(writer) AS text), left(min(host), 100)"
    " FROM bangeod.bans WHERE NOT coalesce({good}, false)",
    good=_BAN_IS_GOOD,
)
