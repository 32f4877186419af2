"""No client can keep others from being served: too many, too slow, too large, or deaf."""

import asyncio
import contextlib
import gc
import json
import socket
import tracemalloc
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import structlog
from aiohttp import web

from bangeod.api import batch_admission, connections, unix_socket
from bangeod.api.messages import Mode
from tests.support.daemon.api_host import CACHED, Host, hosting, parse, until

AT_A_TIME = batch_admission.AT_A_TIME[Mode.RESOLVE]
HALF_A_HEADER = b"GET /v1/lookup/8.8.8.8 HTTP/1.1\r\nHo"
HALF_A_BODY = b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
BATCH = json.dumps({"ips": [CACHED] * 10_000}).encode()
BATCH_REQUEST = b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(BATCH), BATCH)


async def served(host: Host) -> bool:
    """Say whether an honest client is answered."""
    return (await asyncio.wait_for(host.ask("GET", f"/v1/lookup/{CACHED}"), 10)).status == 200


@pytest.mark.parametrize("sent", [b"", HALF_A_HEADER, HALF_A_BODY, b"garbage\r\n\r\n"])
async def test_more_half_open_connections_than_there_may_be_keep_nobody_out(tmp_path: Path, sent: bytes) -> None:
    async with hosting(tmp_path / "s") as host:
        flood = []
        for _ in range(connections.MOST_CONNECTIONS + 50):
            _, writer = await host.connect()
            writer.write(sent)
            flood.append(writer)
        assert await served(host)
        assert host.server.figures.connections <= connections.MOST_CONNECTIONS
        for writer in flood:
            writer.close()


async def test_connections_that_come_all_at_once_are_bounded_in_number_too(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s") as host:
        with contextlib.ExitStack() as flood:
            for _ in range(connections.MOST_CONNECTIONS + 200):  # all of them wait to be accepted
                flood.enter_context(socket.socket(socket.AF_UNIX)).connect(str(host.path))
            assert await served(host)
            assert host.server.figures.connections <= connections.MOST_CONNECTIONS
            assert host.server.figures.turned_away >= 200


async def test_few_connections_are_accepted_between_two_turns_of_the_event_loop(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s") as host:
        with contextlib.ExitStack() as flood:
            for _ in range(connections.MOST_CONNECTIONS):
                flood.enter_context(socket.socket(socket.AF_UNIX)).connect(str(host.path))
            seen = [0]
            while seen[-1] < connections.MOST_CONNECTIONS:
                await asyncio.sleep(0)
                seen.append(host.server.figures.connections)
        assert max(after - before for before, after in pairwise(seen)) <= 2 * unix_socket.AT_ONCE


async def test_bodies_that_do_not_come_are_bounded_in_number(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s") as host:
        for _ in range(connections.MOST_RECEIVING + 10):
            _, writer = await host.connect()
            writer.write(HALF_A_BODY)
        await until(lambda: host.server.figures.turned_away == 10)
        assert (await host.post("/v1/lookup", {"ips": [CACHED]})).status == 200


@pytest.fixture
def traced() -> Iterator[None]:
    """Measure memory; nothing that is in a circle is cleared away meanwhile."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b" " * 900_000,
        b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\ndbba0\r\n" + b" " * 900_000,
    ],
    ids=["announced", "chunked"],
)
async def test_nothing_stays_of_a_body_whose_sender_has_gone(tmp_path: Path, traced: None, sent: bytes) -> None:
    async with hosting(tmp_path / "s") as host:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            _, writer = await host.connect()
            writer.write(sent)
            await writer.drain()  # down to what the transport holds back
            await until(lambda writer=writer: writer.transport.get_write_buffer_size() == 0)  # type: ignore[misc]
            writer.transport.abort()
            await until(lambda: host.server.figures.connections == 0)
        assert tracemalloc.get_traced_memory()[0] - before < 3_000_000  # of 18 million


async def test_a_connection_that_is_lost_before_its_request_is_begun_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those are that make room for others: the request has come, and nobody has begun with it."""

    def lose(connection: connections.Connection, data: bytes) -> None:
        web.RequestHandler.data_received(connection, data)
        connection.abort()

    monkeypatch.setattr(connections.Connection, "data_received", lose)
    with structlog.testing.capture_logs() as logged:
        async with hosting(tmp_path / "s") as host:
            with contextlib.suppress(ConnectionError):
                await host.raw(HALF_A_BODY)
            await until(lambda: host.server.figures.requests == 1)
        assert host.server.figures.errors == 0
    assert logged == []


async def test_where_all_connections_are_being_worked_for_a_new_one_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections.Connections.__init__, "__kwdefaults__", {"limit": 2})
    async with hosting(tmp_path / "s") as host:
        host.backend.gate.clear()
        working = [asyncio.create_task(host.ask("POST", "/v1/jobs/session_cleanup/run")) for _ in range(2)]
        await until(lambda: len(host.backend.runs) == 2)
        reply = parse(await host.raw(b""))
        assert (reply.status, reply.code) == (503, "busy")
        host.backend.gate.set()
        assert [(await work).status for work in working] == [200, 200]
        assert await served(host)


async def test_a_connection_that_says_nothing_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bangeod.api.server._OPTIONS", {"keepalive_timeout": 0.05, "access_log": None})
    async with hosting(tmp_path / "s") as host:
        assert await asyncio.wait_for(host.raw(HALF_A_HEADER), 10) == b""


async def test_answers_that_nobody_fetches_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FETCH_SECONDS", 0.01)
    monkeypatch.setattr("bangeod.api.server.LOOK_AFTER_EVERY", 0.02)
    async with hosting(tmp_path / "s") as host:
        _, writer = await host.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined] # a transport of a socket has it
        writer.write(BATCH_REQUEST)
        await until(lambda: host.server.figures.turned_away == 1)
        assert await served(host)


async def test_what_waits_to_be_fetched_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_UNSENT", 3 << 20)
    monkeypatch.setattr(connections, "FETCH_SECONDS", 1_000.0)
    async with hosting(tmp_path / "s") as host:
        for _ in range(8):
            _, writer = await host.connect()
            writer.transport.pause_reading()  # type: ignore[attr-defined] # as above
            writer.write(BATCH_REQUEST)
        await until(lambda: host.server.figures.turned_away > 0)
        assert await served(host)


async def test_large_batches_take_turns_and_small_ones_do_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_admission, "MOST_WAITING", 3 * len(BATCH))
    async with hosting(tmp_path / "s") as host:
        remote = host.backend.world.with_remote({})
        remote.gate.clear()
        asked = {"ips": [*[CACHED] * 9_999, "1.1.1.1"]}  # nobody knows the last one but a source that takes its time
        batches = [asyncio.create_task(host.post("/v1/lookup", asked)) for _ in range(AT_A_TIME + 3)]
        await until(lambda: host.server.figures.requests == len(batches))
        assert (await host.post("/v1/lookup", {"ips": [CACHED]})).status == 200
        refused = await host.post("/v1/lookup", asked)
        assert (refused.status, refused.code) == (503, "busy")
        remote.gate.set()
        assert [(await batch).status for batch in batches] == [200] * len(batches)


