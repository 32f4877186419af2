"""Who is banned, as the jobs are told: troubles are said once, and their end."""

import pytest
from structlog.testing import capture_logs

from bangeod.banned import Reading
from bangeod.errors import StoreError, StoreIncompleteError, StoreLockedError
from bangeod.jobs.ban_watch import BanCounts, BanWatch
from bangeod.jobs.job import Run
from tests.support.fakes import Bans, World
from tests.support.manual_clock import ManualClock

CLOSED = StoreError("/f2b", "can't be read", "setfacl")
LOCKED = StoreLockedError("/f2b", "is locked", "tried again")
CUT_SHORT = StoreIncompleteError("/f2b", "takes too long", "look at the disk")
Told = tuple[str, str, object]


class Named:
    """The source that the settings name now."""

    def __init__(self) -> None:
        self.source: Bans | None = Bans("8.8.8.8")

    def __call__(self) -> Bans | None:
        return self.source


@pytest.fixture
def named() -> Named:
    return Named()


@pytest.fixture
def source(named: Named) -> Bans:
    assert named.source
    return named.source


@pytest.fixture
def watch(named: Named) -> BanWatch:
    return BanWatch(named)


async def look(watch: BanWatch) -> Reading:
    return await watch.look(Run.within(60, ManualClock()))


async def told(watch: BanWatch, banned: str | None = None) -> list[Told]:
    """Ask once; return what of it a person is told: event, level, and what is the matter."""
    with capture_logs() as lines:
        assert (await look(watch)).banned.addresses == ({banned} if banned else set())
    return [(line["event"], line["log_level"], line.get("problem")) for line in lines if line["log_level"] != "debug"]


async def test_where_no_source_is_named_nobody_is_banned() -> None:
    assert await told(BanWatch()) == []


async def test_what_goes_well_is_not_told(watch: BanWatch) -> None:
    assert await told(watch, "8.8.8.8") == []


async def test_a_trouble_is_told_once_and_so_is_its_end(watch: BanWatch, source: Bans) -> None:
    source.error = CLOSED
    assert await told(watch) == [("fail2ban_unreadable", "warning", "can't be read")]
    assert await told(watch) == []
    source.error = None
    assert await told(watch, "8.8.8.8") == [("fail2ban_recovered", "info", None)]
    assert await told(watch, "8.8.8.8") == []


async def test_another_trouble_is_told(watch: BanWatch, source: Bans) -> None:
    for error in (CLOSED, LOCKED):
        source.error = error
        assert await told(watch) == [("fail2ban_unreadable", "warning", error.problem)]


async def test_the_same_trouble_with_another_file_is_told(watch: BanWatch, named: Named, source: Bans) -> None:
    source.error = CLOSED
    await told(watch)
    named.source = Bans(error=StoreError("/other", CLOSED.problem, CLOSED.advice))
    assert await told(watch) == [("fail2ban_unreadable", "warning", "can't be read")]


async def test_a_source_that_is_taken_away_has_no_trouble_left(watch: BanWatch, named: Named, source: Bans) -> None:
    source.error = CLOSED
    await told(watch)
    named.source = None
    assert await told(watch) == []
    named.source = Bans("9.9.9.9")
    assert await told(watch, "9.9.9.9") == []


@pytest.mark.parametrize(("error", "complete"), [(CLOSED, True), (LOCKED, False), (CUT_SHORT, False)])
async def test_what_may_go_well_the_next_time_is_told_from_what_stays(
    watch: BanWatch, source: Bans, error: StoreError, *, complete: bool
) -> None:
    source.error = error
    reading = await look(watch)
    assert (reading.complete, bool(reading.banned)) == (complete, False)


async def test_who_is_banned_are_addresses_and_networks(watch: BanWatch, named: Named) -> None:
    named.source = Bans("8.8.8.8", "8.8.4.0/24")
    banned = (await look(watch)).banned
    assert banned.addresses == {"8.8.8.8"}
    assert banned.holds("8.8.4.4")


# --- counting them ---


async def counted(watch: BanWatch, world: World) -> BanCounts | None:
    """Look once and count."""
    with capture_logs():
        await watch.count(await look(watch), world.cache)
    return watch.counts


async def test_bans_are_counted_by_country(watch: BanWatch, named: Named) -> None:
    world = World()
    for ip, code in (("8.8.8.8", "US"), ("8.8.4.4", "US"), ("1.1.1.1", "AU"), ("9.9.9.9", None)):
        world.store.put_geo(ip, country_code=code)
    named.source = Bans("8.8.8.8", "::ffff:8.8.4.4", "1.1.1.1", "9.9.9.9", "7.7.7.7", "10.0.0.1", "9.9.0.0/16")
    assert await counted(watch, world) == BanCounts({"US": 2, "AU": 1}, without_country=3, networks=1)
    world.store.geo_cache["9.9.9.9"]["country_code"] = "CH"
    assert await counted(watch, world) == BanCounts({"US": 2, "AU": 1, "CH": 1}, without_country=2, networks=1)


async def test_nobody_banned_is_counted_as_none(watch: BanWatch, named: Named) -> None:
    named.source = Bans()
    assert await counted(watch, World()) == BanCounts({}, 0, 0)


async def test_where_no_source_is_named_nothing_is_counted() -> None:
    assert await counted(BanWatch(), World()) is None


@pytest.mark.parametrize(("error", "kept"), [(CLOSED, False), (LOCKED, True), (CUT_SHORT, True)])
async def test_the_last_count_stays_only_while_the_next_look_may_go_well(
    watch: BanWatch, source: Bans, error: StoreError, *, kept: bool
) -> None:
    before = await counted(watch, World())
    assert before == BanCounts({}, 1, 0)
    source.error = error
    assert await counted(watch, World()) == (before if kept else None)


async def test_what_is_no_longer_read_is_no_longer_counted(watch: BanWatch, named: Named) -> None:
    assert await counted(watch, World()) is not None
    named.source = None
    assert await counted(watch, World()) is None
