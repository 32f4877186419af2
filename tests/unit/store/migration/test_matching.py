"""Which columns are copied between two schemas."""

from collections.abc import Iterable, Sequence

import pytest

from bangeod.store.migration.matching import Details, Matched, Numbering, UnmatchedError, match
from bangeod.store.postgres import columns
from bangeod.store.postgres.columns import Column, Relation, Table
from tests.unit.store.migration.columns import BASES

GEO = ("ip", "country_code", "last_seen")
SESSIONS = ("id", "token", "expires_at")


def described(
    name: str, *, base: str = "text", not_null: bool = False, default: str | None = None, is_generated: bool = False
) -> Column:
    return Column.of(name, f'"{name}"', base, BASES[base], -1, not_null, default, is_generated, False)


def table(name: str, names: Iterable[str], *more: Column, key: Sequence[str]) -> Table:
    found = {each.name: each for each in (*(described(each) for each in names), *more)}
    relation = Relation(1, name, "r", True, found, [key])
    return (columns.geo_table if name == "geo_cache" else columns.sessions_table)(relation, None)


def matched(source: Sequence[str], there: Table, *, numbered: Sequence[str] = ()) -> Matched:
    types = {name: column.type for name, column in there.columns.items()}
    return match(source, there, Details(types, {name: Numbering("1", "numbers", True) for name in numbered}))


def names(found: Matched) -> list[str]:
    return [column.name for column in found.columns]


def test_every_column_that_both_have_is_copied_whatever_its_letters() -> None:
    there = table("sessions", SESSIONS, described("user_id"), described("lastIp"), key=["id"])
    found = matched(["ID", "token", "expires_at", "user_id", "lastip", "agent"], there)
    assert names(found) == ["id", "token", "expires_at", "user_id", "lastIp"]
    assert [column.source for column in found.columns] == ["ID", "token", "expires_at", "user_id", "lastip"]
    assert found.notes == ["column agent is only in the file"]
    assert [names(found)[number] for number in found.identity] == ["token"]


def test_a_column_that_the_server_needs_and_the_file_lacks_is_refused() -> None:
    there = table("sessions", SESSIONS, described("user_id", not_null=True), key=["id"])
    with pytest.raises(UnmatchedError, match="user_id is NOT NULL and has no default") as refused:
        matched(SESSIONS, there)
    assert "ALTER COLUMN user_id SET DEFAULT" in refused.value.advice


def test_a_default_fills_it() -> None:
    there = table("sessions", SESSIONS, described("user_id", not_null=True, default="1"), key=["id"])
    assert names(matched(SESSIONS, there)) == list(SESSIONS)


def test_what_the_server_computes_or_numbers_is_left_to_it() -> None:
    computed = described("country_name", is_generated=True)
    there = table("geo_cache", GEO, computed, described("id", base="int8"), key=["ip"])
    found = matched([*GEO, "country_name", "id"], there, numbered=["id"])
    assert names(found) == list(GEO)
    assert found.notes == [
        "column country_name is computed by the server itself",
        "column id is numbered by the server itself",
    ]


def test_the_numbers_of_sessions_are_copied() -> None:
    there = table("sessions", SESSIONS, key=["id"])
    assert names(matched(SESSIONS, there, numbered=["id"])) == list(SESSIONS)


def test_sessions_without_a_token_are_recognised_by_their_key_or_not_at_all() -> None:
    there = table("sessions", ["id", "expires_at"], key=["id"])
    found = matched(SESSIONS, there)
    assert [names(found)[number] for number in found.identity] == ["id"]
    with pytest.raises(UnmatchedError, match="can't be recognised"):
        matched(["expires_at"], there)


def test_rows_of_geo_cache_need_a_unique_index_on_the_address_alone() -> None:
    with pytest.raises(UnmatchedError, match="no unique index of its own"):
        matched(GEO, table("geo_cache", GEO, described("id"), key=["id"]))
