"""The fleet as a source: asked in time or not at all, and what it tells is kept. The server is a test's own."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from bangeod.errors import StoreError, StoreRefusedError, StoreUnreachableError
from bangeod.fleet import geo_tier, statements
from bangeod.fleet.fleet import Fleet
from bangeod.fleet.geo_tier import GeoTier
from bangeod.model import Geo, Origin
from bangeod.store.postgres.connection import Conninfo
from tests.support.manual_clock import ManualClock

IP, OTHER, THIRD = "8.8.8.8", "9.9.9.9", "1.1.1.1"
GERMANY = Geo("DE", "Germany", "AS64500", "Example")
AT = 1_800_000_000_000_000
SHOWN = "postgresql:///fleet"
AWAY = StoreUnreachableError(SHOWN, "no server answers", "start it")


def row(ip: str, *, writer: str = "web2", code: str = "DE") -> tuple[Any, ...]:
    return (ip, writer, code, "Germany", "AS64500", "Example", "mmdb", AT, AT, False)


class Server:
    """Answers with ``rows``, or an error; while ``gate`` is cleared it does not answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, timeout: float = 5.0) -> None:
        self.clock = ManualClock()
        self.fleet = Fleet(Conninfo("", SHOWN, is_fleets=True), self.clock, host="web1", timeout=timeout)
        self.tier = GeoTier(self.fleet, most_waiting=10_000, sleep=lambda _: asyncio.sleep(0))
        self.rows: list[tuple[Any, ...]] = []
        self.error: StoreError | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.ran: list[tuple[str, Mapping[str, Any]]] = []
        monkeypatch.setattr(self.fleet.reader, "run", self._run)
        monkeypatch.setattr(self.fleet.writer, "run", self._run)
        self.refuses: str | None = None

    async def _run(self, statement: str, values: Any, *, again: bool) -> Sequence[tuple[Any, ...]]:
        del again
        self.ran.append((statement, values or {}))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if statement == statements.SHARE_PLACES:
            if self.refuses in values["ip"]:
                raise StoreRefusedError(SHOWN, "refused", "look")
            return [(len(values["ip"]), "")]
        found: dict[str, list[tuple[Any, ...]]] = {}
        for each in self.rows:
            found.setdefault(each[0], []).append(each)
        most = 1 if statement == statements.FIND_PLACES else 10
        return [each for ip in (values or {}).get("ips", ()) for each in found.get(ip, ())[:most]]

    @property
    def asked(self) -> list[list[str]]:
        return [values["ips"] for _, values in self.ran if "ips" in values]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Server:
    """Give a server that does not answer, and lookups that wait for hardly any time."""
    server = Server(monkeypatch, timeout=0.001)
    server.gate.clear()
    return server


async def until(condition: Callable[[], bool], then: Callable[[], None] = lambda: None) -> None:
    for _ in range(10_000):
        if condition():
            return
        then()
        await asyncio.sleep(0)
    pytest.fail("it never came to that")


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


# Asking


async def test_what_others_know_is_found_and_counted(server: Server) -> None:
    server.rows = [row(IP)]
    assert await server.tier.find([IP, OTHER]) == {IP: GERMANY}
    assert server.tier.answered == 1


async def test_many_addresses_are_asked_about_in_batches(server: Server) -> None:
    ips = [f"8.8.{number // 250}.{number % 250}" for number in range(1_200)]
    server.rows = [row(ips[0]), row(ips[-1])]
    assert await server.tier.find(ips) == {ips[0]: GERMANY, ips[-1]: GERMANY}
    assert [len(batch) for batch in server.asked] == [500, 500, 200]


async def test_a_server_that_is_away_is_not_asked_again_until_its_backoff_is_over(server: Server) -> None:
    server.error, server.rows = AWAY, [row(IP)]
    assert await server.tier.find([IP]) == {}
    server.error = None
    assert await server.tier.find([IP]) == {}
    assert len(server.asked) == 1
    server.clock.advance(1)
    assert await server.tier.find([IP]) == {IP: GERMANY}


async def test_a_lookup_does_not_wait_for_a_server_that_hangs_nor_do_those_after_it(slow: Server) -> None:
    assert await slow.tier.find([IP]) == {}
    slow.clock.advance(3_600)
    assert await slow.tier.find([OTHER]) == {}
    assert slow.asked == [[IP]]
    await slow.tier.close()


async def test_what_comes_too_late_for_one_lookup_is_there_for_the_next(slow: Server) -> None:
    slow.rows = [row(IP)]
    assert await slow.tier.find([IP]) == {}
    slow.gate.set()
    await turns()
    assert await slow.tier.find([IP]) == {IP: GERMANY}
    assert len(slow.asked) == 1


