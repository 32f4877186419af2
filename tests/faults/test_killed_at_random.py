"""SIGKILL at random instants, 60 times (300 with BANGEOD_TESTS_SOAK=1), while the web app writes and all jobs work.

BANGEOD_TESTS_SEED has other instants tried; which seed it was is in the report of a failure.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Self

import pytest

from bangeod.client import AsyncGeoClient
from tests.conftest import Start
from tests.daemon_process import DaemonProcess
from tests.faults.ledger import Ledger
from tests.faults.meddling_web_app import MeddlingWebApp
from tests.faults.soak import times
from tests.feed import eventually
from tests.installation import Installation, every
from tests.mmdb_files import nested, write_mmdb
from tests.two_users import DAEMON, WEB, as_user, problem, share

TIMES = times(60, 300)
SEED = int(os.environ.get("BANGEOD_TESTS_SEED", "7"))
COUNTRY = "SE"
TOGETHER = 4  # addresses in one lookup
AS_ONE = problem is not None  # no two users then, but all else

Phase = Callable[[DaemonProcess, Installation, Random], None]


class Visitors:
    """Lookups through the daemon's socket, of addresses that nobody asked about before; whether one is there or not."""

    def __init__(self, socket: Path) -> None:
        self._socket = str(socket)
        self._ended = threading.Event()
        self.answered: list[str] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask()), name="visitors")

    async def _ask(self) -> None:
        number = 0
        async with AsyncGeoClient(self._socket) as client:
            while not self._ended.is_set():
                network = f"17.{number >> 16}.{number >> 8 & 0xFF}"
                ips = [f"{network}.{(number & 0xFF) + more}" for more in range(TOGETHER)]
                number += TOGETHER
                self.answered += [entry.ip for entry in await client.lookup_batch(ips) if entry.status == "resolved"]
                await asyncio.sleep(0.02)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go()

    def go(self) -> None:
        """Have them ask no more."""
        self._ended.set()
        self._thread.join()


# --- the instants ---


def pause(seconds: float) -> None:
    """Let time pass, not for anything to happen: this is the moment to be tried."""
    threading.Event().wait(seconds)


def starting(_daemon: DaemonProcess, _place: Installation, chance: Random) -> None:
    pause(chance.uniform(0, 1.2))


def working(daemon: DaemonProcess, _place: Installation, chance: Random) -> None:
    daemon.wait_for("ready")
    pause(chance.uniform(0, 0.5))


def saving(daemon: DaemonProcess, place: Installation, chance: Random) -> None:
    """While it writes state.toml: the new one is not in the place of the old one yet."""
    daemon.wait_for("ready")
    pause(chance.uniform(0, 0.2))
    part = place.state / ".state.toml.part"
    until = time.monotonic() + 1
    while not part.exists() and time.monotonic() < until:
        pass


def stopping(daemon: DaemonProcess, _place: Installation, chance: Random) -> None:
    daemon.wait_for("ready")
    pause(chance.uniform(0, 0.2))
    daemon.send(signal.SIGTERM)
    pause(chance.uniform(0, 0.04))


PHASES: tuple[Phase, ...] = (starting, working, saving, stopping)


def launched(place: Installation, user: Sequence[str]) -> DaemonProcess:
    return DaemonProcess(place.config, through=user)


def assert_quiet(daemon: DaemonProcess) -> None:
    """Look that nothing went wrong: that the one before was killed is no trouble."""
    assert not [line for line in daemon.lines() if line["level"] in ("warning", "error", "critical")]


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say in the report of a failure what was being tried."""
    try:
        yield
    except AssertionError as error:
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
    killed = dict.fromkeys((phase.__name__ for phase in PHASES), 0)
    with ExitStack() as running:
        web_app = running.enter_context(MeddlingWebApp(place.database, SEED, through=web))
        visitors = running.enter_context(Visitors(place.state / "bangeod.sock"))
        ledger = Ledger(place, web_app, COUNTRY)
        while (number := sum(killed.values())) < TIMES:
            phase = chance.choice(PHASES)
            with told(f"seed {SEED}, kill {number}, {phase.__name__}"), launched(place, user) as daemon:
                phase(daemon, place, chance)
                daemon.process.kill()
                killed[phase.__name__] += daemon.ended() == -signal.SIGKILL  # it may have stopped by then
                assert_quiet(daemon)
                ledger.check()
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
    print(f"{killed}; {ledger.resolved} resolved by the daemon, {len(visitors.answered)} lookups")
