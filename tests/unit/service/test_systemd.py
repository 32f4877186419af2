"""The notifier, against a real datagram socket in systemd's place."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from bangeod.service.systemd import STATUS_LIMIT, Notifier, watchdog_interval

PID = 4711


class StoppedClock:
    def now(self) -> float:
        return 1_700_000_000.0

    def monotonic(self) -> float:
        return 12.345678


class Manager:
    """Stands in for systemd: a datagram socket, and what came through it."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def received(self) -> list[str]:
        datagrams = []
        while True:
            try:
                datagrams.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return datagrams


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.socket.close()


@pytest.fixture
def notifier(manager: Manager) -> Notifier:
    return Notifier(str(manager.socket.getsockname()), StoppedClock())


def test_ready_comes_with_its_status(manager: Manager, notifier: Notifier) -> None:
    notifier.ready("4 jobs, 12 addresses")
    assert manager.received() == ["READY=1\nSTATUS=4 jobs, 12 addresses"]


def test_reloading_and_its_time_are_one_datagram(manager: Manager, notifier: Notifier) -> None:
    notifier.reloading()
    assert manager.received() == ["RELOADING=1\nMONOTONIC_USEC=12345678"]


def test_stopping_watchdog_and_extension(manager: Manager, notifier: Notifier) -> None:
    notifier.watchdog()
    notifier.stopping("writing 30 entries")
    notifier.extend_timeout(1.5)
    assert manager.received() == [
        "WATCHDOG=1",
        "STOPPING=1\nSTATUS=writing 30 entries",
        "EXTEND_TIMEOUT_USEC=1500000",
    ]


def test_an_unchanged_status_is_not_sent_again(manager: Manager, notifier: Notifier) -> None:
    notifier.ready("idle")
    notifier.status("idle")
    notifier.status("busy")
    notifier.status("busy")
    notifier.status("idle")
    assert manager.received() == ["READY=1\nSTATUS=idle", "STATUS=busy", "STATUS=idle"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one\nREADY=1", "one READY=1"),
        ("a\x1b[31mb\x00c\u2028d", "a [31mb c d"),
        ("  much   space\t", "much space"),
        ("Türkiye", "Türkiye"),
        ("", ""),
    ],
)
def test_a_status_is_one_printable_line(manager: Manager, notifier: Notifier, text: str, line: str) -> None:
    notifier.stopping(text)
    assert manager.received() == [f"STOPPING=1\nSTATUS={line}"]


def test_a_status_is_cut_before_systemd_would_ignore_it(manager: Manager, notifier: Notifier) -> None:
    notifier.status("\U0001f40d" * 5_000)
    (datagram,) = manager.received()
    assert datagram == "STATUS=" + "\U0001f40d" * STATUS_LIMIT


@given(text=st.text(st.characters(), max_size=4 * STATUS_LIMIT))
def test_no_status_adds_an_assignment_or_grows_beyond_what_systemd_reads(text: str) -> None:
    manager = Manager("")  # the kernel picks an abstract name
    notifier = Notifier("@" + manager.socket.getsockname()[1:].decode(), StoppedClock())
    notifier.ready(text)
    (datagram,) = manager.received()
    manager.socket.close()
    assert datagram.startswith("READY=1\nSTATUS=")
    assert len(datagram.splitlines()) == 2
    assert len(datagram.encode()) < 4096


def test_an_abstract_address_begins_with_an_at_sign() -> None:
    name = f"bangeod-test-{os.getpid()}"
    manager = Manager(f"\0{name}")
    Notifier(f"@{name}", StoppedClock()).watchdog()
    assert manager.received() == ["WATCHDOG=1"]
    manager.socket.close()


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "relative/path"])
def test_without_a_service_manager_nothing_happens(address: str | None) -> None:
    notifier = Notifier(address, StoppedClock())
    notifier.ready("up")
    notifier.watchdog()
    assert not notifier.active
    assert notifier.failures == 0


@pytest.mark.parametrize("address", ["/nowhere/at/all", "/a\0b", "@" + "x" * 200])
def test_a_notification_that_fails_is_counted_and_logged_at_debug(address: str) -> None:
    notifier = Notifier(address, StoppedClock())
    with structlog.testing.capture_logs() as logs:
        notifier.watchdog()
    assert notifier.failures == 1
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("notify_failed", "debug")]


def test_a_full_queue_delays_the_daemon_by_a_moment_only(manager: Manager, notifier: Notifier) -> None:
    while not notifier.failures:
        notifier.watchdog()
    assert set(manager.received()) == {"WATCHDOG=1"}


def test_a_status_that_was_not_delivered_is_sent_again(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "late"), StoppedClock())
    notifier.status("idle")
    manager = Manager(str(tmp_path / "late"))
    notifier.status("idle")
    assert manager.received() == ["STATUS=idle"]
    manager.socket.close()


def test_ready_that_was_not_delivered_rides_along_with_the_next_notification(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "late"), StoppedClock())
    notifier.ready("up")
    manager = Manager(str(tmp_path / "late"))
    notifier.watchdog()
    notifier.watchdog()
    assert manager.received() == ["READY=1\nWATCHDOG=1", "WATCHDOG=1"]
    manager.socket.close()


@pytest.mark.parametrize("unset", [True, False])
def test_the_address_comes_from_the_environment_which_need_not_keep_it(manager: Manager, unset: bool) -> None:
    environ = {"NOTIFY_SOCKET": str(manager.socket.getsockname())}
    notifier = Notifier.from_environment(environ, StoppedClock(), unset=unset)
    notifier.watchdog()
    assert manager.received() == ["WATCHDOG=1"]
    assert ("NOTIFY_SOCKET" in environ) is not unset


def test_an_empty_environment_is_no_service_manager() -> None:
    assert not Notifier.from_environment({}, StoppedClock(), unset=True).active


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 20.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "4711"}, 20.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": ""}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
    ],
)
def test_the_watchdog_is_pinged_three_times_in_its_limit(environ: dict[str, str], seconds: float | None) -> None:
    assert watchdog_interval(environ, PID) == seconds


def test_the_first_process_of_a_pid_namespace_can_not_know_the_number_that_systemd_gives_it() -> None:
    assert watchdog_interval({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "359"}, 1) == 20.0
