"""Checks of a database on a PostgreSQL server: who answers, what the role may do, and whether the tables are there."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from bangeod.check import credentials
from bangeod.check.database import DATABASE, SCHEMA, clock
from bangeod.check.finding import Finding, fault, ok, warning
from bangeod.config import Settings
from bangeod.config.database import CREDENTIAL, password_in
from bangeod.errors import StoreError

if TYPE_CHECKING:
    from bangeod.store.postgres.inspection import Look, TableSeen
    from bangeod.store.postgres.url import Url

TABLES: Final = {"geo_cache": "nothing is cached or cleaned up", "sessions": "expired sessions stay"}


def examine(settings: Settings, now: float) -> Iterator[Finding]:
    """Check the server, where the database is one's; ``now`` is in epoch seconds."""
    url = settings.database.url
    if url is None:
        return
    from bangeod.store.postgres.inspection import inspect  # noqa: PLC0415 - most configs have no url

    yield from clock(now)
    yield from way(url)
    try:
        look = inspect(url.conninfo(), settings.database.schema or None)
    except StoreError as error:
        yield fault(DATABASE, url.shown(), error.problem, error.advice)
    else:
        yield from judge(url.shown(), look)


def with_services_password(settings: Settings) -> Settings:
    """Return the settings with the password that systemd gives the service, if it does. Only root may ask."""
    url = settings.database.url
    text = None if url is None else credentials.load(CREDENTIAL)
    password = None if text is None else password_in(text)
    if url is None or password is None:
        return settings
    replace = msgspec.structs.replace
    return replace(settings, database=replace(settings.database, url=url.with_password(password)))


def way(url: "Url") -> Iterator[Finding]:
    """Check whether the server has to prove who it is; over a Unix socket nobody is in between."""
    if url.is_verified:
        return
    reads = "reads all of it" if url.sslmode in ("disable", "allow", "prefer") else "can pretend to be the server"
    yield warning(
        DATABASE,
        url.shown(),
        f"sslmode={url.sslmode}: whoever is on the way to the server {reads}",
        "take sslmode out of [database] url, so that it is verify-full; sslrootcert=FILE names the authority",
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
            "sets each one up anew, which takes longer",
            "let [database] url lead to the server itself, where that can be",
        )
    if look.is_superuser:
        advice = "make it a role of its own, as the README says (PostgreSQL), and name that in [database] url"
        yield warning(DATABASE, where, f"role {look.role} is a superuser, and may do far more than is needed", advice)


def _missing(where: str, look: "Look", name: str, consequence: str) -> Finding:
    others = look.elsewhere(name)
    for table in others:
        problem = f"table {name} is in schema {table.schema}, where it is not looked for: {consequence}"
        if not table.may_enter:
            problem = f"role {look.role} may not use schema {table.schema}, which has table {name}: {consequence}"
            return fault(SCHEMA, where, problem, f"GRANT USAGE ON SCHEMA {table.schema} TO {look.role}")
        return fault(SCHEMA, where, problem, f'[database] schema = "{table.schema}"')
    advice = f"start the web app once so that it makes its tables; without it: bangeod init --database {where}"
    return fault(SCHEMA, where, f"there is no table {name}: {consequence}", advice)


def _table(where: str, look: "Look", table: "TableSeen") -> Iterator[Finding]:
    name = f"{table.schema}.{table.name}"
    if table.lacking:
        # Without a lock, a deletion waits for rows that the web app has in use.
        is_minor = table.name == "sessions" and table.lacking == ["UPDATE"]
        problem = f"role {look.role} lacks {', '.join(table.lacking)} on table {name}"
        mend = f"GRANT {', '.join(table.lacking)} ON {name} TO {look.role}"
        yield (warning if is_minor else fault)(SCHEMA, where, problem, mend)
    else:
        rows = "" if table.rows is None else f", some {table.rows:,} rows"
        yield ok(SCHEMA, where, f"table {name}{rows}")
    if table.hides_rows:
        problem = (
            f"row-level security hides rows of table {name} from role {look.role}, or may: what it does not see is "
            "neither resolved nor cleaned up, and a row that it may not write is refused"
        )
        advice = f"ALTER ROLE {look.role} BYPASSRLS   -- or give it policies for all rows of {name}"
        yield warning(SCHEMA, where, problem, advice)
