"""``bangeod check``: a good installation, a bad config, what a running daemon leaves to be seen, what is printed."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bangeod.service.lock import DatabaseLock
from bangeod.store.sqlite import inspection
from tests.support.daemon.check_command import BAD, BAD_CONFIG, GOOD, check, everything_in, only, run, wrong
from tests.support.daemon.installation import Installation, text


def test_a_good_installation_has_no_faults_and_everything_is_named(place: Installation) -> None:
    findings = check(place, status=GOOD)
    assert wrong(findings) == []
    subjects = {finding["subject"] for finding in findings}
    assert subjects >= {
        "config",
        "user",
        "permissions",
        "sqlite",
        "database",
        "schema",
        "lock",
        "state",
        "socket",
        "geo",
    }


def test_rows_are_counted(place: Installation) -> None:
    place.insert(
        [("8.8.8.8", "US", text()), ("9.9.9.9", None, text())],
        [("a", text(timedelta(days=1))), ("b", text(timedelta(days=-1))), ("c", text(timedelta(days=-2)))],
    )
    problems = [finding["problem"] for finding in check(place) if finding["subject"] == "schema"]
    assert problems == ["table geo_cache: 2 rows, 1 without a country", "table sessions: 3 rows, 2 expired"]


def test_counting_that_takes_too_long_is_left_out(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    place.insert([(f"8.8.{n // 256}.{n % 256}", "US", text()) for n in range(5_000)])
    monkeypatch.setattr(inspection, "STEPS", 1)
    look = inspection.inspect(place.database, now=time.time(), busy_timeout=1, census_seconds=-1)
    assert look.rows is None


def test_nothing_is_changed_or_left_behind(place: Installation) -> None:
    before = everything_in(place.home)
    check(place, status=GOOD)
    assert everything_in(place.home) == before


def test_nothing_is_changed_while_the_web_app_has_it_open(place: Installation) -> None:
    with place.connection() as web_app:
        web_app.execute("INSERT INTO geo_cache (ip) VALUES ('8.8.8.8')")
        before = everything_in(place.home)
        findings = check(place, status=GOOD)
        assert set(everything_in(place.home)) == set(before)
        assert everything_in(place.home)[f"{place.database}-wal"] == before[f"{place.database}-wal"]
    assert any("1 row, 1 without a country" in finding["problem"] for finding in findings)


def test_what_a_killed_writer_left_in_the_wal_is_seen_and_left_alone(place: Installation) -> None:
    script = f"""
import os
from bangeod.store.sqlite.engine import engine
connection = engine.connect({str(place.database)!r}, isolation_level=None)
connection.execute("INSERT INTO geo_cache (ip) VALUES ('8.8.8.8')")
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    before = everything_in(place.home)
    findings = check(place, status=GOOD)
    assert any("1 row, 1 without a country" in finding["problem"] for finding in findings)
    after = everything_in(place.home)
    assert set(after) == set(before)
    assert after[f"{place.database}-wal"] == before[f"{place.database}-wal"]
    assert after[str(place.database)] == before[str(place.database)]


# --- the config ---


def test_a_bad_config_gives_all_its_findings_and_nothing_else(place: Installation) -> None:
    place.configure({"cache.max_dirty": -1, "log.level": "loud"})
    findings = check(place, status=BAD_CONFIG)
    assert [(finding["subject"], finding["where"]) for finding in findings] == [
        ("config", "cache.max_dirty"),
        ("config", "log.level"),
    ]
    assert all(str(place.config) in finding["mend"] for finding in findings)


def test_a_missing_config_is_one_finding(place: Installation) -> None:
    place.config.unlink()
    finding = only(check(place, status=BAD_CONFIG), "config")
    assert "there is no such file" in finding["problem"]
    assert finding["mend"].startswith(f"write {place.config};")


def test_a_key_in_a_config_that_everybody_may_read_is_warned_about(place: Installation) -> None:
    place.configure({"geo.ip_api.key": "sesame-open"})
    place.config.chmod(0o644)
    result = run(place)
    assert "holds a key, and every user may read it" in result.stdout
    assert "sesame" not in result.output
    place.config.chmod(0o600)
    assert wrong(check(place)) == []


# --- what a running daemon leaves to be seen ---


def test_a_daemon_that_serves_the_database_is_seen_and_not_disturbed(place: Installation) -> None:
    with DatabaseLock(place.database):
        served = only(check(place, status=GOOD), "lock", "ok")
    assert served["problem"] == "a bangeod serves this database now"
    assert only(check(place, status=GOOD), "lock", "ok")["problem"] == "no bangeod serves this database now"
    with DatabaseLock(place.database):
        pass


def test_the_lock_file_is_not_made(place: Installation) -> None:
    check(place, status=GOOD)
    assert not list(place.home.glob("*.bangeod-lock"))


@pytest.fixture
def with_api(place: Installation) -> Iterator[tuple[Installation, Path]]:
    path = place.home / "bangeod.sock"
    previous = Path.cwd()
    os.chdir(place.home)  # the whole path may be too long for a socket
    place.configure({"api.enabled": True, "api.socket": f"/proc/self/cwd/{path.name}"})
    yield place, path
    os.chdir(previous)


def test_a_socket_at_which_a_daemon_answers(with_api: tuple[Installation, Path]) -> None:
    place, path = with_api
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
        server.listen()
        assert only(check(place, status=GOOD), "socket", "ok")["problem"] == "a daemon answers"


def test_a_socket_that_a_killed_daemon_left_is_a_warning(with_api: tuple[Installation, Path]) -> None:
    place, path = with_api
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    assert "nobody listens" in only(check(place, status=GOOD), "socket", "warning")["problem"]
    assert path.exists()


def test_what_is_no_socket_is_a_fault(with_api: tuple[Installation, Path]) -> None:
    place, path = with_api
    path.touch()
    assert "no socket is there" in only(check(place, status=BAD), "socket")["problem"]


def test_a_state_file_that_can_not_be_understood_is_named_and_left_alone(place: Installation) -> None:
    place.history.write_text("jobs = 3")
    before = everything_in(place.home)
    assert "can't be understood" in only(check(place, status=GOOD), "state", "warning")["problem"]
    assert everything_in(place.home) == before


# --- what a person sees ---


def test_each_finding_is_a_line_with_its_mend_below_and_the_last_line_counts(place: Installation) -> None:
    place.database.unlink()
    place.configure({"geo.embedded": False})
    result = run(place)
    lines = result.stdout.splitlines()
    assert result.exit_code == BAD
    assert f"FAULT    database     {place.database}: there is no such database" in lines
    below = lines[lines.index(f"FAULT    database     {place.database}: there is no such database") + 1]
    assert below.startswith("         mend: start the web app once")
    assert lines[-1] == "1 fault, 1 warning"
    assert "\x1b" not in result.stdout


def test_a_path_can_not_move_the_cursor(place: Installation) -> None:
    place.configure({"geo.mmdb": ["/srv/\x1b[2Jevil.mmdb"]})
    result = run(place)
    assert "\x1b" not in result.stdout
    assert "evil.mmdb: there is no such file" in result.stdout


def test_the_program_itself_runs_it(place: Installation) -> None:
    program = shutil.which("bangeod", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("bangeod is not installed beside this Python")
    command: list[Any] = [program, "check", "--config", place.config]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert result.stderr == ""
    assert result.stdout.splitlines()[-1].endswith("warnings")
