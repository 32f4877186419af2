"""Asking the sources: in which order, how often, and what is made of their answers."""

import math

import pytest
from structlog.testing import capture_logs

from bangeod.errors import SourceError
from bangeod.geo.cache.resolver import Found, Resolver
from bangeod.model import Geo, Origin
from tests.support.fakes import FRANCE, GERMANY, LocalTable, RemoteTable, SourcesInHand
from tests.support.manual_clock import ManualClock

IP, OTHER = "8.8.8.8", "9.9.9.9"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def remote(clock: ManualClock) -> RemoteTable:
    return RemoteTable(clock, {IP: GERMANY})


def test_the_first_local_source_that_knows_a_country_decides(clock: ManualClock) -> None:
    sources = LocalTable({IP: Geo(asn="AS64500")}), LocalTable({IP: GERMANY}, Origin.EMBEDDED), LocalTable({IP: FRANCE})
    resolver = Resolver(clock, SourcesInHand(sources))
    assert resolver.ask_local([IP, OTHER]) == {IP: Found(GERMANY, Origin.EMBEDDED)}
    assert sources[2].asked == [OTHER]


def test_what_the_sources_know_is_merged_field_by_field(clock: ManualClock) -> None:
    sources = (
        LocalTable({IP: Geo(asn="AS1"), OTHER: Geo(asn="AS1")}),
        LocalTable({IP: Geo("FR", "France", "AS2", "B"), OTHER: Geo(asn="AS2", org="B")}, Origin.EMBEDDED),
    )
    assert Resolver(clock, SourcesInHand(sources)).ask_local([IP, OTHER, "1.1.1.1"]) == {
        IP: Found(Geo("FR", "France", "AS1", None), Origin.EMBEDDED),  # of the country
        OTHER: Found(Geo(asn="AS1"), Origin.MMDB),
    }


def test_without_a_remote_source_there_is_nothing_to_wait_for(clock: ManualClock) -> None:
    assert Resolver(clock, SourcesInHand()).remote_wait() == math.inf
    assert Resolver(clock, SourcesInHand()).remote_batch == 1


def test_the_wait_is_the_remote_sources(clock: ManualClock, remote: RemoteTable) -> None:
    resolver = Resolver(clock, SourcesInHand(remote=remote))
    assert resolver.remote_wait() == 0
    remote.pause(7)
    assert resolver.remote_wait() == 7


async def test_the_remote_source_is_asked_one_batch(clock: ManualClock, remote: RemoteTable) -> None:
    resolver = Resolver(clock, SourcesInHand(remote=remote))
    assert resolver.remote_batch == 3
    found = await resolver.ask_remote([IP, OTHER, "1.1.1.1", "1.0.0.1"])
    assert found == {IP: Found(GERMANY, Origin.IP_API)}
    assert remote.requests == [[IP, OTHER, "1.1.1.1"]]


async def test_a_batch_size_that_makes_no_sense_still_lets_one_address_through(
    clock: ManualClock, remote: RemoteTable
) -> None:
    remote.batch_size = 0
    assert Resolver(clock, SourcesInHand(remote=remote)).remote_batch == 1


async def test_what_the_remote_source_does_not_know_is_put_off(clock: ManualClock, remote: RemoteTable) -> None:
    remote.places |= {OTHER: None, "1.1.1.1": Geo(asn="AS64500")}
    resolver = Resolver(clock, SourcesInHand(remote=remote))
    await resolver.ask_remote([IP, OTHER, "1.1.1.1"])
    assert resolver.due([IP, OTHER, "1.1.1.1"]) == [IP]
    clock.advance(600)
    assert resolver.due([IP, OTHER, "1.1.1.1"]) == [IP, OTHER, "1.1.1.1"]


async def test_an_answer_about_what_was_not_asked_is_left_alone(clock: ManualClock, remote: RemoteTable) -> None:
    class Talkative(RemoteTable):
        async def resolve(self, ips: object, unknown_for: object) -> dict[str, Geo | None]:
            return {IP: GERMANY, OTHER: FRANCE, "10.0.0.1": None}

    resolver = Resolver(clock, SourcesInHand(remote=Talkative(clock)))
    assert await resolver.ask_remote([IP]) == {IP: Found(GERMANY, Origin.IP_API)}
    assert len(resolver.backoff) == 0


async def test_nothing_is_put_off_where_the_request_failed(clock: ManualClock, remote: RemoteTable) -> None:
    remote.faults.append(SourceError("ip-api", "broken"))
    resolver = Resolver(clock, SourcesInHand(remote=remote))
    with capture_logs() as lines:
        assert await resolver.ask_remote([IP]) is None
    assert resolver.due([IP]) == [IP]
    assert lines == [{"event": "source_failed", "log_level": "warning", "source": "ip-api", "problem": "broken"}]


