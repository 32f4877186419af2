"""Signals, passed to the event loop without a lock and without the main thread.

Python runs a handler in the main thread, between two bytecode steps. A signal that comes after the last step, just
before the thread falls asleep, waits until the thread wakes: here, until the start is over. ``signal.set_wakeup_fd``
writes a byte at once, whatever the main thread does; the event loop reads it.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Mapping
from types import FrameType, TracebackType
from typing import Self

from bangeod.service.loop import LoopThread

MOST_AT_ONCE = 4096  # bytes, one for each signal


class SignalRelay:
    """Calls handlers on the event loop for signals during the ``with`` block. Used in the main thread."""

    def __init__(self, loop: LoopThread, handlers: Mapping[signal.Signals, Callable[[signal.Signals], object]]) -> None:
        self._loop = loop
        self._handlers = handlers
        self._before: dict[signal.Signals, object] = {}
        self._wakeup_before = -1
        self._receiving, self._sending = socket.socketpair()
        self._receiving.setblocking(False)
        self._sending.setblocking(False)

    def __enter__(self) -> Self:
        self._loop.submit(self._listen()).result()
        self._wakeup_before = signal.set_wakeup_fd(self._sending.fileno(), warn_on_full_buffer=False)
        for number in self._handlers:
            self._before[number] = signal.signal(number, _nothing)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # the earlier handler
        signal.set_wakeup_fd(self._wakeup_before)
        with contextlib.suppress(RuntimeError):  # the loop is gone, and so is its reader
            self._loop.submit(self._stop_listening()).result()
        self._receiving.close()
        self._sending.close()

    async def _listen(self) -> None:
        asyncio.get_running_loop().add_reader(self._receiving, self._receive)

    async def _stop_listening(self) -> None:
        asyncio.get_running_loop().remove_reader(self._receiving)

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in self._receiving.recv(MOST_AT_ONCE):
                if number in self._handlers:  # other signals may have handlers elsewhere
                    self._handlers[signal.Signals(number)](signal.Signals(number))


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Do nothing, in place of a handler: without one no byte is sent."""
