"""A database that is not as it should be: said once, clearly; the daemon stays up, and recovers by itself."""

import pytest

from bangeod.store.sqlite import schema
from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, every, text
from tests.support.daemon.notify_socket import NotifySocket
from tests.support.daemon.process import DaemonProcess
from tests.support.feed import eventually

GOOGLE = "8.8.8.8"
CLOUDFLARE = "1.1.1.1"
EXPIRED = ("expired", "2001-01-01T00:00:00Z")


def errors(daemon: DaemonProcess) -> list[str]:
    return [line["event"] for line in daemon.lines() if line["level"] == "error"]


# --- at the start ---


def test_without_a_database_the_daemon_is_ready_and_says_so(
    watched: Start, place: Installation, systemd: NotifySocket
) -> None:
    place.remove_database()
    daemon = watched()
    assert "there is no such database" in systemd.wait_for("READY")["STATUS"]
    assert str(place.database) in systemd.wait_for("READY")["STATUS"]
    assert errors(daemon) == ["database_unavailable"]
    line = daemon.lines("database_unavailable")[0]
    assert line["database"] == str(place.database)
    assert "there is no such database" in line["problem"]
    assert line["advice"]
    assert "exception" not in line
    assert daemon.stop() == 0
    assert not place.database.exists()


def test_a_database_that_comes_later_is_taken_up(watched: Start, place: Installation, systemd: NotifySocket) -> None:
    place.remove_database()
    daemon = watched(every("100ms"))
    for job in ("geo_re_resolve", "geo_cache_cleanup", "session_cleanup"):
        failed = daemon.wait_for("job_failed", job_id=job)
        assert "there is no such database" in failed["error"]
        assert "Traceback" in failed["exception"]
    other = Installation(place.home / "other")
    other.make()
    other.insert(rows=[(GOOGLE, None, text()), (CLOUDFLARE, "AU", text())], sessions=[EXPIRED])
    place.restore(other)
    daemon.wait_for("session_cleanup_ran", deleted_count=1)
    daemon.wait_for("geo_re_resolve_complete", resolved=1)
    daemon.wait_for("job_recovered", job_id="session_cleanup")
    systemd.wait_for("STATUS", beginning="4 jobs, 2 cached, 0 to write")
    assert daemon.stop() == 0
    assert place.countries() == {GOOGLE: "US", CLOUDFLARE: "AU"}


def test_a_failure_that_stays_is_an_error_once(start: Start, place: Installation) -> None:
    place.remove_database()
    daemon = start(every("100ms", "session_cleanup"))
    for _ in range(3):
        daemon.wait_for("job_failed", since=daemon.mark())
    levels = [line["level"] for line in daemon.lines("job_failed", job_id="session_cleanup")]
    assert levels[0] == "error"
    assert set(levels[1:]) == {"debug"}


def test_a_missing_directory_is_no_reason_to_give_up(start: Start, place: Installation) -> None:
    gone = place.home / "gone"
    daemon = start(every("100ms"), {"database.path": str(gone / "bangui.db")})
    daemon.wait_for("job_failed", job_id="session_cleanup")
    gone.mkdir()
    schema.create(gone / "bangui.db")
    daemon.wait_for("session_cleanup_ran")
    daemon.wait_for("geo_re_resolve_skip")
    assert daemon.stop() == 0


@pytest.mark.parametrize("content", [b"", b"this is no database, but it is a file all the same\n" * 100])
def test_a_file_that_is_no_database_is_named(
    watched: Start, place: Installation, systemd: NotifySocket, content: bytes
) -> None:
    place.remove_database()
    place.database.write_bytes(content)
    daemon = watched(every("100ms"))
    expected = "is no SQLite database" if content else "there is no table sessions"
    assert expected in daemon.wait_for("job_failed", job_id="session_cleanup")["error"]
    systemd.wait_for("STATUS", containing=expected.replace("sessions", "geo_cache"))  # there is room for few
    other = Installation(place.home / "other")
    other.make()
    place.restore(other)
    daemon.wait_for("session_cleanup_ran")
    daemon.wait_for("geo_re_resolve_skip")