async def test_a_failure_that_stays_is_said_once_and_then_its_end(clock: ManualClock, remote: RemoteTable) -> None:
    remote.faults += [SourceError("ip-api", "broken"), SourceError("ip-api", "broken"), SourceError("ip-api", "worse")]
    resolver = Resolver(clock, SourcesInHand(remote=remote))
    with capture_logs() as lines:
        for _ in range(5):
            await resolver.ask_remote([IP])
    said = [(line["event"], line.get("problem")) for line in lines if line["log_level"] != "debug"]
    assert said == [("source_failed", "broken"), ("source_failed", "worse"), ("source_recovered", None)]


async def test_a_source_that_is_paused_says_so_quietly(clock: ManualClock, remote: RemoteTable) -> None:
    remote.pause(60)
    with capture_logs() as lines:
        assert await Resolver(clock, SourcesInHand(remote=remote)).ask_remote([IP]) is None
    assert [line["log_level"] for line in lines] == ["debug"]


async def test_without_the_right_to_ask_nothing_is_sent(clock: ManualClock, remote: RemoteTable) -> None:
    resolver = Resolver(clock, SourcesInHand(remote=remote), may_ask_remote=lambda: False)
    assert resolver.remote_wait() == math.inf
    assert await resolver.ask_remote([IP]) is None
    assert remote.requests == []


async def test_nothing_is_sent_about_nothing(clock: ManualClock, remote: RemoteTable) -> None:
    assert await Resolver(clock, SourcesInHand(remote=remote)).ask_remote([]) is None
    assert remote.requests == []


def test_a_new_local_source_makes_everything_due(clock: ManualClock) -> None:
    resolver = Resolver(clock, SourcesInHand())
    resolver.put_off([IP])
    resolver.sources_changed()
    assert resolver.due([IP]) == [IP]
    assert resolver.changed_since_asked


def test_a_new_local_source_does_not_send_hopeless_addresses_to_the_remote_one(
    clock: ManualClock, remote: RemoteTable
) -> None:
    resolver = Resolver(clock, SourcesInHand(remote=remote))
    resolver.put_off([IP])
    resolver.sources_changed()
    assert resolver.due([IP]) == []
    assert resolver.changed_since_asked


def test_a_new_remote_source_is_asked_about_what_was_asked_in_vain(clock: ManualClock, remote: RemoteTable) -> None:
    resolver = Resolver(clock, SourcesInHand(remote=remote))
    resolver.put_off([IP])
    resolver.sources_changed(new_remote=True)
    assert resolver.due([IP]) == [IP]


async def test_sources_that_are_changed_are_the_ones_that_are_asked(clock: ManualClock, remote: RemoteTable) -> None:
    sources = SourcesInHand([LocalTable({IP: FRANCE})])
    resolver = Resolver(clock, sources)
    sources.local, sources.remote = (LocalTable({IP: GERMANY}),), remote
    assert resolver.ask_local([IP]) == {IP: Found(GERMANY, Origin.MMDB)}
    assert resolver.remote is remote
    assert await resolver.ask_remote([IP]) == {IP: Found(GERMANY, Origin.IP_API)}


async def test_a_batch_is_filled_up_with_what_no_other_host_asks_about(clock: ManualClock, remote: RemoteTable) -> None:
    ips = [f"8.8.{number // 250}.{number % 250}" for number in range(3000)]
    remote.elsewhere = {*ips[:2000], ips[2001]}
    choice = await Resolver(clock, SourcesInHand(remote=remote)).choose(ips)
    assert choice.batch == [ips[2000], *ips[2002:2004]]
    assert choice.claimed == [*ips[:2000], ips[2001]]
    assert choice.rest == ips[2004:]


async def test_of_what_others_ask_about_alone_nothing_is_chosen(clock: ManualClock, remote: RemoteTable) -> None:
    remote.elsewhere = {IP, OTHER}
    assert await Resolver(clock, SourcesInHand(remote=remote)).choose([IP, OTHER]) == ([], [IP, OTHER], [])


async def test_without_a_remote_source_nothing_is_chosen(clock: ManualClock) -> None:
    assert await Resolver(clock, SourcesInHand()).choose([IP, OTHER]) == ([], [], [IP, OTHER])


async def test_the_remote_source_is_told_for_how_long_an_unknown_address_is_left_alone(
    clock: ManualClock, remote: RemoteTable
) -> None:
    remote.places[IP] = None
    resolver = Resolver(clock, SourcesInHand(remote=remote))
    for delay in (600, 1200, 2400):
        await resolver.ask_remote([IP])
        assert remote.unknown_for == {IP: delay}
