"""Logging as a whole: formats, levels, and what libraries say."""

import asyncio
import gc
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from bangeod.errors import SourceError
from bangeod.service.log import setup
from bangeod.service.log.bridge import Bridge

log = structlog.get_logger(__name__)

FORK_AND_END = """
import logging, os
from bangeod.service.log import setup
library = logging.getLogger("library")
setup.configure("info", "json", environ={})
child = os.fork()
library.error("said")
if child:
    assert os.waitpid(child, 0)[1] == 0
    logging.shutdown()
    library.error("at last")
"""


@pytest.fixture(autouse=True)
def _logging_is_left_as_it_was() -> Iterator[None]:
    yield
    setup.reset()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def lines(stream: io.StringIO) -> Callable[[], list[dict[str, Any]]]:
    """Log JSON at level info, and return a function that reads what was logged."""
    setup.configure("info", "json", stream=stream, environ={})
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


Lines = Callable[[], list[dict[str, Any]]]


def raised(error: Exception) -> Exception:
    """Return the error with a traceback."""
    try:
        raise error  # noqa: TRY301 - a traceback is what is wanted
    except Exception as caught:  # noqa: BLE001 - whichever it is
        return caught


# JSON lines


def test_a_json_line_has_event_level_timestamp_and_the_keys(lines: Lines) -> None:
    log.info("geo_re_resolve_complete", retried=3, resolved=2)
    (line,) = lines()
    assert list(line) == ["timestamp", "level", "event", "retried", "resolved"]
    assert (line["level"], line["event"], line["retried"]) == ("info", "geo_re_resolve_complete", 3)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["timestamp"])
    assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None


