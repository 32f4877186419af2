"""Three hosts behind one public address resolve the same addresses: ip-api.com's limits are kept, and used."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bangeod.fleet.ip_api_turns import LOCK_TIMEOUT, IpApiTurns
from bangeod.store.postgres.session import Session
from tests.benchmarks import samples
from tests.benchmarks.fleet_quota import HOSTS, measure
from tests.benchmarks.ip_api import FastClock
from tests.support.servers import postgres_fleet
from tests.support.servers.postgres_fleet import FleetTables

SPEED = 10.0  # seconds of the hosts' clock in one of ours


@pytest.fixture
def tables() -> Iterator[FleetTables]:
    with postgres_fleet.made(HOSTS) as tables:
        yield tables


@pytest.mark.slow
async def test_the_limit_is_kept_and_used_and_no_address_is_asked_about_twice(
    tables: FleetTables, tmp_path: Path
) -> None:
    def turns(number: int, clock: FastClock) -> IpApiTurns:
        session = Session(tables.conninfo(number), clock, schema=None, lock_timeout=LOCK_TIMEOUT)
        return IpApiTurns(session, clock, host=f"host-{number}", egress="office", speed=SPEED)

    ips = samples.addresses(1_600)  # one batch more than a window has requests
    figures = await measure(ips, tmp_path, turns, within=600.0, speed=SPEED)
    assert (figures["resolved"], figures["violations"], figures["asked twice"]) == (1_600, 0, 0)
    assert figures["requests"] == 16
    assert figures["used"] > 0.7  # some 0.95, unless the machine is busy
