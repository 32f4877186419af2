"""Checks of a database on a PostgreSQL server: who answers, what the role may do, and whether the tables are there."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from bangeod.check import credentials
from bangeod.check.database import DATABASE, SCHEMA, clock
from bangeod.check.finding import Finding, fault, ok, warning
from bangeod.clock import SECONDS_A_DAY
from bangeod.config import Settings
from bangeod.config.database import CREDENTIAL, password_in
from bangeod.config.fleet import CREDENTIALS
from bangeod.errors import StoreError

if TYPE_CHECKING:
    from bangeod.store.postgres.inspection import Counted, Look, TableSeen
    from bangeod.store.postgres.url import Url

_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]*")
TABLES: Final = {"geo_cache": "nothing is cached or cleaned up", "sessions": "expired sessions stay"}


def examine(settings: Settings, now: float) -> Iterator[Finding]:
    """Check the server, where the database is one's; ``now`` is in epoch seconds."""
    url = settings.database.url
    if url is None:
        return
    from bangeod.store.postgres.inspection import count, inspect  # noqa: PLC0415 - most configs have no url

    yield from clock(now)
    yield from way(url)
    where, conninfo, schema = url.shown(), url.conninfo(), settings.database.schema or None
    try:
        look = inspect(conninfo, schema)
    except StoreError as error:
        yield fault(DATABASE, where, error.problem, error.advice)
        return
    yield from judge(where, look)
    if not look.is_standby:
        before = int(now) - settings.jobs.geo_cache_cleanup.retention_days * SECONDS_A_DAY
        usable = {table.name for table in look.tables if table.is_found and table.is_table and not table.lacking}
        counted = count(conninfo, schema, now=int(now), before=before)
        yield from fit(where, [each for each in counted if each.name in usable])


def with_services_password(settings: Settings) -> Settings:
    """Return the settings with the passwords that systemd gives the service, if it does. Only root may ask."""
    replace = msgspec.structs.replace
    if settings.database.url is not None:
        database = replace(settings.database, url=_with_password(settings.database.url, (CREDENTIAL,)))
        settings = replace(settings, database=database)
    if settings.fleet.url is not None:
        settings = replace(settings, fleet=replace(settings.fleet, url=_with_password(settings.fleet.url, CREDENTIALS)))
    return settings


def _with_password(url: "Url", names: Iterable[str]) -> "Url":
    """Return the url with the first of these credentials that there is."""
    text = next((found for name in names if (found := credentials.load(name)) is not None), None)
    password = None if text is None else password_in(text)
    return url if password is None else url.with_password(password)


def way(url: "Url", subject: str = DATABASE, key: str = "[database] url") -> Iterator[Finding]:
    """Check whether the server has to prove who it is; over a Unix socket nobody is in between."""
    if url.is_verified:
        return
    reads = "reads all of it" if url.sslmode in ("disable", "allow", "prefer") else "can pretend to be the server"
    yield warning(
        subject,
        url.shown(),
        f"sslmode={url.sslmode}: whoever is on the way to the server {reads}",
        f"take sslmode out of {key}, so that it is verify-full; sslrootcert=FILE names the authority",
    )


def judge(where: str, look: "Look") -> Iterator[Finding]:
    """Check what was seen on the server."""
    yield from _server(where, look)
    for name, consequence in TABLES.items():
        table = look.found(name)
        if table is None:
            yield _missing(where, look, name, consequence)
        elif not table.is_table:
            problem = f"{name} in schema {table.schema} is no table: {consequence}"
            yield fault(SCHEMA, where, problem, "name the schema of the web app's tables: [database] schema")
        else:
            yield from _table(where, look, table)


def fit(where: str, counted: "Sequence[Counted]") -> Iterator[Finding]:
    """Check what came of working with the tables; what was said of one already is left out by the caller."""
    for each in counted:
        if each.problem is not None:
            problem = f"{each.problem.problem}; {TABLES[each.name]}"
            yield fault(SCHEMA, where, problem, each.problem.advice)
        elif each.due is not None and each.due.unreadable:
            rows = "1 row" if each.due.unreadable == 1 else f"{each.due.unreadable:,} rows"
            example = str(each.due.example)[:80]
            problem = f"table {each.name} has {rows} whose time is none, for example {example}: such rows stay"
            yield warning(SCHEMA, where, problem, "let the web app store times as timestamptz, or as ISO 8601 in UTC")


def _server(where: str, look: "Look") -> Iterator[Finding]:
    if look.is_standby or look.is_read_only:
        what = "is a standby (in recovery)" if look.is_standby else "is read-only (default_transaction_read_only)"
        advice = "name the primary, or all servers with target_session_attrs=read-write, in [database] url"
        yield fault(DATABASE, where, f"the server {what}, and takes no writes", advice)
    else:
        yield ok(DATABASE, where, f"PostgreSQL {look.version}, as role {look.role}")
    if look.is_pooled:
        yield warning(
            DATABASE,
            where,
            "a pooler (PgBouncer or the like) is in between: as it may give each transaction another session, bangeod "
            "sets each one up anew, which takes longer, does not hear at once what other daemons write, and can't keep "
            "two of them from running a job at a time",
            "let [database] url lead to the server itself, where that can be",
        )
    if look.is_superuser:
        advice = "make it a role of its own, as the README says (PostgreSQL), and name that in [database] url"
        yield warning(DATABASE, where, f"role {look.role} is a superuser, and may do far more than is needed", advice)


def _missing(where: str, look: "Look", name: str, consequence: str) -> Finding:
    others = look.elsewhere(name)
    if not others:
        advice = f"start the web app once so that it makes its tables; without it: bangeod init --database {where}"
        return fault(SCHEMA, where, f"there is no table {name}: {consequence}", advice)
    schema = others[0].schema
    if not others[0].may_enter:
        problem = f"role {look.role} may not use schema {schema}, which has table {name}: {consequence}"
        return fault(SCHEMA, where, problem, f"GRANT USAGE ON SCHEMA {in_sql(schema)} TO {in_sql(look.role)}")
    problem = f"table {name} is in schema {schema}, where it is not looked for: {consequence}"
    return fault(SCHEMA, where, problem, f'[database] schema = "{schema}"')


def _table(where: str, look: "Look", table: "TableSeen") -> Iterator[Finding]:
    name, role = f"{in_sql(table.schema)}.{table.name}", in_sql(look.role)
    if table.lacking:
        # Without a lock, a deletion waits for rows that the web app has in use.
        is_minor = table.name == "sessions" and table.lacking == ["UPDATE"]
        problem = f"role {look.role} lacks {', '.join(table.lacking)} on table {name}"
        mend = f"GRANT {', '.join(table.lacking)} ON {name} TO {role}"
        yield (warning if is_minor else fault)(SCHEMA, where, problem, mend)
    else:
        rows = "" if table.rows is None else f", some {table.rows:,} rows"
        yield ok(SCHEMA, where, f"table {name}{rows}")
    if table.hides_rows:
        problem = (
            f"row-level security hides rows of table {name} from role {look.role}, or may: what it does not see is "
            "neither resolved nor cleaned up, and a row that it may not write is refused"
        )
        advice = f"ALTER ROLE {role} BYPASSRLS   -- or give it policies for all rows of {name}"
        yield warning(SCHEMA, where, problem, advice)


def in_sql(name: str) -> str:
    """Write a name for a statement: in quotes, where it would be read as another without them."""
    return name if _PLAIN.fullmatch(name) else f'"{name.replace(chr(34), chr(34) * 2)}"'
