"""A daemon that can't go on: it is gone at once, with its reason, and what it had not written is kept."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bangeod.service.state.unwritten_file import Unwritten
from tests.integration.conftest import Start
from tests.support.daemon import broken_within
from tests.support.daemon.installation import Installation
from tests.support.daemon.notify_socket import NotifySocket
from tests.support.daemon.process import DaemonProcess

GOOGLE = "8.8.8.8"
DEATHS = [("callback", "SystemExit(78)"), ("task", "KeyboardInterrupt()"), ("loop", "MemoryError('no room')")]

Begin = Callable[..., DaemonProcess]


@pytest.fixture
def begin(start: Start, systemd: NotifySocket, tmp_path: Path) -> Begin:
    """Give a function that starts a daemon whose loop will die of what is named, at SIGUSR2."""

    def begin(death: str) -> DaemonProcess:
        broken = broken_within.put(broken_within.DEATHS, tmp_path / "site")
        return start(environ={**broken, broken_within.DEATH: death, "NOTIFY_SOCKET": str(systemd.path)})

    return begin


@pytest.mark.parametrize(("death", "reason"), DEATHS)
def test_where_the_event_loop_dies_the_process_ends_at_once_and_says_why(
    begin: Begin, systemd: NotifySocket, death: str, reason: str
) -> None:
    daemon = begin(death)
    daemon.send(signal.SIGUSR2)
    assert daemon.ended() == 1
    (line,) = daemon.lines(level="critical")
    assert (line["event"], line["problem"]) == ("event_loop_died", reason)
    assert systemd.wait_for("STATUS", beginning="failed")["STATUS"] == f"failed: event_loop_died: {reason}"


def test_where_the_scheduler_fails_the_process_ends_at_once_and_says_why(begin: Begin, systemd: NotifySocket) -> None:
    daemon = begin("callback")
    daemon.send(signal.SIGUSR1)
    assert daemon.ended() == 1
    (line,) = daemon.lines(level="critical")
    assert (line["event"], line["problem"]) == ("crashed", "LookupError('no schedule')")
    systemd.wait_for("STATUS", beginning="failed: crashed: LookupError('no schedule')")


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2], ids=["scheduler", "loop"])
def test_what_was_not_written_is_kept_and_written_after_the_restart(
    begin: Begin, start: Start, place: Installation, number: signal.Signals
) -> None:
    place.leave_unwritten(GOOGLE)
    daemon = begin("callback")
    place.unwritten.unlink()  # it is in the daemon's memory alone now
    daemon.send(number)
    assert daemon.ended() == 1
    assert daemon.lines("leftover_kept")[0]["entries"] == 1
    kept = msgspec.json.decode(place.unwritten.read_bytes(), type=Unwritten).entries
    assert [entry.ip for entry in kept] == [GOOGLE]
    assert start().stop() == 0
    assert place.countries() == {GOOGLE: "SE"}


def test_a_database_that_hangs_does_not_keep_the_process(begin: Begin, place: Installation) -> None:
    place.leave_unwritten(GOOGLE)
    daemon = begin("callback")
    with place.locked():
        daemon.send(signal.SIGUSR2)
        assert daemon.ended() == 1


def test_a_state_directory_that_cannot_be_written_does_not_keep_the_process(begin: Begin, place: Installation) -> None:
    place.leave_unwritten(GOOGLE)
    daemon = begin("callback")
    place.unwritten.unlink()
    shutil.rmtree(place.state)
    place.state.write_bytes(b"")
    daemon.send(signal.SIGUSR2)
    assert daemon.ended() == 1
    assert daemon.lines("leftover_unwritable")[0]["entries"] == 1
