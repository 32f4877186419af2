"""What is made of a server's catalogue: which columns are worked with, and the SQL that fits them."""

from collections.abc import Sequence

import pytest

from bangeod.store import time_forms
from bangeod.store.postgres.columns import Column, Kind, Relation, Table, UnfitTableError, form_of, geo_table
from bangeod.store.time_forms import TimeForm, TimeKind

GEO = ("ip", "country_code", "country_name", "asn", "org", "cached_at", "last_seen")


def column(
    name: str, base: str = "text", *, modifier: int = -1, not_null: bool = False, default: str | None = None
) -> Column:
    return Column.of(name, f'"{name}"', base, base, modifier, not_null, default, False, False)


def relation(*columns: Column, keys: Sequence[Sequence[str]] = (("ip",),), kind: str = "r") -> Relation:
    return Relation(1, "public.geo_cache", kind, True, {each.name: each for each in columns}, keys)


def geo(*others: Column, keys: Sequence[Sequence[str]] = (("ip",),)) -> Table:
    return geo_table(relation(*map(column, GEO), *others, keys=keys), None)


@pytest.mark.parametrize(
    ("base", "kind"),
    [
        ("varchar", Kind.TEXT),
        ("bytea", Kind.BYTES),
        ("int4", Kind.INTEGER),
        ("float4", Kind.REAL),
        ("timestamptz", Kind.MOMENT),
        ("timestamp", Kind.NAIVE),
        ("inet", Kind.ADDRESS),
        ("date", Kind.OTHER),
        ("jsonb", Kind.OTHER),
    ],
)
def test_types_are_told_apart_by_their_name(base: str, kind: Kind) -> None:
    assert column("last_seen", base).kind is kind


@pytest.mark.parametrize(
    ("made", "sql"),
    [
        (column("org"), "CAST(v AS text)"),
        (column("org", "varchar", modifier=14), "CAST(left(v, 10) AS varchar)"),
        (column("country_code", "bpchar", modifier=6), "CAST(v AS bpchar)"),  # a part of a code is no code
        (column("asn", "int8"), "CAST(substr(v, 3) AS int8)"),
        (column("org", "bytea"), "convert_to(v, 'UTF8')"),
        (column("org", not_null=True), "coalesce(CAST(v AS text), '')"),
        (column("asn", "int4", not_null=True), "coalesce(CAST(substr(v, 3) AS int4), 0)"),
        (column("org", not_null=True, default="'50%'::text"), "coalesce(CAST(v AS text), ('50%%'::text), '')"),
        (column("last_seen", "timestamptz", not_null=True), "CAST(v AS timestamptz)"),
    ],
)
def test_a_value_is_written_as_its_column_takes_it(made: Column, sql: str) -> None:
    assert made.written("v") == sql


@pytest.mark.parametrize(
    ("base", "form"),
    [
        ("int8", time_forms.SECONDS),
        ("float8", TimeForm(TimeKind.REAL)),
        ("timestamptz", time_forms.DEFAULT),
        ("timestamp", time_forms.DEFAULT),
        ("text", None),
    ],
)
def test_the_type_of_a_column_decides_the_form_of_its_times_where_it_is_not_text(
    base: str, form: TimeForm | None
) -> None:
    assert form_of(column("last_seen", base)) == form


def test_rows_are_paged_by_an_index_on_the_address_alone_where_there_is_one_else_by_the_first() -> None:
    number, host = column("id", "int8", not_null=True), column("host", not_null=True)
    assert [each.name for each in geo(number, keys=[["id"], ["ip"]]).key] == ["ip"]
    assert [each.name for each in geo(host, keys=[["ip", "host"], ["host"]]).key] == ["ip", "host"]


def test_a_row_is_compared_by_all_columns_of_its_key() -> None:
    table = geo(column("host", not_null=True), keys=[["host", "ip"]])
    assert table.after(first=True) == "true"
    assert table.after(first=False) == '(t."host", t."ip") > (CAST(%(k0)s AS text), CAST(%(k1)s AS text))'


def test_a_column_that_must_be_given_and_is_not_bangeods_keeps_new_rows_out() -> None:
    assert geo(column("host", not_null=True)).not_filled == ["host"]
    assert geo(column("host", not_null=True, default="''::text")).not_filled == []


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (None, "there is no table geo_cache in schema app"),
        (relation(kind="f"), "geo_cache is a foreign table, not a table"),
        (relation(column("ip")), "table geo_cache has no column country_code"),
        (relation(column("ip"), column("country_code"), keys=()), "neither a primary key nor another unique index"),
        (relation(column("ip", "int8"), column("country_code")), "column ip of table geo_cache is int8"),
    ],
)
def test_a_table_that_can_not_be_worked_with_says_why(found: Relation | None, problem: str) -> None:
    with pytest.raises(UnfitTableError, match=problem):
        geo_table(found, "app")
