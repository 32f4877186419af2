"""What `bangeod status` shows: what is wrong first, and everything on one screen."""

from dataclasses import dataclass
from typing import Any

import pytest

from bangeod.api.daemon_state import (
    BansState,
    DaemonsState,
    DatabaseState,
    FleetState,
    IpApiState,
    JobState,
    MmdbState,
    State,
)
from bangeod.cli.status_screen import BAD, BUSY, GOOD, Line, lines
from bangeod.jobs.job import JobId, Outcome
from tests.support.daemon.api_host import at, state


@dataclass
class Screen:
    """The lines, looked at."""

    lines: list[Line]

    def line(self, beginning: str) -> Line:
        return next(line for line in self.lines if line.text.startswith(beginning))

    @property
    def troubles(self) -> list[str]:
        return [line.text for line in self.lines if line.text.startswith("!")]


def show(shown: State) -> Screen:
    return Screen(list(lines(shown)))


def job(**fields: Any) -> JobState:
    return JobState(
        id=JobId.SESSION_CLEANUP, timeout=30.0, **{"enabled": True, "interval": 60.0, "running": False} | fields
    )


def test_a_healthy_daemon_is_one_screen_without_troubles() -> None:
    screen = show(state())
    assert screen.lines[0] == Line("bangeod 1.2.3, running for 10 min (pid 42)", GOOD)
    assert screen.troubles == []
    assert len(screen.lines) < 24


def test_a_run_is_told_with_its_result_and_the_next() -> None:
    shown = state()
    shown.jobs = [
        job(
            last_run=at("2026-11-22T00:08:00Z"),
            next_run=at("2026-11-22T00:10:30Z"),
            outcome=Outcome.TIMED_OUT,
            duration=1.234,
            figures={"deleted_count": 3, "page_size": 4096},
        )
    ]
    words = show(shown).line("session_cleanup").text.split("  ")
    assert [word.strip() for word in words if word] == [
        "session_cleanup",
        "60s",
        "2 min ago",
        "timed out",
        "1.23 s",
        "in 30 s",
        "deleted_count 3",
    ]


@pytest.mark.parametrize(
    ("fields", "word", "colour"),
    [
        ({"running": True}, "running", BUSY),
        ({"enabled": False}, "off", None),
        ({"last_success": at("2026-11-21T21:10:00Z")}, "3 h ago", None),  # of an earlier daemon
        (
            {"problem": "it is locked", "outcome": Outcome.FAILED, "failing_since": at("2026-11-22T00:00:00Z")},
            "failed",
            BAD,
        ),
    ],
)
def test_a_job_is_shown_as_it_is(fields: dict[str, Any], word: str, colour: str | None) -> None:
    shown = state()
    shown.jobs = [job(**fields)]
    line = show(shown).line("session_cleanup")
    assert word in line.text
    assert line.colour == colour


def test_what_is_wrong_comes_first() -> None:
    shown = state()
    shown.healthy, shown.problem = False, "the database can't be used: it is locked"
    shown.config.refused = True
    shown.log_entries_dropped = 1_234
    shown.jobs = [job(problem="out of paper", failing_since=at("2026-11-22T00:00:00Z"))]
    screen = show(shown)
    assert screen.lines[0].colour == BAD
    assert [line.text for line in screen.lines[1:5]] == screen.troubles
    said = "\n".join(screen.troubles)
    for what in ("it is locked", "config was refused", "out of paper", "1,234 log entries"):
        assert what in said


def test_a_problem_that_is_the_daemons_is_not_told_for_each_job_again() -> None:
    shown = state()
    shown.problem = "the database can't be used: it is locked"
    shown.jobs = [job(problem="it is locked", failing_since=at("2026-11-22T00:00:00Z"))]
    assert len(show(shown).troubles) == 1


@pytest.mark.parametrize(
    ("loaded", "progress", "end", "colour"),
    [
        (False, None, "; the table was not read yet", BAD),
        (False, 0.256, "; the table is being read, 26 % so far", BUSY),
        (True, None, " not found", None),
    ],
)
def test_it_is_shown_how_much_of_the_table_has_been_read(
    loaded: bool, progress: float | None, end: str, colour: str | None
) -> None:
    shown = state()
    shown.cache.loaded, shown.cache.progress = loaded, progress
    line = show(shown).line("cache")
    assert line.text.endswith(end)
    assert line.colour == colour


def test_a_servers_database_is_shown_by_its_url_and_with_its_size_alone() -> None:
    shown = state()
    shown.database = DatabaseState(path="postgresql://web@/bangui", kind="postgresql", size=3 << 20, free=0)
    assert show(shown).line("database").text.endswith("  postgresql://web@/bangui: 3.0 MiB")