def test_a_missing_table_stops_the_jobs_that_need_it_and_no_other(
    watched: Start, place: Installation, systemd: NotifySocket
) -> None:
    place.execute("DROP TABLE sessions")
    place.insert(rows=[(GOOGLE, None, text())])
    daemon = watched(every("100ms"))
    failed = daemon.wait_for("job_failed", job_id="session_cleanup")
    assert "there is no table sessions" in failed["error"]
    daemon.wait_for("geo_re_resolve_complete", resolved=1)
    daemon.wait_for("geo_cache_cleanup_ran")
    systemd.wait_for("STATUS", containing="there is no table sessions")
    seen = systemd.mark()
    place.execute(schema.SESSIONS)
    place.insert(sessions=[EXPIRED])
    daemon.wait_for("session_cleanup_ran", deleted_count=1)
    systemd.wait_for("STATUS", beginning="4 jobs, 1 cached", since=seen)


def test_a_table_that_comes_later_fills_the_cache(watched: Start, place: Installation, systemd: NotifySocket) -> None:
    place.execute("DROP TABLE geo_cache")
    place.insert(sessions=[EXPIRED])
    daemon = watched(every("100ms"))
    assert "there is no table geo_cache" in daemon.wait_for("geo_cache_not_loaded")["problem"]
    daemon.wait_for("session_cleanup_ran", deleted_count=1)
    assert "there is no table geo_cache" in daemon.wait_for("job_failed", job_id="geo_re_resolve")["error"]
    place.execute(schema.GEO_CACHE)
    place.insert(rows=[(GOOGLE, "US", text())])
    daemon.wait_for("geo_cache_loaded", rows=1)
    daemon.wait_for("geo_re_resolve_skip", reason="no_unresolved_ips")
    assert len(daemon.lines("geo_cache_not_loaded")) == 1


def test_a_missing_column_is_named(start: Start, place: Installation) -> None:
    place.execute("DROP TABLE sessions")
    place.execute("CREATE TABLE sessions (id INTEGER PRIMARY KEY, token TEXT)")
    daemon = start(every("100ms"))
    assert "table sessions has no column expires_at" in daemon.wait_for("job_failed", job_id="session_cleanup")["error"]
    place.execute("ALTER TABLE sessions ADD COLUMN expires_at TEXT")
    daemon.wait_for("session_cleanup_ran")


def test_a_table_of_fewer_columns_is_worked_with(start: Start, place: Installation) -> None:
    place.execute("DROP TABLE geo_cache")
    place.execute("CREATE TABLE geo_cache (ip TEXT PRIMARY KEY, country_code TEXT, cached_at TEXT)")
    rows = ((GOOGLE, "US", "2001-01-01T00:00:00Z"), (CLOUDFLARE, None, text()))
    for row in rows:
        place.execute("INSERT INTO geo_cache VALUES (?, ?, ?)", row)
    daemon = start(every("100ms"))
    daemon.wait_for("geo_cache_cleanup_ran", deleted=1)
    daemon.wait_for("geo_re_resolve_complete", resolved=1)
    assert place.countries() == {CLOUDFLARE: "US"}


# --- not writable ---


@pytest.mark.parametrize("protected", ["the file", "file and directory"])
def test_a_database_that_cannot_be_written_is_named_and_nothing_is_lost(
    launch: Start, place_of_nobody: Installation, as_nobody: tuple[str, ...], protected: str
) -> None:
    place = place_of_nobody
    place.insert(rows=[(GOOGLE, None, text())], sessions=[EXPIRED])
    place.configure(every("100ms"))
    place.database.chmod(0o400)
    place.home.chmod(0o700 if protected == "the file" else 0o500)
    daemon = launch(place.config, through=as_nobody)
    daemon.wait_for("ready")
    for job in ("geo_re_resolve", "session_cleanup"):
        failed = daemon.wait_for("job_failed", job_id=job)
        assert "can't be" in failed["error"]
        assert "needs to read and write" in failed["error"] or "let bangeod's user write" in failed["error"]
    place.home.chmod(0o700)
    for path in place.home.glob("bangui.db*"):  # the -wal and the -shm have the mode of the database
        path.chmod(0o600)
    daemon.wait_for("session_cleanup_ran", deleted_count=1)
    eventually(lambda: place.countries() == {GOOGLE: "US"}, "the country is written")
    assert daemon.stop() == 0
    assert not place.unwritten.exists()


