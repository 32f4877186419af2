"""What every store promises of the times that it writes: they are of the form that the web app's newest one has."""

import pytest

from bangeod.clock import to_text
from tests.contract.harness import Harness
from tests.contract.values import NOW, NOW_TEXT, entry, write_all

NOW_NAIVE = "2026-11-22 00:00:00"
MINUTE = 60


@pytest.mark.parametrize(
    ("newest", "written"),
    [
        ("2026-11-21T05:21:26Z", NOW_TEXT),
        ("2026-11-21 05:21:26", NOW_NAIVE),
        ("2026-11-21T05:21:26", "2026-11-22T00:00:00"),
        ("2026-11-21 05:21:26.722751", "2026-11-22 00:00:00.000000"),
        ("2026-11-21T05:21:26.722Z", "2026-11-22T00:00:00.000Z"),
        ("2026-11-21 05:21:26+00:00", "2026-11-22 00:00:00+00:00"),
        ("2026-11-21T05:21:26.722751-05:30", "2026-11-22T00:00:00.000000+00:00"),
    ],
)
async def test_a_time_is_written_as_the_newest_one_of_its_column(harness: Harness, newest: str, written: str) -> None:
    harness.put_geo("9.9.9.9", last_seen=newest)
    harness.put_geo("8.8.4.4", country_code="US", last_seen="2026-11-20T05:21:26Z")
    await write_all(harness.store, [entry("8.8.8.8", "US"), entry("8.8.4.4", "US")])
    assert {key: row["last_seen"] for key, row in harness.geo().items()} == {
        "9.9.9.9": newest,
        "8.8.4.4": written,
        "8.8.8.8": written,
    }


@pytest.mark.parametrize("newest", [NOW - MINUTE, NOW - MINUTE + 0.5, str(NOW - MINUTE), f"{NOW - MINUTE}.25"])
async def test_a_number_is_written_as_a_number_where_the_newest_one_is(harness: Harness, newest: float | str) -> None:
    harness.put_geo("9.9.9.9", last_seen=newest)
    await write_all(harness.store, [entry("8.8.8.8")])
    rows = harness.geo()
    written = rows["8.8.8.8"]["last_seen"]
    assert isinstance(written, str) == isinstance(rows["9.9.9.9"]["last_seen"], str)
    assert float(str(written)) == NOW


async def test_each_column_has_a_form_of_its_own(harness: Harness) -> None:
    harness.put_geo("9.9.9.9", cached_at="2026-11-20 00:00:00", last_seen="2026-11-20T00:00:00+00:00")
    await write_all(harness.store, [entry("8.8.8.8", "US")])
    row = harness.geo()["8.8.8.8"]
    assert (row["cached_at"], row["last_seen"]) == ("2026-11-22 00:01:00", "2026-11-22T00:00:00+00:00")


async def test_a_country_that_is_filled_in_gets_its_time_in_that_form(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", cached_at="2026-11-20 00:00:00.5", last_seen=NOW_TEXT)
    await write_all(harness.store, [entry("8.8.8.8", "US")])
    assert harness.geo()["8.8.8.8"]["cached_at"] == "2026-11-22 00:01:00.0"


@pytest.mark.parametrize("place", ["first", "last"])
async def test_the_newest_is_the_latest_time_wherever_it_stands(harness: Harness, place: str) -> None:
    naive, zoned = ("9.9.9.9", "9.9.9.10") if place == "first" else ("9.9.9.10", "9.9.9.9")
    for key in ("9.9.9.9", "9.9.9.10"):
        harness.put_geo(key, last_seen=NOW_NAIVE if key == naive else to_text(NOW - 1))
    assert set(harness.geo()) == {naive, zoned}
    await write_all(harness.store, [entry("8.8.8.8")])
    assert harness.geo()["8.8.8.8"]["last_seen"] == NOW_NAIVE


@pytest.mark.parametrize("unreadable", [None, "", "tomorrow", 0, NOW * 1_000, b"2026-11-21 00:00:00"])
async def test_what_is_no_time_has_no_say_in_the_form(harness: Harness, unreadable: object) -> None:
    harness.put_geo("9.9.9.9", last_seen=unreadable)
    await write_all(harness.store, [entry("8.8.8.8")])
    assert harness.geo()["8.8.8.8"]["last_seen"] == NOW_TEXT
    harness.drop_geo("8.8.8.8")
    harness.put_geo("9.9.9.10", last_seen="2020-01-01 00:00:00")
    await write_all(harness.store, [entry("8.8.8.8")])
    assert harness.geo()["8.8.8.8"]["last_seen"] == NOW_NAIVE


async def test_a_form_that_the_web_app_changes_is_followed(harness: Harness) -> None:
    harness.put_geo("9.9.9.9", last_seen="2026-11-20T00:00:00Z")
    await write_all(harness.store, [entry("8.8.8.8", seen=NOW - MINUTE)])
    harness.put_geo("9.9.9.10", last_seen="2026-11-21 23:59:30")
    await write_all(harness.store, [entry("8.8.8.8")])
    assert harness.geo()["8.8.8.8"]["last_seen"] == NOW_NAIVE


async def test_a_row_is_as_readable_to_bangeod_in_any_form(harness: Harness) -> None:
    harness.put_geo("9.9.9.9", last_seen="2026-11-21 05:21:26.722751")
    await write_all(harness.store, [entry("8.8.8.8")])
    assert (await harness.store.find(["8.8.8.8"]))["8.8.8.8"].last_seen == NOW
