"""``bangeod init --database URL``: makes the two tables on a PostgreSQL server, where they are not."""

from bangeod.cli import server_url
from bangeod.store.postgres import schema


def make_tables(text: str, schema_name: str | None) -> str:
    """Make what is missing; return what was done. Raises UsageError, StoreError."""
    url = server_url.read("--database", text)
    made = schema.create(url.conninfo(), schema_name)
    if not made:
        return f"Both tables are there already, in {url.shown()}. Nothing was changed."
    return f"Made {' and '.join(f'table {name}' for name in made)} in {url.shown()}."
