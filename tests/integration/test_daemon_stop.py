"""The end of the daemon: whatever it holds is written, or kept for the next start, and the exit status is 0."""

import signal
import threading

import msgspec
import pytest

from bangeod.service.state.unwritten_file import Unwritten
from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, every, make_fail2ban, text
from tests.support.feed import eventually

GOOGLE = "8.8.8.8"
CLOUDFLARE = "1.1.1.1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_not_written_yet_is_written_at_the_stop(
    start: Start, place: Installation, number: signal.Signals
) -> None:
    place.leave_unwritten(GOOGLE, CLOUDFLARE)
    daemon = start()
    daemon.wait_for("leftover_taken_up", entries=2)
    assert place.countries() == {}
    assert daemon.stop(number) == 0
    assert daemon.lines("stopping")[0]["signal"] == number.name
    assert place.countries() == {GOOGLE: "SE", CLOUDFLARE: "SE"}
    assert not place.unwritten.exists()
    assert daemon.lines()[-1]["event"] == "stopped"


def test_the_file_of_unwritten_entries_goes_once_they_are_written(start: Start, place: Installation) -> None:
    place.leave_unwritten(GOOGLE)
    daemon = start(every("100ms", "geo_cache_flush"))
    daemon.wait_for("geo_cache_flush_ran", flushed=1)
    eventually(lambda: not place.unwritten.exists(), "the file is removed")
    daemon.process.kill()


def test_a_daemon_that_is_killed_before_it_wrote_them_loses_no_entry(start: Start, place: Installation) -> None:
    place.leave_unwritten(GOOGLE)
    first = start()
    first.wait_for("leftover_taken_up")
    first.process.kill()
    first.ended()
    assert start().stop() == 0
    assert place.countries() == {GOOGLE: "SE"}


def test_a_country_that_the_web_app_found_meanwhile_stays(start: Start, place: Installation) -> None:
    place.leave_unwritten(GOOGLE)
    daemon = start()
    place.insert(rows=[(GOOGLE, "US", text())])
    assert daemon.stop() == 0
    assert place.countries() == {GOOGLE: "US"}


def test_entries_that_cannot_be_written_at_the_stop_are_written_after_the_next_start(
    start: Start, place: Installation
) -> None:
    place.insert(rows=[(GOOGLE, None, text()), (CLOUDFLARE, None, text())])
    with place.locked():
        daemon = start(every("100ms", "geo_re_resolve"))
        failed = daemon.wait_for("job_failed", job_id="geo_re_resolve")
        assert "locked" in failed["error"]
        assert daemon.stop() == 0
    assert daemon.lines("final_flush_failed")[0]["level"] == "error"
    assert daemon.lines("leftover_kept")[0]["entries"] == 2
    kept = msgspec.json.decode(place.unwritten.read_bytes(), type=Unwritten).entries
    assert {(entry.ip, entry.country_code) for entry in kept} == {(GOOGLE, "US"), (CLOUDFLARE, "US")}
    assert place.countries() == {GOOGLE: None, CLOUDFLARE: None}

    daemon = start(every("100ms", "geo_cache_flush"), every("1h", "geo_re_resolve"))
    daemon.wait_for("leftover_taken_up", entries=2)
    daemon.wait_for("geo_cache_flush_ran", flushed=2)
    assert place.countries() == {GOOGLE: "US", CLOUDFLARE: "US"}
    assert daemon.stop() == 0
    assert not place.unwritten.exists()


def test_banned_addresses_without_a_row_are_resolved_and_written(start: Start, place: Installation) -> None:
    jail = make_fail2ban(place.home / "fail2ban.sqlite3", GOOGLE, "2001:4860:4860::8888", "10.0.0.1", "not one")
    daemon = start(every("100ms", "geo_re_resolve"), {"fail2ban.database": str(jail)})
    assert daemon.wait_for("geo_re_resolve_start")["unresolved"] == 2
    daemon.wait_for("geo_re_resolve_skip", reason="none_due")
    assert daemon.stop() == 0
    assert place.countries() == {GOOGLE: "US", "2001:4860:4860::8888": None}


