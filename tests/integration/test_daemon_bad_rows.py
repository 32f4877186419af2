"""Rows that make no sense: kept as they are, counted, and warned about when that changes."""

from datetime import timedelta

from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, every, text

UNREADABLE = (
    "yesterday",
    "now",
    "12:00",
    "2001-01-01",
    "2001-02-30T00:00:00Z",
    "2001-01-01T24:00:00Z",
    "",
    "0x10",
    b"\xff\xfe",
    None,
)


def test_sessions_whose_end_cannot_be_read_stay(start: Start, place: Installation) -> None:
    place.insert(sessions=[("expired", "2001-01-01T00:00:00Z"), *((f"odd {n}", t) for n, t in enumerate(UNREADABLE))])
    daemon = start(every("100ms", "session_cleanup"))
    line = daemon.wait_for("unreadable_times_kept")
    assert (line["level"], line["table"], line["column"]) == ("warning", "sessions", "expires_at")
    assert line["rows"] == len(UNREADABLE)
    assert line["example"]
    for _ in range(2):
        daemon.wait_for("session_cleanup_ran", deleted_count=0, since=daemon.mark())
    daemon.reload()
    for _ in range(2):
        daemon.wait_for("session_cleanup_ran", deleted_count=0, since=daemon.mark())
    assert len(daemon.lines("unreadable_times_kept", level="warning")) == 1
    assert place.tokens() == {f"odd {n}" for n in range(len(UNREADABLE))}
    place.execute("DELETE FROM sessions")
    line = daemon.wait_for("unreadable_times_gone")
    assert (line["level"], line["table"], line["column"]) == ("info", "sessions", "expires_at")
    assert daemon.stop() == 0


def test_rows_whose_last_use_cannot_be_read_stay(start: Start, place: Installation) -> None:
    odd = [(f"8.8.8.{n}", "US", seen) for n, seen in enumerate(UNREADABLE)]
    place.insert(rows=[("1.1.1.1", "AU", "2001-01-01T00:00:00Z"), *odd])
    daemon = start(every("100ms", "geo_cache_cleanup"))
    daemon.wait_for("geo_cache_cleanup_ran", deleted=1)
    line = daemon.wait_for("unreadable_times_kept")
    assert (line["table"], line["column"], line["rows"]) == ("geo_cache", "last_seen", len(UNREADABLE))
    assert daemon.stop() == 0
    assert place.countries().keys() == {key for key, _, _ in odd}


def test_rows_whose_address_is_none_stay_and_are_asked_about_nowhere(start: Start, place: Installation) -> None:
    odd = ["not an address", "", "1.2.3", "999.1.1.1", "8.8.8.8; DROP TABLE geo_cache", "\x1b[2J", "fe80::1%eth0", "é"]
    place.insert(rows=[("8.8.4.4", None, text()), *((key, None, text()) for key in odd)])
    daemon = start(every("100ms", "geo_re_resolve"))
    assert daemon.wait_for("geo_re_resolve_start")["unresolved"] == 1
    line = daemon.wait_for("invalid_addresses_kept")
    assert line["level"] == "warning"
    assert line["rows"] >= len(odd) - 1  # a link-local address with its zone may pass for an address
    assert line["example"]
    daemon.wait_for("geo_re_resolve_skip")
    assert daemon.stop() == 0
    assert place.countries() == {"8.8.4.4": "US", **dict.fromkeys(odd)}
    assert len(daemon.runs_of("geo_re_resolve")) > 1
    assert len(daemon.lines("invalid_addresses_kept", level="warning")) == 1


def test_rows_keep_the_key_that_the_web_app_gave_them(start: Start, place: Installation) -> None:
    keys = ["::ffff:8.8.8.8", "8.8.4.4", "::FFFF:8.8.4.4"]
    place.insert(rows=[(key, None, text()) for key in keys])
    start(every("100ms", "geo_re_resolve")).wait_for("geo_re_resolve_complete", retried=2, resolved=2)
    assert place.countries() == dict.fromkeys(keys, "US")


def test_a_time_in_the_future_is_no_reason_to_delete_anything(start: Start, place: Installation) -> None:
    place.insert(rows=[("8.8.8.8", "US", text(timedelta(days=3650)))], sessions=[("far", text(timedelta(days=36_500)))])
    daemon = start(every("100ms", "geo_cache_cleanup", "session_cleanup"))
    daemon.wait_for("geo_cache_cleanup_ran", deleted=0)
    daemon.wait_for("session_cleanup_ran", deleted_count=0)
    assert place.tokens() == {"far"}
    assert place.countries() == {"8.8.8.8": "US"}
