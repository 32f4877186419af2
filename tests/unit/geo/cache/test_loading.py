"""Loading the table beside all else: a page is old when it is taken in, and what happened since then counts."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.clock import SECONDS_A_DAY, to_text
from bangeod.errors import StoreError, StoreLockedError
from bangeod.geo.cache import loading as loading_module
from bangeod.geo.cache.loading import COUNTED_EVERY, NewestRows
from bangeod.geo.cache.resolver import Found
from bangeod.geo.cache.table import EntryTable
from bangeod.model import Geo, Origin, Row, Status
from bangeod.store.memory import MemoryStore
from bangeod.store.port import Page
from tests.support.fakes import FRANCE, GERMANY, World

IP, OTHER, THIRD = "8.8.8.8", "9.9.9.9", "1.1.1.1"
IPV6 = "2a00::ab"
DAY = SECONDS_A_DAY


class PagedStore(MemoryStore):
    """A store whose pages are handed over when the test says so: they are read before that, and grow old meanwhile."""

    def __init__(self) -> None:
        super().__init__(page_size=1)
        self.read = asyncio.Queue[str]()  # the key of each page that has been read
        self._handed = asyncio.Semaphore(0)
        self.walks = 0

    async def rows(self) -> AsyncGenerator[Page, None]:
        self.walks += 1
        async for page in super().rows():
            self.read.put_nowait(page[0].key)
            await self._handed.acquire()
            yield page

    def hand(self, pages: int = 1) -> None:
        """Hand over so many pages."""
        for _ in range(pages):
            self._handed.release()


class Loading:
    """A world whose table is being loaded."""

    def __init__(self) -> None:
        self.store = PagedStore()
        self.world = World(self.store)
        self.cache = self.world.cache
        self._task: asyncio.Task[int] | None = None

    def put(self, key: str, country: str | None = "DE", *, days: int = 0) -> None:
        """Insert a row that was seen so many days ago."""
        self.store.put_geo(key, country_code=country, last_seen=to_text(self.world.now - days * DAY))

    async def begin(self) -> None:
        """Begin to load, and wait until the first page has been read."""
        self._task = asyncio.create_task(self.cache.load_from_db())
        await self.store.read.get()

    async def end(self) -> int:
        """Hand over all pages that are left; return what the load does."""
        assert self._task is not None
        self.store.hand(1_000)
        return await self._task

    async def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _counts_at_each_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading_module, "COUNTED_EVERY", 1)


@pytest.fixture
async def loading() -> AsyncIterator[Loading]:
    loading = Loading()
    yield loading
    await loading.cancel()


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_is_not_in_memory_yet_is_answered_from_its_row(loading: Loading) -> None:
    loading.put(IP)
    loading.put(OTHER, "FR")
    await loading.begin()
    answer = await loading.cache.lookup(OTHER)
    assert (answer.geo, answer.origin) == (Geo("FR"), Origin.DATABASE)
    assert not loading.cache.loaded
    assert await loading.end() == 2
    assert loading.cache.loaded


async def test_a_row_deleted_after_its_page_was_read_does_not_come_back(loading: Loading) -> None:
    for key in (IP, "::FFFF:9.9.9.9", THIRD):
        loading.put(key)
    await loading.begin()
    loading.store.geo_cache.clear()
    loading.cache.forget([IP, "::FFFF:9.9.9.9", THIRD])
    await loading.end()
    assert loading.cache.entries == 0


async def test_a_row_deleted_while_the_page_before_it_is_taken_in_does_not_come_back(loading: Loading) -> None:
    loading.put(IP)
    loading.put(OTHER)
    await loading.begin()
    loading.store.hand()
    assert await loading.store.read.get() == OTHER  # read ahead
    loading.cache.forget([OTHER])
    await loading.end()
    assert (loading.cache.known(IP), loading.cache.known(OTHER)) == (Geo("DE"), None)


async def test_what_was_deleted_before_a_page_was_read_may_be_in_it_again(loading: Loading) -> None:
    loading.put(IP)
    loading.put(OTHER)
    loading.put(THIRD)
    await loading.begin()
    loading.cache.forget([THIRD])
    await loading.end()
    assert loading.cache.known(THIRD) == Geo("DE")


async def test_a_row_that_the_web_app_deletes_before_its_page_is_read_does_not_come(loading: Loading) -> None:
    for key in (IP, OTHER, THIRD):
        loading.put(key)
    await loading.begin()
    del loading.store.geo_cache[THIRD]
    await loading.end()
    assert loading.cache.known(THIRD) is None


async def test_what_was_corrected_and_written_since_a_page_was_read_stays(loading: Loading) -> None:
    loading.put(IP, "FR")
    await loading.begin()
    await loading.cache.lookup(IP)
    await loading.cache.verify(lambda _: GERMANY)
    await loading.cache.flush_dirty()
    assert loading.cache.dirty == 0
    await loading.end()
    assert loading.cache.known(IP) == GERMANY


async def test_what_was_learned_before_a_page_was_read_and_written_since_stays(loading: Loading) -> None:
    loading.put(IP, "FR")
    loading.cache.adopt({IP: Found(GERMANY, Origin.MMDB)})
    loading.cache.hold([])
    waiting = loading.world.dirty[IP]
    await loading.begin()
    loading.cache._memory.dirty.committed([waiting])
    await loading.end()
    assert loading.cache.known(IP) == GERMANY


async def test_a_lookup_while_its_row_is_on_the_way_counts_as_use(loading: Loading) -> None:
    loading.put(IP, days=50)
    await loading.begin()
    await loading.cache.lookup(IP)
    await loading.end()
    assert loading.world.dirty[IP].last_seen == loading.world.now


async def test_what_waits_to_be_written_is_written_under_the_spelling_its_row_has(loading: Loading) -> None:
    loading.put(THIRD)
    loading.put("::FFFF:9.9.9.9", None, days=2)
    loading.put("2A00::AB", None, days=2)
    loading.world.local.places |= {OTHER: FRANCE, IPV6: FRANCE}
    await loading.begin()
    await loading.cache.lookup_batch([OTHER, IPV6])
    await loading.cache.flush_dirty()
    assert list(loading.store.geo_cache) == [THIRD, "::FFFF:9.9.9.9", "2A00::AB"]
    assert loading.store.geo_cache["2A00::AB"]["country_code"] == "FR"
    await loading.end()
    assert [loading.cache.known(ip) for ip in (OTHER, IPV6)] == [FRANCE] * 2


async def test_it_says_how_far_it_is(loading: Loading) -> None:
    for number in range(4):
        loading.put(f"8.8.8.{number}")
    said = [loading.cache.progress]
    await loading.begin()
    said.append(loading.cache.progress)
    loading.store.hand(2)
    await settled()
    said.append(loading.cache.progress)
    await loading.end()
    assert [*said, loading.cache.progress] == [None, 0, 0.5, None]


async def test_newest_first_it_ends_where_memory_is_full(loading: Loading) -> None:
    loading.store.newest_first = True
    for number in range(10):
        loading.put(f"8.8.8.{number}", days=number * 7 % 10)
    loading.cache.limit(max_entries=3, max_dirty=100)
    await loading.begin()
    assert await loading.end() == 3
    held = [number for number in range(10) if loading.cache.known(f"8.8.8.{number}")]
    assert sorted(number * 7 % 10 for number in held) == [0, 1, 2]
    assert loading.cache.loaded


async def test_by_key_the_newest_stay_too(loading: Loading) -> None:
    for number in range(10):
        loading.put(f"8.8.8.{number}", days=number * 7 % 10)
    loading.cache.limit(max_entries=3, max_dirty=100)
    await loading.begin()
    assert 3 <= await loading.end() < 10
    held = [number for number in range(10) if loading.cache.known(f"8.8.8.{number}")]
    assert sorted(number * 7 % 10 for number in held) == [0, 1, 2]


class BoastingStore(MemoryStore):
    """A store that says at its first page that this is the smallest part of a table, which then ends."""

    async def rows(self) -> AsyncGenerator[Page, None]:
        async for page in super().rows():
            yield Page(page, share=1e-4)


async def test_room_for_rows_that_did_not_come_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    expected: list[tuple[int, int]] = []
    prepare = EntryTable.expect

    def expect(table: EntryTable, ipv4: int, ipv6: int) -> None:
        expected.append((ipv4, ipv6))
        prepare(table, ipv4, ipv6)

    monkeypatch.setattr(EntryTable, "expect", expect)
    world = World(BoastingStore(page_size=4), max_entries=30_000)
    for ip in (IP, OTHER, THIRD, IPV6):
        world.store.put_geo(ip, country_code="DE", last_seen=to_text(world.now))
    assert await world.cache.load_from_db() == 4
    assert expected == [(22_500, 7_500)]  # no more than there is room for
    table = world.cache._memory.table
    assert (table._ipv4.count, table._ipv6.count) == (1, 1)


@given(times=st.lists(st.integers(0, 40) | st.none(), min_size=1, max_size=30), most=st.integers(1, 12))
def test_no_row_that_is_among_the_newest_is_left_out(times: list[int | None], most: int) -> None:
    """And none is taken that came after as many rows that were seen an hour later or more."""
    rows = [
        Row(f"8.8.8.{number}", Geo(), None if hour is None else hour * 3_600 + number)
        for number, hour in enumerate(times)
    ]
    newest = NewestRows()
    taken = [row for start in range(0, len(rows), 4) for row in newest.of(Page(rows[start : start + 4], share=1), most)]
    best = sorted(rows, key=lambda row: row.last_seen or 0, reverse=True)[:most]
    assert {row.last_seen or 0 for row in best} <= {row.last_seen or 0 for row in taken}
    hours = [hour or 0 for hour in times]
    for number, row in enumerate(rows):
        before = hours[: number - number % 4]
        if sum(hour > hours[number] for hour in before) >= most:
            assert row not in taken


def test_the_newest_are_not_counted_again_for_each_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Going through all hours takes as long as a page does, and a large table has thousands of pages."""
    monkeypatch.setattr(loading_module, "COUNTED_EVERY", COUNTED_EVERY)
    newest = NewestRows()
    pages = [
        Page([Row(f"8.8.{page}.{number}", Geo(), page * 3_600) for number in range(100)], share=1)
        for page in range(2 * COUNTED_EVERY // 100)
    ]
    counts = 0
    count = newest._find_oldest

    def find_oldest(most: int) -> int:
        nonlocal counts
        counts += 1
        return count(most)

    monkeypatch.setattr(newest, "_find_oldest", find_oldest)
    for page in pages:
        newest.of(page, 1_000)
    assert counts <= 3


async def test_an_error_in_the_middle_leaves_what_was_read_and_the_rest_to_the_rows(loading: Loading) -> None:
    loading.put(IP)
    loading.put(OTHER)
    loading.store.fail_next(StoreLockedError("memory", "locked", "wait"), after=1)
    await loading.begin()
    with pytest.raises(StoreError):
        await loading.end()
    assert (loading.cache.loaded, loading.cache.progress) == (False, None)
    assert loading.cache.known(IP) == Geo("DE")
    assert (await loading.cache.lookup(OTHER)).status is Status.RESOLVED
    await loading.begin()
    assert await loading.end() == 2


async def test_a_load_that_is_cancelled_takes_nothing_more_in(loading: Loading) -> None:
    loading.put(IP)
    loading.put(OTHER)
    await loading.begin()
    await loading.cancel()
    loading.store.hand(2)
    await settled()
    assert (loading.cache.entries, loading.cache.loaded, loading.cache.progress) == (0, False, None)


async def test_nothing_is_noted_where_no_load_goes_on(loading: Loading) -> None:
    loading.put(IP)
    await loading.begin()
    await loading.end()
    loading.cache.forget([IP])
    loading.cache.adopt({OTHER: Found(FRANCE, Origin.MMDB)})
    assert not loading.cache._memory.changes
