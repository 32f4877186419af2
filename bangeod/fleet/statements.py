"""Every SQL statement on the fleet's own tables, the schema ``bangeod`` of a server, and how they are made."""

from typing import Final

SCHEMA: Final = "bangeod"
TABLES: Final = ("geo", "bans", "claims", "pauses", "state")

# --- making the tables ------------------------------------------------------------------------------------------------

ONE_MAKES_TABLES = "SELECT pg_advisory_xact_lock(2127301960)"  # any number that nobody else takes
HAS_SCHEMA = "SELECT to_regnamespace('bangeod') IS NOT NULL"
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

# --- looking at them --------------------------------------------------------------------------------------------------

FOUND = (
    "SELECT CAST(c.relname AS text), has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'),"
    " has_table_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE')"
    " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE n.nspname = 'bangeod' AND c.relkind IN ('r', 'p') AND c.relname = ANY (CAST(%(names)s AS text[]))"
)

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
