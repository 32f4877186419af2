"""The client of ip-api.com among others: it asks only in its turn, about what is its own to ask, and says what came."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence

import pytest

from bangeod.errors import SourceError, SourcePausedError
from bangeod.geo.sources.ip_api.answer import Quota
from bangeod.geo.sources.ip_api.client import IpApi
from bangeod.geo.sources.ip_api.limit import Reason
from bangeod.geo.sources.ip_api.turns import Outcome, Turn
from tests.support.manual_clock import Deadlines, ManualClock
from tests.support.servers.ip_api import IpApiServer, Pauses
from tests.support.servers.loopback import Reply, respond, silence

A, B, C = "8.8.8.8", "1.1.1.1", "9.9.9.9"
SIX_TO_FOUR = "2002:808:808::1"  # where A is


class TurnsInHand:
    """Turns as the test gives them out; it notes what is said, in order."""

    def __init__(self) -> None:
        self.elsewhere: set[str] = set()
        self.next: Turn | None = None
        self.told: list[object] = []
        self.outcomes: list[Outcome] = []

    async def claimed(self, ips: Sequence[str]) -> Collection[str]:
        return self.elsewhere.intersection(ips)

    async def take(self, ips: Sequence[str], most: int) -> Turn:
        self.told.append("take")
        return self.next or Turn([ip for ip in ips if ip not in self.elsewhere][:most])

    async def finish(self, outcome: Outcome) -> None:
        self.told.append("finish")
        self.outcomes.append(outcome)

    def break_off(self) -> None:
        self.told.append("break off")

    async def settle(self) -> None:
        self.told.append("settle")

    async def close(self) -> None:
        self.told.append("close")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def turns() -> TurnsInHand:
    return TurnsInHand()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def server(clock: ManualClock) -> AsyncIterator[IpApiServer]:
    async with IpApiServer(clock) as server:
        server.known[A] = {"country": "United States", "countryCode": "US", "as": "AS15169 Google LLC"}
        server.known[C] = {"country": "", "countryCode": "", "as": "AS19281 Quad9", "org": "Quad9"}
        yield server


@pytest.fixture
async def client(server: IpApiServer, clock: ManualClock, pauses: Pauses, turns: TurnsInHand) -> AsyncIterator[IpApi]:
    client = IpApi(url=server.url, timeout=10, clock=clock, pause_store=pauses, turns=turns)
    yield client
    await client.close()


async def test_only_what_was_claimed_is_asked_and_the_outcome_is_told(
    server: IpApiServer, client: IpApi, turns: TurnsInHand
) -> None:
    turns.elsewhere = {B}
    found = await client.resolve([A, B, C, "4.4.4.4"], {C: 1200.0, "4.4.4.4": 600.0}.__getitem__)
    assert [request.asked for request in server.requests] == [[A, C, "4.4.4.4"]]
    assert found.keys() == {A, C, "4.4.4.4"}
    assert turns.outcomes == [
        # One whose AS alone is known is asked about again, as one that is not known at all.
        Outcome(frozenset([A]), {C: 1200.0, "4.4.4.4": 600.0}, Quota(14, 60), is_counted=True)
    ]
    assert turns.told == ["take", "finish"]


async def test_claims_are_of_what_is_really_asked_about(client: IpApi, turns: TurnsInHand) -> None:
    turns.elsewhere = {A}
    assert await client.claimed([SIX_TO_FOUR, A, B, "10.0.0.1"]) == {SIX_TO_FOUR, A}
    turns.elsewhere = set()
    assert await client.claimed([SIX_TO_FOUR]) in ((), set())


async def test_an_unknown_address_that_stands_for_several_is_left_alone_for_the_longest_of_their_waits(
    client: IpApi, turns: TurnsInHand, server: IpApiServer
) -> None:
    server.known.clear()
    await client.resolve([A, SIX_TO_FOUR], {A: 600.0, SIX_TO_FOUR: 1200.0}.__getitem__)
    assert turns.outcomes[0].unknown == {A: 1200.0}


async def test_where_it_is_anothers_turn_nothing_is_sent_or_recorded_and_it_is_waited(
    server: IpApiServer, client: IpApi, turns: TurnsInHand, pauses: Pauses, clock: ManualClock
) -> None:
    turns.next = Turn(wait=2.0, reason=Reason.SHARED)
    with pytest.raises(SourcePausedError) as caught:
        await client.resolve([A])
    assert caught.value.seconds == 2
    assert (client.wait(), client.usage().reason) == (2, Reason.SHARED.value)
    with pytest.raises(SourcePausedError):
        await client.resolve([A])
    assert (turns.told, server.requests, pauses.saved) == (["take"], [], [])
    clock.advance(2)
    turns.next = None
    assert (await client.resolve([A])).keys() == {A}


async def test_where_others_have_claimed_everything_nothing_is_sent_or_counted(
    server: IpApiServer, client: IpApi, turns: TurnsInHand, pauses: Pauses
) -> None:
    turns.elsewhere = {A}
    assert await client.resolve([A]) == {}
    assert (server.requests, pauses.saved, client.usage().requests) == ([], [], 0)


async def test_the_turn_is_taken_before_the_request_and_the_pause_recorded_in_between(
    server: IpApiServer, client: IpApi, turns: TurnsInHand, pauses: Pauses
) -> None:
    asking = asyncio.ensure_future(client.resolve([A]))
    server.script.append(silence())
    await server.arrival()
    assert (turns.told, len(pauses.saved)) == (["take"], 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert turns.told == ["take", "break off"]


async def test_a_turn_in_which_nothing_can_be_recorded_is_given_back(
    server: IpApiServer, client: IpApi, turns: TurnsInHand, pauses: Pauses
) -> None:
    pauses.broken = True
    with pytest.raises(SourceError):
        await client.resolve([A])
    assert (turns.told, server.requests) == (["take", "break off", "settle"], [])


async def test_nothing_is_sent_once_the_turn_is_over(server: IpApiServer, client: IpApi, turns: TurnsInHand) -> None:
    turns.next = Turn([A], seconds=0.0)
    with pytest.raises(SourcePausedError):
        await client.resolve([A])
    assert (turns.outcomes, server.requests) == ([Outcome()], [])


async def test_a_request_ends_in_time_for_the_next_host(
    server: IpApiServer, client: IpApi, turns: TurnsInHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlines = Deadlines()
    monkeypatch.setattr(asyncio, "timeout", deadlines)
    server.script.append(silence())
    turns.next = Turn([A], seconds=4.0)
    asking = asyncio.ensure_future(client.resolve([A]))
    await server.arrival()
    deadlines.expire()
    with pytest.raises(SourcePausedError, match="it did not answer within 4 s"):
        await asking
    assert turns.outcomes == [Outcome()]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (respond(429, {"X-Ttl": "20"}), Outcome(quota=Quota(None, 20), pause=21.0)),
        (respond(429), Outcome(pause=60.0)),
        (respond(403), Outcome(pause=3600.0)),
        (respond(500, {"X-Rl": "3", "X-Ttl": "20"}), Outcome(quota=Quota(3, 20))),  # another may have more luck
        (respond(422), Outcome()),
    ],
)
async def test_a_limit_and_a_refusal_are_told_to_others_and_other_failures_are_not(
    server: IpApiServer,
    client: IpApi,
    turns: TurnsInHand,
    reply: Reply,
    outcome: Outcome,
) -> None:
    server.script.append(reply)
    with pytest.raises(SourcePausedError):
        await client.resolve([A])
    assert turns.outcomes == [outcome]


async def test_what_could_not_be_told_is_told_when_it_is_asked_for_and_the_end_is_told_too(
    client: IpApi, turns: TurnsInHand
) -> None:
    await client.settle()
    await client.close()
    assert turns.told == ["settle", "close"]
