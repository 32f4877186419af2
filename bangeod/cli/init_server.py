"""``bangeod init`` with a url: makes tables on a PostgreSQL server where they are not, the web app's or the fleet's."""

from collections.abc import Sequence

from bangeod.cli import server_url
from bangeod.store.postgres import schema


def make_tables(text: str, schema_name: str | None) -> str:
    """Make what is missing of the web app's; return what was done. Raises UsageError, StoreError."""
    url = server_url.read("--database", text)
    made = schema.create(url.conninfo(), schema_name)
    if not made:
        return f"Both tables are there already, in {url.shown()}. Nothing was changed."
    return f"Made {' and '.join(f'table {name}' for name in made)} in {url.shown()}."


def make_fleet(text: str, roles: Sequence[str]) -> str:
    """Make what is missing of the fleet's, and let the roles use it; return what was done. Raises as above."""
    from bangeod.fleet import schema as of_fleet  # noqa: PLC0415 - most have no use for it

    url = server_url.read("--fleet", text)
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
