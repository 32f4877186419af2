"""What a daemon does because of others: whether what it finds is to be written soon, and how it says who is there."""

from pathlib import Path

import pytest

from bangeod.api.daemon_state import DaemonsState
from bangeod.fleet.heartbeat import Heartbeat, Present
from bangeod.jobs.job import JobId
from bangeod.service import other_daemons
from bangeod.service.following import Following
from bangeod.service.other_daemons import SHARED_AFTER, Heard, OtherDaemons
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.listening import Listener
from bangeod.store.postgres.session import Session
from tests.support.daemon.served import served, settings_in
from tests.support.fakes import World
from tests.support.manual_clock import ManualClock

NOWHERE = Conninfo("host=/nonexistent dbname=x", "postgresql:///x")


async def never(_seconds: float) -> None:
    raise AssertionError


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def heartbeat(clock: ManualClock) -> Heartbeat:
    return Heartbeat(Session(NOWHERE, clock, schema=None, lock_timeout=1.0), clock, host="one", instance="a")


@pytest.fixture
def heard(clock: ManualClock) -> Heard:
    following = Following(World().cache, clock, lambda: None)
    return Heard(Listener(NOWHERE, clock, ["x"], following.on_addresses, following.on_gap), following)


@pytest.fixture
def others(clock: ManualClock, heartbeat: Heartbeat, heard: Heard) -> OtherDaemons:
    return OtherDaemons(clock, heard, heartbeat, every=20.0, sleep=never)


def test_what_is_found_is_to_be_written_soon_once_for_all_that_is_found_until_then(
    others: OtherDaemons, clock: ManualClock
) -> None:
    assert others.are_to_know(failing=())
    assert not others.are_to_know(failing=())
    clock.advance(SHARED_AFTER)
    assert others.are_to_know(failing=())


@pytest.mark.parametrize(("daemons", "soon"), [(None, True), (1, False), (2, True)])
def test_only_where_this_may_not_be_the_only_daemon(
    others: OtherDaemons, heartbeat: Heartbeat, daemons: int | None, *, soon: bool
) -> None:
    heartbeat.present = None if daemons is None else Present(daemons, {})
    assert others.are_to_know(failing=()) is soon


def test_not_while_the_flush_fails_nor_where_nobody_else_has_the_database(
    others: OtherDaemons, clock: ManualClock, heartbeat: Heartbeat
) -> None:
    assert not others.are_to_know(failing={JobId.GEO_CACHE_FLUSH})
    assert others.are_to_know(failing={JobId.SESSION_CLEANUP})
    assert not OtherDaemons(clock, None, heartbeat, every=20.0, sleep=never).are_to_know(failing=())


def test_the_state_has_what_is_known(others: OtherDaemons, clock: ManualClock, heartbeat: Heartbeat) -> None:
    assert others.state() == DaemonsState(listening=False, lag=0.0)
    heartbeat.present = Present(3, {"two": 61.0})
    assert others.state() == DaemonsState(count=3, listening=False, lag=0.0, clocks={"two": 61.0})
    files = OtherDaemons(clock, None, heartbeat, every=20.0, sleep=never)
    assert files.state() == DaemonsState(count=3, clocks={"two": 61.0})


async def test_a_database_that_is_a_file_has_none(tmp_path: Path, clock: ManualClock) -> None:
    async with served(settings_in(tmp_path), clock) as components:
        assert other_daemons.of(components, lambda: None, never) is None


def test_a_daemon_is_told_from_another_of_its_host_by_its_state_directory() -> None:
    one, two = (other_daemons._instance(Path(path)) for path in ("/var/lib/bangeod", "/srv/\udcff"))
    assert one != two
    assert one == other_daemons._instance(Path("/var/lib/bangeod"))
