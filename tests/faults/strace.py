"""strace as the hand that makes a system call fail, or its caller die, at the N-th call on some files.

It counts by thread and by name of the call. Only calls on the paths that are given count, whether they name the path or
a descriptor of it.
"""

import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import pytest

from tests.support.feed import DEADLINE, Feed

# Those of SQLite, and those by which bangeod writes its small files. Not every architecture has all of them ("?").
ON_DATABASE: Final = ("pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate", "?unlink", "unlinkat")
ON_STATE: Final = ("write", "fsync", "?rename", "?renameat", "?renameat2", "unlinkat")

# The call, the file that its first argument is a descriptor of, and the name that follows.
_CALL = re.compile(r'\d+ +(\w+)\((?:\w+(?:<(.*?)>)?)?(?:, )?(?:"(.*?)")?')
_BY_NAME = re.compile(r"(rename|unlink|open)(at2?)?")


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


What = tuple[str, str]  # a call, however the system calls it (renameat2 is ``rename``), and the file that it is on


class Call(NamedTuple):
    """A call that was made, and on which file, without its directory."""

    name: str
    file: str

    @staticmethod
    def read(line: str) -> "Call | None":
        """Read a line of the log; None where it is about something else."""
        match = _CALL.match(line)
        if match is None:
            return None
        name, opened, named = match.groups()
        return Call(name, Path((named if _BY_NAME.fullmatch(name) else opened) or "").name)

    @property
    def what(self) -> What:
        """Return what is done to which file."""
        by_name = _BY_NAME.fullmatch(self.name)
        return by_name[1] if by_name else self.name, self.file


def options(paths: Iterable[Path], calls: Iterable[str], log: Path, *faults: Fault) -> list[str]:
    """Return the words that start strace; ``-p PID`` follows."""
    files = [word for path in paths for word in ("-P", str(path))]
    trace = ["-e", "trace=" + ",".join(calls), "-e", "signal=none"]
    return ["strace", "-f", "-y", "-o", str(log), *files, *trace, *(word for fault in faults for word in fault.words())]


def made(log: Path) -> list[Call]:
    """Return the calls that were made, in the order of their beginnings."""
    lines = log.read_text(errors="replace").splitlines()
    return [call for line in lines if (call := Call.read(line)) is not None]


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
    def made(self) -> list[Call]:
        """Return the calls that were made, in the order of their beginnings."""
        return made(self._log)

    @property
    def injected(self) -> bool:
        """Say whether the fault has happened."""
        return "(INJECTED)" in self._log.read_text(errors="replace")
