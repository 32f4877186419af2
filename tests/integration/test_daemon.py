"""The running daemon: its start, and the log lines of the four jobs."""

import re
import uuid
from datetime import UTC, datetime, timedelta

from tests.integration.conftest import Start
from tests.support.daemon.installation import JOBS, Installation, every, text
from tests.support.daemon.notify_socket import NotifySocket
from tests.support.daemon.process import DaemonProcess

ALWAYS = {"timestamp", "level", "event"}
OF_A_RUN = {*ALWAYS, "job_id", "correlation_id"}
EVENTS_OF_RUNS = (
    "geo_cache_flush_ran",
    "geo_re_resolve_start",
    "geo_re_resolve_complete",
    "geo_re_resolve_skip",
    "geo_cache_cleanup_ran",
    "session_cleanup_ran",
)
GOOGLE = "8.8.8.8"  # the embedded default says US
GOOGLE6 = "2001:4860:4860::8888"  # the embedded default knows no IPv6
LONG_AGO = timedelta(days=-100)
HOUR = timedelta(hours=1)


def position(daemon: DaemonProcess, event: str) -> int:
    return [line["event"] for line in daemon.lines()].index(event)


# --- the start ---


def test_readiness_comes_after_the_jobs_are_planned_and_waits_for_no_table(
    start: Start, systemd: NotifySocket, place: Installation
) -> None:
    place.insert(rows=[(GOOGLE, "US", text()), ("192.0.2.1", None, text())])
    daemon = start(environ={"NOTIFY_SOCKET": str(systemd.path)})
    ready = systemd.wait_for("READY")
    assert ready == {"READY": "1", "STATUS": "4 jobs, 0 cached, 0 to write"}
    systemd.wait_for("STATUS", beginning="4 jobs, 1 cached, 0 to write")
    assert daemon.lines("geo_cache_loaded")[0]["rows"] == 1  # an address for documentation is of no use
    planned = [position(daemon, f"{job}_scheduled") for job in JOBS]
    assert max(planned) < position(daemon, "ready") < position(daemon, "geo_cache_loaded")


def test_until_it_is_ready_systemd_is_told_what_is_going_on(start: Start, systemd: NotifySocket) -> None:
    start(environ={"NOTIFY_SOCKET": str(systemd.path)})
    systemd.wait_for("READY")
    assert systemd.messages()[0] == {"STATUS": "starting: reading the database"}


def test_each_job_says_how_it_was_planned(start: Start) -> None:
    lines = [line for line in start().lines() if line["event"].endswith("_scheduled")]
    assert {line["level"] for line in lines} == {"info"}
    assert {line["event"]: {key: line[key] for key in line.keys() - ALWAYS - {"job_id"}} for line in lines} == {
        "geo_cache_flush_scheduled": {"interval_seconds": 60},
        "geo_re_resolve_scheduled": {"interval_seconds": 600},
        "geo_cache_cleanup_scheduled": {"interval_seconds": 86_400, "retention_days": 90},
        "session_cleanup_scheduled": {"interval_seconds": 21_600},
    }


def test_a_disabled_job_does_not_run(start: Start, place: Installation) -> None:
    place.insert(sessions=[("expired", text(-HOUR))])
    daemon = start(every("100ms"), {"jobs.session_cleanup.enabled": False})
    daemon.wait_for("job_disabled", job_id="session_cleanup")
    daemon.wait_for("geo_cache_cleanup_ran")
    assert daemon.stop() == 0
    assert not daemon.lines("session_cleanup_ran")
    assert place.tokens() == {"expired"}


def test_a_second_daemon_on_the_same_database_is_refused_and_the_first_goes_on(
    start: Start, launch: Start, place: Installation
) -> None:
    first = start(every("100ms"))
    second = launch(place.config)
    assert second.ended() == 75
    assert [str(place.database) in line["text"] for line in second.lines("NOT JSON")] == [True]
    first.wait_for("session_cleanup_ran", since=first.mark())


def test_a_daemon_that_was_killed_does_not_keep_the_next_one_out(start: Start) -> None:
    daemon = start()
    daemon.process.kill()
    assert daemon.ended() == -9
    assert start().stop() == 0


