"""bangeod's commands in processes of their own that need not import it first: each is forked from one that has.

Hundreds of them are killed, and a start takes most of a second otherwise.
"""

import multiprocessing
import os
import sys
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bangeod.__main__ import main
from tests.daemon_process import environment
from tests.feed import DEADLINE

_FORKSERVER: Final = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload([__name__, "tests.faults.warmed"])


class WarmCommand:
    """A command that begins when it is told to, so that strace can be attached before."""

    def __init__(self, *arguments: str, output: Path) -> None:
        self._output = output
        self._go, theirs = _FORKSERVER.Pipe()
        self._process = _FORKSERVER.Process(target=_run, args=(arguments, theirs, output))
        self._process.start()
        theirs.close()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._go.close()
        self._process.kill()  # no error where it has ended
        self._process.join()
        self._process.close()

    def go(self) -> int:
        """Have it begin and wait until it has ended; return its exit status, less than 0 for a signal."""
        self._go.send(None)
        self._process.join(DEADLINE)
        status = self._process.exitcode
        assert status is not None, f"it did not end; it said:\n{self.output}"
        return status

    @property
    def output(self) -> str:
        """Return what it has written."""
        return self._output.read_text(errors="replace")


def _run(arguments: tuple[str, ...], go: Connection, output: Path) -> None:
    """Be the command. In the new process."""
    os.environ.clear()
    os.environ.update(environment())
    warnings.simplefilter("error")
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number in (1, 2):
        os.dup2(descriptor, number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    go.recv()
    sys.argv = ["bangeod", *arguments]
    main()
