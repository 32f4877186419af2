"""SIGHUP: a changed config is taken up while the daemon runs, a broken one is refused."""

import re
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from bangeod.client import GeoClient
from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, every, text
from tests.support.daemon.notify_socket import NotifySocket
from tests.support.daemon.process import DaemonProcess, Line
from tests.support.feed import DEADLINE, eventually
from tests.support.mmdb.files import nested, write_mmdb

GOOGLE = "8.8.8.8"
GOOGLE6 = "2001:4860:4860::8888"


class Reloading:
    """A running daemon, and a config that changes under it."""

    def __init__(self, daemon: DaemonProcess, place: Installation, systemd: NotifySocket) -> None:
        self.daemon = daemon
        self.place = place
        self._systemd = systemd
        self.status = ""  # as the last reload left it

    def change(self, *changes: dict[str, object]) -> Line:
        """Change the config and have it taken up; return the line that says what came of it."""
        self.place.configure(*changes)
        return self.reload()

    def reload(self) -> Line:
        """Have the config read as it is; return the line that says what came of it."""
        seen = self._systemd.mark()
        line = self.daemon.reload()
        self.status = self._systemd.wait_for("READY", since=seen)["STATUS"]
        return line

    def change_in_silence(self, *changes: dict[str, object]) -> int:
        """Change the config to one by which the log won't say so; return how many lines the log has then."""
        seen = self._systemd.mark()
        self.place.configure(*changes)
        self.daemon.send(signal.SIGHUP)
        self._systemd.wait_for("READY", since=seen)
        return self.daemon.mark()


@pytest.fixture
def reloading(start: Start, place: Installation, systemd: NotifySocket) -> Reloading:
    place.insert(rows=[("1.1.1.1", "AU", text())])
    daemon = start(environ={"NOTIFY_SOCKET": str(systemd.path)})
    systemd.wait_for("READY")
    return Reloading(daemon, place, systemd)


def test_a_changed_interval_is_in_force_at_once(reloading: Reloading) -> None:
    line = reloading.change(every("100ms", "session_cleanup"))
    assert (line["event"], line["changed"]) == ("config_reloaded", ["jobs.session_cleanup.interval"])
    planned = reloading.daemon.lines("session_cleanup_scheduled")
    assert [each["interval_seconds"] for each in planned] == [21_600, 0.1]
    assert len(reloading.daemon.lines("geo_cache_flush_scheduled")) == 1  # what has not changed keeps its plan
    for _ in range(2):
        reloading.daemon.wait_for("session_cleanup_ran", since=reloading.daemon.mark())


def test_a_changed_retention_is_in_force_at_once(reloading: Reloading) -> None:
    reloading.place.insert(rows=[(GOOGLE, "US", "2020-01-01T00:00:00Z")])
    reloading.change({"jobs.geo_cache_cleanup.retention_days": 36_500}, every("100ms", "geo_cache_cleanup"))
    reloading.daemon.wait_for("geo_cache_cleanup_ran", deleted=0, retention_days=36_500)
    reloading.change({"jobs.geo_cache_cleanup.retention_days": 30})
    reloading.daemon.wait_for("geo_cache_cleanup_ran", deleted=1, retention_days=30)
    assert reloading.place.countries() == {"1.1.1.1": "AU"}


def test_a_changed_log_level_is_in_force_at_once(reloading: Reloading) -> None:
    quiet_since = reloading.change_in_silence({"log.level": "warning"}, every("100ms"))
    reloading.place.execute("DROP TABLE sessions")
    reloading.daemon.wait_for("job_failed", job_id="session_cleanup", since=quiet_since)
    assert {line["level"] for line in reloading.daemon.lines(since=quiet_since)} == {"error"}


def test_a_job_can_be_switched_off_and_on(reloading: Reloading) -> None:
    reloading.change(every("100ms"), {"jobs.session_cleanup.enabled": False})
    off_since = reloading.daemon.mark()
    for _ in range(3):
        reloading.daemon.wait_for("geo_cache_cleanup_ran", since=reloading.daemon.mark())
    assert not reloading.daemon.lines("session_cleanup_ran", since=off_since)
    reloading.change({"jobs.session_cleanup.enabled": True})
    reloading.daemon.wait_for("session_cleanup_ran", since=off_since)


def test_a_new_mmdb_is_used_for_what_has_no_country_yet(reloading: Reloading, tmp_path: Path) -> None:
    reloading.place.insert(rows=[(GOOGLE6, None, text())])
    reloading.change(every("100ms", "geo_re_resolve"))
    reloading.daemon.wait_for("geo_re_resolve_skip", reason="none_due")  # the embedded default knows no IPv6
    mmdb = write_mmdb(tmp_path / "new.mmdb", {"2001:4860::/32": nested("US")})
    line = reloading.change({"geo.mmdb": [str(mmdb)]})
    assert line["changed"] == ["geo.mmdb"]
    reloading.daemon.wait_for("geo_re_resolve_complete", retried=1, resolved=1)
    assert reloading.place.countries()[GOOGLE6] == "US"


def test_the_cache_outlives_a_reload(reloading: Reloading) -> None:
    reloading.change(every("100ms"))
    assert "1 cached" in reloading.status
    assert len(reloading.daemon.lines("geo_cache_loaded")) == 1


