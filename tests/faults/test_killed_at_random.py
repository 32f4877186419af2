"""SIGKILL at random instants, 60 times (300 with BANGEOD_TESTS_SOAK=1), while the web app writes and all jobs work.

BANGEOD_TESTS_SEED has other instants tried; which seed it was is in the report of a failure.
"""

import asyncio
import contextlib
import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Self

import pytest

from bangeod.client import AsyncGeoClient
from bangeod.client.command_client import CommandClient
from bangeod.errors import BangeodError
from tests.conftest import Start
from tests.faults.ledger import FileLedger
from tests.faults.soak import times
from tests.support.daemon.installation import Installation, every
from tests.support.daemon.process import DaemonProcess
from tests.support.daemon.two_users import DAEMON, WEB, as_user, problem, share
from tests.support.feed import DEADLINE, eventually
from tests.support.mmdb.files import nested, write_mmdb
from tests.support.web_app.habits import Habits
from tests.support.web_app.web_app import WebApp

TIMES = times(60, 300)
SEED = int(os.environ.get("BANGEOD_TESTS_SEED", "7"))
COUNTRY = "SE"
TOGETHER = 4  # addresses in one lookup
MEDDLING = Habits(every=0.008, sessions=True, rows=True, meddling=True, seed=SEED)
AS_ONE = problem is not None  # no two users then, but all else

Phase = Callable[["Victim", Random], None]


class Caller(ABC):
    """Somebody who asks the daemon for something over and over, whether it is there or not, until told to go."""

    def __init__(self, socket: Path) -> None:
        self._socket = str(socket)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._call, name=type(self).__name__)

    @abstractmethod
    def _call(self) -> None:
        """Ask until ``_ended`` is set."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go()

    def go(self) -> None:
        """Have them ask no more."""
        self._ended.set()
        self._thread.join()


class Visitors(Caller):
    """Lookups of addresses that nobody asked about before."""

    def __init__(self, socket: Path) -> None:
        super().__init__(socket)
        self.answered: list[str] = []

    def _call(self) -> None:
        asyncio.run(self._ask())

    async def _ask(self) -> None:
        number = 0
        async with AsyncGeoClient(self._socket) as client:
            while not self._ended.is_set():
                network = f"17.{number >> 16}.{number >> 8 & 0xFF}"
                ips = [f"{network}.{(number & 0xFF) + more}" for more in range(TOGETHER)]
                number += TOGETHER
                self.answered += [entry.ip for entry in await client.lookup_batch(ips) if entry.status == "resolved"]
                await asyncio.sleep(0.02)


class Hand(Caller):
    """Runs of a job by hand, each of which saves state.toml; by themselves the jobs save it seldom."""

    def _call(self) -> None:
        with CommandClient(self._socket, timeout=DEADLINE, strict=True) as client:
            while not self._ended.wait(0.02):
                with contextlib.suppress(BangeodError):  # it is killed, or not up yet, or at that job already
                    client.run_job("session_cleanup")


# --- the instants ---


def pause(seconds: float) -> None:
    """Let time pass, not for anything to happen: this is the moment to be tried."""
    threading.Event().wait(seconds)


class Victim:
    """A daemon that is to be killed, and what tells of the instant at which it was."""

    def __init__(self, daemon: DaemonProcess, part: Path) -> None:
        self.daemon = daemon
        self._part = part
        self._left = self._look_at_part()  # by one that was killed before; this one has not come to write yet

    def _look_at_part(self) -> tuple[int, int] | None:
        with contextlib.suppress(FileNotFoundError):
            status = self._part.stat()
            return status.st_ino, status.st_mtime_ns
        return None

    def saves(self) -> bool:
        """Say whether it is writing state.toml: the new one is not in the place of the old one yet."""
        return self._look_at_part() not in (None, self._left)

    def instant(self) -> str:
        """Say what it did when it was killed, by the lines and files that it has left."""
        said = {line["event"] for line in self.daemon.lines()}
        if "stopping" in said:
            return "stopping"
        if self.saves():
            return "saving"
        if "ready" in said:
            return "working"
        return "starting" if "starting" in said else "loading"


def starting(victim: Victim, chance: Random) -> None:
    """While the interpreter loads or later, or surely when that is over."""
    if chance.random() < 0.5:
        pause(chance.uniform(0, 1.2))
    else:
        victim.daemon.wait_for("starting")
        pause(chance.uniform(0, 0.03))


def working(victim: Victim, chance: Random) -> None:
    victim.daemon.wait_for("ready")
    pause(chance.uniform(0, 0.5))


def saving(victim: Victim, chance: Random) -> None:
    victim.daemon.wait_for("ready")
    pause(chance.uniform(0, 0.2))
    until = time.monotonic() + DEADLINE
    while not victim.saves():
        assert time.monotonic() < until, "it does not write state.toml"


def stopping(victim: Victim, chance: Random) -> None:
    """Soon after SIGTERM, or surely when that has been heeded."""
    victim.daemon.wait_for("ready")
    pause(chance.uniform(0, 0.2))
    victim.daemon.send(signal.SIGTERM)
    if chance.random() < 0.5:
        pause(chance.uniform(0, 0.04))
    else:
        victim.daemon.wait_for("stopping")


PHASES: tuple[Phase, ...] = (starting, working, saving, stopping)
LEAST = times(3, 20)  # kills that have to come at each kind of instant, of some 15 (75) that are aimed at it


def launched(place: Installation, user: Sequence[str]) -> DaemonProcess:
    return DaemonProcess(place.config, through=user)


def assert_quiet(daemon: DaemonProcess) -> None:
    """Look that nothing went wrong: that the one before was killed is no trouble."""
    assert not [line for line in daemon.lines() if line.get("level") not in ("debug", "info")]


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say in the report of a failure what was being tried."""
    try:
        yield
    except Exception as error:
        error.add_note(what)
        raise


