"""A daemon that is killed and started again and again: ip-api.com never sees more of it than of one that lives."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable, Iterator

import pytest

from bangeod.clock import SystemClock
from tests.conftest import Start
from tests.faults.soak import times
from tests.support.daemon.installation import Installation, text
from tests.support.daemon.process import DaemonProcess
from tests.support.feed import eventually
from tests.support.servers.asking_ip_api import asking, let_the_pause_pass, paused_until, said
from tests.support.servers.ip_api import WINDOW, IpApiServer
from tests.support.servers.loopback import Reply, Request, respond, silence

A = "8.8.8.8"
AMERICA = {"country": "United States", "countryCode": "US"}
LIVES = times(10, 60)
FEWEST = 10  # where a pause is too short for all of them
UNREFUSED = 2  # lives before the one that is
MORE = 350  # addresses that each life finds more of; four requests
# What a life is allowed to come to before it is killed; the last of these has had its chance to ask.
MOMENTS = ("starting", "geo_cache_loaded", "ready", "geo_re_resolve_start", "geo_re_resolve_complete")
LAST = MOMENTS[-1]
REFUSED = respond(403), 3_600
LIMITED = respond(429, {"X-Rl": "0", "X-Ttl": "600"}), 600


@pytest.fixture
async def server() -> AsyncIterator[IpApiServer]:
    async with IpApiServer(SystemClock()) as server:
        yield server


@pytest.mark.parametrize(
    ("reply", "pause"),
    [
        pytest.param(*LIMITED, id="429"),
        pytest.param(*REFUSED, id="403"),
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
    await killed(daemon)
    for moment in moments_within(began, pause):
        daemon = launch(place.config)
        await said(daemon, moment)
        await killed(daemon)
    assert (len(server.requests), server.offences) == (1, [])
    assert paused_until(place) >= began + pause
    assert place.countries() == {A: None}


def moments_within(began: float, pause: float) -> Iterator[str]:
    """Yield what each life may come to, for as many lives as there is time for within a pause."""
    for life in range(LIVES):
        if life >= FEWEST and time.time() > began + pause / 2:
            break
        yield MOMENTS[-1 - life % len(MOMENTS)]
    assert time.time() < began + pause, f"this machine is too slow for {FEWEST} lives within the pause"


async def killed(daemon: DaemonProcess) -> None:
    """Kill it, and wait until it has ended."""
    daemon.send(signal.SIGKILL)
    await asyncio.to_thread(daemon.ended)


# --- a crash loop in which there is ever more to ask ---


def more_to_ask(server: IpApiServer, place: Installation, life: int) -> None:
    """Give rows without a country, of which the server knows it, to a life."""
    ips = [f"{11 + life}.1.{number >> 8}.{number & 255}" for number in range(MORE)]
    server.known |= dict.fromkeys(ips, AMERICA)
    place.insert(rows=[(ip, None, text()) for ip in ips])


async def live_on(
    server: IpApiServer, launch: Start, place: Installation, moments: Iterable[str], *, first: int = 0
) -> None:
    """Let one life after the other find more to ask, come to its moment and be killed."""
    for life, moment in enumerate(moments, first):
        more_to_ask(server, place, life)
        daemon = launch(place.config)
        await said(daemon, moment)
        await killed(daemon)


async def test_a_crash_loop_with_ever_more_to_ask_keeps_the_limit_and_loses_no_answer(
    server: IpApiServer, launch: Start, place: Installation
) -> None:
    place.configure(asking(server))
    await live_on(server, launch, place, [LAST] * LIVES)
    assert server.offences == []
    assert len(server.requests) >= 15
    assert resolved(place) == asked(server.requests)


def asked(requests: list[Request]) -> set[str]:
    """Return the addresses that were asked about."""
    return {ip for request in requests for ip in request.asked}


def resolved(place: Installation) -> set[str]:
    """Return the addresses whose row has the country that the server knows."""
    return {ip for ip, country in place.countries().items() if country == "US"}


async def until_refused(server: IpApiServer, launch: Start, place: Installation, reply: Reply) -> DaemonProcess:
    """Let lives ask and be killed, and begin the one whose second request is replied to so."""
    place.configure(asking(server))
    await live_on(server, launch, place, [LAST] * UNREFUSED)
    more_to_ask(server, place, UNREFUSED)
    server.script.extend((server.answer, reply))
    return launch(place.config)


async def nothing_is_asked(server: IpApiServer, launch: Start, place: Installation, began: float, pause: float) -> None:
    """Let the crash loop go on within the pause that the last request has brought; all before it were answered."""
    requests = list(server.requests)
    assert len(requests) == 4 * UNREFUSED + 2
    await live_on(server, launch, place, moments_within(began, pause), first=UNREFUSED + 1)
    assert (len(server.requests), server.offences) == (len(requests), [])
    assert resolved(place) == asked(requests[:-1])
    assert paused_until(place) >= began + pause


@pytest.mark.parametrize(("reply", "pause"), [pytest.param(*LIMITED, id="429"), pytest.param(*REFUSED, id="403")])
async def test_a_ban_in_the_midst_of_a_crash_loop_ends_all_requests_and_loses_no_answer(
    server: IpApiServer, launch: Start, place: Installation, reply: Reply, pause: float
) -> None:
    daemon = await until_refused(server, launch, place, server.with_pause(reply, pause))
    began = time.time()
    await said(daemon, "ip_api_paused")
    await killed(daemon)
    await nothing_is_asked(server, launch, place, began, pause)


async def test_a_ban_that_a_killed_daemon_never_read_of_is_not_asked_after_within_a_minute(
    server: IpApiServer, launch: Start, place: Installation
) -> None:
    """The 403 is there, and the daemon dies of something else: the mark from before the request is all that it left."""
    reached = asyncio.Event()

    async def unread(request: Request, writer: asyncio.StreamWriter) -> None:
        await stopped(daemon)
        await respond(403)(request, writer)
        reached.set()
        await asyncio.Event().wait()

    daemon = await until_refused(server, launch, place, server.with_pause(unread, WINDOW))
    began = time.time()
    await reached.wait()
    await killed(daemon)
    await nothing_is_asked(server, launch, place, began, WINDOW)
    let_the_pause_pass(place)
    server.reopen()
    server.script.append(server.with_pause(*REFUSED))
    began = time.time()
    await said(launch(place.config), "ip_api_paused")
    assert paused_until(place) >= began + REFUSED[1]
    assert server.offences == []


async def stopped(daemon: DaemonProcess) -> None:
    """Stop it, and wait until none of its threads runs any more."""
    daemon.send(signal.SIGSTOP)
    await asyncio.to_thread(os.waitid, os.P_PID, daemon.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


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
    await killed(daemon)
    first, second = server.requests
    assert {place.countries()[ip] for ip in first.asked} == {"US"}
    assert {place.countries()[ip] for ip in second.asked} == {None}
