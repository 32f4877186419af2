"""What systemd is told of the daemon, through a real datagram socket in its place."""

import time

from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, every
from tests.support.daemon.notify_socket import NotifySocket


def test_the_status_line_is_kept_up_to_date(start: Start, place: Installation, systemd: NotifySocket) -> None:
    start(every("100ms", "geo_cache_flush"), environ={"NOTIFY_SOCKET": str(systemd.path)})
    systemd.wait_for("STATUS", containing="4 jobs, 0 cached, 0 to write, last flush 0 s ago")


def test_the_watchdog_is_fed_well_within_its_limit(start: Start, systemd: NotifySocket) -> None:
    start(environ={"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "600000"})
    for _ in range(3):
        seen = systemd.mark()
        began = time.monotonic()
        systemd.wait_for("WATCHDOG", since=seen)
        assert time.monotonic() - began < 0.6


def test_without_a_watchdog_nobody_feeds_one(start: Start, systemd: NotifySocket) -> None:
    daemon = start(environ={"NOTIFY_SOCKET": str(systemd.path)})
    assert daemon.stop() == 0
    assert not [message for message in systemd.messages() if "WATCHDOG" in message]


def test_the_stop_is_announced_with_more_time_for_it(start: Start, systemd: NotifySocket) -> None:
    daemon = start(environ={"NOTIFY_SOCKET": str(systemd.path)})
    assert daemon.stop() == 0
    stopping = systemd.wait_for("STOPPING")
    assert stopping == {"STOPPING": "1", "STATUS": "stopping: writing what is left"}
    assert int(systemd.wait_for("EXTEND_TIMEOUT_USEC")["EXTEND_TIMEOUT_USEC"]) > 10_000_000


def test_the_start_asks_for_more_time(start: Start, systemd: NotifySocket) -> None:
    start(environ={"NOTIFY_SOCKET": str(systemd.path)})
    systemd.wait_for("READY")
    names = [name for message in systemd.messages() for name in message]
    assert names.index("EXTEND_TIMEOUT_USEC") < names.index("READY")


def test_a_reload_is_announced_with_its_time_and_ends_in_readiness(start: Start, systemd: NotifySocket) -> None:
    daemon = start(environ={"NOTIFY_SOCKET": str(systemd.path)})
    systemd.wait_for("READY")
    seen = systemd.mark()
    before = time.monotonic()
    daemon.reload()
    reloading = systemd.wait_for("RELOADING", since=seen)
    assert reloading.keys() == {"RELOADING", "MONOTONIC_USEC"}
    assert before * 1e6 <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic() * 1e6
    systemd.wait_for("READY", since=seen)
    names = [name for message in systemd.messages(seen) for name in message]
    assert names.index("RELOADING") < names.index("READY")
