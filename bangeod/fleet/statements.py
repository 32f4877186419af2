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