async def test_of_a_long_question_that_is_late_only_what_has_begun_is_asked(slow: Server) -> None:
    await slow.tier.find([f"8.8.{number // 250}.{number % 250}" for number in range(1_200)])
    slow.gate.set()
    await turns()
    assert len(slow.asked) == 1


async def test_after_a_server_was_slow_it_is_asked_again_once_the_backoff_is_over(slow: Server) -> None:
    await slow.tier.find([IP])
    slow.gate.set()
    await turns()
    assert await slow.tier.find([OTHER]) == {}
    assert len(slow.asked) == 1
    slow.clock.advance(1)
    slow.rows, slow.fleet.timeout = [row(OTHER)], 5.0
    assert await slow.tier.find([OTHER]) == {OTHER: GERMANY}


async def test_a_server_that_is_slow_again_and_again_is_logged_once_with_advice(slow: Server) -> None:
    with capture_logs() as lines:
        for _ in range(6):
            slow.gate.clear()
            await slow.tier.find([IP])
            slow.gate.set()
            await turns()
            slow.clock.advance(60)
    (line,) = (line for line in lines if line["event"] == "fleet_slow")
    assert "[fleet] timeout" in line["advice"]


async def test_a_lookup_that_is_cancelled_leaves_the_question_to_end_by_itself(server: Server) -> None:
    server.gate.clear()
    looking = asyncio.create_task(server.tier.find([IP]))
    await turns()
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert await server.tier.find([OTHER]) == {}
    server.gate.set()
    await turns()
    server.rows = [row(OTHER)]
    assert await server.tier.find([OTHER]) == {OTHER: GERMANY}


async def test_behind_an_odd_row_that_of_another_host_is_found(server: Server) -> None:
    server.rows = [row(IP, writer="web2", code="de"), row(IP, writer="web3"), row(OTHER)]
    assert await server.tier.find([IP, OTHER]) == {IP: GERMANY, OTHER: GERMANY}
    assert server.asked == [[IP, OTHER], [IP]]


async def test_rows_that_no_daemon_wrote_are_named_once_and_again_when_they_are_twice_as_many(server: Server) -> None:
    server.rows = [row(f"8.8.8.{number}", code="de") for number in range(8)]
    with capture_logs() as lines:
        for _ in range(2):
            assert await server.tier.find([each[0] for each in server.rows]) == {}
    odd = [line for line in lines if line["event"] == "fleet_row_odd"]
    assert [line["rows"] for line in odd] == [1, 2, 4, 8]
    assert (odd[0]["ip"], odd[0]["writer"], odd[0]["log_level"]) == ("8.8.8.0", "web2", "warning")


# What others tell of


async def test_what_others_have_written_is_read_again_and_kept_for_lookups(server: Server) -> None:
    server.rows = [row(IP)]
    assert await server.tier.read_again([IP, OTHER]) == {IP: GERMANY}
    server.error = AWAY
    assert await server.tier.find([IP]) == {IP: GERMANY}


async def test_what_is_not_there_any_more_is_not_kept(server: Server) -> None:
    server.rows = [row(IP)]
    await server.tier.read_again([IP])
    server.rows = []
    assert await server.tier.read_again([IP]) == {}
    assert await server.tier.find([IP]) == {}


async def test_what_is_kept_is_bounded_and_the_newest_stays(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geo_tier, "MOST_KEPT", 2)
    server.rows = [row(ip) for ip in (IP, OTHER, THIRD)]
    await server.tier.read_again([IP, OTHER, THIRD])
    server.error = AWAY
    assert await server.tier.find([IP, OTHER, THIRD]) == {OTHER: GERMANY, THIRD: GERMANY}


# What others are told


def shared(server: Server) -> list[list[str]]:
    return [values["ip"] for statement, values in server.ran if statement == statements.SHARE_PLACES]


def find(server: Server, *ips: str, origin: Origin = Origin.MMDB) -> None:
    for ip in ips:
        server.tier.found(ip, GERMANY, origin, last_seen=1, resolved_at=1)


async def test_what_was_found_here_is_told_with_a_notice_that_names_addresses_alone(server: Server) -> None:
    find(server, IP, OTHER)
    find(server, THIRD, origin=Origin.EMBEDDED)
    await server.tier.flush(lambda: math.inf)
    ((_, values),) = server.ran
    assert (values["ip"], values["payloads"], values["channel"]) == ([IP, OTHER], [f"{IP} {OTHER}"], "bangeod_geo")
    assert (server.tier.sharing.shared, server.tier.sharing.last_success) == (2, server.clock.now())
    await server.tier.flush(lambda: math.inf)
    assert len(server.ran) == 1


