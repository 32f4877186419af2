"""What every store promises of deletions: exactly the rows whose time has passed go."""

from collections.abc import Callable
from contextlib import aclosing

import pytest

from bangeod.clock import to_text
from bangeod.store import times
from tests.contract.harness import Harness
from tests.contract.values import BROKEN, NOW, NOW_TEXT, read_all, total

OLD = "2000-01-01T00:00:00Z"

# Each of these is NOW or earlier by less than a minute, and a minute later it is not.
UP_TO_NOW = [
    NOW_TEXT,
    "2026-11-22T00:00:00",
    "2026-11-22 00:00:00",
    "2026-11-22 00:00:00Z",
    "2026-11-22T00:00:00.0",
    "2026-11-21 23:59:59.999999Z",
    "2026-11-22T02:00:00+02:00",
    "2026-11-21 18:30:00.000-05:30",
    str(NOW),
]
AFTER_NOW = [
    "2026-11-22T00:00:01Z",
    "2026-11-22T00:00:00.000001",
    "2026-11-22 00:00:00.1",
    "2026-11-22T01:59:59+01:59",
    "2026-11-22T00:00:00-00:01",
    "2026-11-21T22:00:00-02:01",
    "9999-12-31T23:59:59Z",
    str(NOW + 1),
]
UNREADABLE = [
    None,
    "",
    "now",
    "2026-11-21",
    "00:00:00",
    "2000-02-30T00:00:00Z",
    "2000-01-01T24:00:00Z",
    "2000-01-01T00:00:60Z",
    "2000-01-01t00:00:00z",
    " 2000-01-01T00:00:00Z",
    "2000-01-01T00:00:00Z\n",
    "2000-01-01T00:00:00\0",
    "2000-01-01T00:00:00.1234567",
    "2000-01-01T00:00:00+24:00",
    "0000-01-01T00:00:00",
    "2451544.5",
    "-1",
    "0\0",
    "1795305600000",
    "\N{ARABIC-INDIC DIGIT ONE}",
    BROKEN,
    b"0",
    0,  # "never", as -1 is
    -1,
    times.EARLIEST - 1,
    times.END,
    2_461_375.722,  # Julian day of a day after NOW
    NOW * 1_000,
    NOW * times.MICROSECONDS,
    2**63 - 1,
    -(2**63),
    float("-inf"),
]


def nothing(_key: str) -> bool:
    return False


def holds(*keys: str) -> Callable[[str], bool]:
    return keys.__contains__


@pytest.mark.parametrize("value", UP_TO_NOW)
async def test_a_session_expires_at_the_very_second(harness: Harness, value: object) -> None:
    harness.put_session(value)
    assert (await harness.store.count_expired(NOW)).matching == 1
    assert await total(harness.store.delete_expired(NOW)) == ([""], 0, None)
    assert harness.sessions() == {}


@pytest.mark.parametrize("value", AFTER_NOW)
async def test_no_live_session_is_deleted(harness: Harness, value: object) -> None:
    harness.put_session(value)
    assert (await harness.store.count_expired(NOW)).matching == 0
    assert await total(harness.store.delete_expired(NOW)) == ([], 0, None)
    assert len(harness.sessions()) == 1


@pytest.mark.parametrize("value", UNREADABLE)
async def test_a_session_whose_time_is_unreadable_is_kept_and_counted(harness: Harness, value: object) -> None:
    harness.put_session(value)
    harness.put_session(OLD)
    census = await harness.store.count_expired(NOW)
    deleted = await total(harness.store.delete_expired(NOW))
    assert (census.matching, census.unreadable, deleted.keys, deleted.unreadable) == (1, 1, [""], 1)
    assert census.example is not None
    assert deleted.example == census.example
    assert len(harness.sessions()) == 1


@pytest.mark.parametrize("value", [*AFTER_NOW, NOW_TEXT, str(NOW), "2026-11-22T02:00:00+02:00"])
async def test_a_row_last_seen_at_the_limit_or_later_stays(harness: Harness, value: object) -> None:
    harness.put_geo("8.8.8.8", last_seen=value)
    assert (await harness.store.count_stale(NOW, keep=nothing)).matching == 0
    assert await total(harness.store.delete_stale(NOW, keep=nothing)) == ([], 0, None)
    assert len(harness.geo()) == 1


