"""Columns of the server's, as tests of a migration need them."""

from bangeod.store.migration.values import CopiedColumn
from bangeod.store.postgres.columns import Column
from bangeod.store.time_forms import TimeForm

BASES = {
    "text": "text",
    "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float8": "double precision",
    "numeric": "numeric",
    "bytea": "bytea",
    "inet": "inet",
    "uuid": "uuid",
    "varchar": "character varying",
    "bpchar": "character",
}
HEADER = 4  # what a type modifier is larger than the length


def column(
    name: str,
    base: str = "text",
    *,
    length: int | None = None,
    not_null: bool = False,
    default: str | None = None,
    is_key: bool = False,
    may_be_empty: bool = True,
    form: TimeForm | None = None,
    whole_type: str = "",
) -> CopiedColumn:
    """Return a column that both sides have."""
    modifier = -1 if length is None else length + HEADER
    described = Column.of(name, f'"{name}"', base, BASES[base], modifier, not_null, default, False, False)
    written = whole_type or (f"{BASES[base]}({length})" if length else BASES[base])
    return CopiedColumn(name, described, written, form, is_key, may_be_empty)
