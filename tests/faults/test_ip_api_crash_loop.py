"""A daemon that is killed and started again and again: ip-api.com never sees more of it than of one that lives."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import pytest

from bangeod.clock import SystemClock
from tests.asking_ip_api import asking, paused_until, said
from tests.conftest import Start
from tests.faults.soak import times
from tests.feed import eventually
from tests.installation import Installation, text
from tests.ip_api_server import IpApiServer
from tests.loopback_server import Reply, respond, silence

A = "8.8.8.8"
AMERICA = {"country": "United States", "countryCode": "US"}
LIVES = times(10, 60)
FEWEST = 10  # where a pause is too short for all of them
# What a life is allowed to come to before it is killed; the last of these has had its chance to ask.
MOMENTS = ("starting", "geo_cache_loaded", "ready", "geo_re_resolve_start", "geo_re_resolve_complete")


@pytest.fixture
async def server() -> AsyncIterator[IpApiServer]:
    async with IpApiServer(SystemClock()) as server:
        yield server


@pytest.mark.parametrize(
    ("reply", "pause"),
    [
        pytest.param(respond(429, {"X-Rl": "0", "X-Ttl": "600"}), 600, id="429"),
        pytest.param(respond(403), 3_600, id="403"),
        pytest.param(silence(), 60, id="no answer before it is killed"),
    ],
)
async def test_within_a_pause_a_crash_loop_sends_nothing(
    server: IpApiServer, launch: Start, place: Installation, reply: Reply, pause: float
) -> None:
    server.script.append(server.with_pause(reply, pause - 0.5))
    place.insert(rows=[(A, None, text())])
    place.configure(asking(server))
    began = time.time()
    daemon = launch(place.config)
    await server.arrival()
    await asyncio.to_thread(eventually, lambda: paused_until(place) >= began + pause, "the pause is on the disk")
    for life in range(LIVES):
        if life >= FEWEST and time.time() > began + pause / 2:
            break
        daemon.send(signal.SIGKILL)
        await asyncio.to_thread(daemon.ended)
        daemon = launch(place.config)
        await said(daemon, MOMENTS[-1 - life % len(MOMENTS)])
    assert time.time() < began + pause, f"this machine is too slow for {FEWEST} lives within the pause"
    assert (len(server.requests), server.offences) == (1, [])
    assert paused_until(place) >= began + pause
    assert place.countries() == {A: None}


async def test_a_crash_loop_with_ever_more_to_ask_keeps_the_limit_and_loses_no_answer(
    server: IpApiServer, launch: Start, place: Installation
) -> None:
    place.configure(asking(server))
    for life in range(LIVES):
        ips = [f"{11 + life}.1.{number >> 8}.{number & 255}" for number in range(350)]  # four requests
        server.known |= dict.fromkeys(ips, AMERICA)
        place.insert(rows=[(ip, None, text()) for ip in ips])
        daemon = launch(place.config)
        await said(daemon, "geo_re_resolve_complete")
        daemon.send(signal.SIGKILL)
        await asyncio.to_thread(daemon.ended)
    assert server.offences == []
    assert len(server.requests) >= 15
    answered = {ip for request in server.requests for ip in request.asked}
    assert {ip for ip, country in place.countries().items() if country == "US"} == answered


async def test_a_kill_at_the_next_request_loses_no_answer(
    server: IpApiServer, launch: Start, place: Installation
) -> None:
    ips = [f"11.1.1.{number}" for number in range(150)]
    server.known |= dict.fromkeys(ips, AMERICA)
    place.insert(rows=[(ip, None, text()) for ip in ips])
    place.configure(asking(server))
    daemon = launch(place.config)
    await server.arrival()
    server.script.append(silence())
    await server.arrival()
    daemon.send(signal.SIGKILL)
    await asyncio.to_thread(daemon.ended)
    first, second = server.requests
    assert {place.countries()[ip] for ip in first.asked} == {"US"}
    assert {place.countries()[ip] for ip in second.asked} == {None}
