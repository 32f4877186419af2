"""Which sessions have been copied: a file in the state directory, so that none comes back that has ended since.

A session that was copied and then ended on the server (a logout) looks there as if it had never been copied. So before
the server commits, the file has which sessions come with which of its transactions; afterwards it has what became of
that. Of a transaction that the file says nothing more about, because all ended in between, the server itself knows.

Lines of JSON, each written with an fsync; one that a crash has cut short is the last, and its transaction was never
committed. Of a session the file has a digest, from which its token can't be found out.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final, Self

import msgspec

from bangeod.errors import BangeodError, PathError
from bangeod.os_errors import reason

FILE: Final = "migrated-sessions"
MODE: Final = 0o600
DIGEST: Final = 16  # bytes

_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Line(msgspec.Struct, omit_defaults=True):
    """One line: where the sessions go (the first), which ones a transaction brings, or what became of one."""

    target: str | None = None
    transaction: str | None = None
    sessions: list[str] | None = None
    committed: bool | None = None


def digest(token: str) -> str:
    """Return what stands for a session in the file."""
    return hashlib.blake2b(token.encode(errors="surrogatepass"), digest_size=DIGEST).hexdigest()


class Journal:
    """The sessions that have been copied to one table. Made by ``open``, or ``seen`` where nothing is to be written."""

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self._path = path
        self._descriptor = descriptor
        self._open: dict[str, list[str]] = {}  # by transaction
        self.copied: set[str] = set()

    @classmethod
    def open(cls, directory: Path, target: str) -> Self:
        """Take the file for this run alone; ``target`` names the table. Raises PathError, BangeodError."""
        path = directory / FILE
        try:
            descriptor = os.open(path, _FLAGS, MODE)
            journal = cls(path, descriptor)
            try:
                journal._begin(descriptor, directory, target)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise _unusable(path, error) from None
        return journal

    @classmethod
    def seen(cls, directory: Path, target: str) -> Self:
        """Read the file, if there is one; changes nothing. Raises PathError."""
        journal = cls(directory / FILE, None)
        try:
            journal._read(journal._path.read_bytes(), target)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _unusable(journal._path, error) from None
        return journal

    @property
    def unsettled(self) -> Collection[str]:
        """The transactions of which the file doesn't say what became of them."""
        return tuple(self._open)

    def announce(self, transaction: str, sessions: Iterable[str]) -> None:
        """Write which sessions a transaction brings, before it commits. Raises PathError."""
        self._open[transaction] = list(sessions)
        self._write(Line(transaction=transaction, sessions=self._open[transaction]))

    def settle(self, transaction: str, *, committed: bool, without: Collection[str] = ()) -> None:
        """Write what became of a transaction; ``without`` are those of its sessions that it did not bring."""
        brought = [each for each in self._open.pop(transaction) if each not in without] if committed else []
        self.copied.update(brought)
        if self._descriptor is not None:
            told = sorted(brought) if without else None
            self._write(Line(transaction=transaction, sessions=told, committed=committed))

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _begin(self, descriptor: int, directory: Path, target: str) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BangeodError(
                f"{self._path} is in use: another `bangeod migrate` runs now; let it end, or end it"
            ) from None
        if os.geteuid() == 0:  # so that the service's user can go on with it
            owner = directory.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        size = os.fstat(descriptor).st_size
        whole = self._read(os.pread(descriptor, size, 0), target)
        if whole is None:
            os.ftruncate(descriptor, 0)
            self._write(Line(target=target))
        elif whole < size:
            os.ftruncate(descriptor, whole)

    def _read(self, content: bytes, target: str) -> int | None:
        """Take up what the file has; return the bytes of its whole lines, None where it is of another table."""
        decoder = msgspec.json.Decoder(Line)
        whole = 0
        for raw in content.splitlines(keepends=True):
            try:
                line = decoder.decode(raw)
            except msgspec.DecodeError:
                break
            if not raw.endswith(b"\n"):
                break
            if not whole and line.target != target:
                return None
            whole += len(raw)
            self._take(line)
        return whole or None

    def _take(self, line: Line) -> None:
        if line.transaction is None:
            return
        if line.committed is None:
            self._open[line.transaction] = line.sessions or []
            return
        announced = self._open.pop(line.transaction, [])
        if line.committed:
            self.copied.update(announced if line.sessions is None else line.sessions)

    def _write(self, line: Line) -> None:
        if self._descriptor is None:
            return
        try:
            view = memoryview(msgspec.json.encode(line) + b"\n")
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise _unusable(self._path, error) from None


def _unusable(path: Path, error: OSError) -> PathError:
    with contextlib.suppress(OSError):
        if not path.parent.exists():
            problem = f"there is no directory {path.parent}"
            return PathError(str(path), problem, "start the daemon once, which makes it, or correct [state] directory")
    return PathError(
        str(path),
        f"it can't be written or read ({reason(error)}), and says which sessions have been copied",
        "run the command as root or as the service's user, with room on the disk",
    )
