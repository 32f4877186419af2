"""A database that is deleted, replaced or restored under the running daemon: found by its inode, no blind write."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from bangeod.errors import AlreadyServedError
from bangeod.service.lock import DatabaseLock
from bangeod.store.sqlite import schema
from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, every, make_fail2ban, text
from tests.support.daemon.notify_socket import NotifySocket

GOOGLE = "8.8.8.8"
CLOUDFLARE = "1.1.1.1"
EXPIRED = ("expired", "2001-01-01T00:00:00Z")


def test_a_restored_backup_is_found_and_loaded_and_the_old_file_left_alone(
    watched: Start, place: Installation, systemd: NotifySocket
) -> None:
    place.insert(rows=[(GOOGLE, "US", text())])
    daemon = watched(every("100ms"))
    systemd.wait_for("STATUS", containing="1 cached")
    backup = Installation(place.home / "backup")
    backup.make()
    backup.insert(rows=[(CLOUDFLARE, None, text()), ("9.9.9.9", "US", text())], sessions=[EXPIRED])
    with ExitStack() as old:
        before = old.enter_context(place.connection())  # the old file stays readable through it
        before.execute("SELECT count(*) FROM geo_cache").fetchall()
        place.restore(backup)
        daemon.wait_for("database_replaced", level="warning")
        daemon.wait_for("geo_cache_loaded", rows=2)
        daemon.wait_for("session_cleanup_ran", deleted_count=1)
        daemon.wait_for("geo_re_resolve_complete", resolved=1)
        systemd.wait_for("STATUS", containing="2 cached")
        assert before.execute("SELECT ip FROM geo_cache").fetchall() == [(GOOGLE,)]
    assert daemon.stop() == 0
    assert place.countries() == {CLOUDFLARE: "US", "9.9.9.9": "US"}
    assert place.execute("PRAGMA integrity_check") == [("ok",)]


def test_a_database_that_is_deleted_is_missed_and_what_waits_is_written_to_the_next_one(
    start: Start, place: Installation, tmp_path: Path
) -> None:
    jail = make_fail2ban(tmp_path / "fail2ban.sqlite3", GOOGLE)
    daemon = start(every("100ms"), {"fail2ban.database": str(jail)})
    daemon.wait_for("geo_re_resolve_complete", resolved=1)
    place.remove_database()
    assert "there is no such database" in daemon.wait_for("job_failed", job_id="session_cleanup")["error"]
    assert not place.database.exists()
    schema.create(place.database)
    since = daemon.mark()
    daemon.wait_for("geo_cache_loaded", since=since)
    daemon.wait_for("geo_re_resolve_complete", since=since, resolved=1)
    assert daemon.stop() == 0
    assert place.countries() == {GOOGLE: "US"}


def test_dirty_entries_survive_the_swap_of_the_database(start: Start, place: Installation) -> None:
    place.leave_unwritten(GOOGLE)
    with place.locked():
        daemon = start(every("100ms", "geo_cache_flush"))
        daemon.wait_for("job_failed", job_id="geo_cache_flush")
        other = Installation(place.home / "other")
        other.make()
        place.restore(other)
        daemon.wait_for("geo_cache_flush_ran", flushed=1)
    assert daemon.stop() == 0
    assert place.countries() == {GOOGLE: "SE"}
    assert not place.unwritten.exists()


def test_the_daemon_ends_whatever_became_of_its_database(start: Start, place: Installation) -> None:
    """A connection that were left behind would keep its thread, and with it the process."""
    daemon = start(every("100ms"))
    for number in range(5):
        other = Installation(place.home / f"other{number}")
        other.make()
        since = daemon.mark()
        place.restore(other)
        daemon.wait_for("database_replaced", since=since)
    assert daemon.stop() == 0


def test_a_link_that_is_made_to_lead_to_another_database_is_followed_with_the_lock(
    start: Start, place: Installation
) -> None:
    place.insert(rows=[(GOOGLE, "US", text())])
    other = Installation(place.home / "other")
    other.make()
    other.insert(rows=[(CLOUDFLARE, "AU", text())])
    place.database.rename(place.home / "first.db")
    place.database.symlink_to("first.db")
    daemon = start(every("100ms"))
    daemon.wait_for("session_cleanup_ran")
    link = place.home / "new"
    link.symlink_to(other.database)
    link.replace(place.database)
    daemon.wait_for("database_replaced", level="warning")
    daemon.wait_for("geo_cache_loaded", rows=1)
    with pytest.raises(AlreadyServedError):
        DatabaseLock(other.database).acquire()
    with DatabaseLock(place.home / "first.db") as first:
        assert first.held
    assert daemon.stop() == 0
    assert other.countries() == {CLOUDFLARE: "AU"}
    place.database = place.home / "first.db"
    assert place.countries() == {GOOGLE: "US"}