def test_sources_are_shown_with_their_age_and_their_pause() -> None:
    shown = state()
    shown.sources.mmdb = [
        MmdbState(path="/a.mmdb", status="loaded", database_type="ASN", age=3 * 86_400.0, good_for="AS of IPv4"),
        MmdbState(path="/b.mmdb", status="refused", problem="it is damaged"),
    ]
    shown.sources.ip_api = IpApiState(
        enabled=True, requests=7, remaining=3, paused_until=at("2026-11-22T00:10:40Z"), reason="slow down"
    )
    screen = show(shown)
    assert "/a.mmdb: loaded, ASN, built 3 d ago: AS of IPv4" in screen.line("MMDB").text
    assert any("/b.mmdb: refused: it is damaged" in line.text and line.colour == BAD for line in screen.lines)
    assert "7 requests, 3 left this minute; paused for 40 s: slow down" in screen.line("ip-api").text


def test_what_would_move_the_cursor_is_not_shown() -> None:
    shown = state()
    shown.database.path = "/tmp/\x1b[2J"  # noqa: S108 - a name, and no file
    assert not any("\x1b" in line.text for line in lines(shown))


def test_without_an_mmdb_it_says_how_to_get_one() -> None:
    shown = state()
    shown.sources.mmdb = []
    assert show(shown).line("MMDB").text == "MMDB      none; bangeod geodb update fetches one"


def test_what_is_banned_is_told_once_it_was_read() -> None:
    shown = state()
    assert show(shown).line("fail2ban").text.endswith("not read")
    shown.sources.fail2ban = "/f2b.sqlite3"
    assert show(shown).line("fail2ban").text.endswith("  /f2b.sqlite3")
    shown.sources.bans = BansState(countries={"DE": 1_200, "CN": 30}, without_country=4, networks=1)
    assert show(shown).line("fail2ban").text.endswith("/f2b.sqlite3: 1,234 addresses and 1 network banned")


def test_the_daemons_of_one_database_are_counted_where_that_is_known_and_said_to_be_heard() -> None:
    shown = state()
    shown.daemons = DaemonsState(count=3, listening=True)
    line = show(shown).line("daemons")
    assert (line.text.split("  ")[-1].strip(), line.colour) == (
        "3 daemons within a minute, what others write is heard",
        None,
    )
    shown.daemons = DaemonsState(count=1)
    assert show(shown).line("daemons").text.endswith("  1 daemon within a minute")
    shown.daemons = DaemonsState(listening=True, lag=12.34)
    line = show(shown).line("daemons")
    assert line.text.endswith("what others write is heard, 12.3 s behind")
    assert line.colour == BUSY


def test_what_is_not_heard_and_whose_clock_differs_is_shown() -> None:
    shown = state()
    shown.daemons = DaemonsState(count=1, listening=False, clocks={"web2": -61.5})
    screen = show(shown)
    assert screen.line("daemons").text.endswith("not heard, but read again from time to time")
    assert screen.line("clock").text.endswith("web2: 62 s behind the server's")


def test_a_database_that_is_a_file_has_no_other_daemons() -> None:
    assert not any(line.text.startswith("daemons") for line in show(state()).lines)


def test_a_fleet_is_told_with_what_it_answered_and_what_waits_for_it() -> None:
    shown = state()
    assert not any(line.text.startswith("fleet") for line in show(shown).lines)
    shown.fleet = FleetState(
        url="postgresql://web1@/fleet",
        host="web1",
        connected=True,
        listening=True,
        answered=1_234,
        shared=56,
        waiting=7,
        last_share=at("2026-11-22T00:09:00Z"),
    )
    line = show(shown).line("fleet")
    told = "postgresql://web1@/fleet as web1: 1,234 answered, 56 shared, 7 to share, last 60 s ago"
    assert (line.text.endswith(f"  {told}"), line.colour) == (True, None)
    shown.fleet.listening, shown.fleet.dropped = False, 8
    assert show(shown).line("fleet").text.endswith("; 8 were not shared, too many waited; other hosts are not heard")


def test_a_fleet_that_is_away_is_told_in_red_with_the_reason() -> None:
    shown = state()
    shown.fleet = FleetState(url="postgresql:///fleet", host="web1", connected=False)
    assert (line := show(shown).line("fleet")).colour == BUSY
    assert line.text.endswith("; not connected yet")
    shown.fleet.away_since, shown.fleet.problem = at("2026-11-22T00:08:00Z"), "no server answers"
    assert (line := show(shown).line("fleet")).colour == BAD
    assert line.text.endswith("; away for 2 min: no server answers")
