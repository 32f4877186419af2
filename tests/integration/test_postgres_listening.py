"""Listening to other daemons on a real server: what they send, connections that are lost, and a pooler in between."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from bangeod.errors import StoreLockedError
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.listening import CATCH_UP_EVERY, Listener
from tests.support.manual_clock import ManualClock
from tests.support.servers import pgbouncer, postgres_tables
from tests.support.servers.postgres_tables import Tables

CHANNEL = "bangeod_tested"


@pytest.fixture
def tables() -> Iterator[Tables]:
    with postgres_tables.made() as tables:
        yield tables


class Heard:
    """What a listener has told, and the sleeps that it has asked for; it sleeps no longer than the loop needs."""

    def __init__(self, conninfo: Conninfo, *channels: str, **options: Any) -> None:
        self.told: asyncio.Queue[tuple[str, Sequence[str]] | float] = asyncio.Queue()
        self.slept: list[float] = []
        self.clock = ManualClock()
        self.failures: list[Exception] = []  # raised by what is told next, one each
        self.may_wake = asyncio.Event()
        self.may_wake.set()
        self.listener = Listener(
            conninfo,
            self.clock,
            channels or (CHANNEL,),
            self._on_addresses,
            self._on_gap,
            sleep=self._sleep,
            **options,
        )

    async def _on_addresses(self, channel: str, ips: Sequence[str]) -> None:
        if self.failures:
            raise self.failures.pop()
        await self.told.put((channel, ips))

    async def _on_gap(self, since: float) -> None:
        await self.told.put(since)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.may_wake.wait()
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Heard"]:
        running = asyncio.ensure_future(self.listener.run())
        try:
            await self.listener.tried()
            yield self
        finally:
            running.cancel()
            await asyncio.wait([running])


def heard(tables: Tables, *channels: str, **options: Any) -> Heard:
    return Heard(tables.server.conninfo(tables.database), *channels, **options)


def notify(tables: Tables, payload: str, channel: str = CHANNEL) -> None:
    tables.web_app.execute("SELECT pg_notify(%s, %s)", (channel, payload))


def end_listening(tables: Tables) -> None:
    tables.web_app.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name = 'bangeod' AND query LIKE 'LISTEN%'"
    )


async def test_what_a_notice_names_is_told_with_its_channel(tables: Tables) -> None:
    async with heard(tables, CHANNEL, "bangeod_other").listening() as each:
        assert each.listener.is_listening
        notify(tables, "8.8.8.8 2001:4860::1")
        assert await each.told.get() == (CHANNEL, ["8.8.8.8", "2001:4860::1"])
        notify(tables, "9.9.9.9", "bangeod_other")
        assert await each.told.get() == ("bangeod_other", ["9.9.9.9"])
    assert not each.listener.is_listening


async def test_what_is_no_address_and_what_is_sent_by_itself_are_passed_over(tables: Tables) -> None:
    ours = tables.web_app.info.backend_pid
    async with heard(tables, is_own=lambda process: process == ours).listening() as each:
        notify(tables, "8.8.8.8")
        with tables.another() as other:
            other.execute("SELECT pg_notify(%s, %s)", (CHANNEL, "rubbish 10.0.0.1"))
            other.execute("SELECT pg_notify(%s, %s)", (CHANNEL, "9.9.9.9"))
        assert await each.told.get() == (CHANNEL, ["9.9.9.9"])


async def test_a_connection_that_was_ended_is_made_anew_and_a_gap_is_told(tables: Tables) -> None:
    async with heard(tables).listening() as each:
        notify(tables, "8.8.8.8")
        await each.told.get()
        until = each.clock.now()
        with capture_logs() as lines:
            end_listening(tables)
            assert await each.told.get() == until
            notify(tables, "9.9.9.9")
            assert await each.told.get() == (CHANNEL, ["9.9.9.9"])
        assert each.slept == [0.5]
        said = [(line["event"], line["log_level"]) for line in lines]
        assert said == [("listening_lost", "warning"), ("listening_again", "info")]


async def test_a_first_try_that_fails_is_made_again_later_each_time_and_then_a_gap_is_told(tables: Tables) -> None:
    each = Heard(Conninfo("host=/nonexistent dbname=x", "postgresql:///x"))
    began = each.clock.now()
    with capture_logs() as lines:
        async with each.listening():
            while len(each.slept) < 4:  # noqa: ASYNC110 - the loop's own turns are waited for
                await asyncio.sleep(0)
            each.listener._session.conninfo = tables.server.conninfo(tables.database)
            assert await each.told.get() == began
    assert each.slept[:4] == [0.5, 1.0, 2.0, 4.0]
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["listening_lost"]


async def test_what_could_not_be_taken_in_counts_as_missed(tables: Tables) -> None:
    async with heard(tables).listening() as each:
        each.failures.append(StoreLockedError("postgresql:///x", "locked", "wait"))
        since = each.clock.now()
        notify(tables, "8.8.8.8")
        assert await each.told.get() == since


async def test_behind_a_pooler_that_is_said_once_and_caught_up_from_time_to_time(tables: Tables) -> None:
    with pgbouncer.running(tables.server) as keywords:
        each = Heard(Conninfo(f"{keywords} dbname={tables.database}", "postgresql:///x"))
        began = each.clock.now()
        each.may_wake.clear()
        with capture_logs() as lines:
            async with each.listening():
                while not each.slept:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0)
                assert each.told.empty()
                each.may_wake.set()
                assert await each.told.get() == began
                assert await each.told.get() == began + CATCH_UP_EVERY
                assert not each.listener.is_listening
        assert [line["event"] for line in lines] == ["listening_impossible"]