def test_a_database_that_cannot_be_written_is_still_the_same_and_not_loaded_again(
    launch: Start, place_of_nobody: Installation, as_nobody: tuple[str, ...]
) -> None:
    place_of_nobody.insert(sessions=[EXPIRED])
    place_of_nobody.configure(every("100ms"))
    place_of_nobody.database.chmod(0o400)
    daemon = launch(place_of_nobody.config, through=as_nobody)
    for _ in range(3):
        daemon.wait_for("job_failed", job_id="session_cleanup", since=daemon.mark())
    assert not daemon.lines("database_replaced")
    assert len(daemon.lines("geo_cache_loaded")) == 1
    assert daemon.stop() == 0


# --- locked ---


def test_a_locked_database_delays_the_work_and_costs_nothing(
    watched: Start, place: Installation, systemd: NotifySocket
) -> None:
    place.insert(rows=[(GOOGLE, None, text())], sessions=[EXPIRED])
    with place.locked():
        daemon = watched(every("100ms"))
        failed = daemon.wait_for("job_failed", job_id="session_cleanup")
        assert "another process has held the database locked for over 0.2 s" in failed["error"]
        systemd.wait_for("STATUS", containing="geo_re_resolve")
        systemd.wait_for("STATUS", containing="1 to write")
        seen = systemd.mark()
    daemon.wait_for("session_cleanup_ran", deleted_count=1)
    daemon.wait_for("job_recovered", job_id="session_cleanup")
    eventually(lambda: place.countries() == {GOOGLE: "US"}, "the country is written")
    systemd.wait_for("STATUS", beginning="4 jobs, 1 cached, 0 to write", since=seen)


def test_a_database_that_cannot_even_be_read_delays_nothing_but_its_own_work(
    watched: Start, place: Installation, systemd: NotifySocket
) -> None:
    place.insert(rows=[(GOOGLE, "US", text())])
    place.execute("PRAGMA journal_mode = DELETE")
    with place.connection() as web_app:
        web_app.execute("BEGIN EXCLUSIVE")
        daemon = watched(every("100ms"))
        assert "locked" in systemd.wait_for("READY")["STATUS"]
        web_app.execute("ROLLBACK")
    daemon.wait_for("geo_cache_loaded", rows=1)
    daemon.wait_for("session_cleanup_ran")


def test_a_short_lock_is_waited_for(start: Start, place: Installation) -> None:
    place.insert(sessions=[EXPIRED])
    with place.locked():
        daemon = start(every("100ms", "session_cleanup", "geo_re_resolve"), {"database.busy_timeout": "30s"})
        for _ in range(2):  # by the second run of the one the other has begun, and waits
            daemon.wait_for("geo_re_resolve_skip", since=daemon.mark())
    daemon.wait_for("session_cleanup_ran", deleted_count=1)
    assert not daemon.lines("job_failed")


def test_a_job_that_takes_too_long_is_ended_and_the_daemon_goes_on(start: Start, place: Installation) -> None:
    place.insert(sessions=[EXPIRED])
    with place.locked():
        daemon = start(
            every("100ms", "session_cleanup"),
            {"jobs.session_cleanup.timeout": "100ms", "database.busy_timeout": "10m"},
        )
        line = daemon.wait_for("job_timed_out")
        assert (line["level"], line["job_id"], line["timeout_seconds"]) == ("error", "session_cleanup", 0.1)
        assert "Traceback" in line["exception"]
        daemon.wait_for("job_timed_out", since=daemon.mark())
    daemon.wait_for("session_cleanup_ran", deleted_count=1)
    assert place.tokens() == set()


def test_a_lock_that_lasts_beyond_the_stop_does_not_hold_it_up_for_long(start: Start, place: Installation) -> None:
    place.leave_unwritten(GOOGLE)
    with place.locked():
        assert start({"database.busy_timeout": "1s"}).stop() == 0
    assert place.unwritten.exists()
