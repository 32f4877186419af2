"""Log entries from others: libraries, Python's warnings, and uncaught exceptions."""

import logging
import sys
import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final

import structlog

# At INFO and DEBUG these log what must stay out of the log: httpx URLs with keys, aiosqlite the parameters.
_KEPT_QUIET: Final = ("httpx", "httpcore", "aiosqlite", "apscheduler", "asyncio", "aiohttp", "maxminddb")
_LEVELS: Final = ("debug", "info", "warning", "error", "critical")  # of 10, 20 … 50 in the standard library

log = structlog.get_logger(__name__)


def install(undo: ExitStack) -> None:
    """Send all of it to structlog, until ``undo`` is closed."""
    _bridge_logging(undo)
    _bridge_uncaught(undo)


def _bridge_logging(undo: ExitStack) -> None:
    root, handler = logging.getLogger(), Bridge(logging.WARNING)
    for logger in (root, *map(logging.getLogger, _KEPT_QUIET)):
        undo.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.WARNING)
    root.addHandler(handler)
    undo.callback(root.removeHandler, handler)
    logging.captureWarnings(capture=True)
    undo.callback(logging.captureWarnings, capture=False)


def _bridge_uncaught(undo: ExitStack) -> None:
    undo.callback(setattr, sys, "excepthook", sys.excepthook)
    undo.callback(setattr, threading, "excepthook", threading.excepthook)
    undo.callback(setattr, sys, "unraisablehook", sys.unraisablehook)
    sys.excepthook = _log_crash
    sys.unraisablehook = _log_ignored
    threading.excepthook = _log_thread_crash


class Bridge(logging.Handler):
    """Passes records of the standard library's logging on to structlog."""

    def createLock(self) -> None:  # noqa: N802 - the name is logging's
        """Have no lock: the output has one, and two locks taken in either order could deadlock."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> Any:
        """Pass on records that pass the filters, like logging's own method, which needs a lock from Python 3.13 on."""
        passed: Any = self.filter(record)  # from 3.12 on this may be another record that replaces this one
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record's text as the event, with the name of its logger."""
        try:
            text = record.getMessage().strip()
        except Exception:  # noqa: BLE001 - wrong arguments of a library are not worth a traceback
            text = str(record.msg)
        keys: dict[str, Any] = {"logger": record.name}
        if record.exc_info and record.exc_info[0]:
            keys["exc_info"] = record.exc_info
        level = _LEVELS[min(max(record.levelno // 10, 1), len(_LEVELS)) - 1]
        getattr(log, level)(text, **keys)


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        log.critical("crashed", exc_info=(kind, error, trace))


def _log_thread_crash(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        name = args.thread.name if args.thread is not None else None
        log.critical("crashed", thread=name, exc_info=args.exc_value)


def _log_ignored(args: "sys.UnraisableHookArgs") -> None:
    # Raised where Python can only go on, mostly by an object that is being deleted. The object is made a text, or
    # called unprintable, like all values of a log call. From Python 3.14 on only the message names it.
    where = args.err_msg if args.object is None else args.object
    problem = f"{args.exc_type.__name__}: {args.exc_value}"
    log.error("exception_ignored", where=where, problem=problem, exc_info=args.exc_value)
