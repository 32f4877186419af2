"""``bangeod init --database URL``: makes the two tables on a PostgreSQL server, where they are not."""

from bangeod.errors import BangeodError, UsageError
from bangeod.store.postgres import driver, extra, schema
from bangeod.store.postgres.url import parse


def make_tables(text: str, schema_name: str | None) -> str:
    """Make what is missing; return what was done. Raises UsageError, StoreError."""
    try:
        url = parse(text)
    except ValueError as error:
        raise UsageError(f"--database: expected a url of PostgreSQL; found {error}") from None
    if url.password is not None:
        raise UsageError(
            "--database: a password on the command line can be seen by everybody (ps), and stays in the shell's "
            "history: change it, take it out of the url, and let $PGPASSFILE name a file that has it"
        )
    if not driver.available():
        raise BangeodError(extra.missing())
    made = schema.create(url.conninfo(), schema_name)
    if not made:
        return f"Both tables are there already, in {url.shown()}. Nothing was changed."
    return f"Made {' and '.join(f'table {name}' for name in made)} in {url.shown()}."