def test_every_line_carries_what_the_context_holds(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(job_id="geo_re_resolve", correlation_id="c0ffee"):
        log.warning("slow")
    assert (lines()[0]["job_id"], lines()[0]["correlation_id"]) == ("geo_re_resolve", "c0ffee")


def test_an_exception_with_its_traceback_is_one_line(lines: Lines) -> None:
    log.error("job_failed", exc_info=raised(ValueError("two\nlines")))
    (line,) = lines()
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("ValueError: two\nlines")


def test_an_error_raised_on_purpose_has_its_traceback_for_machines_too(lines: Lines) -> None:
    log.error("job_failed", exc_info=raised(SourceError("ip-api", "is out of reach")))
    (line,) = lines()
    assert line["exception"].startswith("Traceback")
    assert "exception_is_expected" not in line


@pytest.mark.parametrize("as_true", [True, False])
def test_an_error_raised_on_purpose_shows_people_no_traceback(stream: io.StringIO, as_true: bool) -> None:
    setup.configure("info", "console", stream=stream, environ={})
    error = raised(SourceError("ip-api", "is out of reach"))
    try:
        raise error
    except SourceError:
        log.error("job_failed", problem="is out of reach", exc_info=True if as_true else error)  # noqa: TRY400 - on purpose
    (line,) = stream.getvalue().splitlines()
    assert line.endswith('job_failed problem="is out of reach"')


def test_a_fault_of_the_program_shows_people_its_traceback(stream: io.StringIO) -> None:
    setup.configure("info", "console", stream=stream, environ={})
    log.error("job_failed", exc_info=raised(ValueError("never")))
    assert "Traceback" in stream.getvalue()


def test_an_error_as_a_key_is_its_text(lines: Lines) -> None:
    log.error("source_failed", error=SourceError("ip-api", "answered 500"), other=TimeoutError())
    assert (lines()[0]["error"], lines()[0]["other"]) == ("ip-api: answered 500", "TimeoutError")


# Levels


def test_a_level_below_the_configured_one_is_not_logged(lines: Lines) -> None:
    log.debug("details")
    log.info("news")
    assert [line["event"] for line in lines()] == ["news"]


def test_the_level_changes_at_runtime_for_loggers_in_use(lines: Lines) -> None:
    bound = log.bind(part="cache")
    bound.debug("before")
    setup.set_level("debug")
    bound.debug("meanwhile")
    log.debug("meanwhile")
    setup.set_level("error")
    bound.warning("after")
    log.warning("after")
    assert [line["event"] for line in lines()] == ["meanwhile", "meanwhile"]


def test_an_unknown_level_or_format_is_refused(stream: io.StringIO) -> None:
    with pytest.raises(ValueError, match="log level is 'loud': expected one of debug, info"):
        setup.set_level("loud")
    with pytest.raises(ValueError, match="log format is 'xml': expected one of auto, journal"):
        setup.configure("info", "xml", stream=stream, environ={})


def test_a_log_call_below_the_level_reaches_no_processor(lines: Lines) -> None:
    log.debug("details")
    assert log.bind().debug.__name__ == "_nop"
    assert lines() == []


# Configuring


def test_configured_anew_it_writes_to_the_new_stream_only(lines: Lines) -> None:
    log.info("first")
    other = io.StringIO()
    setup.configure("info", "json", stream=other, environ={})
    log.info("second")
    logging.getLogger("library").warning("once")
    assert [line["event"] for line in lines()] == ["first"]
    assert [json.loads(line)["event"] for line in other.getvalue().splitlines()] == ["second", "once"]


def test_logs_can_be_captured_without_having_been_configured() -> None:
    with structlog.testing.capture_logs() as captured:
        log.debug("seen", key=1)
    assert captured == [{"event": "seen", "key": 1, "log_level": "debug"}]


def test_logs_can_be_captured_while_configured_and_after_a_reset(lines: Lines) -> None:
    log.info("cached")
    with structlog.testing.capture_logs() as captured:
        log.info("seen")
    setup.reset()
    with structlog.testing.capture_logs() as captured_later:
        log.debug("seen_too")
    assert [entry["event"] for entry in captured + captured_later] == ["seen", "seen_too"]
    assert [line["event"] for line in lines()] == ["cached"]


def hooks() -> tuple[object, ...]:
    return sys.excepthook, sys.unraisablehook, threading.excepthook, warnings.showwarning


def test_a_reset_leaves_nothing_behind(stream: io.StringIO) -> None:
    root = logging.getLogger()
    before = (root.level, [*root.handlers], *hooks())
    setup.configure("info", "json", stream=stream, environ={})
    setup.configure("debug", "json", stream=stream, environ={})
    setup.reset()
    after = (root.level, [*root.handlers], *hooks())
    assert after == before
    assert logging.getLogger("httpx").level == logging.NOTSET


# Choosing a format


def test_auto_is_json_for_a_file_and_for_no_file_at_all(tmp_path: Path, stream: io.StringIO) -> None:
    with (tmp_path / "log").open("w") as file:
        assert setup.choose_format("auto", file, {}) == "json"
    assert setup.choose_format("auto", file, {}) == "json"  # closed
    assert setup.choose_format("auto", stream, {}) == "json"
    assert setup.choose_format("auto", None, {}) == "json"


def test_auto_is_the_journal_where_systemd_connected_the_stream_to_it(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        status = os.fstat(file.fileno())
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert setup.choose_format("auto", file, environ) == "journal"
        assert setup.choose_format("json", file, environ) == "json"


@pytest.fixture
def terminal() -> Iterator[io.TextIOWrapper]:
    try:
        leader, follower = os.openpty()
    except OSError:  # a chroot without /dev/pts
        pytest.skip("there are no pseudo-terminals here")
    with open(follower, "w") as stream:  # noqa: PTH123 - a descriptor, not a path
        yield stream
    os.close(leader)


def test_auto_is_the_console_on_a_terminal(terminal: io.TextIOWrapper) -> None:
    assert setup.choose_format("auto", terminal, {}) == "console"


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_a_terminal_has_colours_unless_asked_not_to(
    terminal: io.TextIOWrapper, environ: dict[str, str], coloured: bool
) -> None:
    assert setup.wants_colours(terminal, environ) is coloured


def test_a_file_has_no_colours(stream: io.StringIO) -> None:
    assert not setup.wants_colours(stream, {})


def test_the_journal_without_its_socket_is_json_on_the_stream(tmp_path: Path, stream: io.StringIO) -> None:
    setup.configure("info", "journal", stream=stream, environ={}, journal_socket=str(tmp_path / "none"))
    log.info("alone")
    assert json.loads(stream.getvalue())["event"] == "alone"


def test_without_any_stream_logging_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    setup.configure("info", "auto", environ={})
    log.info("unheard")


# What others say


def test_libraries_log_at_warning_and_above(lines: Lines) -> None:
    setup.set_level("debug")
    logging.getLogger("httpx").info("GET https://pro.ip-api.com/batch?key=secret")
    logging.getLogger("aiosqlite").debug("parameters")
    logging.getLogger("apscheduler.scheduler").warning("run of job %s missed", "x\ny")
    assert [(line["event"], line["level"], line["logger"]) for line in lines()] == [
        ("run of job x\ny missed", "warning", "apscheduler.scheduler")
    ]


def test_a_library_that_lowers_its_own_level_stays_quiet(lines: Lines) -> None:
    chatty = logging.getLogger("chatty")
    chatty.setLevel(logging.DEBUG)
    chatty.info("hello")
    assert lines() == []


def test_a_librarys_exception_and_odd_level_are_kept(lines: Lines) -> None:
    logging.getLogger("asyncio").error("lost", exc_info=raised(KeyError("k")))
    logging.getLogger("odd").log(99, "loud")
    first, second = lines()
    assert first["exception"].endswith("KeyError: 'k'")
    assert second["level"] == "critical"


@pytest.fixture
def bridge(lines: Lines) -> Bridge:
    (bridge,) = (each for each in logging.getLogger().handlers if isinstance(each, Bridge))
    return bridge


def test_a_librarys_wrong_arguments_still_make_a_line(lines: Lines, bridge: Bridge) -> None:
    # Straight to the bridge: pytest's own handler would raise.
    bridge.handle(logging.LogRecord("sloppy", logging.WARNING, "", 0, "%d items", ("many",), None))
    assert lines()[0]["event"] == "%d items"


def test_what_a_filter_holds_back_is_no_line(lines: Lines, bridge: Bridge) -> None:
    bridge.addFilter(lambda record: record.name != "noisy")
    logging.getLogger("noisy").error("again")
    logging.getLogger("quiet").error("once")
    assert [line["event"] for line in lines()] == ["once"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a filter can't put another record in the place of one yet")
def test_what_a_filter_puts_in_the_place_of_a_record_is_the_line(lines: Lines, bridge: Bridge) -> None:
    def mask(record: logging.LogRecord) -> Any:
        return logging.makeLogRecord({**vars(record), "msg": "masked"})

    bridge.addFilter(mask)
    logging.getLogger("library").error("key=secret")
    assert [line["event"] for line in lines()] == ["masked"]


@pytest.mark.slow
def test_the_bridge_has_no_lock_and_outlives_a_fork_and_the_end_of_logging(bridge: Bridge) -> None:
    assert bridge.lock is None
    done = subprocess.run([sys.executable, "-c", FORK_AND_END], capture_output=True, text=True, timeout=60, check=True)
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["said", "said", "at last"]


def test_a_librarys_warning_in_a_callback_of_the_event_loop_does_not_end_it(lines: Lines) -> None:
    async def fail_in_a_callback() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        log.info("went on")

    asyncio.run(fail_in_a_callback())
    first, second = lines()
    assert (first["logger"], second["event"]) == ("asyncio", "went on")
    assert "ZeroDivisionError" in first["exception"]


def test_a_python_warning_is_a_line(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)  # anew: catch_warnings has set aside what configure installed
        warnings.warn("old way", DeprecationWarning, stacklevel=1)
    assert "DeprecationWarning: old way" in lines()[0]["event"]
    assert lines()[0]["logger"] == "py.warnings"


def test_an_uncaught_exception_is_a_line(lines: Lines) -> None:
    error = raised(ValueError("unforeseen"))
    sys.excepthook(type(error), error, error.__traceback__)
    assert (lines()[0]["event"], lines()[0]["level"]) == ("crashed", "critical")
    assert lines()[0]["exception"].endswith("ValueError: unforeseen")


def test_an_uncaught_exception_of_a_thread_is_a_line_with_its_name(lines: Lines) -> None:
    def fail() -> None:
        raise ValueError("unforeseen")

    thread = threading.Thread(target=fail, name="loop")
    thread.start()
    thread.join()
    assert (lines()[0]["event"], lines()[0]["thread"]) == ("crashed", "loop")


def test_what_an_object_raises_when_it_is_thrown_away_is_a_line(lines: Lines) -> None:
    class Careless:
        def __del__(self) -> None:
            raise ValueError("unforeseen")

    Careless()
    gc.collect()
    assert (lines()[0]["event"], lines()[0]["level"]) == ("exception_ignored", "error")
    assert lines()[0]["problem"] == "ValueError: unforeseen"
    assert "Careless.__del__" in lines()[0]["where"]
    assert lines()[0]["exception"].endswith("ValueError: unforeseen")


# The stream


def test_a_closed_stream_does_no_harm(lines: Lines, stream: io.StringIO) -> None:
    stream.close()
    log.info("unheard")


def test_a_log_call_from_within_a_write_is_no_deadlock() -> None:
    class Chatty(io.StringIO):
        depth = 0

        def write(self, text: str) -> int:
            if not self.depth:
                self.depth = 1
                logging.getLogger("asyncio").error("a task's exception was never retrieved")
            return super().write(text)

    stream = Chatty()
    setup.configure("info", "json", stream=stream, environ={})
    log.info("outer")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()][-1] == "outer"