@pytest.mark.parametrize("value", [to_text(NOW - 1), "2026-11-21T23:59:59.999999", str(NOW - 1), times.EARLIEST, OLD])
async def test_a_row_last_seen_earlier_goes(harness: Harness, value: object) -> None:
    harness.put_geo("8.8.8.8", last_seen=value)
    assert (await harness.store.count_stale(NOW, keep=nothing)).matching == 1
    assert await total(harness.store.delete_stale(NOW, keep=nothing)) == (["8.8.8.8"], 0, None)
    assert harness.geo() == {}


@pytest.mark.parametrize("value", UNREADABLE)
async def test_a_row_whose_time_is_unreadable_is_kept_and_counted(harness: Harness, value: object) -> None:
    harness.put_geo("8.8.8.8", last_seen=value)
    harness.put_geo("9.9.9.9", last_seen=OLD)
    census = await harness.store.count_stale(NOW, keep=nothing, max_rows=1)
    deleted = await total(harness.store.delete_stale(NOW, keep=nothing, max_rows=1))
    assert (census.matching, census.unreadable, deleted.keys, deleted.unreadable) == (1, 1, ["9.9.9.9"], 1)
    assert census.example is not None
    assert deleted.example == census.example
    assert list(harness.geo()) == ["8.8.8.8"]


async def test_the_example_shows_the_value(harness: Harness) -> None:
    harness.put_session("day after tomorrow")
    census = await harness.store.count_expired(NOW)
    assert "day after tomorrow" in (census.example or "")


async def test_counting_changes_nothing(harness: Harness) -> None:
    harness.put_session(OLD)
    harness.put_geo("8.8.8.8", last_seen=OLD)
    before = harness.geo(), harness.sessions()
    await harness.store.count_expired(NOW)
    await harness.store.count_stale(NOW, keep=nothing, max_rows=1)
    assert (harness.geo(), harness.sessions()) == before


async def test_a_deleted_row_is_told_by_the_key_that_it_had(harness: Harness) -> None:
    for key in ("::ffff:8.8.8.8", "2001:4860:4860::ABCD", "no address"):
        harness.put_geo(key, last_seen=OLD)
    deleted = await total(harness.store.delete_stale(NOW, keep=nothing))
    assert deleted.keys == ["2001:4860:4860::ABCD", "::ffff:8.8.8.8", "no address"]


@pytest.mark.parametrize("key", [b"8.8.8.8", BROKEN, "8.8.8.8\0"])
async def test_a_row_goes_in_its_time_whatever_its_key_is(harness: Harness, key: object, pages_by_text: bool) -> None:
    if pages_by_text and key == BROKEN:
        pytest.skip("such a table can't be walked over; that it says so is another test")
    harness.put_geo(key, last_seen=OLD)
    harness.put_geo("8.8.8.8", last_seen=NOW_TEXT)
    assert len((await total(harness.store.delete_stale(NOW, keep=nothing))).keys) == 1
    assert list(harness.geo()) == ["8.8.8.8"]


async def test_a_row_that_is_to_be_kept_stays_however_old(harness: Harness) -> None:
    harness.put_geo("::ffff:8.8.8.8", last_seen=OLD)
    harness.put_geo("9.9.9.9", last_seen=OLD)
    assert (await harness.store.count_stale(NOW, keep=holds("::ffff:8.8.8.8"))).matching == 1
    deleted = await total(harness.store.delete_stale(NOW, keep=holds("::ffff:8.8.8.8")))
    assert deleted.keys == ["9.9.9.9"]
    assert list(harness.geo()) == ["::ffff:8.8.8.8"]


def put_seen(harness: Harness, **seconds_ago: int) -> None:
    for name, seconds in seconds_ago.items():
        harness.put_geo(name, last_seen=to_text(NOW - seconds))


