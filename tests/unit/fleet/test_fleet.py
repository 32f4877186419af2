"""The fleet as this host takes part in it: what the log says of a server that is away, and since when."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from bangeod.errors import StoreError, StoreReadOnlyError, StoreUnreachableError
from bangeod.fleet.fleet import Fleet, give_up
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.session import Session
from tests.support.manual_clock import ManualClock

CONNINFO = Conninfo("host=db.example dbname=fleet", "postgresql://db.example/fleet", is_fleets=True)
AWAY = StoreUnreachableError(CONNINFO.shown, "no server answers", "start it")
NOT_PERMITTED = StoreReadOnlyError(CONNINFO.shown, "not permitted", "grant it")


class Server:
    """What each of the two connections says: an error, or nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = ManualClock()
        self.fleet = Fleet(CONNINFO, self.clock, host="web1")
        self.says: dict[Session, StoreError] = {}

        async def run(session: Session, _statement: str, _values: object, *, again: bool) -> Sequence[tuple[object]]:
            if session in self.says:
                raise self.says[session]
            return [(again,)]

        monkeypatch.setattr(Session, "run", run)

    async def try_both(self) -> None:
        for work in (self.fleet.read, self.fleet.write):
            with contextlib.suppress(StoreError):
                await work("SELECT")

    async def logged(self) -> list[str]:
        with capture_logs() as lines:
            await self.try_both()
        return [line["event"] for line in lines if line["log_level"] != "debug"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


async def test_a_server_that_is_away_is_logged_once_and_so_is_its_return(server: Server) -> None:
    fleet = server.fleet
    assert (await server.logged(), fleet.away_since) == ([], None)
    server.says = dict.fromkeys((fleet.reader, fleet.writer), AWAY)
    since = server.clock.now()
    assert await server.logged() == ["fleet_lost"]
    server.clock.advance(60)
    assert (await server.logged(), fleet.away_since, fleet.problem) == ([], since, "no server answers")
    server.says.clear()
    assert (await server.logged(), fleet.away_since, fleet.problem) == (["fleet_back"], None, None)


async def test_reading_what_may_be_read_does_not_end_that_nothing_may_be_written(server: Server) -> None:
    server.says = {server.fleet.writer: NOT_PERMITTED}
    assert await server.logged() == ["fleet_lost"]
    assert (await server.logged(), server.fleet.problem) == ([], "not permitted")


async def test_a_statement_that_writes_is_not_tried_again_by_itself(server: Server) -> None:
    assert (await server.fleet.read("SELECT"), await server.fleet.write("SELECT")) == ([(True,)], [(False,)])


def test_a_host_without_a_name_in_the_config_is_called_as_the_machine_is() -> None:
    assert Fleet(CONNINFO, ManualClock()).host == socket.gethostname()
    assert Fleet(CONNINFO, ManualClock(), host="web1").host == "web1"


async def test_a_task_that_does_not_end_when_cancelled_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bangeod.fleet.fleet.ENDS", 0.01)
    never = asyncio.Event()

    async def stubborn() -> None:
        try:
            await never.wait()
        except asyncio.CancelledError:
            await never.wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await give_up([task])
    assert task.cancelled()
