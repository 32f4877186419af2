"""Who is banned, as the jobs are told: troubles are said once, and their end."""

import pytest
from structlog.testing import capture_logs

from bangeod.errors import StoreError, StoreIncompleteError, StoreLockedError
from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.job import Run
from tests.support.fakes import Bans
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


async def told(watch: BanWatch, banned: str | None = None) -> list[Told]:
    """Ask once; return what of it a person is told: event, level, and what is the matter."""
    with capture_logs() as lines:
        assert (await watch.banned_now(Run.within(60, ManualClock()))).addresses == ({banned} if banned else set())
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
    reading = await watch.look(Run.within(60, ManualClock()))
    assert (reading.complete, bool(reading.banned)) == (complete, False)


async def test_who_is_banned_are_addresses_and_networks(watch: BanWatch, named: Named) -> None:
    named.source = Bans("8.8.8.8", "8.8.4.0/24")
    banned = await watch.banned_now(Run.within(60, ManualClock()))
    assert banned.addresses == {"8.8.8.8"}
    assert banned.holds("8.8.4.4")