@pytest.mark.parametrize(
    ("max_rows", "kept", "left"),
    [
        (0, (), "abcd"),
        (4, (), "abcd"),
        (9, (), "abcd"),
        (3, (), "acd"),
        (2, (), "cd"),
        (2, ("b",), "bd"),
        (2, ("a", "b", "c"), "ac"),
        (1, ("a", "b", "c", "d"), "d"),
    ],
)
async def test_above_max_rows_those_seen_longest_ago_go_and_kept_ones_last(
    harness: Harness, max_rows: int, kept: tuple[str, ...], left: str
) -> None:
    put_seen(harness, d=1, a=3, c=2, b=4)
    before = NOW - 1_000
    census = await harness.store.count_stale(before, keep=holds(*kept), max_rows=max_rows)
    deleted = await total(harness.store.delete_stale(before, keep=holds(*kept), max_rows=max_rows))
    assert sorted(map(str, harness.geo())) == sorted(left)
    assert census.matching == len(deleted.keys) == 4 - len(left)


async def test_what_is_stale_goes_first_and_counts_towards_max_rows(harness: Harness) -> None:
    put_seen(harness, a=500, b=400, c=30, d=20, e=10)
    assert (await harness.store.count_stale(NOW - 100, keep=nothing, max_rows=2)).matching == 3
    await total(harness.store.delete_stale(NOW - 100, keep=nothing, max_rows=2))
    assert sorted(map(str, harness.geo())) == ["d", "e"]


async def test_of_rows_seen_at_the_same_time_only_as_many_go_as_must(harness: Harness) -> None:
    put_seen(harness, a=5, b=5, c=5, d=5, e=1)
    assert len((await total(harness.store.delete_stale(NOW - 100, keep=nothing, max_rows=3))).keys) == 2
    assert "e" in harness.geo()


async def test_max_rows_never_costs_a_row_whose_time_is_unreadable(harness: Harness) -> None:
    put_seen(harness, a=5)
    for key in "bcd":
        harness.put_geo(key, last_seen="yesterday")
    assert (await total(harness.store.delete_stale(NOW - 100, keep=nothing, max_rows=1))).keys == ["a"]
    assert sorted(map(str, harness.geo())) == ["b", "c", "d"]


async def test_a_deletion_that_is_left_early_keeps_what_was_committed(harness: Harness) -> None:
    for i in range(1_500):
        harness.put_geo(f"8.8.{i // 256}.{i % 256}", last_seen=OLD)
    gone: list[str] = []
    async with aclosing(harness.store.delete_stale(NOW, keep=nothing)) as slices:
        async for deleted in slices:
            gone += deleted.keys
            if gone:
                break
    assert 0 < len(gone) < 1_500
    assert len(harness.geo()) == 1_500 - len(gone)
    assert not harness.geo().keys() & set(gone)


async def test_rows_seen_again_during_a_deletion_stay(harness: Harness) -> None:
    keys = [f"8.8.{i // 256}.{i % 256}" for i in range(300)]
    for key in keys:
        harness.put_geo(key, last_seen=OLD)
    async with aclosing(harness.store.delete_stale(NOW, keep=nothing)) as slices:
        gone = list((await anext(slices)).keys)
        saved = [key for key in keys if key not in gone]
        for key in saved:
            harness.set_geo(key, last_seen=NOW_TEXT)
        gone += await read_all(deleted.keys async for deleted in slices)
    assert sorted(map(str, harness.geo())) == sorted(saved)
    assert not set(gone) & set(saved)


async def test_sessions_are_deleted_in_any_number(harness: Harness) -> None:
    for i in range(1_500):
        harness.put_session(OLD if i % 3 else to_text(NOW + 1))
    assert len((await total(harness.store.delete_expired(NOW))).keys) == 1_000
    assert set(harness.sessions().values()) == {to_text(NOW + 1)}


async def test_deleting_again_finds_nothing(harness: Harness) -> None:
    harness.put_session(OLD)
    harness.put_geo("8.8.8.8", last_seen=OLD)
    for _ in range(2):
        await total(harness.store.delete_expired(NOW))
        await total(harness.store.delete_stale(NOW, keep=nothing))
    assert await total(harness.store.delete_expired(NOW)) == ([], 0, None)
    assert await total(harness.store.delete_stale(NOW, keep=nothing)) == ([], 0, None)
