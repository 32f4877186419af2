"""What the client of ip-api.com makes of the pause that the process before it recorded."""

import pytest

from bangeod.geo.sources.ip_api.client import IpApi
from tests.support.manual_clock import ManualClock
from tests.support.servers.ip_api import Pauses


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def restarted(clock: ManualClock, until: float) -> IpApi:
    """Return a client that finds this pause recorded."""
    return IpApi(url="http://127.0.0.1:1/batch", timeout=10, clock=clock, pause_store=Pauses(until))


def test_a_pause_from_a_clock_that_was_ahead_lasts_a_day_at_most(clock: ManualClock) -> None:
    client = restarted(clock, clock.now() + 50 * 365 * 86_400)
    assert client.wait() == 86_400
    clock.advance(86_400)
    assert client.wait() == 0


def test_a_pause_ends_when_the_clock_is_set_right(clock: ManualClock) -> None:
    until = clock.now() + 3600
    clock.step(-50 * 365 * 86_400)  # a board without a battery, before it has asked for the time
    client = restarted(clock, until)
    assert client.wait() == 86_400
    clock.step(50 * 365 * 86_400 + 3600)
    assert client.wait() == 0


@pytest.mark.parametrize("until", [float("nan"), float("inf"), -1.0, 0.0])
def test_a_pause_that_is_none(clock: ManualClock, until: float) -> None:
    assert restarted(clock, until).wait() == 0
