"""Setting up logging: structlog for bangeod's own events, and one output for these and for the libraries'.

Modules log with ``log = structlog.get_logger(__name__)``, at any time; before ``configure`` structlog's own settings
apply. Loggers are cached, so three things are changed in place and never replaced: the list of processors (which
``structlog.testing.capture_logs`` refills as well), the class of the loggers, the output.
"""

import contextlib
import os
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NoReturn, TextIO

import structlog

from bangeod.errors import BangeodError
from bangeod.service.log import bridge
from bangeod.service.log.journal import JOURNAL_SOCKET, JournalOutput, is_journal
from bangeod.service.log.lines import EXPECTED, console_line, json_line, to_entry
from bangeod.service.log.output import Output, StreamOutput, descriptor_of

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
FORMATS: Final = ("auto", "journal", "json", "console")

# The class of every logger. set_level gives it another base, which replaces all methods at once; methods below the
# level do nothing at all.
_Logger: Final = type("_Logger", (structlog.make_filtering_bound_logger("debug"),), {})


def configure(
    level: str,
    format: str,  # noqa: A002 - the word in the config
    *,
    stream: TextIO | None = None,
    environ: Mapping[str, str],
    journal_socket: str = JOURNAL_SOCKET,
) -> None:
    """Log from ``level`` on, in ``format``, to ``stream`` (standard error) or the journal.

    May be called again, to change any of these.
    """
    stream = sys.stderr if stream is None else stream
    set_level(level)
    before, _sink.output = _sink.output, _make_output(format, stream, environ, journal_socket)
    if before is None:
        _install()
    else:
        before.close()


def set_level(level: str) -> None:
    """Log from ``level`` on, also in loggers that are already in use. Libraries stay at WARNING."""
    if level not in LEVELS:
        raise ValueError(f"log level is {level!r}: expected one of {', '.join(LEVELS)}")
    _Logger.__bases__ = (structlog.make_filtering_bound_logger(level),)


def lost() -> int:
    """Return how many log entries the current output could not write, for example because the journal was full."""
    return _sink.output.lost if _sink.output is not None else 0


def reset() -> None:
    """Undo ``configure``, and leave logging as it was before; for tests."""
    _installed.close()
    if _sink.output is not None:
        _sink.output.close()
        _sink.output = None
    set_level("debug")  # loggers that are cached meanwhile keep our class


def choose_format(wanted: str, stream: TextIO | None, environ: Mapping[str, str]) -> str:
    """Return the format for ``auto``: for the journal behind the stream, for a terminal, or for anything else."""
    if wanted not in FORMATS:
        raise ValueError(f"log format is {wanted!r}: expected one of {', '.join(FORMATS)}")
    if wanted != "auto":
        return wanted
    descriptor = _open_descriptor(stream)
    if descriptor is None:
        return "json"
    if is_journal(descriptor, environ):
        return "journal"
    return "console" if os.isatty(descriptor) else "json"


def wants_colours(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Return whether the stream is a terminal that shows colours to a user who wants them (no-color.org)."""
    descriptor = _open_descriptor(stream)
    terminal = descriptor is not None and os.isatty(descriptor)
    return terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _open_descriptor(stream: TextIO | None) -> int | None:
    try:
        return None if stream is None else descriptor_of(stream)
    except ValueError:  # closed
        return None


def _make_output(wanted: str, stream: TextIO | None, environ: Mapping[str, str], journal_socket: str) -> Output:
    chosen = choose_format(wanted, stream, environ)
    render = json_line
    if chosen == "console":
        render = partial(console_line, colours=wants_colours(stream, environ))
    # Python sets sys.stderr to None if the descriptor was closed at the start: there is nothing to write to.
    lines = StreamOutput(stream, render) if stream is not None else _Nowhere()
    return JournalOutput(lines, journal_socket) if chosen == "journal" else lines


class _Nowhere(Output):
    """Discards entries, when there is no stream."""

    def write(self, entry: dict[str, Any]) -> None:
        """Do nothing."""


class _Sink:
    """The last processor: passes each event to the current output."""

    output: Output | None = None

    def __call__(self, _logger: Any, _name: str, event: MutableMapping[str, Any]) -> NoReturn:
        """Write the event; structlog has nothing left to do."""
        if self.output is not None:
            self.output.emit(to_entry(event))
        raise structlog.DropEvent


_sink = _Sink()
_installed = contextlib.ExitStack()  # undoes _install


def _install() -> None:
    """Make structlog write to the sink, and libraries and uncaught exceptions log through structlog."""
    config = structlog.get_config()
    processors = config["processors"]
    _installed.callback(structlog.configure, **config)
    _installed.callback(processors.__setitem__, slice(None), processors.copy())
    processors[:] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _add_timestamp,
        _mark_expected,
        structlog.processors.format_exc_info,
        _sink,
    ]
    structlog.configure(processors=processors, wrapper_class=_Logger, cache_logger_on_first_use=True)
    bridge.install(_installed)


def _add_timestamp(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["timestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return event


def _mark_expected(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mark an error that was raised on purpose, as opposed to a bug."""
    error = event.get("exc_info")
    if error and not isinstance(error, BaseException):
        error = (error if isinstance(error, tuple) else sys.exc_info())[1]
    if isinstance(error, BangeodError):
        event[EXPECTED] = True
    return event
