"""What every store promises of writes: nothing that a row knows better is taken from it."""

from contextlib import aclosing

import pytest

from bangeod.addresses import read_address, spellings
from bangeod.clock import to_text
from bangeod.model import Geo
from bangeod.store import times
from tests.contract.harness import Harness
from tests.contract.values import BROKEN, NOW, NOW_TEXT, entry, read_all, write_all

OLDER = to_text(NOW - 1)
FULL = {
    "country_code": "DE",
    "country_name": "Germany",
    "asn": "AS64500",
    "org": "Example",
    "cached_at": "2020-01-01T00:00:00Z",
    "last_seen": NOW_TEXT,
}
HELD = Geo("DE", "Germany", "AS64500", "Example")  # what a row of FULL says


def many(count: int) -> list[str]:
    return [f"8.8.{i // 256}.{i % 256}" for i in range(count)]


async def test_an_address_without_a_row_gets_one_under_its_canonical_form(harness: Harness) -> None:
    await write_all(harness.store, [entry("8.8.8.8", "DE", name="Germany", asn="AS64500", org="Example")])
    assert harness.geo() == {"8.8.8.8": {**FULL, "cached_at": to_text(NOW + 60)}}


async def test_an_address_that_no_source_knows_gets_a_row_with_null(harness: Harness) -> None:
    await write_all(harness.store, [entry("8.8.8.8", asn="AS64500")])
    row = harness.geo()["8.8.8.8"]
    assert (row["country_code"], row["asn"], row["last_seen"]) == (None, "AS64500", NOW_TEXT)


