"""The API of a real daemon: the commands go through it, and it follows start, reload and stop."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bangeod.client import GeoClient, Status
from bangeod.errors import NoDaemonError
from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, every, text
from tests.support.daemon.notify_socket import NotifySocket
from tests.support.daemon.process import DaemonProcess, bangeod, environment
from tests.support.feed import DEADLINE, eventually

GOOGLE = "8.8.8.8"
OPEN: Mapping[str, object] = {"api.enabled": True}


def socket_of(place: Installation) -> Path:
    return place.home / "bangeod.sock"


def client_of(place: Installation) -> GeoClient:
    return GeoClient(str(socket_of(place)), timeout=DEADLINE, strict=True)


def run_json(*arguments: str) -> Any:
    ran = bangeod(*arguments, "--json")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


# --- the commands ---


def test_a_lookup_by_hand_fills_the_daemons_memory(start: Start, place: Installation) -> None:
    daemon = start(OPEN, {"jobs.geo_cache_cleanup.enabled": False})  # it has everything written first
    config = ("--config", str(place.config))
    assert run_json("lookup", GOOGLE, *config)[0]["origin"] == "embedded"
    assert run_json("lookup", GOOGLE, *config)[0]["origin"] == "memory"
    assert place.countries() == {}  # it is the daemon that writes, when it is time
    assert run_json("job", "run", "geo_cache_flush", *config)["figures"] == {"flushed": 1}
    assert place.countries() == {GOOGLE: "US"}
    assert daemon.stop() == 0


def test_a_lookup_for_a_person_looks_the_same_with_and_without_a_daemon(start: Start, place: Installation) -> None:
    place.insert(rows=[("1.1.1.1", "AU", text())])
    command = ("lookup", "1.1.1.1", "10.0.0.1", "--cached-only", "--config", str(place.config))
    alone = bangeod(*command)
    start(OPEN)
    through = bangeod(*command)
    assert (through.returncode, through.stderr) == (0, "")
    assert through.stdout.replace("memory", "database").split() == alone.stdout.split()


def test_a_run_by_hand_is_the_daemons_and_in_its_status(start: Start, place: Installation) -> None:
    place.insert(sessions=[("expired", "2001-01-01T00:00:00Z")])
    daemon = start(OPEN, {"jobs.session_cleanup.enabled": False})
    report = run_json("job", "run", "session_cleanup", "--config", str(place.config))
    assert report["figures"]["deleted_count"] == 1
    assert daemon.wait_for("session_cleanup_ran")["correlation_id"] == report["correlation_id"]
    jobs = {job["id"]: job for job in run_json("status", "--config", str(place.config))["jobs"]}
    own = jobs["session_cleanup"]
    assert (own["outcome"], own["runs"], own["deleted"], own["enabled"]) == ("done", 1, 1, False)
    assert own["last_run"] == report["started_at"]


def test_a_dry_run_through_the_daemon_changes_nothing(start: Start, place: Installation) -> None:
    place.insert(sessions=[("expired", "2001-01-01T00:00:00Z")])
    start(OPEN)
    report = run_json("job", "run", "session_cleanup", "--dry-run", "--config", str(place.config))
    assert (report["dry"], report["figures"]["would_delete"]) == (True, 1)
    assert place.tokens() == {"expired"}


def test_a_job_is_not_run_twice_at_a_time(start: Start, place: Installation) -> None:
    start(OPEN, {"database.busy_timeout": "20s"})
    command = [sys.executable, "-m", "bangeod", "job", "run", "session_cleanup", "--config", str(place.config)]
    place.insert(sessions=[("expired", "2001-01-01T00:00:00Z")])
    with place.connection() as webapp:
        webapp.execute("BEGIN IMMEDIATE")
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as first:
            with client_of(place) as client:
                while not any(job["running"] for job in client.status()["jobs"]):
                    pass
            second = bangeod("job", "run", "session_cleanup", "--config", str(place.config))
            webapp.execute("ROLLBACK")
            assert first.communicate(timeout=DEADLINE)[0].startswith(b"session_cleanup: done")
    assert (second.returncode, second.stdout) == (1, "")
    assert "session_cleanup is running now" in second.stderr


def test_a_socket_that_may_not_be_opened_is_an_error_and_no_reason_to_do_it_alone(
    launch: Start, place_of_nobody: Installation, as_nobody: tuple[str, ...]
) -> None:
    if not as_nobody:
        pytest.skip("needs two users")
    place = place_of_nobody
    place.configure(OPEN, {"api.mode": "0600", "database.path": str(place.database)})
    place.home.chmod(0o755)
    launch(place.config).wait_for("ready")  # as root
    for command in (("lookup", GOOGLE), ("job", "run", "geo_cache_flush"), ("status",)):
        ran = bangeod(*command, "--config", str(place.config), through=as_nobody)
        assert (ran.returncode, ran.stdout) == (1, ""), ran.stderr
        assert "may not open the socket" in ran.stderr
    assert place.countries() == {}


# --- status ---


def test_the_status_is_one_screen(start: Start, place: Installation) -> None:
    place.insert(rows=[("1.1.1.1", "AU", text())])
    daemon = start(OPEN)
    ran = bangeod("status", "--config", str(place.config))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "\x1b" not in ran.stdout
    lines = ran.stdout.splitlines()
    assert len(lines) <= 24
    assert f"pid {daemon.process.pid}" in lines[0]
    assert "1 of 5,000,000 entries" in ran.stdout
    assert str(place.database) in ran.stdout


def test_what_is_wrong_is_in_the_status(start: Start, place: Installation) -> None:
    start(OPEN)
    place.execute("DROP TABLE sessions")
    assert bangeod("job", "run", "session_cleanup", "--config", str(place.config)).returncode == 1
    ran = bangeod("status", "--config", str(place.config))
    assert ran.returncode == 0
    assert any(line.startswith("! session_cleanup fails since") for line in ran.stdout.splitlines())


def test_the_status_is_watched_until_ctrl_c(start: Start, place: Installation) -> None:
    start(OPEN)
    command = [sys.executable, "-m", "bangeod", "status", "--watch", "--json", "--config", str(place.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as watching:
        assert watching.stdout is not None
        first, second = (json.loads(watching.stdout.readline()) for _ in range(2))
        watching.send_signal(signal.SIGINT)
        assert watching.wait(DEADLINE) == 0
    assert first["api"]["requests"] < second["api"]["requests"]


@pytest.mark.parametrize("left", ["nothing", "socket", "off"])
def test_without_a_daemon_the_status_says_what_to_do(place: Installation, left: str) -> None:
    place.configure({"api.enabled": left != "off"})
    if left == "socket":
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(socket_of(place)))
    ran = bangeod("status", "--config", str(place.config), environ={"PYTHONWARNINGS": "default"})
    assert (ran.returncode, ran.stdout) == (69, "")
    assert "systemctl" in ran.stderr
    assert "Traceback" not in ran.stderr


# --- start, reload, stop ---


def test_the_socket_is_there_before_ready_and_gone_after_the_stop(start: Start, place: Installation) -> None:
    daemon = start(OPEN, {"api.mode": "0640"})
    assert stat.S_IMODE(socket_of(place).lstat().st_mode) == 0o640
    events = [line["event"] for line in daemon.lines()]
    assert events.index("api_listening") < events.index("ready")
    assert daemon.stop() == 0
    assert not socket_of(place).exists()


def test_what_a_killed_daemon_left_is_replaced(start: Start, place: Installation) -> None:
    daemon = start(OPEN)
    daemon.process.kill()
    daemon.ended()
    assert socket_of(place).exists()
    start(OPEN)
    with client_of(place) as client:
        assert client.lookup(GOOGLE).status is Status.RESOLVED


def test_a_socket_that_cannot_be_made_is_one_error_and_the_daemon_goes_on(
    watched: Start, place: Installation, systemd: NotifySocket
) -> None:
    socket_of(place).write_text("mine")
    daemon = watched(OPEN, every("200ms"))
    assert len(daemon.lines("api_unavailable", level="error")) == 1
    assert "no socket is there" in systemd.wait_for("READY")["STATUS"]
    daemon.wait_for("session_cleanup_ran")
    assert socket_of(place).read_text() == "mine"
    socket_of(place).unlink()
    daemon.reload()
    daemon.wait_for("api_listening")
    assert daemon.stop() == 0


def test_a_reload_moves_opens_and_closes_the_socket(start: Start, place: Installation) -> None:
    daemon = start(OPEN)
    other = place.home / "other.sock"
    place.configure({"api.socket": str(other), "api.mode": "0600"})
    assert daemon.reload()["event"] == "config_reloaded"
    assert stat.S_IMODE(other.lstat().st_mode) == 0o600
    assert not socket_of(place).exists()
    place.configure({"api.enabled": False})
    daemon.reload()
    assert not other.exists()
    place.configure({"api.enabled": True, "api.socket": str(socket_of(place))})
    daemon.reload()
    with client_of(place) as client:
        assert client.lookup(GOOGLE).country_code == "US"


def test_a_stop_ends_runs_that_were_asked_for(start: Start, place: Installation) -> None:
    daemon = start(OPEN, {"database.busy_timeout": "60s"})
    place.insert(sessions=[("expired", "2001-01-01T00:00:00Z")])
    command = [sys.executable, "-m", "bangeod", "job", "run", "session_cleanup", "--config", str(place.config)]
    with place.connection() as webapp:
        webapp.execute("BEGIN IMMEDIATE")
        with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment()) as asking:
            with client_of(place) as client:
                while not any(job["running"] for job in client.status()["jobs"]):
                    pass
            daemon.send(signal.SIGTERM)
            _, said = asking.communicate(timeout=DEADLINE)
            webapp.execute("ROLLBACK")
    assert asking.returncode == 1
    assert b"bangeod is stopping" in said
    assert daemon.ended() == 0


def test_a_database_that_fails_is_seen_in_health(start: Start, place: Installation) -> None:
    start(OPEN, every("100ms", "geo_cache_flush"))
    place.remove_database()
    with client_of(place) as client:
        while (state := client.status())["healthy"]:
            pass
        assert "the database can't be used" in state["problem"]
        assert client.lookup(GOOGLE).country_code == "US"  # lookups go on
    assert curl(place, "/healthz")[0] == 503


def test_a_database_that_cannot_be_written_is_seen_in_health(start: Start, place: Installation) -> None:
    daemon = start(OPEN, every("100ms", "geo_cache_flush"))
    with client_of(place) as client:
        with place.locked():
            assert client.lookup(GOOGLE).country_code == "US"
            daemon.wait_for("job_failed", job_id="geo_cache_flush")
            eventually(lambda: curl(place, "/healthz")[0] == 503, "it is unhealthy")
            assert "locked" in client.status()["problem"]
        eventually(lambda: curl(place, "/healthz")[0] == 200, "it is well again")


def test_curl_understands_all_of_it(start: Start, place: Installation) -> None:
    start(OPEN)
    assert curl(place, "/healthz") == (200, b'{"status":"ok"}')
    assert json.loads(curl(place, f"/v1/lookup/{GOOGLE}")[1])["country_code"] == "US"
    status, answer = curl(place, "/v1/lookup", "--data", json.dumps({"ips": [GOOGLE] * 10_000}))
    assert (status, len(json.loads(answer)["entries"])) == (200, 10_000)
    assert curl(place, "/v1/jobs/geo_cache_flush/run", "--request", "POST")[0] == 200
    assert b"bangeod_cache_entries 1.0" in curl(place, "/metrics")[1]


def curl(place: Installation, path: str, *options: str) -> tuple[int, bytes]:
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")
    command = [program, "--silent", "--max-time", "30", "--write-out", "\n%{http_code}", *options]
    ran = subprocess.run(
        [*command, "--unix-socket", str(socket_of(place)), f"http://localhost{path}"], capture_output=True, check=True
    )
    body, _, status = ran.stdout.rpartition(b"\n")
    return int(status), body


# --- floods ---


def test_a_flood_keeps_neither_honest_clients_nor_the_watchdog_from_their_turn(
    place: Installation, launch: Start, systemd: NotifySocket
) -> None:
    place.configure(OPEN)
    daemon = launch(place.config, environ={"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "2000000"})
    daemon.wait_for("ready")
    before = memory_of(daemon)
    attacks = [
        b"",
        b"garbage\r\n\r\n",
        b"GET /v1/lookup/8.8.8.8 HTTP/1.1\r\nHo",
        b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b" " * 100_000,
        b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" + b" " * 100_000,
    ]
    mark = systemd.mark()
    flood = [attack_with(place, attacks[number % len(attacks)]) for number in range(200)]
    with client_of(place) as client:
        for _ in range(50):
            assert client.lookup(GOOGLE).country_code == "US"
        systemd.wait_for("WATCHDOG", since=mark)
        assert client.status()["api"]["connections"] <= 257
    assert memory_of(daemon) - before < 64 << 20
    for connection in flood:
        connection.close()
    assert daemon.stop() == 0
    assert not [line for line in daemon.lines() if line["level"] in {"warning", "error", "critical"}]


def attack_with(place: Installation, sent: bytes) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(socket_of(place)))
    connection.settimeout(1)
    with contextlib.suppress(OSError):  # cut off, or not read any further
        connection.sendall(sent)
    return connection


def memory_of(daemon: DaemonProcess) -> int:
    """Return how many bytes of memory the daemon has in use."""
    pages = Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_another_daemon_at_the_socket_is_left_alone(start: Start, place: Installation, tmp_path: Path) -> None:
    start(OPEN)
    other = Installation(tmp_path / "other")
    other.make()
    other.configure(OPEN, {"api.socket": str(socket_of(place))})
    with DaemonProcess(other.config) as second:
        second.wait_for("ready")
        assert len(second.lines("api_unavailable")) == 1
        assert second.stop() == 0
    with client_of(place) as client:
        try:
            assert client.status()["database"]["path"] == str(place.database)
        except NoDaemonError:
            pytest.fail("the second daemon took the first one's socket away")
