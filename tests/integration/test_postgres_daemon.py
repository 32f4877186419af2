"""The real daemon on a PostgreSQL server: what it does there, and while the server is away."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conftest import Start
from tests.support.daemon.installation import every, text
from tests.support.daemon.notify_socket import NotifySocket
from tests.support.daemon.on_server import ROLE, OnServer, on_server, own_server_or_skip
from tests.support.daemon.process import bangeod
from tests.support.feed import eventually
from tests.support.servers.postgres import PostgresServer

GOOGLE, CLOUDFLARE = "8.8.8.8", "1.1.1.1"
SECRET = "s3kr3t"
LETS_IN_BY_PASSWORD = "local all postgres trust\nlocal all all scram-sha-256\n"
QUICK = every("100ms")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Give a server of this module's own, which tests may stop and start."""
    server = own_server_or_skip()
    try:
        server.make()
        server.start()
        with closing(server.connect()) as admin:
            admin.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{SECRET}'")
        yield server
    finally:
        server.end()


@pytest.fixture
def place(tmp_path: Path, server: PostgresServer) -> Iterator[OnServer]:
    """Give an installation on the server, without tables."""
    with on_server(tmp_path / "bangeod", server) as place:
        yield place


@pytest.fixture
def asks_for_passwords(place: OnServer) -> Iterator[None]:
    """Have the server let nobody in without a password but its superuser."""
    rules = place.server.home / "data" / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(LETS_IN_BY_PASSWORD)
    place.sql("SELECT pg_reload_conf()")
    yield
    rules.write_text(before)
    place.sql("SELECT pg_reload_conf()")


def test_what_a_lookup_finds_is_written_and_shown_with_the_servers_url(start: Start, place: OnServer) -> None:
    place.make_tables()
    daemon = start(every("100ms", "geo_cache_flush"), {"api.enabled": True})
    assert daemon.lines("starting")[0]["database"] == place.url
    looked_up = bangeod("lookup", "--json", GOOGLE, "--config", str(place.config))
    assert json.loads(looked_up.stdout)[0]["country_code"] == "US"
    daemon.wait_for("geo_cache_flush_ran", flushed=1)
    assert place.sql("SELECT ip, country_code FROM geo_cache") == [(GOOGLE, "US")]
    state = json.loads(bangeod("status", "--json", "--config", str(place.config)).stdout)
    assert (state["database"]["path"], state["database"]["kind"], state["healthy"]) == (place.url, "postgresql", True)
    assert f"{place.url}: " in bangeod("status", "--config", str(place.config)).stdout
    assert daemon.stop() == 0
    assert not place.database.with_name(f"{place.database.name}.bangeod-lock").exists()


def test_the_jobs_work_on_the_servers_tables(start: Start, place: OnServer) -> None:
    place.make_tables()
    rows = f"('{GOOGLE}', NULL, now()), ('{CLOUDFLARE}', 'AU', '2001-01-01Z')"
    place.sql(f"INSERT INTO geo_cache (ip, country_code, last_seen) VALUES {rows}")
    place.sql("INSERT INTO sessions (token, expires_at) VALUES ('old', '2001-01-01Z'), ('new', now() + '1 day')")
    daemon = start(QUICK)
    daemon.wait_for("session_cleanup_ran", deleted_count=1)
    daemon.wait_for("geo_cache_cleanup_ran", deleted=1)
    daemon.wait_for("geo_re_resolve_complete", resolved=1)
    assert daemon.stop() == 0
    assert place.sql("SELECT token FROM sessions") == [("new",)]
    assert place.sql("SELECT ip, country_code FROM geo_cache") == [(GOOGLE, "US")]


def test_while_the_server_is_away_what_is_to_be_written_waits_and_is_written_when_it_is_back(
    watched: Start, place: OnServer, systemd: NotifySocket
) -> None:
    place.make_tables()
    daemon = watched(QUICK, {"api.enabled": True})
    daemon.wait_for("session_cleanup_ran")
    place.server.stop()
    try:
        assert daemon.wait_for("job_failed", job_id="session_cleanup")["error"].startswith(f"{place.url}: ")
        systemd.wait_for("STATUS", containing="database unreachable")
        found = bangeod("lookup", "--json", GOOGLE, "--config", str(place.config))
        assert json.loads(found.stdout)[0]["country_code"] == "US"
        systemd.wait_for("STATUS", containing="1 to write")
        seen = systemd.mark()
    finally:
        place.server.start()
    daemon.wait_for("job_recovered", job_id="session_cleanup")
    eventually(lambda: place.sql("SELECT ip, country_code FROM geo_cache") == [(GOOGLE, "US")], "the row is written")
    systemd.wait_for("STATUS", beginning="4 jobs, 1 cached, 0 to write", since=seen)
    assert not daemon.lines("database_replaced")
    assert daemon.stop() == 0


