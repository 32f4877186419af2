"""The server's errors, and those of the way to it, translated into those of errors.py, with advice for the user.

What the server says while somebody connects has no SQLSTATE with libpq, only a text: its usual English words are looked
for, and a text in another language is shown as it is. No text is shown with the password in it.
"""

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from bangeod.errors import (
    SchemaError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    StoreMissingError,
    StoreReadOnlyError,
    StoreRefusedError,
    StoreReplacedError,
    StoreUnreachableError,
)
from bangeod.store.postgres.connection import Conninfo

if TYPE_CHECKING:
    import psycopg

LONGEST_REASON: Final = 200  # characters of the server's words

# SQLSTATEs: postgresql.org/docs/current/errcodes-appendix.html.
READ_ONLY: Final = "25006"
NO_SUCH_DATABASE: Final = "3D000"
_NOT_PERMITTED: Final = "42501"
_BY_POLICY: Final = "ExecWithCheckOptions"  # the server's function that finds a row against a policy (execMain.c)

_RESTARTING: Final = "tried again by itself; what is not written yet is kept until then"
_LOOK_AT_SERVER: Final = "look at the server's own log"
_MAKE_IT: Final = "let the web app make it, or correct the database's name in [database] url"
_MAKE_ANEW: Final = "let the web app make it anew"
_IN_USE: Final = "tried again at the next run; if it stays, look for a long transaction in pg_stat_activity"
_MIGRATE: Final = "start the web app once so that it makes or migrates its tables; looked at again at each run"
_ROOM: Final = "make room on the server; what is not written yet is kept until then"
_GRANT: Final = (
    "grant bangeod's role USAGE on the schema, and SELECT, INSERT, UPDATE and DELETE on geo_cache and sessions "
    "(`bangeod check` says what is missing)"
)
_PRIMARY: Final = (
    "let [database] url name the primary, or all hosts of the cluster with target_session_attrs=read-write; a server "
    "that is read-only for another reason says why in its log"
)
# What is advised in place of these where the tables are the fleet's, and not the web app's.
_IN_A_FLEET: Final = {
    _MIGRATE: "bangeod init --fleet URL makes the fleet's tables, as a role that may make a schema",
    _GRANT: "bangeod init --fleet URL --role NAME grants what this host's role needs",
    _MAKE_IT: "make it, or correct the database's name in [fleet] url",
    _MAKE_ANEW: "make it anew, and its tables by bangeod init --fleet URL",
}