@pytest.fixture
async def sharing(server: Server) -> AsyncIterator[Server]:
    sharing = asyncio.create_task(server.tier.keep_sharing())
    yield server
    sharing.cancel()


async def test_what_was_found_is_told_soon_and_together(sharing: Server) -> None:
    find(sharing, IP)
    find(sharing, OTHER)
    await until(lambda: not sharing.tier.outbox)
    assert shared(sharing) == [[IP, OTHER]]


async def test_a_server_that_is_away_is_left_to_the_flush(sharing: Server) -> None:
    sharing.error = AWAY
    find(sharing, IP)
    await until(lambda: sharing.fleet.away_since is not None)
    find(sharing, OTHER)
    await turns()
    assert shared(sharing) == [[IP]]
    sharing.error = None
    await sharing.tier.flush(lambda: math.inf)
    assert not sharing.tier.outbox


async def test_what_could_not_be_told_waits_for_the_next_flush(server: Server) -> None:
    find(server, IP)
    server.error = AWAY
    await server.tier.flush(lambda: math.inf)
    assert (len(server.tier.outbox), server.tier.sharing.last_success) == (1, None)
    server.error = None
    await server.tier.flush(lambda: math.inf)
    assert (len(server.tier.outbox), shared(server)) == (0, [[IP], [IP]])


async def test_a_flush_without_time_does_nothing(server: Server) -> None:
    find(server, IP)
    await server.tier.flush(lambda: 0.0)
    assert (server.ran, len(server.tier.outbox)) == ([], 1)


async def test_a_flush_does_not_wait_for_a_server_that_hangs_nor_does_the_next(server: Server) -> None:
    find(server, IP)
    server.gate.clear()
    await server.tier.flush(lambda: 0.001)
    await server.tier.flush(lambda: math.inf)
    assert len(server.ran) == 1
    server.gate.set()
    await turns()
    assert len(server.tier.outbox) == 0


async def test_a_row_that_the_server_refuses_does_not_keep_the_others_from_it(server: Server) -> None:
    find(server, IP, OTHER, THIRD)
    server.refuses = OTHER
    with capture_logs() as lines:
        await server.tier.flush(lambda: math.inf)
    assert (server.tier.sharing.shared, len(server.tier.outbox)) == (2, 0)
    assert [line["ip"] for line in lines if line["event"] == "fleet_row_refused"] == [OTHER]


async def test_an_address_in_use_is_told_without_a_notice(server: Server) -> None:
    server.tier.seen(IP, 7)
    await server.tier.flush(lambda: math.inf)
    assert server.ran == [(statements.SEE_PLACES, {"ip": [IP], "seen": ["7"]})]


async def test_stale_rows_go_in_slices_while_there_is_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [(1,)] * 1_500

    async def run(_statement: str, values: Any, *, again: bool) -> Sequence[tuple[Any, ...]]:
        del again
        gone = left[: values["limit"]]
        del left[: values["limit"]]
        return gone

    monkeypatch.setattr(server.fleet.writer, "run", run)
    assert await server.tier.delete_stale(1, lambda: 0.0) == 0
    assert await server.tier.delete_stale(1, lambda: math.inf) == 1_500


# Whether the server is there


@pytest.fixture
async def watched(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(geo_tier, "WATCH_EVERY", 0.001)
    watching = asyncio.create_task(server.tier.watch())
    yield server
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    await server.tier.close()


async def test_it_is_seen_whether_the_server_answers_without_a_lookup(watched: Server) -> None:
    watched.error = AWAY
    await until(lambda: watched.fleet.away_since is not None)
    watched.error = None
    await until(lambda: watched.fleet.away_since is None)
    watched.rows = [row(IP)]
    assert await watched.tier.find([IP]) == {IP: GERMANY}


async def test_a_server_that_hangs_counts_as_away_after_a_while(watched: Server) -> None:
    watched.gate.clear()
    await until(lambda: watched.fleet.away_since is not None, then=lambda: watched.clock.advance(1))
    assert "has not answered for" in (watched.fleet.problem or "")
    watched.gate.set()
    await until(lambda: watched.fleet.away_since is None)


async def test_closing_waits_for_no_server(server: Server) -> None:
    server.gate.clear()
    find(server, IP)
    await server.tier.flush(lambda: 0.001)
    looking = asyncio.create_task(server.tier.find([OTHER]))
    await turns()
    await server.tier.close()
    with contextlib.suppress(asyncio.CancelledError):
        await looking
    assert asyncio.all_tasks() == {asyncio.current_task()}
