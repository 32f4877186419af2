"""The commands, as a person or a script calls them: results on standard output, nothing else there."""

import json
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Start
from tests.support.daemon.installation import JOBS, Installation, every, make_fail2ban, text
from tests.support.daemon.process import bangeod
from tests.support.mmdb.files import write_mmdb

GOOGLE = "8.8.8.8"
GOOGLE6 = "2001:4860:4860::8888"
LONG_AGO = "2001-01-01T00:00:00Z"


def run_json(*arguments: str, status: int = 0) -> Any:
    """Run a command with --json; return what it printed, which must be one JSON document."""
    ran = bangeod(*arguments, "--json")
    assert ran.returncode == status, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture
def full(place: Installation) -> Installation:
    """Give an installation in which each of the jobs has something to do."""
    place.leave_unwritten("9.9.9.9")
    place.ran("session_cleanup", timedelta(hours=3))
    jail = make_fail2ban(place.home / "fail2ban.sqlite3", "1.1.1.1", "1.0.0.1")
    place.configure({"fail2ban.database": str(jail)})
    place.insert(
        rows=[
            (GOOGLE, None, text()),
            ("8.8.4.4", None, text()),
            (GOOGLE6, None, text()),
            ("not an address", None, "yesterday"),
            ("1.1.1.1", "AU", LONG_AGO),
            ("9.9.9.10", "US", LONG_AGO),
        ],
        sessions=[("expired", LONG_AGO), ("odd", "yesterday"), ("live", text(timedelta(hours=1)))],
    )
    return place


# --- job list ---


def test_jobs_are_listed_with_what_they_do(full: Installation) -> None:
    ran = bangeod("job", "list", "--config", str(full.config))
    assert (ran.returncode, ran.stderr) == (0, "")
    head, *rows = ran.stdout.splitlines()
    assert re.split(r"\s{2,}", head) == ["JOB", "EVERY", "LAST SUCCESS", "WHAT IT DOES"]
    assert [row.split()[0] for row in rows] == list(JOBS)