# By whole SQLSTATE first, then by its class, the first two characters.
_BY_STATE: Final[dict[str, tuple[type[StoreError], str, str]]] = {
    READ_ONLY: (StoreReadOnlyError, "the server takes no writes: it is a standby, or read-only ({text})", _PRIMARY),
    NO_SUCH_DATABASE: (StoreMissingError, "there is no such database on the server", _MAKE_IT),
    _NOT_PERMITTED: (StoreReadOnlyError, "not permitted: {text}", _GRANT),
    "28P01": (StoreUnreachableError, "the server refuses the password", "correct the password, or the role's name"),
    "40P01": (StoreLockedError, "the server has ended a deadlock", _IN_USE),
    "40001": (StoreLockedError, "another transaction was in the way ({text})", _IN_USE),
    "55P03": (StoreLockedError, "another transaction holds a lock for too long", _IN_USE),
    "57014": (
        StoreLockedError,
        "a statement took too long, and was ended ({text})",
        "tried again at the next run; if it stays, look at what keeps the server busy, and at the tables' indexes",
    ),
    "53100": (StoreFullError, "the server's disk is full", _ROOM),
    "53200": (StoreError, "the server has no memory left", _LOOK_AT_SERVER),
    "53300": (
        StoreUnreachableError,
        "the server has too many connections",
        "end some, or raise max_connections (or the role's CONNECTION LIMIT); bangeod uses four, and one a running job",
    ),
    "57P01": (StoreUnreachableError, "the server has ended the connection: it stops or restarts", _RESTARTING),
    "57P02": (StoreUnreachableError, "the server has ended the connection: it restarts after a crash", _RESTARTING),
    "57P03": (StoreUnreachableError, "the server takes no connections yet ({text})", _RESTARTING),
    "57P04": (StoreMissingError, "the database was dropped", _MAKE_ANEW),
    "57P05": (StoreUnreachableError, "the server has ended a connection that was idle", _RESTARTING),
    "25P03": (StoreUnreachableError, "the server has ended a transaction that was idle", _RESTARTING),
    "42P01": (SchemaError, "{text}", _MIGRATE),
    "42703": (SchemaError, "{text}", _MIGRATE),
    "3F000": (SchemaError, "{text}", _MIGRATE),
    "58030": (StoreError, "the server can't read or write its files ({text})", _LOOK_AT_SERVER),
    "XX001": (StoreDamagedError, "the server finds data damaged ({text})", "restore the database from a backup"),
    "XX002": (StoreDamagedError, "the server finds an index damaged ({text})", "REINDEX it, and look for the cause"),
}
_REFUSED: Final = (
    StoreRefusedError,
    "the database refused a row ({text})",
    "look at its triggers, constraints and policies; what is not written yet is kept",
)
_BY_CLASS: Final[dict[str, tuple[type[StoreError], str, str]]] = {
    "08": (StoreUnreachableError, "the connection to the server is lost ({text})", _RESTARTING),
    "22": _REFUSED,  # a value that a column does not take
    "23": _REFUSED,  # a constraint
    "28": (StoreUnreachableError, "the server does not let bangeod in ({text})", "look at its pg_hba.conf"),
    "44": _REFUSED,  # WITH CHECK OPTION
    "53": (StoreError, "the server is short of something ({text})", _LOOK_AT_SERVER),
    "57": (StoreUnreachableError, "the server has ended the connection ({text})", _RESTARTING),
    "P0": _REFUSED,  # RAISE in a trigger
}
# Of a connection that could not be made, and has no SQLSTATE: the words of libpq and of the server.
_BY_WORDS: Final[tuple[tuple[re.Pattern[str], tuple[type[StoreError], str, str]], ...]] = tuple(
    (re.compile(words), made)
    for words, made in (
        ("password authentication failed|no password supplied|empty password", _BY_STATE["28P01"]),
        ('database ".*" does not exist', _BY_STATE[NO_SUCH_DATABASE]),
        ("too many (connections|clients)|connection slots are reserved", _BY_STATE["53300"]),
        (
            "starting up|in recovery mode|not accepting connections|shutting down",
            (StoreUnreachableError, "the server takes no connections yet: it starts, stops or recovers", _RESTARTING),
        ),
        (
            "session is read-only|server is in hot standby mode|not in hot standby mode",
            (StoreReadOnlyError, "none of the servers takes writes: {text}", _PRIMARY),
        ),
        (
            "no encryption",
            (
                StoreUnreachableError,
                "the server lets nobody in without TLS, or not this role from here: {text}",
                "take sslmode=disable or prefer out of [database] url, and look at the server's pg_hba.conf",
            ),
        ),
        (
            "server does not support SSL|SSL error|certificate|root\\.crt|sslmode",
            (
                StoreUnreachableError,
                "TLS can't be used: {text}",
                "look at the server's certificate, at sslrootcert, and at sslmode in [database] url",
            ),
        ),
        (
            "no pg_hba.conf entry|pg_hba.conf rejects|authentication failed|does not exist|not permitted to log in",
            (StoreUnreachableError, "the server does not let bangeod in: {text}", "look at its pg_hba.conf and roles"),
        ),
        (
            "resolve host|Name or service not known|could not translate host name|No address associated",
            (StoreUnreachableError, "the server's name is not known: {text}", "correct the host in [database] url"),
        ),
        (
            "refused|No such file|timeout expired|No route to host|unreachable|timed out|Host is down",
            (
                StoreUnreachableError,
                "no server answers: {text}",
                "start it, or correct host and port in [database] url; tried again by itself",
            ),
        ),
        (
            "no error details available",  # libpq 18's words where it may open no socket of the address's family: none
            (
                StoreUnreachableError,
                "no connection to the server can be begun",
                "over TCP the service needs a network, by the drop-in postgres.conf (`bangeod check` says how)",
            ),
        ),
        (
            "Permission denied",
            (
                StoreUnreachableError,
                "the server's socket may not be opened: {text}",
                "look at unix_socket_permissions, and at the modes of its directory",
            ),
        ),
    )
)
_LOST: Final = (StoreUnreachableError, "the connection to the server is lost ({text})", _RESTARTING)
_NOT_MADE: Final = (
    StoreUnreachableError,
    "no connection can be made: {text}",
    "this is the server's or libpq's own message",
)
_UNKNOWN: Final = (StoreError, "{text}", "this is the server's own message")


def of_statement(conninfo: Conninfo, error: "psycopg.Error", *, lost: bool) -> StoreError:
    """Return the error for a statement that failed; ``lost``: the connection is, too."""
    state = error.sqlstate or ""
    made: tuple[type[StoreError], str, str]
    if state == _NOT_PERMITTED and error.diag.source_function == _BY_POLICY:
        made = _REFUSED
    else:
        made = _BY_STATE.get(state) or _BY_CLASS.get(state[:2]) or (_LOST if lost else _UNKNOWN)
    return _made(conninfo, made, reason(error))


