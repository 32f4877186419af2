"""Keys in any spelling of an IPv6 address are learned from the index once, then from what is new."""

from collections.abc import Callable, Iterator
from contextlib import closing
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.addresses import AddressKind, read_address, spellings
from bangeod.store.sqlite import odd_keys, queries
from bangeod.store.sqlite.columns import Table
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.odd_keys import FEW, READ_AGAIN, OddKeys
from bangeod.store.sqlite.schema import GEO_CACHE, SESSIONS
from bangeod.store.sqlite.store import look_at_tables
from tests.support.manual_clock import ManualClock

if TYPE_CHECKING:
    from sqlite3 import Connection

IP = "2001:4860:4860::8888"
ODD = "2001:4860:4860:0:0:0:0:8888"
OTHER = "2001:4860:4860:0::8844"


@pytest.fixture(params=["", " WITHOUT ROWID"])
def made(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[tuple["Connection", "Connection", Table]]:
    with (
        closing(engine.connect(f"{tmp_path}/bangui.db", isolation_level=None)) as ours,
        closing(engine.connect(f"{tmp_path}/bangui.db", isolation_level=None)) as web_app,
    ):
        web_app.execute(GEO_CACHE + request.param)
        web_app.execute(SESSIONS)
        _, tables = look_at_tables(ours, None)
        assert tables is not None
        table = tables["geo_cache"]
        assert isinstance(table, Table)
        yield ours, web_app, table


def insert(web_app: "Connection", *keys: str) -> None:
    web_app.execute("BEGIN")
    web_app.executemany("INSERT INTO geo_cache (ip) VALUES (?)", [(key,) for key in keys])
    web_app.execute("COMMIT")


def caught_up(odd: OddKeys, connection: "Connection", table: Table, ip: str = IP) -> int:
    """Read on until all is known; return how many pages that took."""
    pages = 1
    while not odd.catch_up(connection, table, [ip]):
        pages += 1
        assert pages < 100
    return pages


def test_an_odd_key_is_found_among_many(made: tuple["Connection", "Connection", Table]) -> None:
    ours, web_app, table = made
    insert(web_app, *(f"2.0.{i // 256}.{i % 256}" for i in range(12_000)), ODD, "9.9.9.9", IP)
    odd = OddKeys(ManualClock().monotonic)
    assert caught_up(odd, ours, table) > 2
    assert odd.of([IP, "9.9.9.9"]) == [ODD]


@pytest.mark.parametrize(
    "key",
    ["0:0:0:0:0:ffff:8.8.8.8", "0000::ffff:8.8.8.8", "::0:FFFF:0808:0808", "0064:ff9b::8.8.8.8", "0::ffff:8.8.8.8"],
)
def test_ipv4_in_clothes_of_ipv6_is_found(made: tuple["Connection", "Connection", Table], key: str) -> None:
    ours, web_app, table = made
    insert(web_app, key)
    odd = OddKeys(ManualClock().monotonic)
    ip = read_address(key)[1]
    caught_up(odd, ours, table, ip)
    assert odd.of([ip]) == [key]


def test_what_comes_later_is_found_as_well(made: tuple["Connection", "Connection", Table]) -> None:
    ours, web_app, table = made
    odd = OddKeys(ManualClock().monotonic)
    caught_up(odd, ours, table)
    insert(web_app, ODD)
    caught_up(odd, ours, table)
    insert(web_app, OTHER)
    caught_up(odd, ours, table)
    assert odd.of([IP, "2001:4860:4860::8844"]) == [ODD, OTHER]


def test_many_keys_are_read_again_after_a_while_where_new_ones_can_not_be_told(
    made: tuple["Connection", "Connection", Table],
) -> None:
    ours, web_app, table = made
    insert(web_app, *(f"2.0.{i // 256}.{i % 256}" for i in range(FEW + 1)), "9.9.9.9")
    clock = ManualClock()
    odd = OddKeys(clock.monotonic)
    caught_up(odd, ours, table)
    web_app.execute("DELETE FROM geo_cache WHERE ip = '9.9.9.9'")  # the newest: its rowid is given to the next
    insert(web_app, ODD)
    assert caught_up(odd, ours, table) == 1
    assert odd.of([IP]) == []
    clock.advance(READ_AGAIN)
    caught_up(odd, ours, table)
    assert odd.of([IP]) == [ODD]


def test_addresses_of_ipv4_need_nothing_read(made: tuple["Connection", "Connection", Table]) -> None:
    ours, web_app, table = made
    insert(web_app, ODD)
    odd = OddKeys(ManualClock().monotonic)
    assert odd.catch_up(ours, table, ["8.8.8.8"])
    assert odd.of([IP]) == []


@pytest.mark.parametrize("statement", [queries.RANGE_END, queries.RANGE_ODD_KEYS, queries.LATER_ODD_KEYS])
def test_no_page_is_a_walk_over_the_table(made: tuple["Connection", "Connection", Table], statement: str) -> None:
    ours, _, table = made
    if table.has_rowid:
        parameters = {"after": 0, "until": 1, "upto": 1, "limit": 1}
        plan = ours.execute("EXPLAIN QUERY PLAN " + table.sql(statement), parameters)
        assert not [step for *_, step in plan if step.startswith("SCAN geo_cache")]


groups = st.lists(st.sampled_from((0, 0, 0, 1, 0xAB, 0x1234, 0xABCD)), min_size=7, max_size=7)
writers: list[Callable[[int], str]] = [
    lambda g: f"{g:x}",
    lambda g: f"{g:04x}",
    lambda g: f"{g:X}",
    lambda g: f"{g:02X}",
]


@given(
    st.sampled_from((0x2001, 0x2A00, 0x64)),
    groups,
    st.lists(st.sampled_from(writers), min_size=8, max_size=8),
    st.data(),
)
def test_every_spelling_is_either_thought_of_or_looks_odd(
    first: int, rest: list[int], how: list[Callable[[int], str]], data: st.DataObject
) -> None:
    numbers = [first, *rest]
    words = [write(number) for write, number in zip(how, numbers, strict=True)]
    key = ":".join(words)
    runs = [(a, b) for a in range(8) for b in range(a + 1, 9) if not any(numbers[a:b])]
    if runs:
        a, b = data.draw(st.sampled_from(runs))
        key = data.draw(st.sampled_from((key, ":".join(words[:a]) + "::" + ":".join(words[b:]))))
    assert IPv6Address(key)
    kind, ip = read_address(key)
    with closing(engine.connect(":memory:")) as connection:
        looks_odd = connection.execute(f"SELECT {queries.ODD_KEY} FROM (SELECT ? AS ip)", (key,)).fetchone()[0]
    assert looks_odd or key in spellings(ip) or kind is not AddressKind.GLOBAL


def test_a_page_is_small_enough_for_the_others_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(odd_keys, "PAGE", 10)
    with closing(engine.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(GEO_CACHE)
        connection.execute(SESSIONS)
        _, tables = look_at_tables(connection, None)
        assert tables is not None
        table = tables["geo_cache"]
        assert isinstance(table, Table)
        insert(connection, *(f"2a00::{i:04x}" for i in range(1, 101)))
        odd = OddKeys(ManualClock().monotonic)
        assert caught_up(odd, connection, table, "2a00::64") >= 10
        assert odd.of(["2a00::64"]) == ["2a00::0064"]
        insert(connection, *(f"2a00::1:{i:04x}" for i in range(1, 101)))
        assert caught_up(odd, connection, table, "2a00::1:64") >= 10
        assert odd.of(["2a00::1:64"]) == ["2a00::1:0064"]
