"""What the server's catalogue says of a table, looked up by its bare name."""

from bangeod.store.postgres import queries
from bangeod.store.postgres.columns import Column, Relation
from bangeod.store.postgres.session import Session


async def relation(session: Session, name: str) -> Relation | None:
    """Return what is found by a name in the session's search path; None where nothing is. Raises StoreError."""
    found = await session.run(queries.RELATION, {"name": name}, again=True)
    for oid, qualified, kind, may_lock, has_places in found:
        columns = await session.run(queries.COLUMNS, {"table": oid}, again=True)
        keys = await session.run(queries.UNIQUE_KEYS, {"table": oid}, again=True)
        described = {row[0]: Column.of(*row) for row in columns}
        return Relation(oid, qualified, kind, may_lock, described, [names for (names,) in keys], has_places)
    return None
