"""Several real daemons on one database of a server: what one finds, all know, and each job is run by one at a time."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bangeod.fleet import schema
from tests.conftest import Start
from tests.support.daemon.installation import Installation, every, text
from tests.support.daemon.on_server import ROLE, OnServer, on_server, own_server_or_skip
from tests.support.daemon.process import DaemonProcess, bangeod
from tests.support.feed import eventually
from tests.support.servers.postgres import SUPERUSER, PostgresServer

GOOGLE, CLOUDFLARE = "8.8.8.8", "1.1.1.1"
JOB = "session_cleanup"
Another = Callable[..., tuple[Installation, DaemonProcess]]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Give a server of this module's own, which tests may stop and start."""
    server = own_server_or_skip()
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.end()


@pytest.fixture
def place(tmp_path: Path, server: PostgresServer) -> Iterator[OnServer]:
    """Give the first daemon's installation, with both tables."""
    with on_server(tmp_path / "first", server) as place:
        place.make_tables()
        yield place


@pytest.fixture
def another(launch: Start, place: OnServer, tmp_path: Path) -> Another:
    """Give a function that starts one more daemon on the same database, with a state and a socket of its own."""
    started: list[Installation] = []

    def another(*changes: dict[str, object]) -> tuple[Installation, DaemonProcess]:
        home = Installation(tmp_path / f"another{len(started)}")
        started.append(home)
        home.state.mkdir(parents=True)
        home.configure({"database.path": "", "database.url": place.url}, *changes)
        daemon = launch(home.config)
        daemon.wait_until_loaded()
        return home, daemon

    return another


def make_fleet(place: OnServer) -> None:
    """Make the schema ``bangeod``, and let bangeod's role use it."""
    schema.create(place.server.conninfo(place.name, SUPERUSER))
    place.sql(
        f"GRANT USAGE ON SCHEMA bangeod TO {ROLE}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA bangeod TO {ROLE}",
    )


def cached(home: Installation, ip: str) -> Any:
    """Return the country that a daemon's memory has for an address."""
    found = bangeod("lookup", "--json", "--cached-only", ip, "--config", str(home.config))
    return json.loads(found.stdout)[0]["country_code"]


def state_of(home: Installation) -> Any:
    return json.loads(bangeod("status", "--json", "--config", str(home.config)).stdout)


def test_what_one_finds_and_what_it_deletes_the_others_know(start: Start, place: OnServer, another: Another) -> None:
    start({"api.enabled": True})
    home, _ = another({"api.enabled": True})
    bangeod("lookup", GOOGLE, "--config", str(place.config))
    eventually(lambda: cached(home, GOOGLE) == "US", "the other's memory has it, long before the flush is due")

    def is_deleted() -> bool:
        place.sql("UPDATE geo_cache SET last_seen = '2001-01-01Z'")  # a flush may write today's once more
        ran = bangeod("job", "run", "geo_cache_cleanup", "--config", str(place.config))
        return "deleted 1" in ran.stdout

    eventually(is_deleted, "the row is deleted")
    eventually(lambda: cached(home, GOOGLE) is None, "the other's memory has forgotten it")


def test_after_a_restart_of_the_server_they_hear_each_other_again_and_read_what_they_missed(
    start: Start, place: OnServer, another: Another
) -> None:
    start(every("100ms", "geo_cache_flush"), {"api.enabled": True})
    home, daemon = another({"api.enabled": True})
    since = daemon.mark()
    place.server.stop()
    place.server.start()
    place.sql(f"INSERT INTO geo_cache (ip, country_code, last_seen) VALUES ('{CLOUDFLARE}', 'AU', now())")
    daemon.wait_for("listening_lost", since=since)
    daemon.wait_for("listening_again", since=since)
    eventually(lambda: cached(home, CLOUDFLARE) == "AU", "it has read what was written meanwhile")
    bangeod("lookup", GOOGLE, "--config", str(place.config))
    eventually(lambda: cached(home, GOOGLE) == "US", "it hears the other again")


def test_a_job_whose_daemon_is_killed_is_taken_over_within_its_interval(
    start: Start, place: OnServer, another: Another
) -> None:
    settings = {**every("1s", JOB), "database.busy_timeout": "60s"}
    place.sql(f"INSERT INTO sessions (token, expires_at) VALUES ('old', '{text()}')")
    with closing(place.server.connect(place.name)) as web_app, web_app.transaction():
        web_app.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
        first = start(settings)
        eventually(
            lambda: web_app.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'").fetchone() is not None,
            "the first one runs the job",
        )
        _, second = another(settings, {"api.enabled": True})
        second.wait_for("job_elsewhere", job_id=JOB)
        assert not second.lines("session_cleanup_ran")
        first.send(signal.SIGKILL)
        first.ended()
    second.wait_for("session_cleanup_ran", deleted_count=1)
    assert not second.lines("job_failed")


def test_a_job_that_another_daemon_runs_is_not_run_by_hand(start: Start, place: OnServer, another: Another) -> None:
    with closing(place.server.connect(place.name)) as web_app, web_app.transaction():
        web_app.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
        start(every("1s", JOB), {"database.busy_timeout": "60s"})
        eventually(
            lambda: web_app.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'").fetchone() is not None,
            "it runs the job",
        )
        home, _ = another({"api.enabled": True})
        for config in (home.config, _without_daemon(home)):
            ran = bangeod("job", "run", JOB, "--config", str(config))
            assert ran.returncode == 1
            assert "session_cleanup is running now on another daemon of this database" in ran.stderr


def _without_daemon(home: Installation) -> Path:
    """Return a config for the same database, beside which no daemon runs."""
    alone = Installation(home.home.with_name("alone"))
    alone.state.mkdir(parents=True)
    alone.configure({name: home.settings[name] for name in ("database.path", "database.url")})
    return alone.config


def test_what_one_has_done_counts_for_all_and_they_see_each_other(
    start: Start, place: OnServer, another: Another
) -> None:
    make_fleet(place)
    first = start({"api.enabled": True})
    first.wait_for("session_cleanup_ran")
    home, second = another({"api.enabled": True})
    done = second.wait_for("job_done_elsewhere", job_id=JOB)
    assert done["ago"] < 60
    eventually(lambda: (state_of(home)["daemons"] or {}).get("count") == 2, "it sees both")
    seen = state_of(home)
    assert seen["daemons"]["listening"]
    (job,) = [job for job in seen["jobs"] if job["id"] == JOB]
    assert (job["runs"], job["last_success"] is not None) == (0, True)
    assert "2 daemons within a minute" in bangeod("status", "--config", str(home.config)).stdout
    assert second.stop() == 0
    assert len(place.sql("SELECT 1 FROM bangeod.state WHERE name LIKE 'daemon %'")) == 1


def test_hosts_of_a_fleet_with_files_of_their_own_see_each_other(
    launch: Start, place: OnServer, tmp_path: Path
) -> None:
    make_fleet(place)
    homes = [Installation(tmp_path / name) for name in ("left", "right")]
    for home in homes:
        home.make()
        home.configure({"fleet.url": place.url, "fleet.host": home.home.name, "api.enabled": True})
        launch(home.config).wait_until_loaded()
    eventually(lambda: (state_of(homes[1])["daemons"] or {}).get("count") == 2, "the second sees both")
    assert state_of(homes[1])["daemons"]["listening"] is None
    assert sorted(place.sql("SELECT host FROM bangeod.state WHERE name LIKE 'daemon %'")) == [("left",), ("right",)]