# --- log lines ---


def test_every_line_of_a_run_carries_the_job_and_an_id_of_the_run(start: Start, place: Installation) -> None:
    place.insert(rows=[(GOOGLE, None, text())])
    place.leave_unwritten("1.1.1.1")
    daemon = start(every("100ms"))
    for event in ("geo_cache_flush_ran", "geo_re_resolve_skip", "geo_cache_cleanup_ran", "session_cleanup_ran"):
        daemon.wait_for(event)
    daemon.wait_for("session_cleanup_ran", since=daemon.mark())
    assert daemon.stop() == 0
    assert all(line.keys() >= OF_A_RUN for event in EVENTS_OF_RUNS for line in daemon.lines(event))
    assert all(daemon.lines(event) for event in EVENTS_OF_RUNS)
    ids = [run[0]["correlation_id"] for job in JOBS for run in daemon.runs_of(job)]
    assert len(ids) == len(set(ids)) > len(JOBS)
    assert {uuid.UUID(each).version for each in ids} == {4}


def test_lines_that_belong_to_one_run_share_its_id(start: Start, place: Installation) -> None:
    place.insert(rows=[(GOOGLE, None, text())])
    daemon = start(every("100ms", "geo_re_resolve"))
    daemon.wait_for("geo_re_resolve_complete")
    assert [line["event"] for line in daemon.runs_of("geo_re_resolve")[0]] == [
        "geo_re_resolve_start",
        "geo_re_resolve_complete",
    ]


