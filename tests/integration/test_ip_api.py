"""The client of ip-api.com against a strict server on loopback: no limit is ever passed, no answer does harm."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from bangeod.errors import SourceError, SourcePausedError
from bangeod.geo.sources.ip_api.client import IpApi
from bangeod.model import Geo, Origin
from tests.support.manual_clock import Deadlines, ManualClock
from tests.support.servers.ip_api import IpApiServer, Pauses
from tests.support.servers.loopback import Reply, endless, raw, respond, silence, when

A, B, C = "8.8.8.8", "1.1.1.1", "2a00:1450:4001:80b::200e"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def server(clock: ManualClock) -> AsyncIterator[IpApiServer]:
    async with IpApiServer(clock) as server:
        server.known[A] = {"country": "United States", "countryCode": "US", "as": "AS15169 Google LLC", "org": "Google"}
        server.known[C] = {"country": "Ireland", "countryCode": "IE", "as": "AS15169 Google LLC", "org": ""}
        yield server


Maker = Callable[..., IpApi]


@pytest.fixture
async def make(server: IpApiServer, clock: ManualClock, pauses: Pauses) -> AsyncIterator[Maker]:
    made: list[IpApi] = []

    def maker(*, url: str = "") -> IpApi:
        made.append(IpApi(url=url or server.url, timeout=10, clock=clock, pause_store=pauses))
        return made[-1]

    yield maker
    for client in made:
        await client.close()


@pytest.fixture
def deadlines(monkeypatch: pytest.MonkeyPatch) -> Deadlines:
    deadlines = Deadlines()
    monkeypatch.setattr(asyncio, "timeout", deadlines)
    return deadlines


async def paused(client: IpApi, *ips: str) -> SourcePausedError:
    """Ask, and return the error that the request ends in."""
    with pytest.raises(SourcePausedError) as caught:
        await client.resolve(ips or (A,))
    return caught.value


async def test_a_batch_is_resolved(server: IpApiServer, make: Maker) -> None:
    client = make()
    assert (client.origin, client.batch_size) == (Origin.IP_API, 100)
    assert await client.resolve([A, B, C]) == {
        A: Geo("US", "United States", "AS15169", "Google"),
        B: None,
        C: Geo("IE", "Ireland", "AS15169", "Google LLC"),
    }
    assert server.offences == []
    assert "key" not in server.requests[0].query


async def test_nothing_is_sent_about_what_is_not_routable_and_nothing_twice(server: IpApiServer, make: Maker) -> None:
    client = make()
    await client.resolve([A, "10.0.0.1", "nonsense", "::ffff:8.8.4.4", A, "224.0.0.1", B])
    assert await client.resolve(["192.168.1.1"]) == {}
    assert await client.resolve([]) == {}
    assert [request.asked for request in server.requests] == [[A, B]]
    assert server.offences == []


async def test_of_an_address_that_carries_ipv4_that_one_is_sent_and_the_answer_is_given_to_both(
    server: IpApiServer, make: Maker
) -> None:
    six_to_four, teredo, unknown = "2002:808:808::1", "2001:0:4136:e378:8000:63bf:f7f7:f7f7", "64:ff9b::909:909"
    found = await make().resolve([six_to_four, teredo, A, unknown, C])
    google = Geo("US", "United States", "AS15169", "Google")
    assert found == {six_to_four: google, teredo: google, A: google, unknown: None, C: found[C]}
    assert [request.asked for request in server.requests] == [[A, "9.9.9.9", C]]
    assert server.offences == []


async def test_no_more_than_a_hundred_are_sent(server: IpApiServer, make: Maker) -> None:
    found = await make().resolve([f"9.9.9.{octet}" for octet in range(150)])
    assert len(found) == 100
    assert server.offences == []


async def test_the_quota_is_kept_over_many_batches(server: IpApiServer, make: Maker, clock: ManualClock) -> None:
    client = make()
    for number in range(40):
        clock.advance(client.wait())
        await client.resolve([f"9.9.{number}.1"])
    assert server.offences == []
    assert len(server.requests) == 40


async def test_without_headers_it_is_fifteen_a_minute(make: Maker, clock: ManualClock) -> None:
    async with IpApiServer(clock, limit=16, tells=False) as server:
        client = make(url=server.url)
        for number in range(40):
            clock.advance(client.wait())
            await client.resolve([f"9.9.{number}.1"])
        assert server.offences == []
        assert clock.monotonic() == 1000 + 2 * 60


async def test_at_none_left_nothing_is_sent_until_the_window_begins_anew(
    server: IpApiServer, make: Maker, clock: ManualClock, pauses: Pauses
) -> None:
    client = make()
    for _ in range(15):
        await client.resolve([A])
    error = await paused(client)
    assert (error.seconds, client.wait()) == (61, 61)
    assert pauses.until == clock.now() + 61
    assert len(server.requests) == 15
    clock.advance(61)
    await client.resolve([A])
    assert server.offences == []


@pytest.mark.parametrize(("told", "seconds"), [(30, 31), (None, 60)])
async def test_after_429_nothing_is_sent_until_the_time_told(
    server: IpApiServer, make: Maker, clock: ManualClock, told: int | None, seconds: float
) -> None:
    server.script.append(server.limit_passed(told))
    client = make()
    with capture_logs() as logs:
        assert (await paused(client)).seconds == seconds
    assert logs == [
        {
            "event": "ip_api_paused",
            "log_level": "warning",
            "reason": "its rate limit is used up (429)",
            "seconds": seconds,
        }
    ]
    await paused(client)
    assert len(server.requests) == 1
    clock.advance(seconds)
    await client.resolve([A])
    assert server.offences == []


async def test_a_refusal_that_lasts_is_said_once_and_then_its_end(
    server: IpApiServer, make: Maker, clock: ManualClock
) -> None:
    server.script += [server.refuse(), server.refuse(), respond(500)]
    client = make()
    with capture_logs() as logs:
        for _ in range(3):
            await paused(client)
            clock.advance(client.wait())
        await client.resolve([A])
        await client.resolve([A])
    said = [line["event"] for line in logs if line["log_level"] != "debug"]
    assert said == ["ip_api_paused", "ip_api_paused", "ip_api_recovered"]


async def test_a_403_stops_it_for_an_hour_across_a_restart(
    server: IpApiServer, make: Maker, clock: ManualClock, pauses: Pauses
) -> None:
    server.script.append(server.refuse())
    assert (await paused(make())).seconds == 3600
    assert pauses.until == clock.now() + 3600
    clock.advance(1800)
    restarted = make()
    assert restarted.wait() == 1800
    assert (await paused(restarted)).problem.startswith("a pause from before the restart")
    clock.advance(1800)
    await restarted.resolve([A])
    assert server.offences == []


async def test_a_422_halves_the_batch(server: IpApiServer, make: Maker, clock: ManualClock) -> None:
    server.script.append(respond(422))
    client = make()
    ips = [f"9.9.9.{octet}" for octet in range(100)]
    await paused(client, *ips)
    assert client.batch_size == 50
    clock.advance(client.wait())
    assert len(await client.resolve(ips)) == 50


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        pytest.param(respond(500), "status 500", id="500"),
        pytest.param(respond(503, {"Retry-After": "1"}), "status 503", id="503"),
        pytest.param(respond(302, {"Location": "http://127.0.0.1:9/batch"}), "redirects", id="redirect"),
        pytest.param(respond(200, body=b"garbage"), "not JSON", id="garbage"),
        pytest.param(respond(200, body=b'{"8.8.8.8": "US"}'), "not a JSON array", id="wrong type"),
        pytest.param(respond(200, body=b"[]"), "none of the addresses", id="empty array"),
        pytest.param(respond(200, {"Content-Encoding": "gzip"}, b"x"), "compressed", id="compressed"),
        pytest.param(endless(), "over 1024 KiB", id="endless body"),
        pytest.param(endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 999), "the request failed", id="endless headers"),
        pytest.param(raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "the request failed", id="another protocol"),
        pytest.param(raw(b""), "the request failed", id="hangs up"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n["), "the request failed", id="cut off"),
    ],
)
async def test_what_is_no_answer_backs_off(
    server: IpApiServer, make: Maker, clock: ManualClock, reply: Reply, problem: str
) -> None:
    client = make()
    await client.resolve([A])
    server.script.extend([reply, reply])
    with pytest.raises(SourcePausedError, match=problem) as caught:
        await client.resolve([A])
    assert caught.value.seconds == 10
    clock.advance(10)
    with pytest.raises(SourcePausedError, match=problem) as caught:
        await client.resolve([A])
    assert caught.value.seconds == 20
    clock.advance(20)
    assert client.wait() == 0
    assert server.offences == []


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(silence(), id="silence"),
        pytest.param(silence(b"HTTP/1.1 200 OK\r\n\r\n["), id="half a body"),
        pytest.param(endless(b"", b"HTTP/1.1 102 Go on\r\n\r\n"), id="endless interim answers"),
    ],
)
async def test_what_does_not_end_meets_the_deadline(
    server: IpApiServer, make: Maker, clock: ManualClock, deadlines: Deadlines, reply: Reply
) -> None:
    client = make()
    await client.resolve([A])
    await server.arrival()
    server.script.append(reply)
    asking = asyncio.create_task(client.resolve([A]))
    await server.arrival()
    deadlines.expire()
    with pytest.raises(SourcePausedError, match="did not answer within 10 s") as caught:
        await asking
    assert caught.value.seconds == 10
    clock.advance(10)
    await client.resolve([A])
    assert server.offences == []


async def test_a_server_that_is_not_there_backs_off(make: Maker) -> None:
    client = make(url="http://127.0.0.1:1/batch")
    with pytest.raises(SourcePausedError, match="the request failed"):
        await client.resolve([A])
    assert client.wait() == 60  # nobody knows whether it was counted, nor how many before it


async def test_one_request_is_in_flight_at_a_time(server: IpApiServer, make: Maker) -> None:
    client = make()
    await asyncio.gather(*(client.resolve([f"9.9.9.{octet}"]) for octet in range(10)))
    assert server.offences == []
    assert len(server.requests) == 10


async def test_a_request_is_marked_before_it_goes_and_the_mark_goes_with_its_answer(
    server: IpApiServer, make: Maker, clock: ManualClock, pauses: Pauses
) -> None:
    gate = asyncio.Event()
    server.script.append(when(gate, server.answer))
    asking = asyncio.create_task(make().resolve([A]))
    await server.arrival()
    assert pauses.until == clock.now() + 60
    gate.set()
    await asking
    assert pauses.saved == [clock.now() + 60, None]


@pytest.mark.parametrize("end", ["cancelled", "timed out"])
async def test_a_request_that_was_never_answered_costs_a_minute_at_the_next_start(
    server: IpApiServer, make: Maker, clock: ManualClock, deadlines: Deadlines, end: str
) -> None:
    server.script.append(silence())
    asking = asyncio.create_task(make().resolve([A]))
    await server.arrival()
    if end == "cancelled":
        asking.cancel()
    else:
        deadlines.expire()
    with pytest.raises((asyncio.CancelledError, SourcePausedError)):
        await asking
    restarted = make()
    assert restarted.wait() == 60
    clock.advance(60)
    await restarted.resolve([A])
    assert server.offences == []


async def test_nothing_is_sent_that_can_t_be_recorded(server: IpApiServer, make: Maker, pauses: Pauses) -> None:
    pauses.broken = True
    with pytest.raises(SourceError, match="No space left on device"):
        await make().resolve([A])
    assert server.requests == []


async def test_a_closed_one_sends_nothing(server: IpApiServer, make: Maker) -> None:
    client = make()
    await client.resolve([A])
    await client.close()
    with pytest.raises(SourceError, match="closed"):
        await client.resolve([A])
    assert len(server.requests) == 1
