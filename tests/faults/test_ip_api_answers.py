"""Whatever ip-api.com answers the real daemon: rows stay to be resolved, the other jobs go on, no limit is passed."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from bangeod.client import GeoClient, Status
from bangeod.clock import SystemClock
from tests.conftest import Start
from tests.support.daemon.installation import Installation, every, text
from tests.support.daemon.process import DaemonProcess
from tests.support.feed import DEADLINE, eventually
from tests.support.servers.asking_ip_api import asking, let_the_pause_pass, paused_until, said
from tests.support.servers.ip_api import WINDOW, IpApiServer
from tests.support.servers.loopback import Reply, endless, raw, respond, silence

pytestmark = pytest.mark.usefixtures("swapper")  # what it does takes half a minute, and can be done while these wait

A, B, C, D, ELSEWHERE = "8.8.8.8", "1.1.1.1", "9.9.9.9", "2001:4860::1", "4.4.4.4"
AMERICA = {"country": "United States", "countryCode": "US"}
FAST = {**every("100ms"), "api.enabled": True, "log.level": "info"}
SHORT = 1  # seconds that an answer may take which never comes to an end
SOME = 5  # requests; far more than a test has time for


def body(document: Any) -> bytes:
    return json.dumps(document).encode()


def answer(document: Any) -> Reply:
    return respond(200, {"X-Rl": "14", "X-Ttl": "60"}, body(document))


class Fault(NamedTuple):
    """What is answered, the seconds that this costs at least, and what the log says of it.

    ``timeout`` is how long the daemon waits for an answer: as good as forever where the answer is what it has to name.
    """

    reply: Reply
    pause: float
    reason: str
    timeout: float = DEADLINE

    @property
    def settings(self) -> dict[str, object]:
        """Return the settings by which the answer is waited for, and no run waits for the pause to be over."""
        run = min(self.pause / 2, DEADLINE)
        return {**FAST, "geo.ip_api.timeout": self.timeout, "jobs.geo_re_resolve.timeout": run}


def fault(name: str, *values: Any) -> Any:
    return pytest.param(Fault(*values), id=name)


# What says nothing of the requests left costs a whole window where it is the first answer of all, else ten seconds.
FAULTS = [
    fault("429 with X-Ttl", respond(429, {"X-Ttl": "30"}), 30, "rate limit is used up"),
    fault("429 without X-Ttl", respond(429), WINDOW, "rate limit is used up"),
    fault("429 with nonsense", respond(429, {"X-Ttl": "soon", "X-Rl": "-5"}), WINDOW, "rate limit is used up"),
    fault("403", respond(403), 3_600, "refuses this address"),
    fault("422", respond(422), WINDOW, "was too large (422)"),
    fault("500", respond(500), WINDOW, "status 500"),
    fault("503", respond(503, {"Retry-After": "0"}, b"<html>"), WINDOW, "status 503"),
    fault("404", respond(404), WINDOW, "status 404"),
    fault("silence", silence(), WINDOW, "did not answer within 1 s", SHORT),
    fault("slow", endless(piece=b" ", pause=0.05), WINDOW, "did not answer within 1 s", SHORT),
    fault("garbage", respond(200, {}, b"garbage"), WINDOW, "is not JSON"),
    fault("deep JSON", respond(200, {}, b"[" * 500_000), WINDOW, "is not JSON"),
    fault("an object", answer({A: "US"}), 10, "not a JSON array"),
    fault("wrong elements", answer([1, None, "x", [], {}, [{"query": A}]]), 10, "none of the addresses"),
    fault("wrong types", answer([{"query": 8, "status": "success"}]), 10, "none of the addresses"),
    fault("not asked", answer([{"query": ELSEWHERE, "status": "success", **AMERICA}]), 10, "none of the addresses"),
    fault("a redirect", respond(301, {"Location": "http://127.0.0.1:1/"}), WINDOW, "redirects elsewhere"),
    fault("an endless body", endless(), WINDOW, "over 1024 KiB"),
    fault("endless headers", endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 999), WINDOW, "request failed"),
    fault("cut off", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[{"), WINDOW, "request failed"),
    fault("a connection closed", raw(b""), WINDOW, "request failed"),
]


@pytest.fixture
async def server() -> AsyncIterator[IpApiServer]:
    async with IpApiServer(SystemClock()) as server:
        server.known |= {A: AMERICA, B: AMERICA}
        yield server


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_answer_costs_more_than_a_pause(
    server: IpApiServer, start: Start, launch: Start, place: Installation, fault: Fault
) -> None:
    place.insert(rows=[(A, None, text())])
    server.script.extend([server.with_pause(fault.reply, fault.pause)] * SOME)  # it may ask again after the pause
    began = time.time()
    daemon = await asyncio.to_thread(start, {**asking(server), **fault.settings})
    assert fault.reason in (await said(daemon, "ip_api_paused"))["reason"]
    assert paused_until(place) >= began + fault.pause
    await asyncio.to_thread(_others_go_on, daemon, place)
    daemon.send(signal.SIGKILL)
    await asyncio.to_thread(daemon.ended)
    assert {line["event"] for line in daemon.lines() if line["level"] != "info"} == {"ip_api_paused"}
    assert server.offences == []
    asked = len(server.requests)
    let_the_pause_pass(place)
    place.configure({"geo.ip_api.timeout": DEADLINE})
    server.script.clear()
    server.reopen()
    await said(launch(place.config), "geo_re_resolve_complete", resolved=2)
    assert place.countries() == {A: "US", B: "US"}
    assert (len(server.requests), server.offences) == (asked + 1, [])


def _others_go_on(daemon: DaemonProcess, place: Installation) -> None:
    """See all jobs do their work while nothing may be asked; the row without a country stays so."""
    since = daemon.mark()
    place.insert(rows=[("5.5.5.5", "DE", "2001-01-01T00:00:00Z")], sessions=[("expired", text(-timedelta(hours=1)))])
    with GeoClient(str(place.home / "bangeod.sock"), timeout=DEADLINE, strict=True) as client:
        assert client.lookup(B).status is Status.UNRESOLVED
    eventually(lambda: place.countries() == {A: None, B: None}, "one row is written, another one deleted")
    eventually(lambda: place.tokens() == set(), "the expired session is deleted")
    for _ in range(3):
        daemon.wait_for("geo_re_resolve_complete", left_for_ip_api=2, since=since)
        since = daemon.mark()


# --- the pause passes while the daemon runs ---


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(respond(429, {"X-Ttl": "1"}), id="429"),
        pytest.param(respond(200, {"X-Rl": "0", "X-Ttl": "1"}, body([{"query": A, "status": "fail"}])), id="X-Rl: 0"),
    ],
)
async def test_when_the_pause_has_passed_the_daemon_asks_again(
    server: IpApiServer, start: Start, place: Installation, reply: Reply
) -> None:
    place.insert(rows=[(A, None, text())])
    server.script.append(server.with_pause(reply, 1))
    await asyncio.to_thread(start, asking(server))
    await server.arrival()
    place.insert(rows=[(B, None, text())])
    await asyncio.to_thread(eventually, lambda: place.countries()[B] == "US", "it is resolved")
    assert server.offences == []


async def test_after_an_answer_an_error_costs_ten_seconds(
    server: IpApiServer, start: Start, place: Installation
) -> None:
    place.insert(rows=[(A, None, text())])
    daemon = await asyncio.to_thread(start, asking(server))
    await said(daemon, "geo_re_resolve_complete", resolved=1)
    server.script.append(server.with_pause(respond(502), 10))
    place.insert(rows=[(B, None, text())])
    await said(daemon, "ip_api_paused")
    await said(daemon, "geo_re_resolve_complete", resolved=1, since=daemon.mark())
    assert place.countries() == {A: "US", B: "US"}
    assert (len(server.requests), server.offences) == (3, [])


# --- answers that are good in part ---


async def test_what_an_answer_says_of_each_address_counts_for_that_alone(
    server: IpApiServer, start: Start, place: Installation
) -> None:
    """One is known, one fails, one has nothing but wrong types, one is left out; in another order, and with others."""
    server.script.append(
        answer(
            [
                {"query": ELSEWHERE, "status": "success", **AMERICA},
                {"query": C, "status": "success", "country": [], "countryCode": 7, "as": {}, "org": None},
                {"query": B, "status": "fail", "message": "reserved range"},
                {"query": A, "status": "success", **AMERICA},
                {"query": A, "status": "success", "countryCode": "FR"},
            ]
        )
    )
    server.known[D] = {"country": "Ireland", "countryCode": "IE"}
    place.insert(rows=[(ip, None, text()) for ip in (A, B, C, D)])
    daemon = await asyncio.to_thread(start, asking(server))
    await said(daemon, "geo_re_resolve_complete", retried=4, resolved=1)
    await said(daemon, "geo_re_resolve_complete", retried=1, resolved=1)
    assert [sorted(request.asked) for request in server.requests] == [sorted((A, B, C, D)), [D]]
    assert place.countries() == {A: "US", B: None, C: None, D: "IE"}
    assert server.offences == []