def test_jobs_are_listed_as_json(full: Installation) -> None:
    full.configure({"jobs.geo_cache_cleanup.enabled": False})
    jobs = {job["id"]: job for job in run_json("job", "list", "--config", str(full.config))}
    assert list(jobs) == list(JOBS)
    assert jobs["geo_re_resolve"]["interval"] == "10m"
    assert jobs["geo_re_resolve"]["timeout"] == "9m"
    assert jobs["geo_re_resolve"]["last_success"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", jobs["session_cleanup"]["last_success"])
    assert [job for job in JOBS if not jobs[job]["enabled"]] == ["geo_cache_cleanup"]


# --- job run ---


@pytest.mark.parametrize("job", JOBS)
def test_a_dry_run_changes_nothing_and_says_what_it_would_do(full: Installation, job: str) -> None:
    before = full.contents()
    report = run_json("job", "run", job, "--dry-run", "--config", str(full.config))
    assert full.contents() == before
    assert (report["job_id"], report["outcome"], report["dry"], report["problem"]) == (job, "done", True, None)
    figures = {
        "geo_cache_flush": {"would_flush": 1},
        "geo_re_resolve": {"would_retry": 4, "would_resolve_locally": 3},
        "geo_cache_cleanup": {"would_delete": 1, "unreadable": 1},
        "session_cleanup": {"would_delete": 1, "unreadable": 1},
    }[job]
    assert report["figures"].items() >= figures.items()


@pytest.mark.parametrize("file", ["unwritten.json", "state.toml"])
def test_a_dry_run_leaves_even_a_damaged_state_file(place: Installation, file: str) -> None:
    (place.state / file).write_text("damaged")
    before = place.contents()
    ran = bangeod("job", "run", "geo_cache_flush", "--dry-run", "--config", str(place.config))
    assert ran.returncode == 0
    assert str(place.state / file) in ran.stderr
    assert bangeod("job", "list", "--config", str(place.config)).returncode == 0
    assert place.contents() == before


def test_each_job_runs_by_hand_and_reports(full: Installation) -> None:
    expected = {
        "geo_cache_flush": {"flushed": 1},
        "geo_re_resolve": {"retried": 4, "resolved": 3},
        "geo_cache_cleanup": {"deleted": 1, "unreadable": 1},
        "session_cleanup": {"deleted_count": 1, "unreadable": 1},
    }
    for job in JOBS:
        report = run_json("job", "run", job, "--config", str(full.config))
        assert (report["job_id"], report["outcome"], report["dry"], report["problem"]) == (job, "done", False, None)
        assert report["figures"].items() >= expected[job].items()
        assert len(report["correlation_id"]) == 36
    assert full.countries() == {
        GOOGLE: "US",
        "8.8.4.4": "US",
        GOOGLE6: None,
        "not an address": None,
        "1.1.1.1": "AU",
        "1.0.0.1": "US",
        "9.9.9.9": "SE",
    }
    assert full.tokens() == {"odd", "live"}
    assert not full.unwritten.exists()


def test_a_run_for_a_person_is_one_line(full: Installation) -> None:
    ran = bangeod("job", "run", "session_cleanup", "--config", str(full.config))
    assert ran.returncode == 0
    assert re.fullmatch(r"session_cleanup: done in [0-9.]+ s: deleted_count 1, .*\n", ran.stdout)
    assert "unreadable_times_kept" in ran.stderr


def test_a_run_that_fails_is_an_exit_status_and_a_report(place: Installation) -> None:
    place.remove_database()
    report = run_json("job", "run", "session_cleanup", "--config", str(place.config), status=1)
    assert report["outcome"] == "failed"
    assert "there is no such database" in report["problem"]
    assert not place.database.exists()


def test_a_job_that_there_is_not_is_wrong_usage(place: Installation) -> None:
    ran = bangeod("job", "run", "sesion_cleanup", "--config", str(place.config))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert all(job in ran.stderr for job in JOBS)
    assert "Traceback" not in ran.stderr


def test_a_job_runs_by_hand_beside_the_daemon(start: Start, full: Installation) -> None:
    daemon = start()
    report = run_json("job", "run", "session_cleanup", "--config", str(full.config))
    assert report["figures"]["deleted_count"] == 1
    run_json("job", "run", "geo_re_resolve", "--config", str(full.config))
    assert full.countries()[GOOGLE] == "US"
    assert daemon.stop() == 0  # and what the daemon had to write was not touched
    assert full.countries()["9.9.9.9"] == "SE"


# --- lookup ---


def test_addresses_of_all_kinds_are_looked_up(place: Installation) -> None:
    asked = [
        GOOGLE,
        "::ffff:8.8.4.4",
        GOOGLE6,
        "10.1.2.3",
        "127.0.0.1",
        "192.0.2.7",
        "fe80::1",
        "no address",
        "1.1.1.1",
    ]
    place.insert(rows=[("1.1.1.1", "AU", text())])
    answers = run_json("lookup", *asked, "--config", str(place.config))
    assert [answer["ip"] for answer in answers] == asked
    assert [answer["status"] for answer in answers] == [
        "resolved",
        "resolved",
        "unresolved",
        *["private"] * 4,
        "invalid",
        "resolved",
    ]
    assert answers[0] | {"ip": ""} == {
        "ip": "",
        "status": "resolved",
        "country_code": "US",
        "country_name": "United States",
        "asn": None,
        "org": None,
        "origin": "embedded",
    }
    assert (answers[-1]["country_code"], answers[-1]["origin"]) == ("AU", "database")
    assert place.countries() == {"1.1.1.1": "AU", GOOGLE: "US", "8.8.4.4": "US", GOOGLE6: None}


def test_a_lookup_for_a_person_is_a_table(place: Installation) -> None:
    ran = bangeod("lookup", GOOGLE, "10.0.0.1", "--config", str(place.config))
    assert (ran.returncode, ran.stderr) == (0, "")
    head, *rows = ran.stdout.splitlines()
    assert head.split()[:3] == ["ADDRESS", "STATUS", "COUNTRY"]
    assert [row.split()[:3] for row in rows] == [[GOOGLE, "resolved", "US"], ["10.0.0.1", "private", "-"]]


def test_a_cached_lookup_asks_the_database_only_and_counts_as_use(place: Installation) -> None:
    place.insert(rows=[("1.1.1.1", "AU", LONG_AGO)])
    answers = run_json("lookup", "1.1.1.1", GOOGLE, "--cached-only", "--config", str(place.config))
    assert [(answer["status"], answer["country_code"]) for answer in answers] == [
        ("resolved", "AU"),
        ("unresolved", None),
    ]
    assert place.countries() == {"1.1.1.1": "AU"}
    assert place.execute("SELECT last_seen FROM geo_cache") > [(LONG_AGO,)]
    assert not list(place.state.iterdir())


def test_a_lookup_does_without_the_database(place: Installation) -> None:
    place.remove_database()
    ran = bangeod("lookup", GOOGLE, "--json", "--config", str(place.config))
    assert ran.returncode == 0
    assert json.loads(ran.stdout)[0]["country_code"] == "US"
    assert "there is no such database" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not place.database.exists()


def test_a_lookup_beside_the_daemon_leaves_it_alone(start: Start, place: Installation) -> None:
    daemon = start(every("100ms"))
    assert run_json("lookup", GOOGLE, "--config", str(place.config))[0]["country_code"] == "US"
    assert place.countries() == {GOOGLE: "US"}
    daemon.wait_for("session_cleanup_ran", since=daemon.mark())
    assert daemon.stop() == 0
    assert not [line for line in daemon.lines() if line["level"] in {"warning", "error"}]


def test_an_address_that_would_move_the_cursor_does_not(place: Installation) -> None:
    ran = bangeod("lookup", "\x1b[2Jx", "--config", str(place.config))
    assert ran.returncode == 0
    assert "\x1b" not in ran.stdout


# --- config show, init ---


def test_the_settings_in_force_are_shown_as_toml_without_secrets(place: Installation) -> None:
    place.configure({"geo.ip_api.key": "very-secret", "geo.ip_api.enabled": True})
    ran = bangeod("config", "show", "--config", str(place.config))
    assert (ran.returncode, ran.stderr) == (0, "")
    shown = tomllib.loads(ran.stdout)
    assert shown["database"]["path"] == str(place.database)
    assert shown["jobs"]["session_cleanup"]["interval"] == "6h"
    assert "very-secret" not in ran.stdout
    assert shown["geo"]["ip_api"]["url"] == "https://pro.ip-api.com/batch"


def test_the_config_is_found_through_the_environment(place: Installation) -> None:
    ran = bangeod("config", "show", environ={"BANGEOD_CONFIG": str(place.config)})
    assert tomllib.loads(ran.stdout)["state"]["directory"] == str(place.state)


def test_what_init_makes_is_ready_to_run(launch: Start, tmp_path: Path) -> None:
    home = tmp_path / "demo"
    ran = bangeod("init", str(home))
    assert ran.returncode == 0
    assert str(home / "bangeod.toml") in ran.stdout
    daemon = launch(home / "bangeod.toml")
    daemon.wait_for("ready")
    lookup = run_json("lookup", GOOGLE, "--config", str(home / "bangeod.toml"))
    assert lookup[0]["country_code"] == "US"
    assert daemon.stop() == 0
    assert not [line for line in daemon.lines() if line["level"] in {"warning", "error"}]


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    assert bangeod("init", str(home)).returncode == 0
    (home / "bangeod.toml").write_text("mine")
    again = bangeod("init", str(home))
    assert (again.returncode, again.stdout) == (1, "")
    assert "already there" in again.stderr
    assert (home / "bangeod.toml").read_text() == "mine"


@pytest.mark.parametrize("command", [("config", "show"), ("job", "list"), ("job", "run", JOBS[0]), ("lookup", GOOGLE)])
def test_every_command_refuses_a_bad_config_alike(place: Installation, command: tuple[str, ...]) -> None:
    place.configure({"database.busy_timeout": "long", "log.level": "loud"})
    ran = bangeod(*command, "--config", str(place.config))
    assert (ran.returncode, ran.stdout) == (78, "")
    assert [line.split(": ")[1] for line in ran.stderr.splitlines()] == ["database.busy_timeout", "log.level"]


def named(country: str, name: str) -> dict[str, object]:
    return {"country": {"iso_code": country, "names": {"en": name}}}


def names(place: Installation, code: str) -> set[str]:
    return {name for (name,) in place.execute("SELECT country_name FROM geo_cache WHERE country_code = ?", [code])}


def look_up(place: Installation, ip: str) -> str:
    return str(run_json("lookup", ip, "--config", str(place.config))[0]["country_name"])


def test_a_country_has_one_name_whichever_source_answers(place: Installation) -> None:
    assert look_up(place, "5.8.8.8") == "Russia"
    file = write_mmdb(place.home / "own.mmdb", {"5.8.0.0/16": named("RU", "Russian Federation")})
    place.configure({"geo.mmdb": [str(file)]})
    assert look_up(place, "5.8.8.9") == "Russia"
    assert names(place, "RU") == {"Russia"}
    assert tomllib.loads((place.state / "state.toml").read_text()) == {"country_names": {"RU": "Russia"}}


def test_a_country_is_called_as_most_rows_of_the_web_app_have_it_and_none_is_rewritten(place: Installation) -> None:
    place.insert(rows=[(f"5.8.8.{i}", "RU", text()) for i in range(3)])
    place.execute("UPDATE geo_cache SET country_name = iif(ip = '5.8.8.0', 'Russland', 'Russian Federation')")
    assert look_up(place, "5.8.8.9") == "Russian Federation"
    assert names(place, "RU") == {"Russland", "Russian Federation"}


def test_what_is_left_unwritten_is_written_under_the_name_that_the_table_has(place: Installation) -> None:
    place.leave_unwritten("9.9.9.9", country="RU")
    place.insert(rows=[("5.8.8.1", "RU", text())])
    place.execute("UPDATE geo_cache SET country_name = 'Russian Federation'")
    run_json("job", "run", "geo_cache_flush", "--config", str(place.config))
    assert place.countries()["9.9.9.9"] == "RU"
    assert names(place, "RU") == {"Russian Federation"}


# --- run ---


@pytest.mark.parametrize("words", [["--config", "FILE"], ["--config=FILE"], ["--config", "other", "--config", "FILE"]])
def test_the_daemon_that_finds_no_config_says_so_however_the_file_is_named(tmp_path: Path, words: list[str]) -> None:
    missing = str(tmp_path / "missing.toml")
    ran = bangeod("run", *(word.replace("FILE", missing) for word in words))
    assert (ran.returncode, ran.stdout) == (78, "")
    assert ran.stderr.startswith(f"{missing}: ")
    assert len(ran.stderr.splitlines()) == 1


def test_the_daemon_finds_the_config_of_the_environment_where_none_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.toml")
    ran = bangeod("run", environ={"BANGEOD_CONFIG": missing})
    assert (ran.returncode, ran.stderr.startswith(f"{missing}: ")) == (78, True)


@pytest.mark.parametrize("words", [["--config"], ["--nonsense"], ["now"], ["--config", "a", "b"]])
def test_a_daemon_that_is_started_in_a_wrong_way_does_not_run(words: list[str]) -> None:
    ran = bangeod("run", *words)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "Error: " in ran.stderr


def test_the_daemons_help_is_a_page_of_its_own() -> None:
    ran = bangeod("run", "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("Usage: bangeod run [OPTIONS]")
