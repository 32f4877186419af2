"""Checks of the fleet: who answers, what the role may do there, and whether others are kept from this host's rows."""

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from bangeod.check import server
from bangeod.check.finding import Finding, fault, ok, warning
from bangeod.config import Settings
from bangeod.errors import StoreError

if TYPE_CHECKING:
    from bangeod.fleet.inspection import Look, TableSeen

FLEET: Final = "fleet"
KEY: Final = "[fleet] url"


def examine(settings: Settings) -> Iterator[Finding]:
    """Check the fleet's server, where this host is in a fleet."""
    url = settings.fleet.url
    if url is None:
        return
    from bangeod.fleet.inspection import inspect  # noqa: PLC0415 - most configs have no url

    yield from server.way(url, FLEET, KEY)
    where = url.shown()
    try:
        look = inspect(url.conninfo(is_fleets=True))
    except StoreError as error:
        yield fault(FLEET, where, error.problem, error.advice)
        return
    yield from judge(where, look)


def judge(where: str, look: "Look") -> Iterator[Finding]:
    """Check what was seen on the server."""
    if look.is_standby or look.is_read_only:
        what = "is a standby (in recovery)" if look.is_standby else "is read-only (default_transaction_read_only)"
        advice = f"name the primary, or all servers with target_session_attrs=read-write, in {KEY}"
        yield fault(FLEET, where, f"the server {what}, and takes no writes", advice)
    yield from _tables(where, look)
    yield from _trust(where, look)


def _tables(where: str, look: "Look") -> Iterator[Finding]:
    as_owner = f"bangeod init --fleet URL --role {shlex.quote(look.role)}   # with a url of the tables' owner"
    if look.absent:
        names = ", ".join(f"bangeod.{name}" for name in look.absent)
        yield fault(FLEET, where, f"there is no table {names}: nothing is shared", as_owner)
    unfit = [table for table in look.own if not table.is_table or table.missing]
    for table in unfit:
        yield fault(FLEET, where, table.unfit, "name another database, or move that table away and make the fleet's")
    there = [table for table in look.own if table not in unfit]
    lacking = {table.name: table.lacking for table in there if table.lacking}
    if look.owner is not None and not look.may_enter:
        yield fault(FLEET, where, f"role {look.role} may not use schema bangeod: nothing is shared", as_owner)
    elif lacking:
        what = "; ".join(f"{', '.join(lacks)} on bangeod.{name}" for name, lacks in lacking.items())
        yield fault(FLEET, where, f"role {look.role} lacks {what}", as_owner)
    elif not look.absent and not unfit:
        addresses = next((table.rows for table in there if table.name == "geo"), None)
        some = "" if addresses is None else f", some {addresses:,} rows of addresses"
        yield ok(FLEET, where, f"PostgreSQL {look.version}, as role {look.role}{some}")


def _trust(where: str, look: "Look") -> Iterator[Finding]:
    """Check what keeps one host from the rows of another."""
    if look.is_pooled:
        problem = (
            "a pooler (PgBouncer or the like) is in between: each statement sets its session up anew, and what other "
            "hosts resolve is not told to this one"
        )
        yield warning(FLEET, where, problem, f"let {KEY} lead to the server itself, where that can be")
    role = server.in_sql(look.role)
    if look.is_superuser or look.bypasses_security:
        what = "is a superuser" if look.is_superuser else "passes by row-level security (BYPASSRLS)"
        problem = f"role {look.role} {what}, so nothing keeps it from the rows of other hosts"
        advice = f"CREATE ROLE NAME LOGIN, for this host alone; bangeod init --fleet URL --role NAME; name it in {KEY}"
        yield warning(FLEET, where, problem, advice if look.is_superuser else f"ALTER ROLE {role} NOBYPASSRLS")
        return
    for table in look.own:
        if table.is_table and not table.is_secured:
            yield _unsecured(where, table, "row-level security is off", "ENABLE")
        elif table.is_table and table.is_own and not table.secures_owner:
            yield _unsecured(where, table, f"role {look.role} owns it", "FORCE")


def _unsecured(where: str, table: "TableSeen", why: str, word: str) -> Finding:
    problem = f"{why} of table bangeod.{table.name}: nothing keeps one host from the rows of another"
    if word == "FORCE":
        problem = f"{why}, table bangeod.{table.name}: nothing keeps it from the rows of other hosts"
    return warning(FLEET, where, problem, f"ALTER TABLE bangeod.{table.name} {word} ROW LEVEL SECURITY")