def test_rows_of_banned_addresses_are_kept_however_old(start: Start, place: Installation) -> None:
    jail = make_fail2ban(place.home / "fail2ban.sqlite3", GOOGLE)
    place.insert(rows=[(GOOGLE, "US", "2001-01-01T00:00:00Z"), (CLOUDFLARE, "AU", "2001-01-01T00:00:00Z")])
    daemon = start(every("100ms", "geo_cache_cleanup"), {"fail2ban.database": str(jail)})
    daemon.wait_for("geo_cache_cleanup_ran", deleted=1)
    assert daemon.stop() == 0
    [(key, seen)] = place.execute("SELECT ip, last_seen FROM geo_cache")
    assert key == GOOGLE
    assert seen[:2] == "20"
    assert seen > "2001-01-01T00:00:00Z"  # a ban is as good as a lookup


def test_a_fail2ban_database_that_cannot_be_read_is_said_and_costs_nothing_else(
    start: Start, place: Installation
) -> None:
    place.insert(rows=[(GOOGLE, None, text())])
    daemon = start(every("100ms", "geo_re_resolve"), {"fail2ban.database": str(place.home / "nothing.sqlite3")})
    daemon.wait_for("fail2ban_unreadable", level="warning")
    daemon.wait_for("geo_re_resolve_complete", resolved=1)


def test_the_stop_does_not_wait_for_the_load_of_a_large_table(launch: Start, place: Installation) -> None:
    place.insert(rows=((f"{100 + n // 65_536}.{n // 256 % 256}.{n % 256}.1", "US", text()) for n in range(600_000)))
    place.leave_unwritten(GOOGLE)
    daemon = launch(place.config)
    daemon.wait_for("ready")  # the table is read after that
    assert daemon.stop() == 0
    assert not daemon.lines("geo_cache_loaded")
    assert not daemon.lines("geo_cache_not_loaded")
    assert place.countries()[GOOGLE] == "SE"


def test_a_signal_at_any_moment_of_the_start_ends_the_daemon(launch: Start, place: Installation) -> None:
    """Before the handlers are there the signal itself ends the process; systemd takes that for a clean end too."""
    place.leave_unwritten(GOOGLE)
    for milliseconds in (0, 200, 300, 350, 400, 450, 500, 600):
        daemon = launch(place.config)
        threading.Event().wait(milliseconds / 1000)  # not for anything to happen: this is the moment to be tried
        assert daemon.stop() in {0, -signal.SIGTERM}
        assert not [line for line in daemon.lines() if line["level"] in {"error", "critical"}]
        assert place.countries() == {GOOGLE: "SE"} or place.unwritten.exists()


def test_a_second_signal_changes_nothing(start: Start, place: Installation) -> None:
    place.leave_unwritten(GOOGLE)
    daemon = start()
    with place.locked():
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            daemon.send(number)
        assert daemon.ended() == 0
    assert len(daemon.lines("stopping")) == 1
    assert place.unwritten.exists()


def test_a_job_that_waits_for_the_database_at_the_stop_is_cut_short(start: Start, place: Installation) -> None:
    place.insert(sessions=[("expired", "2001-01-01T00:00:00Z")])
    with place.locked():
        daemon = start(every("100ms", "session_cleanup", "geo_re_resolve"), {"database.busy_timeout": "10m"})
        for _ in range(2):  # by the second run of the one the other has begun, and waits
            daemon.wait_for("geo_re_resolve_skip", since=daemon.mark())
        assert daemon.stop() == 0
    assert daemon.lines("jobs_cut_short")[0]["jobs"] == ["session_cleanup"]
    assert place.tokens() == {"expired"}
