"""The outputs for log entries: their common base, and lines on a stream such as standard error."""

import io
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TextIO

from bangeod.service.log.lines import LogEntry


class Output(ABC):
    """Takes entries from any thread, one at a time, and never raises.

    Entries that can't be written are counted; the count is written before the next entry that gets through.
    """

    def __init__(self) -> None:
        # Reentrant: a garbage collection during a write may log something itself (a task's error nobody fetched).
        self._lock = threading.RLock()
        self.dropped = 0  # since the last entry that got through
        self.lost = 0  # in total

    def emit(self, entry: LogEntry) -> None:
        """Write the entry, or count it as dropped."""
        with self._lock:
            try:
                if self.dropped:
                    self.write(_dropped_report(entry, self.dropped))
                    self.dropped = 0
                self.write(entry)
            except (OSError, ValueError, RuntimeError):  # a closed stream is a ValueError
                self.dropped += 1
                self.lost += 1

    @abstractmethod
    def write(self, entry: LogEntry) -> None:
        """Write one entry or raise."""

    def close(self) -> None:  # noqa: B027 - most outputs own nothing that needs closing
        """Release the resources of the output."""


class StreamOutput(Output):
    """Writes each entry to the stream, rendered by ``render``, in one system call if the stream is a file."""

    def __init__(self, stream: TextIO, render: Callable[[LogEntry], str]) -> None:
        super().__init__()
        self._stream = stream
        self._render = render
        self._torn = False  # the last line was cut off by an error; its rest is lost

    def write(self, entry: LogEntry) -> None:
        text = self._render(entry)
        descriptor = descriptor_of(self._stream)
        if descriptor is None:
            self._stream.write(text)
            self._stream.flush()
        else:
            self._write_bytes(descriptor, text.encode())

    def _write_bytes(self, descriptor: int, line: bytes) -> None:
        # Not through the stream's buffer: that keeps what a full disk refused, and makes the exit status 120.
        rest = b"\n" + line if self._torn else line
        while rest:
            rest = rest[os.write(descriptor, rest) :]
            self._torn = bool(rest)


def descriptor_of(stream: TextIO) -> int | None:
    """Return the stream's file descriptor, None if it has none; ValueError if it is closed."""
    try:
        return stream.fileno()
    except (io.UnsupportedOperation, AttributeError):
        return None


def _dropped_report(entry: LogEntry, dropped: int) -> LogEntry:
    return {
        "timestamp": entry["timestamp"],
        "level": "warning",
        "event": "log_records_dropped",
        "dropped": dropped,
    }
