"""What every store promises: opening, reading, and a database that fails."""

from contextlib import aclosing

import pytest

from bangeod.addresses import spellings
from bangeod.errors import StoreError, StoreLockedError, StoreMissingError
from bangeod.model import Geo, Row
from tests.contract.harness import Harness
from tests.contract.values import BROKEN, NOW, NOW_TEXT, entry, read_all, total, write_all

GERMANY = Geo("DE", "Germany", "AS64500", "Example")


async def test_rows_hands_out_each_row_once(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", **GERMANY._asdict(), last_seen=NOW_TEXT)
    harness.put_geo("9.9.9.9", last_seen=NOW_TEXT)
    assert sorted(await read_all(harness.store.rows()), key=lambda row: row.key) == [
        Row("8.8.8.8", GERMANY, NOW),
        Row("9.9.9.9", Geo(), NOW),
    ]


async def test_rows_walks_over_any_number_of_pages(harness: Harness) -> None:
    keys = [f"8.8.{i // 256}.{i % 256}" for i in range(1_300)]
    for key in keys:
        harness.put_geo(key)
    assert sorted(row.key for row in await read_all(harness.store.rows())) == sorted(keys)


async def test_each_page_of_rows_says_how_much_has_been_read(harness: Harness) -> None:
    for i in range(1_300):
        harness.put_geo(f"8.8.{i // 256}.{i % 256}")
    async with aclosing(harness.store.rows()) as pages:
        shares = [page.share async for page in pages]
    assert shares == sorted(shares)
    assert (0 < shares[0] < 1, shares[-1]) == (True, 1.0)


async def test_a_row_that_is_deleted_before_its_page_is_read_is_not_handed_out(harness: Harness) -> None:
    for i in range(1_300):
        harness.put_geo(f"8.8.{i // 256}.{i % 256}", last_seen=NOW_TEXT)
    async with aclosing(harness.store.rows()) as pages:
        first = await anext(pages)
        await total(harness.store.delete_stale(NOW + 1, keep=lambda key: key in {row.key for row in first}))
        assert [page async for page in pages] == []


@pytest.mark.parametrize(
    "key", ["::ffff:8.8.8.8", "2001:4860:4860::ABCD", "10.0.0.1", "", "no address", "8.8.8.8 ", "8.8.8.8\0", "ü\0ß"]
)
async def test_a_key_is_handed_out_as_the_web_app_wrote_it(harness: Harness, key: str) -> None:
    harness.put_geo(key)
    assert [row.key for row in await read_all(harness.store.rows())] == [key]
    assert [row.key for row in await read_all(harness.store.unresolved())] == [key]


@pytest.mark.parametrize("key", [b"8.8.8.8", b"\xff\0", b""])
async def test_a_key_that_is_no_text_is_handed_out_as_some_text(harness: Harness, key: bytes) -> None:
    harness.put_geo(key)
    harness.put_geo("8.8.8.8", country_code="DE")
    assert len(await read_all(harness.store.rows())) == 2
    assert (await harness.store.find(["8.8.8.8"]))["8.8.8.8"].geo.country_code == "DE"


async def test_a_column_that_is_not_utf_8_does_not_stop_the_walk(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", country_code="DE", org=BROKEN, last_seen=BROKEN)
    harness.put_geo("9.9.9.9", country_code="FR", last_seen=NOW_TEXT)
    rows = {row.key: row for row in await read_all(harness.store.rows())}
    assert rows["9.9.9.9"] == Row("9.9.9.9", Geo("FR"), NOW)
    assert (rows["8.8.8.8"].geo.country_code, rows["8.8.8.8"].last_seen) == ("DE", None)


async def test_a_key_that_is_not_utf_8_does_not_stop_the_walk(harness: Harness, pages_by_text: bool) -> None:
    harness.put_geo(BROKEN, country_code="DE")
    harness.put_geo("9.9.9.9", country_code="FR")
    if pages_by_text:
        with pytest.raises(StoreError, match="not UTF-8"):
            await read_all(harness.store.rows())
        return
    countries = [row.geo.country_code for row in await read_all(harness.store.rows())]
    assert sorted(filter(None, countries)) == ["DE", "FR"]


@pytest.mark.parametrize("last_seen", [None, "", "now", "2024-02-30T00:00:00Z", b"0", 2**63 - 1, float("inf")])
async def test_a_row_whose_time_is_unreadable_is_handed_out_without_one(harness: Harness, last_seen: object) -> None:
    harness.put_geo("8.8.8.8", country_code="DE", last_seen=last_seen)
    assert await read_all(harness.store.rows()) == [Row("8.8.8.8", Geo("DE"), None)]


async def test_unresolved_hands_out_the_rows_without_a_country(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", country_code="DE")
    harness.put_geo("9.9.9.9", asn="AS64500", last_seen=NOW_TEXT)
    assert await read_all(harness.store.unresolved()) == [Row("9.9.9.9", Geo(asn="AS64500"), NOW)]


async def test_unresolved_finds_one_among_many(harness: Harness) -> None:
    for i in range(1_300):
        harness.put_geo(f"8.8.{i // 256}.{i % 256}", country_code="DE")
    harness.put_geo("8.8.2.7")
    assert [row.key for row in await read_all(harness.store.unresolved())] == ["8.8.2.7"]


async def test_no_rows_are_no_pages_with_rows(harness: Harness) -> None:
    assert await read_all(harness.store.rows()) == []
    assert await read_all(harness.store.unresolved()) == []


async def test_a_walk_that_is_left_early_does_no_harm(harness: Harness) -> None:
    for i in range(1_300):
        harness.put_geo(f"8.8.{i // 256}.{i % 256}")
    async with aclosing(harness.store.rows()) as pages:
        async for _ in pages:
            break
    await write_all(harness.store, [entry("9.9.9.9", "CH")])
    assert len(await read_all(harness.store.rows())) == 1_301


async def test_rows_may_be_written_between_the_pages_of_a_walk(harness: Harness) -> None:
    keys = {f"8.8.{i // 256}.{i % 256}" for i in range(1_300)}
    for key in keys:
        harness.put_geo(key)
    walked = []
    async with aclosing(harness.store.unresolved()) as pages:
        async for page in pages:
            walked += [row.key for row in page]
            await write_all(harness.store, [entry(row.key, "DE") for row in page[:3]])
    assert sorted(walked) == sorted(keys)


async def test_find_answers_for_the_addresses_that_have_a_row(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", country_code="DE", last_seen=NOW_TEXT)
    harness.put_geo("1.1.1.1", country_code="AU")
    found = await harness.store.find(["8.8.8.8", "9.9.9.9", "2001:4860:4860::8888"])
    assert found == {"8.8.8.8": Row("8.8.8.8", Geo("DE"), NOW)}


@pytest.mark.parametrize("ip", ["8.8.8.8", "2001:4860:4860::8888", "2a00::ab:0:0:1"])
async def test_find_knows_an_address_under_any_usual_spelling(harness: Harness, ip: str) -> None:
    for key in spellings(ip):
        harness.put_geo(key, country_code="DE")
        assert await harness.store.find([ip]) == {ip: Row(key, Geo("DE"), None)}
        harness.drop_geo(key)


@pytest.mark.parametrize("with_country", ["8.8.8.8", "::ffff:8.8.8.8"])
async def test_find_prefers_the_row_that_has_a_country(harness: Harness, with_country: str) -> None:
    harness.put_geo("8.8.8.8")
    harness.put_geo("::ffff:8.8.8.8")
    harness.set_geo(with_country, country_code="DE")
    assert await harness.store.find(["8.8.8.8"]) == {"8.8.8.8": Row(with_country, Geo("DE"), None)}


async def test_find_takes_any_number_of_addresses(harness: Harness) -> None:
    ips = [f"8.8.{i // 256}.{i % 256}" for i in range(1_300)]
    for ip in ips[::100]:
        harness.put_geo(ip)
    assert set(await harness.store.find(ips)) == set(ips[::100])
    assert await harness.store.find([]) == {}


async def test_prepare_may_be_called_before_every_run(harness: Harness) -> None:
    harness.put_geo("8.8.8.8")
    assert await harness.store.prepare() is False
    assert len(await read_all(harness.store.rows())) == 1


async def test_a_closed_store_is_opened_by_prepare(harness: Harness) -> None:
    harness.put_geo("8.8.8.8")
    await harness.store.close()
    await harness.store.close()
    assert await harness.store.prepare() is True
    assert len(await read_all(harness.store.rows())) == 1


async def test_prepare_says_that_the_database_is_missing(harness: Harness) -> None:
    harness.lose()
    with pytest.raises(StoreMissingError):
        await harness.store.prepare()


async def test_a_locked_database_is_one_error_and_nothing_is_written(harness: Harness) -> None:
    harness.put_geo("8.8.8.8")
    before = harness.geo()
    with harness.locked(), pytest.raises(StoreLockedError):
        await write_all(harness.store, [entry("8.8.8.8", "DE")])
    assert harness.geo() == before
    await write_all(harness.store, [entry("8.8.8.8", "DE")])
    assert harness.geo()["8.8.8.8"]["country_code"] == "DE"


async def test_a_locked_database_keeps_its_expired_sessions_for_the_next_run(harness: Harness) -> None:
    harness.put_session("2000-01-01T00:00:00Z")
    with harness.locked(), pytest.raises(StoreLockedError):
        await read_all(harness.store.delete_expired(NOW))
    assert len(harness.sessions()) == 1
    await read_all(harness.store.delete_expired(NOW))
    assert harness.sessions() == {}


async def test_tidy_gives_figures(harness: Harness) -> None:
    figures = await harness.store.tidy()
    assert set(figures) == {"free_pages", "page_size", "pages_given_back"}


async def test_files_that_are_there_have_a_size_and_some_of_it_may_be_free(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", country_code="US")
    sizes, free = await harness.store.sizes(), await harness.store.free_bytes()
    assert all(size is None or size >= 0 for size in sizes)
    assert 0 <= free <= (sizes.database or 0)


async def test_emptying_the_log_changes_no_row_and_says_when_to_do_it_again(harness: Harness) -> None:
    for i in range(1_300):
        harness.put_geo(f"8.8.{i // 256}.{i % 256}")
    before = await read_all(harness.store.rows())
    assert 0 < await harness.store.empty_wal() <= 60
    assert await read_all(harness.store.rows()) == before


async def test_names_are_counted_by_code_and_name(harness: Harness) -> None:
    rows = [("RU", "Russia"), ("RU", "Russia"), ("RU", "russia"), ("DE", "Germany")]
    for i, (code, name) in enumerate(rows):
        harness.put_geo(f"8.8.8.{i}", country_code=code, country_name=name)
    counted = {("RU", "Russia"): 2, ("RU", "russia"): 1, ("DE", "Germany"): 1}
    assert await harness.store.names_by_code() == counted


async def test_names_are_counted_for_all_rows_that_are_read_alike(harness: Harness) -> None:
    pairs = [(code, name) for code in ("RU", "ru", " RU ", "rus", b"RU") for name in ("Russia", " Russia\n", b"Russia")]
    for i, (code, name) in enumerate(pairs):
        harness.put_geo(f"8.8.8.{i}", country_code=code, country_name=name)
    assert await harness.store.names_by_code() == {("RU", "Russia"): len(pairs)}
    assert await harness.store.names_by_code(but={"RU"}) == {}


async def test_what_is_no_country_or_no_name_is_not_counted(harness: Harness) -> None:
    pairs: list[tuple[object, object]] = [(code, "Nowhere") for code in (None, "", "ZZ", "XX", "-", "T1", b"\xff", 7)]
    pairs += [("DE", name) for name in (None, "", " ", "-", "Unknown", b"")]
    for i, (code, name) in enumerate(pairs):
        harness.put_geo(f"8.8.8.{i}", country_code=code, country_name=name)
    assert await harness.store.names_by_code() == {}


async def test_names_are_not_counted_for_codes_that_are_left_out(harness: Harness) -> None:
    for i, code in enumerate(("RU", "ru", "DE")):
        harness.put_geo(f"8.8.8.{i}", country_code=code, country_name="A name")
    assert await harness.store.names_by_code(but={"RU"}) == {("DE", "A name"): 1}


async def test_a_text_too_long_for_a_name_is_not_counted(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", country_code="DE", country_name="x" * 201)
    harness.put_geo("9.9.9.9", country_code="FR", country_name="x" * 200)
    assert await harness.store.names_by_code() == {("FR", "x" * 200): 1}


async def test_a_name_that_is_not_utf_8_does_not_stop_the_count(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", country_code="DE", country_name=BROKEN)
    harness.put_geo("9.9.9.9", country_code="FR", country_name="France")
    assert (await harness.store.names_by_code())["FR", "France"] == 1


async def test_names_are_counted_over_any_number_of_pages(harness: Harness) -> None:
    for i in range(1_300):
        harness.put_geo(f"8.8.{i // 256}.{i % 256}", country_code="DE", country_name="Germany")
    assert await harness.store.names_by_code() == {("DE", "Germany"): 1_300}
