"""``bangeod top``: the same figures with and without a daemon; chart, table and JSON; what can't be counted."""

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from bangeod.store.sqlite.engine import engine
from tests.integration.conftest import Start
from tests.support.daemon.in_its_place import listening, ok, say
from tests.support.daemon.installation import Installation, make_fail2ban, text
from tests.support.daemon.process import bangeod, environment

OPEN = {"api.enabled": True}
LATELY, LONG_AGO = timedelta(days=-2), timedelta(days=-60)
# Of each country some addresses, under odd keys and with odd values: as they may stand in a web app's table.
ROWS: list[tuple[object, object, object, object, object]] = [
    *((f"8.8.{n}.8", "US", "AS15169", "Google LLC", text(LATELY)) for n in range(40)),
    *((f"1.1.{n}.1", "au", 13335, "Cloudflare", text(LONG_AGO)) for n in range(30)),
    *((f"2606:4700::{n:X}", "USA", "AS13335 Cloudflare", None, text(LONG_AGO)) for n in range(1, 9)),
    ("::ffff:8.8.0.8", "US", "AS15169", "Google LLC", text()),  # another row of the first
    ("2606:4700:0::1", None, "AS13335", None, text()),
    ("9.9.9.9", None, None, None, text(LATELY)),
    ("9.9.9.10", "ZZ", None, "PCH", text(LATELY)),
    ("7.7.7.7", "DE", None, "\x1b[2J\u202eHosting", "yesterday"),
    ("10.1.2.3", None, None, None, text()),
    ("example.org", "FR", None, None, text()),
    (None, "FR", None, None, text()),
]
BANNED = ["8.8.0.8", "8.8.1.8", "1.1.1.1", "2606:4700::1", "9.9.9.9", "6.6.6.6", "10.1.2.3", "7.7.0.0/16"]


@pytest.fixture
def full(place: Installation) -> Installation:
    """Give an installation with addresses of many kinds in the table, and some of them banned."""
    with place.connection() as connection:
        statement = "INSERT INTO geo_cache (ip, country_code, asn, org, last_seen) VALUES (?, ?, ?, ?, ?)"
        connection.executemany(statement, ROWS)
    place.configure({"fail2ban.database": str(make_fail2ban(place.home / "fail2ban.sqlite3", *BANNED))})
    return place


def top(place: Installation, *arguments: str) -> dict[str, Any]:
    ran = bangeod("top", *arguments, "--json", "--config", str(place.config))
    assert ran.returncode == 0, ran.stderr
    assert not {"note", "warning", "error"} & set(re.findall(r"\w+", ran.stderr))
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def figures(told: dict[str, Any]) -> dict[str, int]:
    names = ("unknown", "not_routable", "banned_networks")
    rest = {name: told[name] for name in names if told[name]}
    found = {group.get("country_code") or group.get("asn") or group["org"]: group["count"] for group in told["groups"]}
    assert told["total"] == sum(found.values()) + sum(rest.values())
    return found | rest


def test_the_figures_are_the_same_with_and_without_a_daemon(start: Start, full: Installation) -> None:
    questions = [
        [],
        ["networks"],
        ["--since", "30d"],
        ["networks", "--since", "5d", "--limit", "1"],
        ["--banned"],
        ["networks", "--banned"],
        ["--banned", "--since", "30d"],
    ]
    alone = [top(full, *question) for question in questions]
    assert figures(alone[0]) == {"US": 48, "AU": 30, "DE": 1, "unknown": 2}
    assert figures(alone[1]) == {"AS15169": 40, "AS13335": 38, "PCH": 1, "[2J Hosting": 1, "unknown": 1}
    assert figures(alone[2]) == {"US": 41, "unknown": 2}
    assert figures(alone[4]) == {
        "US": 3,
        "AU": 1,
        "unknown": 2,
        "not_routable": 1,
        "banned_networks": 1,
    }
    assert figures(alone[6]) == {}  # all of them were banned in 2023
    start(OPEN, {"jobs.geo_cache_cleanup.enabled": False, "jobs.geo_re_resolve.enabled": False})
    for question, told in zip(questions, alone, strict=True):
        beside = top(full, *question)
        assert without_time(beside) == without_time(told), question


def without_time(told: dict[str, Any]) -> dict[str, Any]:
    return told | {"since": told["since"] is not None}


@pytest.mark.parametrize("question", [[], ["--banned"], ["networks", "--since", "30d"]])
def test_counting_changes_nothing(full: Installation, question: list[str]) -> None:
    full.leave_unwritten("9.9.9.11")
    before = full.contents()
    top(full, *question)
    assert full.contents() == before


def test_what_an_earlier_daemon_could_not_write_counts_too(full: Installation) -> None:
    full.leave_unwritten("9.9.9.11")
    assert figures(top(full))["SE"] == 1


def test_for_a_file_it_is_a_plain_table_of_twenty_lines(place: Installation) -> None:
    codes = [f"{a}{b}" for a in "AB" for b in "EFGLMORSTWZ"]
    place.insert(rows=[(f"8.8.{n}.8", code, text()) for n, code in enumerate(codes)])
    ran = bangeod("top", "--config", str(place.config))
    assert (ran.returncode, ran.stderr) == (0, "")
    head, empty, names, *rows = ran.stdout.splitlines()
    assert (head, empty, names.split()) == (
        "22 addresses in geo_cache, by country:",
        "",
        ["CODE", "COUNTRY", "ADDRESSES", "SHARE"],
    )
    assert rows[0].split("  ")[0] == "AE"
    assert len(rows) == 21
    assert re.fullmatch(r" +and 2 others +2 +9\.1 %", rows[-1])
    fewer = bangeod("top", "--limit", "3", "--config", str(place.config)).stdout
    assert re.search(r"\n +and 19 others +19 ", fewer)