async def test_a_large_batch_does_not_wait_for_its_turn_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_admission, "WAIT_SECONDS", 0.01)
    async with hosting(tmp_path / "s") as host:
        remote = host.backend.world.with_remote({})
        remote.gate.clear()
        asked = {"ips": [*[CACHED] * 9_999, "1.1.1.1"]}
        batches = [asyncio.create_task(host.post("/v1/lookup", asked)) for _ in range(AT_A_TIME + 1)]
        done, working = await asyncio.wait(batches, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result().code for task in done] == ["busy"]
        remote.gate.set()
        assert [(await batch).status for batch in working] == [200] * AT_A_TIME


@asynccontextmanager
async def all_turns_taken(path: Path) -> AsyncGenerator[Host, None]:
    """Serve, while as many large batches as may be are waiting for a source."""
    async with hosting(path) as host:
        remote = host.backend.world.with_remote({})
        remote.gate.clear()
        asked = {"ips": [*[CACHED] * 9_999, "1.1.1.1"]}
        batches = [asyncio.create_task(host.post("/v1/lookup", asked)) for _ in range(AT_A_TIME)]
        await until(lambda: remote.in_flight == 1)
        await until(lambda: sum(task.get_name() == "lookup" for task in asyncio.all_tasks()) == AT_A_TIME)
        yield host
        remote.gate.set()
        assert [(await batch).status for batch in batches] == [200] * AT_A_TIME


async def test_a_large_batch_that_asks_no_source_does_not_wait_for_those_that_do(tmp_path: Path) -> None:
    async with all_turns_taken(tmp_path / "s") as host:
        reply = await host.post("/v1/lookup", {"ips": [CACHED] * 10_000, "mode": "cached"})
        assert reply.status == 200


async def test_a_large_batch_does_not_wait_for_its_turn_longer_than_its_sender(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_admission, "WAIT_SECONDS", 1_000.0)
    async with all_turns_taken(tmp_path / "s") as host:
        reply = await host.post("/v1/lookup?wait=0", {"ips": ["1.1.1.1"] * 10_000})
        assert (reply.status, reply.code) == (503, "busy")


async def test_a_large_batch_whose_sender_has_gone_before_its_turn_is_not_begun(tmp_path: Path) -> None:
    body = json.dumps({"ips": ["2.2.2.2"] * 2_000}).encode()
    async with all_turns_taken(tmp_path / "s") as host:
        before = host.server.figures.requests
        _, writer = await host.connect()
        writer.write(b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await until(lambda: host.server.figures.requests > before)  # all of it has come in one piece
        connected = host.server.figures.connections
        writer.transport.abort()
        await until(lambda: host.server.figures.connections < connected)
    assert "2.2.2.2" not in host.backend.world.local.asked


async def test_many_requests_on_one_connection_are_answered_in_their_order(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s") as host:
        reader, writer = await host.connect()
        for number in range(500):
            writer.write(b"GET /v1/lookup/10.0.0.%d HTTP/1.1\r\nHost: x\r\n\r\n" % (number % 256))
        for number in range(500):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(parse(head).headers["content-length"])
            assert json.loads(await reader.readexactly(length))["ip"] == f"10.0.0.{number % 256}"
        writer.close()


async def test_a_batch_does_not_stop_the_event_loop(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s") as host:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        await host.post("/v1/lookup", {"ips": [CACHED] * 10_000})
        counting.cancel()
        assert turns >= 40  # 10,000 addresses, 500 at a time, looked up and then written
