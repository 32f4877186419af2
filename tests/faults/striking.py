"""SIGKILL at each write system call of a life in turn, until a life comes to its end.

How many calls there are follows the time that slices and checkpoints take, so they are not counted beforehand. Only
which calls on which files there are is learned from a life that nobody ends, and each of those must have been struck.
"""

import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.faults import strace
from tests.faults.to_do import copy_of
from tests.faults.warm import WarmCommand
from tests.support.daemon.installation import Installation

if TYPE_CHECKING:
    from sqlite3 import Connection

KILLED = -9  # the exit status
LOOK = "SELECT count(*) FROM sessions"  # whatever: the first statement opens the log


class Life(NamedTuple):
    """How a life went."""

    ended: bool  # of its own accord
    calls: list[strace.Call]  # on the files that count, up to the one at which it was killed

    @property
    def struck(self) -> strace.What:
        """Return the call at which it was killed."""
        return self.calls[-1].what


class Scene(NamedTuple):
    """A place in which somebody is killed, beside a web app that has the database open, or none."""

    place: Installation
    web_app: "Connection | None"


Attach = Callable[[WarmCommand], strace.Attached]
Live = Callable[[Scene, Attach], Life]
Check = Callable[[Scene, Life], None]


@dataclass
class Striker:
    """Has ``live`` lived in copies of ``template``, and ``check`` look at what each kill leaves."""

    template: Installation
    home: Path  # the copies are made in it
    live: Live
    check: Check
    beside_web_app: bool = False

    def at_database(self) -> Counter[strace.What]:
        """Kill at what SQLite writes; return how often that was done at each call on each file."""
        ends = ("", "-wal", "-shm")
        return self._strike(
            [self._place.database.with_name(self._place.database.name + end) for end in ends], strace.ON_DATABASE
        )

    def at_state(self) -> Counter[strace.What]:
        """Kill at what is written to the state directory, and at its fsync; return as ``at_database``.

        strace counts by thread, so one thread alone must write there; else the first one's calls hide the other's.
        """
        place = self._place
        return self._strike([place.state, *_file(place.history), *_file(place.unwritten)], strace.ON_STATE)

    def at_state_files(self) -> Counter[strace.What]:
        """Kill as ``at_state``, but for the fsync of the directory; threads may write to a file each."""
        return sum(
            (self._strike(_file(path), strace.ON_STATE) for path in (self._place.history, self._place.unwritten)),
            Counter(),
        )

    def _strike(self, files: list[Path], calls: tuple[str, ...]) -> Counter[strace.What]:
        """Kill at these calls on these files, one after the other."""

        def attach(process: WarmCommand, fault: strace.Fault | None = None) -> strace.Attached:
            return strace.Attached(process.pid, files, calls, *filter(None, [fault]))

        whole = self._live(attach)
        assert whole.ended
        struck: Counter[strace.What] = Counter()
        for call in dict.fromkeys(call.name for call in whole.calls):
            for number in itertools.count(1):
                fault = strace.Fault(call, "signal=SIGKILL", str(number))
                life = self._live(partial(attach, fault=fault))
                if life.ended:
                    break
                assert life.calls[-1].name == call
                struck[life.struck] += 1
        assert struck.keys() >= {call.what for call in whole.calls}
        return struck

    @property
    def _place(self) -> Installation:
        return Installation(self.home / "place")

    def _live(self, attach: Attach) -> Life:
        """Live once, and look at what is left then."""
        with self._scene() as scene:
            life = self.live(scene, attach)
            try:
                self.check(scene, life)
            except AssertionError as error:
                error.add_note(f"it ended by itself: {life.ended}, after {len(life.calls)} calls: {life.calls[-1:]}")
                raise
        return life

    @contextmanager
    def _scene(self) -> Iterator[Scene]:
        place = copy_of(self.template, self._place.home)
        if self.beside_web_app:
            with place.connection() as connection:
                connection.execute(LOOK).fetchall()
                yield Scene(place, connection)
        else:
            yield Scene(place, None)
        shutil.rmtree(place.home)


def _file(path: Path) -> list[Path]:
    """Return the names that a state file goes by: by a descriptor its own, and in its directory that alone."""
    part = path.with_name(f".{path.name}.part")
    return [path, part, Path(path.name), Path(part.name)]
