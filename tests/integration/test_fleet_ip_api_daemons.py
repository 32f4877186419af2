"""Daemons of a fleet, each with its own database, that ask ip-api.com from one public address, as on one machine."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bangeod.clock import SystemClock
from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, text
from tests.support.daemon.process import DaemonProcess
from tests.support.servers import postgres_fleet
from tests.support.servers.asking_ip_api import asking, said
from tests.support.servers.ip_api import IpApiServer
from tests.support.servers.loopback import silence
from tests.support.servers.postgres_fleet import FleetTables

A, B, C = "8.8.8.8", "9.9.9.9", "1.1.1.1"
HERE = {"country": "United States", "countryCode": "US"}

pytestmark = pytest.mark.slow


@pytest.fixture
def tables() -> Iterator[FleetTables]:
    with postgres_fleet.made(2) as tables:
        yield tables


@pytest.fixture
async def server() -> AsyncIterator[IpApiServer]:
    async with IpApiServer(SystemClock()) as server:
        server.known = dict.fromkeys((A, B, C), HERE)
        yield server


class Host(Installation):
    """A host of the fleet that knows the country of none of its addresses."""

    def join(self, tables: FleetTables, number: int, server: IpApiServer, *ips: str) -> None:
        self.make()
        url = f"postgresql://{tables.roles[number]}@/{tables.database}?host={tables.server.home}"
        fleet = {"fleet.url": url, "fleet.host": f"host-{number}", "geo.ip_api.egress": "here"}
        self.configure(asking(server), fleet)
        self.insert(rows=[(ip, None, text()) for ip in ips])

    async def start(self, launch: Start) -> DaemonProcess:
        return await asyncio.to_thread(launch, self.config)


async def test_what_one_daemon_has_asked_the_other_does_not(
    server: IpApiServer, tables: FleetTables, launch: Start, tmp_path: Path
) -> None:
    one, other = Host(tmp_path / "one"), Host(tmp_path / "other")
    one.join(tables, 0, server, A, B)
    other.join(tables, 1, server, A, B, C)
    await said(await one.start(launch), "geo_re_resolve_complete", resolved=2)
    await said(await other.start(launch), "geo_re_resolve_complete")  # claimed, or known by now
    assert [sorted(request.asked) for request in server.requests] == [[A, B], [C]]
    assert server.offences == []
    assert one.countries() == {A: "US", B: "US"}
    assert other.countries()[C] == "US"


async def test_a_daemon_that_dies_in_the_middle_of_a_request_leaves_its_address_and_a_pause(
    server: IpApiServer, tables: FleetTables, launch: Start, tmp_path: Path
) -> None:
    one, other = Host(tmp_path / "one"), Host(tmp_path / "other")
    one.join(tables, 0, server, A)
    other.join(tables, 1, server, A, B)
    server.script.append(silence())
    dying = await one.start(launch)
    await server.arrival()
    dying.send(signal.SIGKILL)
    await asyncio.to_thread(dying.ended)
    waiting = await other.start(launch)
    await said(waiting, "geo_re_resolve_complete", left_for_ip_api=2)
    assert len(server.requests) == 1
    tables.let_pass(61)
    await said(waiting, "geo_re_resolve_complete", since=waiting.mark(), resolved=1, claimed=1)
    assert [request.asked for request in server.requests] == [[A], [B]]
    assert server.offences == []