def of_connect(conninfo: Conninfo, error: Exception) -> StoreError:
    """Return the error for a connection that could not be made."""
    state = getattr(error, "sqlstate", None) or ""
    text = _of_libpq(str(error))
    by_words = next((made for words, made in _BY_WORDS if words.search(str(error))), None)
    return _made(conninfo, _BY_STATE.get(state) or by_words or _NOT_MADE, text)


def lost(conninfo: Conninfo, error: Exception) -> StoreError:
    """Return the error for a connection that turns out to be lost while nothing was asked."""
    return _made(conninfo, _BY_STATE.get(getattr(error, "sqlstate", None) or "") or _LOST, reason(error))


def not_connected(conninfo: Conninfo) -> StoreError:
    """Return the error for what needs the connection that there is not any more."""
    return _made(conninfo, _LOST, "closed")


def no_driver(conninfo: Conninfo) -> StoreError:
    """Return the error for a url where psycopg is not installed."""
    return StoreError(
        conninfo.shown,
        "PostgreSQL needs psycopg, which is not installed",
        'install it beside bangeod: pip install "bangeod[postgres]"',
    )


def another(conninfo: Conninfo) -> StoreReplacedError:
    """Return the error for a connection that leads to another database than the one that was looked at."""
    return StoreReplacedError(
        conninfo.shown,
        "another server or database answers than the one that was in use",
        "nothing was written to it; the next run works on the one that is there then",
    )


def standby(conninfo: Conninfo) -> StoreError:
    """Return the error for a server that only follows another one."""
    return _made(conninfo, (StoreReadOnlyError, "the server is a standby, and takes no writes", _PRIMARY), "")


def schema(conninfo: Conninfo, problem: str) -> SchemaError:
    return SchemaError(conninfo.shown, problem, _MIGRATE)


def in_use(conninfo: Conninfo, rows: int) -> StoreLockedError:
    """Return the error for rows that other transactions kept locked for as long as they were waited for."""
    what = "a row is" if rows == 1 else f"{rows} rows are"
    return StoreLockedError(conninfo.shown, f"{what} locked by other transactions; all others are written", _IN_USE)


def not_written(conninfo: Conninfo, problem: str, ips: Collection[str]) -> StoreRefusedError:
    """Return the error for addresses whose rows the database refuses."""
    advice = "look at the constraints, triggers and policies of geo_cache; all other rows are written"
    return StoreRefusedError(conninfo.shown, problem, advice, ips=ips)


def no_new_rows(conninfo: Conninfo, not_filled: Sequence[str], ips: Collection[str]) -> StoreRefusedError:
    """Return the error for addresses that can't be given a row, because of columns that bangeod can't fill."""
    names = " and ".join(not_filled)
    verb = "is NOT NULL and has" if len(not_filled) == 1 else "are NOT NULL and have"
    what = f"table geo_cache takes no new row: {names} {verb} no default"
    return StoreRefusedError(
        conninfo.shown, what, "see `bangeod check`; the rows that there are are kept up to date", ips=ips
    )


def unpageable(conninfo: Conninfo, table: str) -> StoreError:
    """Return the error for a table that can't be paged, because a key is not valid text."""
    return StoreError(
        conninfo.shown,
        f"a key of table {table} is not UTF-8, and the database is of SQL_ASCII, which stores any bytes",
        "find the row with SET client_encoding = 'SQL_ASCII', and delete it",
    )


def reason(error: BaseException | None) -> str:
    """Return the server's own words about a failure, in one line."""
    diag = getattr(error, "diag", None)
    text = (diag.message_primary if diag is not None else None) or _of_libpq(str(error))
    return text[:LONGEST_REASON]


def _of_libpq(text: str) -> str:
    """Return libpq's words in one line, without those around them that say the same for each failure."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "unknown")
    return line.removeprefix("connection failed: ").removeprefix("connection is bad: ")


def _made(conninfo: Conninfo, made: tuple[type[StoreError], str, str], text: str) -> StoreError:
    kind, problem, advice = made
    if conninfo.is_fleets:
        advice = _IN_A_FLEET.get(advice, advice).replace("[database]", "[fleet]")
    return kind(conninfo.shown, problem.format(text=_without_secret(conninfo, text)), advice)


def _without_secret(conninfo: Conninfo, text: str) -> str:
    return text.replace(conninfo.password, "***") if conninfo.password else text
