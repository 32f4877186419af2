"""ip-api.com's limits outlast the process: no restart, kill or crash loop gets anybody banned, and no key gets out."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator

import pytest

from bangeod.clock import SystemClock
from bangeod.geo.sources.ip_api.client import IpApi
from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, text
from tests.support.daemon.process import bangeod
from tests.support.manual_clock import ManualClock
from tests.support.servers.asking_ip_api import asking, said
from tests.support.servers.ip_api import IpApiServer, Pauses
from tests.support.servers.loopback import Reply, raw, respond, silence

A, B = "8.8.8.8", "9.9.9.9"
KEY = "S3cretKey"


@pytest.fixture
async def server() -> AsyncIterator[IpApiServer]:
    async with IpApiServer(SystemClock()) as server:
        yield server


# --- daemons ---


async def test_a_ban_outlasts_a_daemon_that_is_killed(
    server: IpApiServer, start: Start, launch: Start, place: Installation
) -> None:
    server.script.append(server.refuse())
    place.insert(rows=[(A, None, text())])
    daemon = await asyncio.to_thread(start, asking(server))
    assert (await said(daemon, "ip_api_paused"))["seconds"] == 3600
    daemon.send(signal.SIGKILL)
    assert await asyncio.to_thread(daemon.ended) == -signal.SIGKILL
    by_hand = await asyncio.to_thread(bangeod, "lookup", B, "--config", str(place.config))
    assert (by_hand.returncode, "unresolved" in by_hand.stdout) == (0, True)
    restarted = launch(place.config)
    await said(restarted, "geo_re_resolve_complete", left_for_ip_api=2)
    await said(restarted, "geo_re_resolve_complete", left_for_ip_api=2, since=restarted.mark())
    assert len(server.requests) == 1
    assert server.offences == []


async def test_a_daemon_killed_in_the_middle_of_a_request_waits_for_a_minute_when_it_is_back(
    server: IpApiServer, start: Start, launch: Start, place: Installation
) -> None:
    server.script.append(silence())
    place.insert(rows=[(A, None, text())])
    daemon = await asyncio.to_thread(start, asking(server))
    await server.arrival()
    daemon.send(signal.SIGKILL)
    await asyncio.to_thread(daemon.ended)
    restarted = launch(place.config)
    await said(restarted, "geo_re_resolve_complete", left_for_ip_api=1)
    await said(restarted, "geo_re_resolve_complete", left_for_ip_api=1, since=restarted.mark())
    assert len(server.requests) == 1


async def test_a_daemon_resolves_through_ip_api_what_nothing_else_knows(
    server: IpApiServer, start: Start, place: Installation
) -> None:
    server.known[A] = {"country": "United States", "countryCode": "US"}
    place.insert(rows=[(A, None, text()), (B, None, text()), ("10.0.0.1", None, text()), ("nonsense", None, text())])
    daemon = await asyncio.to_thread(start, asking(server))
    await said(daemon, "geo_re_resolve_complete", retried=2, resolved=1)
    assert place.countries() == {A: "US", B: None, "10.0.0.1": None, "nonsense": None}
    assert await asyncio.to_thread(daemon.stop) == 0
    assert len(server.requests) == 1
    assert server.offences == []


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(respond(403), id="403"),
        pytest.param(respond(302, {"Location": f"http://127.0.0.1:1/batch?key={KEY}"}), id="redirect"),
        pytest.param(respond(200, {"X-Key": KEY}, KEY.encode()), id="garbage"),
        pytest.param(raw(f"SSH-2.0-{KEY}\r\n".encode()), id="another protocol"),
    ],
)
async def test_a_daemon_tells_nobody_the_key(
    server: IpApiServer, start: Start, place: Installation, reply: Reply
) -> None:
    server.script.append(reply)
    place.insert(rows=[(A, None, text())])
    daemon = await asyncio.to_thread(start, asking(server, **{"geo.ip_api.key": KEY}))
    await said(daemon, "ip_api_paused")
    await asyncio.to_thread(daemon.reload)
    told = [str(daemon.lines()), daemon.output.decode()]
    for command in (["config", "show"], ["check"], ["job", "list"], ["lookup", B]):
        done = await asyncio.to_thread(bangeod, *command, "--config", str(place.config))
        told += [done.stdout, done.stderr]
    assert await asyncio.to_thread(daemon.stop) == 0
    told += [path.read_text() for path in place.state.iterdir()]
    told.append(str(daemon.lines()))
    assert server.requests[0].query["key"] == [KEY]
    assert KEY not in "".join(told)


# --- a crash loop, in one process and with a clock that is moved ---


@pytest.mark.parametrize("seed", range(6))
async def test_a_crash_loop_never_passes_a_limit(seed: int) -> None:
    clock, pauses, chance = ManualClock(), Pauses(), random.Random(seed)
    # Half of the servers tell what is left; the others don't, and let one request more through than we count.
    async with IpApiServer(clock) if seed % 2 else IpApiServer(clock, limit=16, tells=False) as server:
        for _ in range(100):
            await _one_life(server, clock, pauses, chance)
        assert server.offences == []
        assert len(server.requests) > 50


async def _one_life(server: IpApiServer, clock: ManualClock, pauses: Pauses, chance: random.Random) -> None:
    """Start, send some requests, and die: between two of them, or in the middle of one."""
    client = IpApi(url=server.url, timeout=10, clock=clock, pause_store=pauses)
    clock.advance(chance.choice((0.0, client.wait())))
    for _ in range(chance.randrange(9)):
        if client.wait() > 0:
            break
        killed = chance.random() < 0.05
        replies = (*[None] * 20, respond(500), server.limit_passed(30), server.refuse())
        reply = silence() if killed else chance.choice(replies)
        if reply is not None:
            server.script.append(reply)
        asking = asyncio.create_task(client.resolve([A]))
        await server.arrival()
        if killed:
            asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        if killed and chance.random() < 0.5:
            break  # the whole process was, not only who had asked
        clock.advance(chance.choice((0.0, 0.3, 3.0)))
    await client.close()