def on_a_terminal(place: Installation, *arguments: str, environ: dict[str, str]) -> str:
    """Run the command on a terminal of 80 columns; return what it has shown."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "bangeod", "top", *arguments, "--config", str(place.config)]
    variables = {**environment(environ), "COLUMNS": "80", "TERM": "xterm", "LC_ALL": "C.UTF-8"} | environ
    with subprocess.Popen(command, stdout=its, stderr=subprocess.PIPE, env=variables) as process:
        os.close(its)
        shown = b""
        while part := read(ours):
            shown += part
        assert process.stderr is not None
        assert (process.wait(), process.stderr.read()) == (0, b"")
    os.close(ours)
    return shown.decode()


def read(terminal: int) -> bytes:
    """Read from a terminal; at its end Linux says EIO."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        return b""


def test_on_a_terminal_it_is_a_chart_in_colour(full: Installation) -> None:
    shown = on_a_terminal(full, environ={})
    bars = re.findall(r"\x1b\[36m(█*)[▏▎▍▌▋▊▉]?\x1b\[0m", shown)
    assert len(bars) == 4
    assert len(bars[0]) > 1.5 * len(bars[1]) > 10
    assert all(len(re.sub(r"\x1b\[\d+m", "", line)) <= 80 for line in shown.splitlines())


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colour_gets_none(full: Installation, environ: dict[str, str]) -> None:
    shown = on_a_terminal(full, "networks", environ=environ)
    assert "█" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_in_another_encoding_bars_are_made_of_what_it_has(full: Installation) -> None:
    shown = on_a_terminal(full, environ={"PYTHONIOENCODING": "ascii", "NO_COLOR": "1"})
    assert "####" in shown


# --- what can't be counted ---


@pytest.mark.parametrize("beside", [False, True])
def test_where_fail2ban_is_not_read_it_says_what_to_do(start: Start, place: Installation, *, beside: bool) -> None:
    if beside:
        start(OPEN)
    ran = bangeod("top", "--banned", "--config", str(place.config))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "set [fail2ban] database = " in ran.stderr


@pytest.mark.parametrize("beside", [False, True])
def test_without_a_fleet_there_are_no_hosts_to_count(start: Start, place: Installation, *, beside: bool) -> None:
    if beside:
        start(OPEN)
    ran = bangeod("top", "hosts", "--config", str(place.config))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "this host is in no fleet: set [fleet] url = " in ran.stderr


@pytest.mark.parametrize("beside", [False, True])
def test_bans_that_can_not_be_read_are_one_line(start: Start, place: Installation, *, beside: bool) -> None:
    place.configure({"fail2ban.database": str(place.home / "gone.sqlite3")})
    if beside:
        start(OPEN)
    ran = bangeod("top", "--banned", "--config", str(place.config))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"{place.home}/gone.sqlite3: there is no such fail2ban database; ")
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize("beside", [False, True])
def test_bans_that_fail2ban_keeps_locked_are_one_line_too(start: Start, full: Installation, *, beside: bool) -> None:
    if beside:
        start(OPEN)
    with closing(engine.connect(full.home / "fail2ban.sqlite3", isolation_level=None)) as fail2ban:
        fail2ban.execute("BEGIN EXCLUSIVE")
        ran = bangeod("top", "--banned", "--config", str(full.config))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "locked" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize("question", [[], ["--banned"]])
def test_without_daemon_and_database_there_is_nothing_to_count(full: Installation, question: list[str]) -> None:
    full.remove_database()
    ran = bangeod("top", *question, "--config", str(full.config))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "there is no such database" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not full.database.exists()


def test_a_table_that_the_daemon_could_not_read_is_noted(start: Start, place: Installation) -> None:
    place.remove_database()
    start(OPEN)
    ran = bangeod("top", "--config", str(place.config))
    assert (ran.returncode, ran.stdout) == (0, "No addresses in geo_cache.\n")
    assert ran.stderr.startswith("note: the table was not read yet")


def test_a_daemon_of_another_version_is_told_from_one_that_can_not_count(place: Installation) -> None:
    place.configure(OPEN)
    answers = {
        ok(b'{"error": {"code": "not_found", "message": "nothing is at this path"}}', "404 Not Found"),
        ok(b'{"by": "countries"}'),
    }
    for answer in answers:
        with listening(place.socket, say(answer)):
            ran = bangeod("top", "--config", str(place.config))
        place.socket.unlink()
        assert (ran.returncode, ran.stdout) == (1, "")
        assert "of another version" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "30x"], '--since: expected a duration from "1s" to '),
        (["--since", "0s"], "found"),
        (["--since", "9" * 5_000], "expected a duration"),
        (["--limit", "0"], "--limit"),
        (["jails"], "'jails' is not one of 'countries', 'networks', 'hosts'"),
        (["hosts", "--here"], "--here says whose bans count"),
        (["--here"], "--here says whose bans count"),
    ],
)
def test_what_can_not_be_meant_is_wrong_usage(place: Installation, arguments: list[str], said: str) -> None:
    ran = bangeod("top", *arguments, "--config", str(place.config))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("since", ["86400", "24h", "1d", "86399.5s"])
def test_a_time_is_written_as_in_the_config(full: Installation, since: str) -> None:
    assert top(full, "--since", since)["since"] is not None
