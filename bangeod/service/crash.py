"""Ending a daemon that can't go on: it logs the reason, saves unwritten entries, and ends the process at once."""

import contextlib
import faulthandler
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import Final, NoReturn, Self

import structlog

from bangeod.errors import BangeodError
from bangeod.service.loop import LoopThread

log = structlog.get_logger(__name__)

STATUS: Final = 1  # systemd restarts the unit after it, unlike after 0 and 78
LIMIT: Final = 5.0  # seconds until the process ends even if something hangs: a disk, a full pipe for the log

Step = Callable[[], object]


class CrashGuard:
    """Ends the process if the event loop dies, or if the ``with`` block, the main thread's work, fails.

    A BangeodError ends the process in the usual way instead, with its own message and status, and so does Ctrl-C.
    ``last_steps`` takes the reason in words and returns what is still to be done. It and the steps run on the loop's
    thread, which owns the daemon's state, while no task runs.
    """

    def __init__(self, loop: LoopThread, last_steps: Callable[[str], Iterable[Step]]) -> None:
        self._loop = loop
        self._last_steps = last_steps

    def __enter__(self) -> Self:
        self._loop.finished.add_done_callback(self._loop_ended)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        end_within(2 * LIMIT)
        if not isinstance(error, BangeodError | KeyboardInterrupt):
            self._loop.call_soon(self._end, "crashed", error)  # in vain if the loop died: then its end ends the process

    def _loop_ended(self, finished: Future[None]) -> None:
        error = finished.exception()
        if error is not None:
            self._end("event_loop_died", error)

    def _end(self, event: str, error: BaseException) -> NoReturn:
        end(event, error, self._last_steps(f"{event}: {error!r}"))


def end_within(seconds: float) -> None:
    """End the process, with STATUS, when the time is up. Needs no Python thread and no Python lock."""
    with contextlib.suppress(OSError, RuntimeError):  # no descriptor is left, or no thread can be started
        # It prints the stacks first: not to standard error, since that may be what hangs.
        faulthandler.dump_traceback_later(seconds, exit=True, file=os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC))


def end(event: str, error: BaseException, last_steps: Iterable[Step]) -> NoReturn:
    """Log the reason, run the last steps even if some of them fail, and end the process with STATUS.

    A normal exit would wait for the threads, and aiosqlite's never ends by itself.
    """
    try:
        end_within(LIMIT)
        _attempt(lambda: log.critical(event, problem=repr(error), exc_info=error))
        for step in last_steps:
            _attempt(step)
    finally:
        os._exit(STATUS)


def _attempt(step: Step) -> None:
    try:
        step()
    except BaseException:
        with contextlib.suppress(Exception):
            log.exception("last_step_failed")
