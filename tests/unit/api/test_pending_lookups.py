"""Lookups that ask sources: whoever asked is answered in time, and what comes later is there for the next."""

import asyncio
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import structlog

from bangeod.api import pending_lookups
from bangeod.api.messages import MOST_ADDRESSES
from bangeod.api.pending_lookups import PendingLookups
from bangeod.model import Answer, Geo, Status
from tests.support.daemon.api_host import Backend, until
from tests.support.feed import DEADLINE

COLD = "1.1.1.1"
AUSTRALIA = Geo("AU", "Australia")
AT_ONCE = 0.0  # long past, in the loop's time


def statuses(answers: Sequence[Answer]) -> list[Status]:
    return [answer.status for answer in answers]


async def resolved(lookups: PendingLookups, ip: str) -> list[Status]:
    return statuses(await lookups.completed(await lookups.cached([ip]), AT_ONCE))


async def test_a_lookup_that_nobody_waits_for_goes_on_and_its_answer_is_there_for_the_next() -> None:
    backend = Backend()
    remote = backend.world.with_remote({COLD: AUSTRALIA})
    remote.gate.clear()
    lookups = PendingLookups(backend)
    assert await resolved(lookups, COLD) == [Status.UNRESOLVED]
    await until(lambda: remote.in_flight == 1)
    remote.gate.set()
    await until(lambda: backend.cache.lookup_cached_only([COLD])[0].status is Status.RESOLVED)
    assert remote.requests == [[COLD]]


async def test_lookups_that_nobody_waits_for_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_lookups, "MOST_LEFT", 250)
    monkeypatch.setattr(pending_lookups, "LOOKUP_SECONDS", 3_600)
    backend = Backend()
    remote = backend.world.with_remote({})
    remote.gate.clear()
    before = len(asyncio.all_tasks())
    lookups = PendingLookups(backend)
    for number in range(5):
        await resolved(lookups, f"1.1.1.{number}")
    await until(lambda: len(asyncio.all_tasks()) == before + 2)
    await lookups.close()


async def test_a_lookup_that_nobody_waits_for_is_given_up_some_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_lookups, "LOOKUP_SECONDS", 0.01)
    backend = Backend()
    remote = backend.world.with_remote({COLD: AUSTRALIA})
    remote.gate.clear()
    before = asyncio.all_tasks()
    assert await resolved(PendingLookups(backend), COLD) == [Status.UNRESOLVED]
    await until(lambda: asyncio.all_tasks() == before)
    assert remote.in_flight == 0


async def test_the_end_leaves_no_lookup_running() -> None:
    backend = Backend()
    remote = backend.world.with_remote({})
    remote.gate.clear()
    lookups = PendingLookups(backend)
    await resolved(lookups, COLD)
    await until(lambda: remote.in_flight == 1)
    await lookups.close()
    assert remote.in_flight == 0


async def test_what_just_was_not_found_is_answered_without_a_lookup() -> None:
    backend = Backend()
    lookups = PendingLookups(backend)
    assert (await backend.cache.lookup(COLD)).status is Status.UNRESOLVED
    backend.world.store.lost = True
    before = asyncio.all_tasks()
    answering = lookups.completed(await lookups.cached([COLD]), AT_ONCE)
    with pytest.raises(StopIteration) as ended:  # it has to wait for nothing
        answering.send(None)
    assert statuses(ended.value.value) == [Status.UNRESOLVED]
    assert asyncio.all_tasks() == before


async def test_many_that_just_were_not_found_let_others_have_their_turn() -> None:
    backend = Backend()
    lookups = PendingLookups(backend)
    many = [f"2001:4860::{number:x}" for number in range(1, MOST_ADDRESSES + 1)]
    await backend.cache.lookup_batch(many)
    answers = await lookups.cached(many)
    loop = asyncio.get_running_loop()
    others_turn = loop.create_future()
    loop.call_soon(others_turn.set_result, None)
    in_a_while = loop.time() + DEADLINE
    assert set(statuses(await lookups.completed(answers, in_a_while))) == {Status.UNRESOLVED}
    assert others_turn.done()


async def test_a_fault_in_a_lookup_that_nobody_waits_for_is_logged() -> None:
    gate = asyncio.Event()

    class Cache:
        def lookup_cached_only(self, ips: Sequence[str]) -> list[Answer]:
            return [Answer(ip, Status.UNRESOLVED) for ip in ips]

        def worth_asking(self, _: Iterable[str]) -> bool:
            return True

        async def lookup_unknown(self, _: Sequence[str]) -> NoReturn:
            await gate.wait()
            raise ZeroDivisionError

    backend: Any = SimpleNamespace(cache=Cache())
    with structlog.testing.capture_logs() as logged:
        assert await resolved(PendingLookups(backend), COLD) == [Status.UNRESOLVED]
        gate.set()
        await until(lambda: bool(logged))
    assert [line["event"] for line in logged] == ["lookup_failed"]
