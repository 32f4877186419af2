"""A second process beside the daemon: a module of the tests, run until its standard input ends."""

import subprocess
import sys
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

    def wait(self, timeout: float = DEADLINE) -> None:
        """Wait until it has ended in good order, where somebody else reads what it prints."""
        assert self._process.wait(timeout) == 0

    def kill(self) -> None:
        """End it at once; no error where it has ended."""
        self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            self.kill()
