"""A second process beside the daemon: a module of the tests, run until its standard input ends."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.support.daemon.process import environment
from tests.support.feed import DEADLINE

ROOT = Path(__file__).resolve().parents[2]


class Companion:
    """The process, for as long as the ``with`` block lasts; ``through`` is what starts it in our place."""

    def __init__(self, module: str, *arguments: object, through: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [*through, sys.executable, "-m", module, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(),
        )

    @property
    def input(self) -> IO[str]:
        """Its standard input."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def output(self) -> IO[str]:
        """Its standard output."""
        assert self._process.stdout is not None
        return self._process.stdout

    def end(self, timeout: float = DEADLINE) -> str:
        """Have it end in good order; return what it printed last."""
        output, _ = self._process.communicate(timeout=timeout)
        assert self._process.returncode == 0
        return output

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            self._process.kill()  # no error where it has ended


def end_of_input() -> threading.Event:
    """Within such a process: return what is set once the standard input ends."""
    ended = threading.Event()
    threading.Thread(target=_wait, args=(ended,), daemon=True).start()
    return ended


def _wait(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()