@pytest.fixture
def shared(place: Installation) -> Installation:
    """Give an installation whose jobs run all the time, of two users where that can be."""
    mmdb = write_mmdb(place.home / "all.mmdb", {"0.0.0.0/1": nested(COUNTRY), "2a00::/12": nested(COUNTRY)})
    if not AS_ONE:
        share(place)
    place.configure(
        every("100ms"),
        {"api.enabled": True, "api.socket": str(place.state / "bangeod.sock")},
        {"geo.mmdb": [str(mmdb)], "geo.embedded": False},
        {"database.busy_timeout": "5s"},
    )
    return place


def test_killed_at_any_instant_it_loses_nothing_and_the_next_start_finishes_the_work(
    shared: Installation, launch: Start
) -> None:
    place, chance = shared, Random(SEED)
    web, user = ((), ()) if AS_ONE else (as_user(WEB), as_user(DAEMON))
    killed = Counter[str]()
    with ExitStack() as running:
        web_app = running.enter_context(WebApp(place.database, MEDDLING, through=web))
        visitors = running.enter_context(Visitors(place.state / "bangeod.sock"))
        hand = running.enter_context(Hand(place.state / "bangeod.sock"))
        ledger = FileLedger(place, web_app, COUNTRY)
        while (number := killed.total()) < TIMES:
            phase = PHASES[number % len(PHASES)]
            with told(f"seed {SEED}, kill {number}, {phase.__name__}"), launched(place, user) as daemon:
                victim = Victim(daemon, place.state / ".state.toml.part")
                phase(victim, chance)
                daemon.process.kill()
                if daemon.ended() == -signal.SIGKILL:  # else it had stopped by then
                    killed[victim.instant()] += 1
                assert_quiet(daemon)
                ledger.check()
        hand.go()
        web_app.finish()
        with told(f"seed {SEED}, after {TIMES} kills"):
            daemon = launch(place.config, through=user)
            daemon.wait_for("ready")
            before = len(visitors.answered)
            eventually(ledger.is_finished, "the work is done")
            eventually(lambda: len(visitors.answered) > before, "lookups are answered")
            visitors.go()
            assert daemon.stop() == 0
            assert_quiet(daemon)
            ledger.check()
            assert set(visitors.answered[before:]) <= place.countries().keys()
            assert [path.name for path in place.state.iterdir()] == [place.history.name]
            assert ledger.resolved > TIMES
    assert all(killed[phase.__name__] >= LEAST for phase in PHASES), killed
    print(f"{dict(killed)}; {ledger.resolved} resolved by the daemon, {len(visitors.answered)} lookups")
