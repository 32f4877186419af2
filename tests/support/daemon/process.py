"""The real daemon as a child process: started, watched through its log lines, ended by its own pid."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.feed import DEADLINE, Feed

Line = dict[str, Any]  # one log line, as JSON


class DaemonProcess:
    """`bangeod run` on a config file. Leaving the ``with`` block kills it if it still runs."""

    def __init__(self, config: Path, *, environ: Mapping[str, str] | None = None, through: Sequence[str] = ()) -> None:
        self._feed: Feed[Line] = Feed("the daemon")
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the exit
        command = [*through, sys.executable, "-m", "bangeod", "run", "--config", str(config)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.PIPE, env=environment(environ)
        )
        self._thread = threading.Thread(target=self._read, name="daemon-log")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()  # no error where it has ended
        self.process.wait()
        self._thread.join()
        self._output.close()
        if self.process.stderr is not None:
            self.process.stderr.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            try:
                self._feed.add(json.loads(text))
            except ValueError:
                self._feed.add({"event": "NOT JSON", "text": text.decode(errors="replace")})
        self._feed.close()

    # --- what it says ---

    def mark(self) -> int:
        """Return how many lines have come; ``since`` of the other methods leaves them out."""
        return len(self._feed)

    def lines(self, event: str | None = None, *, since: int = 0, **keys: object) -> list[Line]:
        """Return the log lines so far, those of an event with these keys."""
        return [line for line in self._feed.all(since) if _fits(line, event, keys)]

    def wait_for(self, event: str, *, since: int = 0, timeout: float = DEADLINE, **keys: object) -> Line:
        """Return the first line of an event with these keys, as soon as it is there."""
        return self._feed.wait(
            lambda line: _fits(line, event, keys), f"{event} {keys or ''}", since=since, timeout=timeout
        )

    def wait_until_loaded(self) -> None:
        """Wait until it is ready and has read its table, or found that it can't."""
        self.wait_for("ready")
        if not self.lines("database_unavailable"):
            ends = ("geo_cache_loaded", "geo_cache_not_loaded")
            self._feed.wait(lambda line: line["event"] in ends, " or ".join(ends))

    def runs_of(self, job_id: str) -> list[list[Line]]:
        """Return the lines of each run of a job, in the order of the runs."""
        runs: dict[str, list[Line]] = {}
        for line in self.lines(job_id=job_id):
            if "correlation_id" in line:
                runs.setdefault(line["correlation_id"], []).append(line)
        return list(runs.values())

    @property
    def output(self) -> bytes:
        """Return what it has written to standard output."""
        self._output.seek(0)
        return self._output.read()

    @property
    def is_alive(self) -> bool:
        """Say whether it has not ended, by itself or by a signal."""
        return self.process.poll() is None

    # --- what it is told ---

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def reload(self) -> Line:
        """Have it read its config again; return the line that says what came of it."""
        since = self.mark()
        self.send(signal.SIGHUP)
        return self._feed.wait(
            lambda line: line["event"] in ("config_reloaded", "config_refused"), "the reload's end", since=since
        )

    def ended(self, timeout: float = DEADLINE) -> int:
        """Wait until it has ended; return its exit status. All its lines are read then."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            told = "\n".join(str(line)[:400] for line in self._feed.all()[-30:])
            raise AssertionError(f"the daemon did not end within {timeout:g} s; it said last:\n{told}") from None
        self._thread.join()
        return status

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop and wait for that; return its exit status."""
        self.send(number)
        return self.ended()


def _fits(line: Line, event: str | None, keys: Mapping[str, object]) -> bool:
    return (event is None or line["event"] == event) and all(
        key in line and line[key] == value for key, value in keys.items()
    )


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which nothing but ``more`` tells bangeod anything."""
    prefixes = ("BANGEOD_", "NOTIFY_", "WATCHDOG_", "JOURNAL_", "CREDENTIALS_", "STATE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return {**kept, "PYTHONWARNINGS": "error", **(more or {})}


def bangeod(
    *arguments: str, environ: Mapping[str, str] | None = None, through: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; ``through`` is what starts it in our place (setpriv, say)."""
    return subprocess.run(
        [*through, sys.executable, "-m", "bangeod", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        check=False,
        env=environment(environ),
    )