async def test_a_row_without_a_country_is_filled_in(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", last_seen=OLDER)
    await write_all(harness.store, [entry("8.8.8.8", "DE", name="Germany", asn="AS64500", org="Example")])
    assert harness.geo() == {"8.8.8.8": {**FULL, "cached_at": to_text(NOW + 60)}}


@pytest.mark.parametrize("ip", ["8.8.8.8", "2001:4860:4860::8888", "2a00::ab:0:0:1"])
async def test_a_row_keeps_the_key_that_the_web_app_gave_it(harness: Harness, ip: str) -> None:
    for key in spellings(ip):
        harness.put_geo(key, last_seen=OLDER)
        await write_all(harness.store, [entry(ip, "DE")])
        assert [(k, row["country_code"], row["last_seen"]) for k, row in harness.geo().items()] == [
            (key, "DE", NOW_TEXT)
        ]
        harness.drop_geo(key)


@pytest.mark.parametrize(
    "key", ["2001:4860:4860:0:0:0:0:8888", "2001:4860:4860::AbCd", "0:0:0:0:0:FFFF:8.8.4.4", "::ffff:0808:0808"]
)
async def test_a_row_under_an_odd_spelling_is_updated_and_found(harness: Harness, key: str) -> None:
    harness.put_geo(key, last_seen=OLDER)
    await write_all(harness.store, [entry(read_address(key)[1], "US")])
    assert {key: row["country_code"] for key, row in harness.geo().items()} == {key: "US"}
    assert (await harness.store.find([read_address(key)[1]])).keys() == {read_address(key)[1]}


@pytest.mark.parametrize("before", ["2a00::1", "8.8.8.8"])
async def test_a_row_that_comes_later_under_an_odd_spelling_is_the_row_of_its_address(
    harness: Harness, before: str
) -> None:
    await harness.store.find([before, "2001:4860:4860::8888"])
    await write_all(harness.store, [entry(before, "DE")])
    harness.put_geo("2001:4860:4860:0:0:0:0:8888", last_seen=OLDER)
    await write_all(harness.store, [entry("2001:4860:4860::8888", "US")])
    assert {key: row["country_code"] for key, row in harness.geo().items()} == {
        before: "DE",
        "2001:4860:4860:0:0:0:0:8888": "US",
    }


async def test_an_odd_spelling_is_found_where_the_newest_row_has_gone(harness: Harness) -> None:
    harness.put_geo("9.9.9.9")
    await harness.store.find(["2001:4860:4860::8888"])
    harness.drop_geo("9.9.9.9")
    harness.put_geo("2001:4860:4860:0:0:0:0:8888", country_code="US")  # it may get the number of that one
    assert (await harness.store.find(["2001:4860:4860::8888"])).keys() == {"2001:4860:4860::8888"}


@pytest.mark.parametrize("code", ["XX", "ZZ", "T1", "A1", "O1", "EU", "-", "--", "Unknown", "N/A", " ", b"XX"])
async def test_a_placeholder_is_no_country_and_is_replaced(harness: Harness, code: object) -> None:
    harness.put_geo("8.8.8.8", country_code=code, country_name="Unknown", asn="-", last_seen=OLDER)
    assert [row.geo for row in await read_all(harness.store.unresolved())] == [Geo()]
    await write_all(harness.store, [entry("8.8.8.8", "US", name="United States", asn="AS15169")])
    row = harness.geo()["8.8.8.8"]
    assert (row["country_code"], row["country_name"], row["asn"]) == ("US", "United States", "AS15169")


@pytest.mark.parametrize("code", ["de", b"DE", "De"])
async def test_a_country_in_another_form_is_one_and_stays(harness: Harness, code: object) -> None:
    harness.put_geo("8.8.8.8", country_code=code, last_seen=NOW_TEXT)
    before = harness.geo()
    assert await read_all(harness.store.unresolved()) == []
    assert (await harness.store.find(["8.8.8.8"]))["8.8.8.8"].geo == Geo("DE")
    await write_all(harness.store, [entry("8.8.8.8", "FR")])
    assert harness.geo() == before


@pytest.mark.parametrize("asn", [64500, "64500", "as64500", b"AS64500", "AS64500 Example"])
async def test_a_row_in_another_form_still_holds_what_was_read(harness: Harness, asn: object) -> None:
    harness.put_geo("8.8.8.8", country_code="de", asn=asn, org=b"Example")
    await write_all(harness.store, [entry("8.8.8.8", "FR", asn="AS64501", replaces=HELD)])
    row = harness.geo()["8.8.8.8"]
    assert (row["country_code"], row["asn"], row["org"]) == ("FR", "AS64501", None)


async def test_a_row_that_holds_what_is_no_utf_8_is_written_too(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", country_code="DE", org=BROKEN, last_seen=OLDER)
    held = harness.geo()["8.8.8.8"]["org"]  # in UTF-16 these bytes are another text
    await write_all(harness.store, [entry("8.8.8.8", "DE", asn="AS64500")])
    row = harness.geo()["8.8.8.8"]
    assert (row["asn"], row["org"], row["last_seen"]) == ("AS64500", held, NOW_TEXT)


async def test_an_as_without_a_country_is_kept_and_the_row_stays_unresolved(harness: Harness) -> None:
    harness.put_geo("9.9.9.9", country_code="XX", org="-", last_seen=OLDER)
    harness.put_geo("1.1.1.1", country_code="AU", last_seen=OLDER)
    ips = ("8.8.8.8", "9.9.9.9", "1.1.1.1")
    await write_all(harness.store, [entry(ip, asn="AS64500", org="Example") for ip in ips])
    assert {key: (row["country_code"], row["asn"], row["org"]) for key, row in harness.geo().items()} == {
        "8.8.8.8": (None, "AS64500", "Example"),
        "9.9.9.9": ("XX", "AS64500", "Example"),
        "1.1.1.1": ("AU", "AS64500", "Example"),
    }
    assert {row.key for row in await read_all(harness.store.unresolved())} == {"8.8.8.8", "9.9.9.9"}


async def test_an_as_without_a_country_overwrites_nothing(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", asn="AS64500", last_seen=NOW_TEXT)
    harness.put_geo("9.9.9.9", org="Example", last_seen=NOW_TEXT)
    harness.put_geo("1.1.1.1", **FULL)
    before = harness.geo()
    await write_all(harness.store, [entry(key, asn="AS64501", org="Other") for key in map(str, before)])
    assert harness.geo() == before


async def test_an_empty_country_is_none(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", country_code="", last_seen=OLDER)
    assert [row.geo for row in await read_all(harness.store.unresolved())] == [Geo()]
    await write_all(harness.store, [entry("8.8.8.8", "US")])
    assert harness.geo()["8.8.8.8"]["country_code"] == "US"


async def test_two_rows_of_one_address_are_both_updated(harness: Harness) -> None:
    harness.put_geo("8.8.8.8")
    harness.put_geo("::ffff:8.8.8.8", last_seen=OLDER)
    await write_all(harness.store, [entry("8.8.8.8", "DE")])
    assert {key: (row["country_code"], row["last_seen"]) for key, row in harness.geo().items()} == {
        "8.8.8.8": ("DE", NOW_TEXT),
        "::ffff:8.8.8.8": ("DE", NOW_TEXT),
    }


async def test_rows_of_other_addresses_stay_as_they_are(harness: Harness) -> None:
    harness.put_geo("no address", last_seen=OLDER)
    harness.put_geo(b"8.8.8.8", last_seen=OLDER)
    harness.put_geo("8.8.8.9", last_seen=OLDER)
    before = harness.geo()
    await write_all(harness.store, [entry("8.8.8.8", "DE")])
    after = harness.geo()
    assert after.pop("8.8.8.8")["country_code"] == "DE"
    assert after == before


async def test_null_never_overwrites_a_country(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", **FULL)
    await write_all(harness.store, [entry("8.8.8.8"), entry("8.8.8.8", replaces=HELD)])
    assert harness.geo() == {"8.8.8.8": FULL}


async def test_an_entry_without_a_country_changes_no_geo_field_but_moves_the_time(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", asn="AS64500", last_seen=OLDER)
    before = harness.geo()["8.8.8.8"]
    await write_all(harness.store, [entry("8.8.8.8", asn="AS64501", org="Other")])
    assert harness.geo()["8.8.8.8"] == {**before, "last_seen": NOW_TEXT}


async def test_what_the_web_app_resolved_meanwhile_stays(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", country_code="DE", last_seen=OLDER)
    before = harness.geo()["8.8.8.8"]
    await write_all(harness.store, [entry("8.8.8.8", "FR", name="France", asn="AS64501", org="Other")])
    assert harness.geo()["8.8.8.8"] == {**before, "last_seen": NOW_TEXT}


async def test_the_same_country_fills_what_is_missing_and_only_that(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", country_code="DE", asn="AS64500", cached_at=FULL["cached_at"], last_seen=NOW_TEXT)
    await write_all(harness.store, [entry("8.8.8.8", "DE", name="Germany", asn="AS64501", org="Example")])
    assert harness.geo() == {"8.8.8.8": FULL}


async def test_a_country_is_replaced_where_the_row_still_holds_what_was_read(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", **FULL)
    await write_all(harness.store, [entry("8.8.8.8", "FR", name="France", asn="AS64501", replaces=HELD)])
    assert harness.geo()["8.8.8.8"] == {
        "country_code": "FR",
        "country_name": "France",
        "asn": "AS64501",
        "org": None,
        "cached_at": to_text(NOW + 60),
        "last_seen": NOW_TEXT,
    }


async def test_a_row_without_a_country_keeps_what_the_entry_does_not_know(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", asn="AS15169", org="Google LLC", last_seen=OLDER)
    await write_all(harness.store, [entry("8.8.8.8", "US")])
    row = harness.geo()["8.8.8.8"]
    assert (row["country_code"], row["asn"], row["org"]) == ("US", "AS15169", "Google LLC")


async def test_another_autonomous_system_takes_the_place_of_the_one_that_was_read(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", **FULL)
    await write_all(harness.store, [entry("8.8.8.8", "DE", name="Germany", asn="AS64501", replaces=HELD)])
    row = harness.geo()["8.8.8.8"]
    assert (row["country_code"], row["asn"], row["org"]) == ("DE", "AS64501", None)


@pytest.mark.parametrize(
    "by_now", [{"country_code": "CH"}, {"asn": "AS64999"}, {"org": "Another"}, {"asn": None}], ids=str
)
async def test_a_row_is_not_replaced_where_it_holds_something_else_by_now(
    harness: Harness, by_now: dict[str, str | None]
) -> None:
    harness.put_geo("8.8.8.8", **{**FULL, **by_now})
    before = harness.geo()
    await write_all(harness.store, [entry("8.8.8.8", "FR", replaces=HELD)])
    assert harness.geo() == before


async def test_the_name_of_the_country_does_not_keep_a_row_from_being_replaced(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", **{**FULL, "country_name": "Deutschland"})
    await write_all(harness.store, [entry("8.8.8.8", "FR", replaces=HELD)])
    assert harness.geo()["8.8.8.8"]["country_code"] == "FR"


async def test_an_older_last_seen_stays_out_of_a_row_that_is_replaced(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", **FULL)
    await write_all(harness.store, [entry("8.8.8.8", "FR", seen=NOW - 86_400, replaces=HELD)])
    assert harness.geo()["8.8.8.8"]["last_seen"] == FULL["last_seen"]


async def test_an_empty_text_in_a_row_is_nothing_that_it_holds(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", country_code="DE", asn="", org="")
    await write_all(harness.store, [entry("8.8.8.8", "FR", replaces=Geo("DE"))])
    assert harness.geo()["8.8.8.8"]["country_code"] == "FR"


async def test_an_entry_that_replaces_fills_a_row_without_a_country_too(harness: Harness) -> None:
    harness.put_geo("8.8.8.8")
    await write_all(harness.store, [entry("8.8.8.8", "FR", replaces=Geo("DE"))])
    assert harness.geo()["8.8.8.8"]["country_code"] == "FR"


async def test_of_two_rows_only_the_one_that_holds_what_was_read_is_replaced(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", country_code="DE")
    harness.put_geo("::ffff:8.8.8.8", country_code="CH")
    await write_all(harness.store, [entry("8.8.8.8", "FR", replaces=Geo("DE"))])
    assert {key: row["country_code"] for key, row in harness.geo().items()} == {
        "8.8.8.8": "FR",
        "::ffff:8.8.8.8": "CH",
    }


@pytest.mark.parametrize(
    "older",
    [
        OLDER,
        "2026-11-21 23:59:59.999999",
        "2026-11-22T00:59:59+01:00",
        "2000-01-01 00:00:00",
        str(NOW - 1),
        NOW - 1,
        times.EARLIEST,
        None,
    ],
)
async def test_an_older_time_or_none_moves_forward(harness: Harness, older: object) -> None:
    harness.put_geo("8.8.8.8", country_code="DE", last_seen=older)
    await write_all(harness.store, [entry("8.8.8.8", "DE")])
    assert times.read(harness.geo()["8.8.8.8"]["last_seen"]) == NOW * times.MICROSECONDS


@pytest.mark.parametrize(
    "newer",
    [
        "2026-11-22T00:00:00",
        "2026-11-22 00:00:00.000001",
        "2026-11-22T00:00:00-00:01",
        "2027-01-01T00:00:00Z",
        str(NOW),
        str(NOW + 1),
    ],
)
async def test_the_same_or_a_newer_time_stays_to_the_letter(harness: Harness, newer: str) -> None:
    harness.put_geo("8.8.8.8", country_code="DE", last_seen=newer)
    before = harness.geo()["8.8.8.8"]["last_seen"]
    await write_all(harness.store, [entry("8.8.8.8", "DE")])
    assert harness.geo()["8.8.8.8"]["last_seen"] == before


@pytest.mark.parametrize("unreadable", ["", "yesterday", "2026-11-22", b"0"])
async def test_a_time_that_can_not_be_read_is_kept(harness: Harness, unreadable: object) -> None:
    harness.put_geo("8.8.8.8", last_seen=unreadable)
    await write_all(harness.store, [entry("8.8.8.8", "DE")])
    row = harness.geo()["8.8.8.8"]
    assert (row["country_code"], row["last_seen"]) == ("DE", unreadable)


async def test_each_entry_is_handed_out_once_in_order_and_written(harness: Harness) -> None:
    entries = [entry(ip, "DE") for ip in many(700)]
    assert await write_all(harness.store, entries) == entries
    assert set(harness.geo()) == set(many(700))


async def test_what_is_handed_out_is_in_the_table_by_then(harness: Harness) -> None:
    async with aclosing(harness.store.write([entry(ip, "DE") for ip in many(400)])) as slices:
        written = 0
        async for part in slices:
            written += len(part)
            assert set(harness.geo()) == set(many(written))


async def test_a_write_that_is_left_early_keeps_what_was_committed(harness: Harness) -> None:
    async with aclosing(harness.store.write([entry(ip, "DE") for ip in many(700)])) as slices:
        first = await anext(slices)
    assert 0 < len(first) < 700
    assert set(harness.geo()) == {done.ip for done in first}


async def test_the_lock_is_free_between_two_slices(harness: Harness) -> None:
    async with aclosing(harness.store.write([entry(ip, "DE") for ip in many(400)])) as slices:
        async for _ in slices:
            harness.put_geo("9.9.9.9", country_code="CH")
    assert len(harness.geo()) == 401


async def test_writing_twice_ends_the_same_as_once(harness: Harness) -> None:
    harness.put_geo("::ffff:8.8.8.8", country_code="DE")
    entries = [entry("8.8.8.8", "DE", name="Germany"), entry("9.9.9.9"), entry("1.1.1.1", "AU")]
    await write_all(harness.store, entries)
    once = harness.geo()
    await write_all(harness.store, entries)
    assert harness.geo() == once


async def test_no_entries_are_no_slices(harness: Harness) -> None:
    assert await write_all(harness.store, []) == []
    assert harness.geo() == {}
