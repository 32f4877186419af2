"""bangeod's commands in processes of their own that need not import it first: each is forked from one that has.

Hundreds of them are killed, and a start takes most of a second otherwise.
"""

import multiprocessing
import os
import signal
import socket
import sys
import warnings
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bangeod.__main__ import main
from bangeod.client import GeoClient
from bangeod.client.protocol import job_path
from tests.support.daemon.installation import Installation
from tests.support.daemon.process import environment
from tests.support.feed import DEADLINE, eventually

READ_AT_ONCE: Final = 65_536  # bytes

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
        self.begin()
        return self.ended()

    def begin(self) -> None:
        """Have it begin."""
        self._go.send(None)

    def ended(self) -> int:
        """Wait until it has ended; return its exit status, less than 0 for a signal."""
        self._process.join(DEADLINE)
        status = self._process.exitcode
        assert status is not None, f"it did not end; it said:\n{self.output}"
        return status

    @property
    def output(self) -> str:
        """Return what it has written."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""


class WarmDaemon(WarmCommand):
    """`bangeod run`, with its API enabled."""

    def __init__(self, place: Installation, *, output: Path) -> None:
        output.unlink(missing_ok=True)  # what an earlier one said
        super().__init__("run", "--config", str(place.config), output=output)
        self._socket = str(place.home / "bangeod.sock")

    def start(self) -> bool:
        """Have it begin and wait until it is ready; return whether it lived to see that."""
        self.begin()
        eventually(lambda: self._is_ready() or self._process.exitcode is not None, "the daemon is ready")
        return self._process.exitcode is None

    def _is_ready(self) -> bool:
        return '"event":"ready"' in self.output.replace(" ", "")

    def client(self) -> GeoClient:
        """Return a client of its API."""
        return GeoClient(self._socket, timeout=DEADLINE, strict=True)

    def run(self, job: str) -> bool:
        """Have it run a job to its end; return whether it lived to see that."""
        request = f"POST {job_path(job)} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        with socket.socket(socket.AF_UNIX) as connection:  # not the client: that would look for the next daemon
            connection.settimeout(DEADLINE)
            connection.connect(self._socket)
            connection.sendall(request.encode())
            answer = b"".join(iter(partial(connection.recv, READ_AT_ONCE), b""))
        assert not answer or b'"outcome":"done"' in answer, answer
        return bool(answer)

    def stop(self) -> int:
        """Ask it to stop and wait for that; return its exit status, less than 0 for a signal."""
        os.kill(self.pid, signal.SIGTERM)
        return self.ended()


def _run(arguments: tuple[str, ...], go: Connection, output: Path) -> None:
    """Be the command. In the new process."""
    os.environ.clear()
    os.environ.update(environment())
    warnings.simplefilter("error")
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number in (1, 2):
        os.dup2(descriptor, number)
    # As Python opens its own: the command puts others in their place, and these must not close the descriptors then.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    go.recv()
    sys.argv = ["bangeod", *arguments]
    main()
