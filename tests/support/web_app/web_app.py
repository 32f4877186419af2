"""The web app beside the daemon, as a second process: started, given statements, heard and ended."""

import json
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from bangeod.client import Entry
from tests.support.companion import Companion
from tests.support.feed import DEADLINE, Feed
from tests.support.web_app.habits import Begun, Commit, Habits, Heard, Report, Rows, Told, live, own

PROCESS = "tests.support.web_app.process"
ON_SERVER = "tests.support.web_app.on_server"  # works on a PostgreSQL server's tables, whose url it is given


class WebApp:
    """The process, for as long as the ``with`` block lasts; ``through`` is what starts it in our place.

    It ends in good order, so that all that it did has been told, but where the block is left by an error.
    """

    def __init__(
        self,
        database: Path | str = "",
        habits: Habits | None = None,
        *,
        through: Sequence[str] = (),
        process: str = PROCESS,
    ) -> None:
        self._database = database
        self._program = process
        self._habits = msgspec.json.encode(habits or Habits()).decode()
        self._through = through
        self._running = ExitStack()
        self._killed = False
        self._thread = threading.Thread(target=self._read, name="web-app")
        self._begun: Feed[Begun] = Feed("the web app")
        self._rows: Feed[Rows] = Feed("the web app")
        self._commits: Feed[Commit] = Feed("the web app")
        self._heard: Feed[Entry] = Feed("the web app")
        self._failures: Feed[str] = Feed("the web app")
        self._reports: Feed[Report] = Feed("the web app")

    def __enter__(self) -> Self:
        with ExitStack() as running:
            self._process = running.enter_context(Companion(self._program, self._database, through=self._through))
            self._thread.start()
            running.callback(self._thread.join)  # before its pipe is closed
            running.callback(self._process.kill)
            print(self._habits, file=self._process.input, flush=True)
            self._begun.wait(lambda _: True, "its beginning")
            self._running = running.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._running:
            if kind is None and not self._killed:
                self.finish()

    def finish(self) -> Report:
        """Have it end, if it has not; it has told all that it did when this returns."""
        self._process.input.close()
        self._process.wait()
        self._thread.join()
        [report] = self._reports.all()
        return report

    def kill(self) -> None:
        """End it at once."""
        self._killed = True
        self._process.kill()

    def _read(self) -> None:
        for line in self._process.output:
            self._take(msgspec.json.decode(line, type=Told))
        for feed in (self._begun, self._rows, self._commits, self._heard, self._failures, self._reports):
            feed.close()

    def _take(self, told: Told) -> None:
        match told:
            case Begun():
                self._begun.add(told)
            case Rows():
                self._rows.add(told)
            case Commit():
                self._commits.add(told)
            case Report():
                self._reports.add(told)
            case Heard(None, failure):
                self._failures.add(failure)
            case Heard(Entry() as entry):
                self._heard.add(entry)

    # --- what it is told ---

    def execute(self, statement: str | None) -> list[list[Any]]:
        """Have it run a statement, which is committed when this returns, unless it has begun a transaction."""
        since = len(self._rows)
        print(json.dumps(statement), file=self._process.input, flush=True)
        return self._rows.wait(lambda _: True, "what a statement returns", since=since).rows

    # --- what it tells ---

    def commits(self, since: int = 0) -> list[Commit]:
        """Return what it has committed, from the number ``since`` on."""
        return self._commits.all(since)

    @property
    def tokens(self) -> list[str]:
        """Return the sessions that it has made; all of them are live."""
        return [live(commit.number) for commit in self.commits()]

    @property
    def rows(self) -> list[str]:
        """Return the addresses of the rows that it has made with OWN_COUNTRY."""
        return [own(commit.number) for commit in self.commits()]

    @property
    def resolved(self) -> list[str]:
        """Return the addresses whose rows it has given OWN_COUNTRY."""
        return [commit.resolved for commit in self.commits() if commit.resolved is not None]

    @property
    def longest_write(self) -> float:
        """Return how long its longest transaction took, in seconds."""
        return max((commit.ended - commit.began for commit in self.commits()), default=0.0)

    def heard(self, since: int = 0) -> list[Entry]:
        """Return what it has been answered so far, from that of the number ``since`` on."""
        return self._heard.all(since)

    @property
    def failures(self) -> list[str]:
        """Return why lookups got no answer, each time that one got none."""
        return self._failures.all()

    def mark(self) -> int:
        """Return how many answers it has heard by now; all later ones it asks for after this."""
        self.execute(None)
        return len(self._heard)

    def wait_for_answers(self, number: int = 1) -> None:
        """Wait until it has asked so often after this, and heard so many answers."""
        last = self.mark() + number - 1
        self._heard.wait(lambda _: True, f"{number} more answers", since=last, timeout=DEADLINE)
