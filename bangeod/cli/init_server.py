"""``bangeod init`` with a url: makes tables on a PostgreSQL server where they are not, the web app's or the fleet's."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bangeod.errors import BangeodError, UsageError
from bangeod.store.postgres import driver, extra, schema
from bangeod.store.postgres.url import parse

if TYPE_CHECKING:
    from bangeod.store.postgres.url import Url


def make_tables(text: str, schema_name: str | None) -> str:
    """Make what is missing of the web app's; return what was done. Raises UsageError, StoreError."""
    url = _read("--database", text)
    made = schema.create(url.conninfo(), schema_name)
    if not made:
        return f"Both tables are there already, in {url.shown()}. Nothing was changed."
    return f"Made {' and '.join(f'table {name}' for name in made)} in {url.shown()}."


def make_fleet(text: str, roles: Sequence[str]) -> str:
    """Make what is missing of the fleet's, and let the roles use it; return what was done. Raises as above."""
    from bangeod.fleet import schema as of_fleet  # noqa: PLC0415 - most have no use for it

    url = _read("--fleet", text)
    made = of_fleet.create(url.conninfo(is_fleets=True), roles)
    where = f"schema bangeod of {url.shown()}"
    said = (
        f"Made {', '.join(made.tables[:-1])}{' and ' if made.tables[1:] else ''}{made.tables[-1]} in {where}."
        if made.tables
        else f"All tables are there already, in {where}."
    )
    if made.roles:
        return f"{said} Granted what a host needs there to {', '.join(made.roles)}."
    return said if made.tables else f"{said} Nothing was changed."


def _read(option: str, text: str) -> "Url":
    try:
        url = parse(text)
    except ValueError as error:
        raise UsageError(f"{option}: expected a url of PostgreSQL; found {error}") from None
    if url.password is not None:
        raise UsageError(
            f"{option}: a password on the command line can be seen by everybody (ps), and stays in the shell's "
            "history: change it, take it out of the url, and let $PGPASSFILE name a file that has it"
        )
    if not driver.available():
        raise BangeodError(extra.missing())
    return url