def test_a_line_has_its_time_in_utc(start: Start) -> None:
    line = start().lines("ready")[0]
    assert abs(datetime.fromisoformat(line["timestamp"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_nothing_but_log_lines_is_written_and_libraries_keep_quiet(start: Start, place: Installation) -> None:
    place.insert(rows=[(GOOGLE, None, text())], sessions=[("expired", text(-HOUR))])
    daemon = start(every("100ms"))
    for event in ("geo_re_resolve_complete", "session_cleanup_ran", "geo_cache_cleanup_ran"):
        daemon.wait_for(event)
    assert daemon.stop() == 0
    assert daemon.output == b""
    assert not daemon.lines("NOT JSON")
    assert not [line for line in daemon.lines() if "logger" in line or line["level"] in {"warning", "error"}]


# --- what the jobs do and say ---


def test_geo_cache_flush_writes_what_waits_and_speaks_of_nothing_else(start: Start, place: Installation) -> None:
    place.leave_unwritten(GOOGLE, "1.1.1.1")
    daemon = start(every("100ms", "geo_cache_flush", "session_cleanup"))
    line = daemon.wait_for("geo_cache_flush_ran")
    assert (line["level"], line["flushed"]) == ("debug", 2)
    assert place.countries() == {GOOGLE: "SE", "1.1.1.1": "SE"}
    for _ in range(3):  # as often the flush runs too, with nothing to write
        daemon.wait_for("session_cleanup_ran", since=daemon.mark())
    assert len(daemon.lines("geo_cache_flush_ran")) == 1


def test_geo_re_resolve_finds_countries_and_says_how_many(start: Start, place: Installation) -> None:
    place.insert(rows=[(GOOGLE, None, text()), (GOOGLE6, None, text()), ("10.0.0.1", None, text())])
    daemon = start(every("100ms", "geo_re_resolve"))
    began = daemon.wait_for("geo_re_resolve_start")
    ended = daemon.wait_for("geo_re_resolve_complete")
    assert (began["level"], began["unresolved"]) == ("info", 2)  # a private address can't be resolved
    assert (ended["level"], ended["retried"], ended["resolved"]) == ("info", 2, 1)
    assert place.countries() == {GOOGLE: "US", GOOGLE6: None, "10.0.0.1": None}


def test_geo_re_resolve_leaves_alone_what_nobody_knew_lately(start: Start, place: Installation) -> None:
    place.insert(rows=[(GOOGLE6, None, text())])
    daemon = start(every("100ms", "geo_re_resolve"))
    daemon.wait_for("geo_re_resolve_complete", retried=1, resolved=0)
    skipped = daemon.wait_for("geo_re_resolve_skip")
    assert (skipped["level"], skipped["reason"]) == ("debug", "none_due")


def test_geo_re_resolve_has_nothing_to_do_where_all_have_a_country(start: Start, place: Installation) -> None:
    place.insert(rows=[(GOOGLE, "US", text()), ("10.0.0.1", None, text())])
    daemon = start(every("100ms", "geo_re_resolve"))
    skipped = daemon.wait_for("geo_re_resolve_skip")
    assert (skipped["level"], skipped["reason"]) == ("debug", "no_unresolved_ips")


def test_geo_re_resolve_leaves_what_the_web_app_resolved(start: Start, place: Installation) -> None:
    place.insert(rows=[(GOOGLE, "DE", text()), ("1.1.1.1", None, text())])
    start(every("100ms", "geo_re_resolve")).wait_for("geo_re_resolve_complete")
    assert place.countries()[GOOGLE] == "DE"


def test_geo_cache_cleanup_deletes_what_was_not_seen_for_long(start: Start, place: Installation) -> None:
    place.insert(rows=[(GOOGLE, "US", text(LONG_AGO)), ("1.1.1.1", "AU", text(timedelta(days=-89)))])
    daemon = start(every("100ms", "geo_cache_cleanup"))
    first = daemon.wait_for("geo_cache_cleanup_ran")
    assert (first["level"], first["deleted"], first["retention_days"]) == ("info", 1, 90)
    assert place.countries() == {"1.1.1.1": "AU"}
    second = daemon.wait_for("geo_cache_cleanup_ran", deleted=0)
    assert (second["level"], second["retention_days"]) == ("debug", 90)


def test_what_geo_cache_cleanup_deletes_leaves_memory_too(
    start: Start, place: Installation, systemd: NotifySocket
) -> None:
    place.insert(rows=[(GOOGLE, "US", text(LONG_AGO)), ("1.1.1.1", "AU", text())])
    start(every("100ms", "geo_cache_cleanup"), environ={"NOTIFY_SOCKET": str(systemd.path)})
    systemd.wait_for("STATUS", containing="2 cached")
    systemd.wait_for("STATUS", containing="1 cached")


def test_session_cleanup_deletes_what_has_expired(start: Start, place: Installation) -> None:
    place.insert(sessions=[("expired", text(-HOUR)), ("live", text(HOUR))])
    before = datetime.now(UTC).replace(microsecond=0)
    daemon = start(every("100ms", "session_cleanup"))
    line = daemon.wait_for("session_cleanup_ran")
    assert (line["level"], line["deleted_count"]) == ("info", 1)
    assert before <= datetime.fromisoformat(line["cutoff_time"]) <= datetime.now(UTC)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["cutoff_time"])
    assert place.tokens() == {"live"}


def test_times_of_sessions_are_compared_as_times_in_every_form_they_have(start: Start, place: Installation) -> None:
    now = datetime.now(UTC)
    live, expired = now + HOUR, now - HOUR
    west = expired.astimezone(UTC).replace(tzinfo=None)
    place.insert(
        sessions=[
            ("expired Z", expired.strftime("%Y-%m-%dT%H:%M:%SZ")),
            ("expired blank", f"{west:%Y-%m-%d %H:%M:%S}"),
            ("expired epoch", str(int(expired.timestamp()))),
            ("live Z", live.strftime("%Y-%m-%dT%H:%M:%S.%fZ")),
            ("live blank", live.strftime("%Y-%m-%d %H:%M:%S")),
            # As text these are later or earlier than now; as times they are not.
            ("live, west of here", f"{live - timedelta(hours=9):%Y-%m-%dT%H:%M:%S}-09:00"),
            ("expired, east of here", f"{expired + timedelta(hours=9):%Y-%m-%dT%H:%M:%S}+09:00"),
            ("live epoch", str(int(live.timestamp()))),
        ]
    )
    start(every("100ms", "session_cleanup")).wait_for("session_cleanup_ran", deleted_count=4)
    assert place.tokens() == {"live Z", "live blank", "live, west of here", "live epoch"}