def test_what_could_not_be_written_at_the_stop_is_written_by_the_next_daemon(start: Start, place: OnServer) -> None:
    place.make_tables()
    daemon = start({"api.enabled": True})
    place.server.stop()
    try:
        bangeod("lookup", GOOGLE, "--config", str(place.config))
        assert daemon.stop() == 0
        assert daemon.lines("leftover_kept")[0]["entries"] == 1
        assert "no server answers" in daemon.lines("final_flush_failed")[0]["problem"]
    finally:
        place.server.start()
    daemon = start(every("100ms", "geo_cache_flush"))
    daemon.wait_for("geo_cache_flush_ran", flushed=1)
    assert daemon.stop() == 0
    assert place.sql("SELECT ip, country_code FROM geo_cache") == [(GOOGLE, "US")]


def test_tables_that_are_missing_are_named_and_taken_up_when_they_are_made(
    watched: Start, place: OnServer, systemd: NotifySocket
) -> None:
    daemon = watched(QUICK)
    assert "there is no table sessions" in daemon.wait_for("job_failed", job_id="session_cleanup")["error"]
    systemd.wait_for("STATUS", containing="there is no table")
    place.make_tables()
    daemon.wait_for("session_cleanup_ran")
    daemon.wait_for("geo_re_resolve_skip", reason="no_unresolved_ips")
    assert daemon.stop() == 0


@pytest.mark.usefixtures("asks_for_passwords")
def test_a_wrong_password_is_an_unusable_database_like_any_other_and_shown_nowhere(
    watched: Start, place: OnServer, systemd: NotifySocket
) -> None:
    place.make_tables()
    wrong = f"wrong-{SECRET}"
    place.configure({"database.url": place.url.replace(f"{ROLE}@", f"{ROLE}:{wrong}@")}, QUICK)
    daemon = watched()
    assert daemon.lines("database_unavailable")[0]["problem"] == "the server refuses the password"
    assert "the server refuses the password" in systemd.wait_for("READY")["STATUS"]
    daemon.wait_for("job_failed", job_id="session_cleanup")
    ran, shown, found = (
        bangeod(*command, "--config", str(place.config))
        for command in (["job", "run", "session_cleanup"], ["config", "show"], ["check"])
    )
    assert (ran.returncode, shown.returncode, found.returncode) == (1, 0, 1)
    assert "the server refuses the password" in found.stdout
    assert daemon.stop() == 0
    told = [*map(str, daemon.lines()), *(out for done in (ran, shown, found) for out in (done.stdout, done.stderr))]
    assert not any(wrong in line for line in told)


@pytest.mark.usefixtures("asks_for_passwords")
def test_the_credential_is_the_password_before_what_the_config_says(start: Start, place: OnServer) -> None:
    place.make_tables()
    (place.home / "postgres_password").write_text(f"{SECRET}\n")
    place.configure({"database.url": place.url.replace(f"{ROLE}@", f"{ROLE}:wrong@")})
    daemon = start(QUICK, environ={"CREDENTIALS_DIRECTORY": str(place.home)})
    daemon.wait_for("session_cleanup_ran")
    assert daemon.stop() == 0
    assert not any(SECRET in str(line) for line in daemon.lines())


def test_a_second_daemon_on_the_same_state_is_turned_away(start: Start, place: OnServer) -> None:
    place.make_tables()
    start()
    second = bangeod("run", "--config", str(place.config))
    assert second.returncode == 75
    assert f"another bangeod works with the state directory {place.state}" in second.stderr


def test_a_job_can_be_run_by_hand_without_a_daemon(place: OnServer) -> None:
    place.make_tables()
    place.sql(f"INSERT INTO sessions (token, expires_at) VALUES ('old', '{text(timedelta(minutes=-1))}')")
    ran = bangeod("job", "run", "session_cleanup", "--json", "--config", str(place.config))
    assert json.loads(ran.stdout)["figures"]["deleted_count"] == 1
    assert place.sql("SELECT token FROM sessions") == []
