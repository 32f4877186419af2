"""Standard output and standard error of the commands: no failure to write ends in a traceback.

If a result can't be written (a full disk, a closed pipe, no standard output at all), the command fails with one line
and status 1. A message that can't be written to standard error is lost, with no other effect.
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
    """Replace Python's streams by streams that do so. To be called once, before anything is written."""
    _occupy()
    sys.stdout = _guarded(sys.stdout, _Result)
    sys.stderr = _guarded(sys.stderr, _Message)


def _occupy() -> None:
    """Open /dev/null for each closed standard stream: else the next file would get its number, and its output."""
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free


class _Descriptor(io.RawIOBase):
    """A descriptor to write to, waiting as long as necessary; None: there is none."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._descriptor is None:
            raise io.UnsupportedOperation("it is closed")
        return self._descriptor

    def isatty(self) -> bool:
        return self._descriptor is not None and os.isatty(self._descriptor)

    def write(self, data: Any, /) -> int:
        """Write some of the data; data that can't be written is dropped unless ``failed`` raises."""
        try:
            return self._write(data)
        except OSError as error:
            self.failed(error)
            return memoryview(data).nbytes

    def _write(self, data: Any) -> int:
        descriptor = self.fileno() if self._descriptor is not None else -1  # -1 causes EBADF
        while True:
            try:
                return os.write(descriptor, data)
            except BlockingIOError:  # another process has made the shared terminal or pipe non-blocking
                room = select.poll()
                room.register(descriptor, select.POLLOUT)
                room.poll()

    def failed(self, error: OSError) -> None:
        """Handle a failure to write."""
        raise NotImplementedError


class _Message(_Descriptor):
    """Standard error: a failure to write can't be reported anywhere."""

    def failed(self, error: OSError) -> None:
        """Ignore it."""


class _Result(_Descriptor):
    """Standard output: the first failure ends the command, and what is left in buffers is dropped."""

    def __init__(self, descriptor: int | None) -> None:
        super().__init__(descriptor)
        self._has_failed = False

    def failed(self, error: OSError) -> None:
        """Raise OutputError, once."""
        if not self._has_failed:
            self._has_failed = True
            raise OutputError("it is closed" if error.errno == errno.EBADF else reason(error))

    def _write(self, data: Any) -> int:
        return memoryview(data).nbytes if self._has_failed else super()._write(data)


def _guarded(stream: TextIO | None, kind: Callable[[int | None], _Descriptor]) -> TextIO:
    """Return a stream that writes with ``kind`` in place of ``stream``, which is None if Python found it closed."""
    if stream is None:
        return _text(kind(None), "utf-8", "replace")
    try:
        descriptor = stream.fileno()
    except OSError:  # replaced by somebody, with no descriptor
        return stream
    # A character that the terminal can't show is replaced: it is no reason to fail.
    lenient = stream.errors not in ("strict", "surrogateescape", None)
    return _text(kind(descriptor), stream.encoding, str(stream.errors) if lenient else "replace")


def _text(raw: _Descriptor, encoding: str, errors: str) -> TextIO:
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=True)