def test_a_broken_config_is_refused_with_all_that_is_wrong_and_the_old_one_stays(reloading: Reloading) -> None:
    reloading.change(every("100ms", "session_cleanup"))
    refused = reloading.change(
        every("1h", "session_cleanup"),
        {"jobs.geo_cache_flush.interval": "0s", "cache.max_dirty": "lots", "nonsense.key": 1},
    )
    assert (refused["event"], refused["level"], refused["file"]) == (
        "config_refused",
        "error",
        str(reloading.place.config),
    )
    problems = refused["problems"]
    assert isinstance(problems, list)
    assert [problem.partition(":")[0] for problem in problems] == [
        "cache.max_dirty",
        "jobs.geo_cache_flush.interval",
        "nonsense",
    ]
    assert "exception" not in refused
    assert "refused" in reloading.status
    for _ in range(2):  # still every 100 ms
        reloading.daemon.wait_for("session_cleanup_ran", since=reloading.daemon.mark(), timeout=10)


@pytest.mark.parametrize("damage", ["removed", "no TOML"])
def test_a_config_that_cannot_be_read_leaves_the_daemon_as_it_was(reloading: Reloading, damage: str) -> None:
    if damage == "removed":
        reloading.place.config.unlink()
    else:
        reloading.place.config.write_text("[database")
    assert reloading.reload()["event"] == "config_refused"
    reloading.place.configure()
    assert reloading.reload()["event"] == "config_reloaded"
    assert "refused" not in reloading.status  # the status forgets what was mended


def test_a_change_that_needs_a_restart_is_named_and_waits_for_it(reloading: Reloading) -> None:
    own = reloading.place.database
    reloading.place.insert(sessions=[("expired", "2001-01-01T00:00:00Z")])
    line = reloading.change(
        {"database.path": "/nowhere/bangui.db", "state.directory": "/nowhere/state"},
        every("100ms", "session_cleanup"),
    )
    assert line["changed"] == ["jobs.session_cleanup.interval"]
    waiting = reloading.daemon.lines("config_needs_restart")[0]
    assert (waiting["level"], waiting["keys"]) == ("warning", ["database.path", "state.directory"])
    reloading.daemon.wait_for("session_cleanup_ran", deleted_count=1)
    assert reloading.place.database == own
    assert reloading.place.tokens() == set()


def test_an_unchanged_config_changes_nothing(reloading: Reloading) -> None:
    before = reloading.daemon.mark()
    assert reloading.reload()["changed"] == []
    assert not [line for line in reloading.daemon.lines(since=before) if line["event"].endswith("_scheduled")]


def test_reloads_in_a_row_end_with_the_last_config(reloading: Reloading) -> None:
    for days in (10, 20, 30, 40):
        reloading.change({"jobs.geo_cache_cleanup.retention_days": days})
    reloading.change(every("100ms", "geo_cache_cleanup"))
    reloading.daemon.wait_for("geo_cache_cleanup_ran", retention_days=40)


def test_a_signal_that_comes_while_the_cache_is_read_is_heeded_once_ready(launch: Start, place: Installation) -> None:
    place.insert(rows=((f"{100 + n // 65_536}.{n // 256 % 256}.{n % 256}.1", "US", text()) for n in range(200_000)))
    daemon = launch(place.config)
    daemon.wait_for("starting")
    place.configure(every("7m", "session_cleanup"))
    for _ in range(3):
        daemon.send(signal.SIGHUP)
    assert daemon.wait_for("config_reloaded")["changed"] == ["jobs.session_cleanup.interval"]
    assert daemon.stop() == 0
    events = [line["event"] for line in daemon.lines() if line["event"] in {"ready", "config_reloaded"}]
    assert events == ["ready", "config_reloaded"]


def test_reloads_that_come_close_together_leave_the_api_open(start: Start, place: Installation) -> None:
    daemon = start({"api.enabled": True})
    path = place.home / "bangeod.sock"
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(path))
        slow.sendall(b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")  # the API waits for it
        eventually(lambda: status_of(path)["api"]["connections"] > 1, "the slow request")
        since = daemon.mark()
        place.configure({"api.mode": "0600"})
        daemon.send(signal.SIGHUP)
        eventually(lambda: not path.exists(), "the first reload's closing of the socket")
        place.configure({"api.mode": "0666"})
        daemon.send(signal.SIGHUP)
        daemon.wait_for("api_listening", since=since, mode="0666")
    assert not daemon.lines("api_unavailable")
    assert status_of(path)["healthy"]


def status_of(path: Path) -> dict[str, Any]:
    """Ask the daemon how it stands."""
    with GeoClient(str(path), timeout=DEADLINE) as client:
        return client.status()


def test_a_signal_that_comes_before_the_daemon_can_heed_it_waits(launch: Start, place: Installation) -> None:
    daemon = launch(place.config)
    eventually(lambda: is_blocked(daemon.process.pid, signal.SIGHUP), "the program's first line")
    assert not daemon.lines()
    daemon.send(signal.SIGHUP)
    daemon.wait_for("config_reloaded")
    assert daemon.stop() == 0


def is_blocked(pid: int, number: signal.Signals) -> bool:
    """Say whether a process has a signal wait."""
    [mask] = re.findall(r"^SigBlk:\t(\w+)$", Path(f"/proc/{pid}/status").read_text(), flags=re.MULTILINE)
    return bool(int(mask, 16) >> number - 1 & 1)
