"""Standard output and standard error as the commands write to them: no failure of either ends in a traceback.

A result that can't be written (a full disk, a closed pipe, no standard output at all) is an error of the command: one
line and status 1. What can't be said on standard error is lost, and changes nothing.
"""

import errno
import io
import os
import select
import sys
from collections.abc import Callable
from typing import Any, Final, TextIO

from bangeod.errors import OutputError
from bangeod.os_errors import reason

_STANDARD: Final = (0, 1, 2)  # the descriptors of standard input, output and error


def guard() -> None:
    """Put streams that keep to that in the place of Python's own. To be called once, before anything is written."""
    _occupy()
    sys.stdout = _guarded(sys.stdout, _Result)
    sys.stderr = _guarded(sys.stderr, _Message)


def _occupy() -> None:
    """Open /dev/null where a standard stream is closed: else the next file would get its number, and its output."""
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free


class _Descriptor(io.RawIOBase):
    """A descriptor to write to, without a limit of time; None: there is none."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        """Say that it can be written."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        if self._descriptor is None:
            raise io.UnsupportedOperation("it is closed")
        return self._descriptor

    def isatty(self) -> bool:
        """Say whether it is a terminal."""
        return self._descriptor is not None and os.isatty(self._descriptor)

    def write(self, data: Any, /) -> int:
        """Write some of it; what can't be written is dropped, when ``failed`` does not raise."""
        try:
            return self._write(data)
        except OSError as error:
            self.failed(error)
            return memoryview(data).nbytes

    def _write(self, data: Any) -> int:
        descriptor = self.fileno() if self._descriptor is not None else -1  # which is EBADF
        while True:
            try:
                return os.write(descriptor, data)
            except BlockingIOError:  # a terminal or pipe that whoever shares it has set so
                room = select.poll()
                room.register(descriptor, select.POLLOUT)
                room.poll()

    def failed(self, error: OSError) -> None:
        """Take note that something could not be written."""
        raise NotImplementedError


class _Message(_Descriptor):
    """Standard error: there is nowhere to say that nothing can be said."""

    def failed(self, error: OSError) -> None:
        """Go on."""


class _Result(_Descriptor):
    """Standard output: the first failure ends the command, and what it left in buffers is dropped."""

    def __init__(self, descriptor: int | None) -> None:
        super().__init__(descriptor)
        self._has_failed = False

    def failed(self, error: OSError) -> None:
        """Raise, once."""
        if not self._has_failed:
            self._has_failed = True
            raise OutputError("it is closed" if error.errno == errno.EBADF else reason(error))

    def _write(self, data: Any) -> int:
        return memoryview(data).nbytes if self._has_failed else super()._write(data)


def _guarded(stream: TextIO | None, kind: Callable[[int | None], _Descriptor]) -> TextIO:
    """Return the stream in which ``kind`` writes for ``stream``; Python has None for one that is closed."""
    if stream is None:
        return _text(kind(None), "utf-8", "replace")
    try:
        descriptor = stream.fileno()
    except OSError:  # somebody's own, with no descriptor
        return stream
    # What the terminal has no character for is one that can't be read there, and no reason to fail.
    lenient = stream.errors not in ("strict", "surrogateescape", None)
    return _text(kind(descriptor), stream.encoding, str(stream.errors) if lenient else "replace")


def _text(raw: _Descriptor, encoding: str, errors: str) -> TextIO:
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=True)
