"""strace as the hand that makes a system call fail, or its caller die, at the N-th call on some files.

It counts by thread and by name of the call. Only calls on the paths that are given count, whether they name the path or
a descriptor of it.
"""

import re
import shutil
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import pytest

from tests.feed import DEADLINE, Feed

# Those of SQLite, and those by which bangeod writes its small files. Not every architecture has all of them ("?").
ON_DATABASE: Final = ("pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate", "?unlink", "unlinkat")
ON_STATE: Final = ("write", "fsync", "?rename", "?renameat", "?renameat2", "unlinkat")

_CALL = re.compile(r"^\d+ +(\w+)\(")


def _works() -> bool:
    strace = shutil.which("strace")
    return strace is not None and subprocess.run([strace, "-o", "/dev/null", "true"], check=False).returncode == 0


needs_strace = pytest.mark.skipif(not _works(), reason="strace is not installed, or may not trace here")


class Fault(NamedTuple):
    """What happens to a call: ``error=EIO`` or ``signal=SIGKILL``, at the N-th (``3``) or from it on (``3+``)."""

    call: str
    what: str
    when: str

    def words(self) -> list[str]:
        """Return the options of strace."""
        return ["-e", f"inject=?{self.call}:{self.what}:when={self.when}"]


def options(paths: Iterable[Path], calls: Iterable[str], log: Path, *faults: Fault) -> list[str]:
    """Return the words that start strace; ``-p PID`` follows."""
    files = [word for path in paths for word in ("-P", str(path))]
    trace = ["-e", "trace=" + ",".join(calls), "-e", "signal=none"]
    return ["strace", "-f", "-o", str(log), *files, *trace, *(word for fault in faults for word in fault.words())]


def counted(log: Path) -> dict[str, int]:
    """Return how often each call was made, by the thread that made it most often."""
    by_thread: Counter[tuple[str, str]] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        if match := _CALL.match(line):
            by_thread[line.split()[0], match[1]] += 1
    most: dict[str, int] = {}
    for (_, call), times in by_thread.items():
        most[call] = max(times, most.get(call, 0))
    return most


class Attached:
    """strace at a running process, for as long as the ``with`` block lasts."""

    def __init__(self, pid: int, paths: Iterable[Path], calls: Iterable[str], *faults: Fault) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="strace-")
        self._log = Path(self._directory.name) / "log"
        self._feed: Feed[str] = Feed("strace")
        command = [*options(paths, calls, self._log, *faults), "-p", str(pid)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read, name="strace")
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._feed.add(line)
        self._feed.close()

    def __enter__(self) -> Self:
        try:
            self._feed.wait(lambda line: "attached" in line, "having attached")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._directory.cleanup()

    def detach(self) -> None:
        """Let go of the process; what it did can be asked for from then on."""
        self._process.terminate()  # strace detaches
        self._process.wait(DEADLINE)

    def ended(self) -> None:
        """Wait until the process has ended, and strace with it; what it did can be asked for from then on."""
        self._process.wait(DEADLINE)

    def _end(self) -> None:
        if self._process.poll() is None:
            self.detach()
        self._thread.join()
        assert self._process.stderr is not None
        self._process.stderr.close()

    @property
    def counted(self) -> dict[str, int]:
        """Return how often each call was made."""
        return counted(self._log)

    @property
    def injected(self) -> bool:
        """Say whether the fault has happened."""
        return "(INJECTED)" in self._log.read_text(errors="replace")
