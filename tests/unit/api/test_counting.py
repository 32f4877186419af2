"""Counts are made one at a time; who asks the same meanwhile is given the answer of one count, but no old one."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from bangeod.api import counting
from bangeod.api.counting import Counting
from bangeod.api.messages import TopQuery
from tests.support.daemon.api_host import Backend, Host, Reply, hosting, until

if TYPE_CHECKING:
    from bangeod.api.connections import Connection

TABLE, BANNED = "/v1/top", "/v1/top?banned=true"


@pytest.fixture
async def host(tmp_path: Path) -> AsyncGenerator[Host, None]:
    async with hosting(tmp_path / "api.sock") as host:
        host.backend.gate.clear()
        yield host
        host.backend.gate.set()


async def begin(host: Host, *paths: str) -> "list[asyncio.Task[Reply]]":
    """Ask, one after the other, and wait until the first count has begun and all have been asked."""
    asking = []
    for path in paths:
        asked = host.server.figures.requests
        asking.append(asyncio.ensure_future(host.ask("GET", path)))
        await until(lambda: host.server.figures.requests > asked)  # noqa: B023 - it is over before the next
    await until(lambda: bool(host.backend.counts))
    return asking


def asked(host: Host) -> list[bool]:
    return [query.banned for query in host.backend.counts]


async def test_different_counts_are_made_one_after_the_other(host: Host) -> None:
    asking = await begin(host, TABLE, BANNED, TABLE)
    assert asked(host) == [False]
    host.backend.gate.set()
    assert [(await reply).json["banned"] for reply in asking] == [False, True, False]
    assert asked(host) == [False, True, False]


async def test_many_who_ask_the_same_wait_for_one_count_that_is_begun_after_they_asked(host: Host) -> None:
    asking = await begin(host, TABLE, TABLE, TABLE, TABLE)
    host.backend.gate.set()
    assert [(await reply).status for reply in asking] == [200] * 4
    assert asked(host) == [False, False]  # that of the first had begun when the others asked


async def test_who_asks_when_nobody_waits_is_given_no_old_answer(host: Host) -> None:
    host.backend.gate.set()
    for _ in range(2):
        assert (await host.ask("GET", TABLE)).status == 200
    assert asked(host) == [False, False]


class Connected:
    """The connection of a client that stays."""

    def check_connected(self) -> None:
        """Say nothing: it is connected."""


async def test_no_answer_is_kept_once_all_who_asked_have_it() -> None:
    counts, connection = Counting(Backend()), cast("Connection", Connected())
    await asyncio.gather(*(counts.answer(TopQuery(), connection) for _ in range(3)))
    assert counts._last is None


async def test_a_count_that_fails_fails_for_each_who_asked_and_keeps_no_other_from_its_turn(host: Host) -> None:
    asking = await begin(host, TABLE, TABLE)
    host.backend.error = RuntimeError("a bug")
    host.backend.gate.set()
    assert [(await reply).status for reply in asking] == [500, 500]
    host.backend.error = None
    assert (await host.ask("GET", BANNED)).status == 200


async def test_no_more_wait_than_there_is_room_for(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_WAITING", 2)
    asking = await begin(host, TABLE, BANNED)
    reply = await host.ask("GET", TABLE)
    assert (reply.status, reply.code) == (503, "busy")
    host.backend.gate.set()
    assert [(await reply).status for reply in asking] == [200, 200]
    assert (await host.ask("GET", TABLE)).status == 200


async def test_who_waits_too_long_for_a_turn_is_told_so(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "WAIT_SECONDS", 0.01)
    asking = await begin(host, TABLE)
    reply = await host.ask("GET", BANNED)
    assert (reply.status, reply.code) == (503, "busy")
    host.backend.gate.set()
    assert (await asking[0]).status == 200


async def test_nothing_is_counted_for_a_client_that_has_gone(host: Host) -> None:
    asking = await begin(host, TABLE)
    before = host.server.figures.requests
    _, writer = await host.connect()
    writer.write(f"GET {BANNED} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await until(lambda: host.server.figures.requests > before)
    writer.transport.abort()
    await until(lambda: host.server.figures.connections == 1)
    host.backend.gate.set()
    assert (await asking[0]).status == 200
    assert (await host.ask("GET", TABLE)).status == 200
    assert host.backend.counts == [TopQuery(), TopQuery()]
