"""``bangeod migrate`` as a person runs it: what it says, with which exit status, and that it can be killed."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bangeod.store.migration.journal import FILE
from bangeod.store.sqlite import schema
from tests.support.daemon.on_server import ROLE, OnServer, on_server
from tests.support.daemon.process import bangeod, environment
from tests.support.feed import eventually
from tests.support.servers import postgres

LATER = "2099-01-01T00:00:00Z"
DONE, FAILED, USAGE, BAD_CONFIG = 0, 1, 2, 78


@pytest.fixture
def place(tmp_path: Path) -> Iterator[OnServer]:
    """Give a file with some rows, and tables on a server, which is not in the config yet."""
    with on_server(tmp_path / "bangeod", postgres.shared_or_skip()) as place:
        schema.create(place.database)
        place.configure({"database.path": str(place.database), "database.url": ""})
        place.make_tables()
        place.insert([(f"192.0.2.{n}", "DE", "2026-11-22T00:00:00Z") for n in range(100)], [("a", LATER), ("b", LATER)])
        yield place


def migrate(place: OnServer, *arguments: str, url: str = "") -> subprocess.CompletedProcess[str]:
    return bangeod("migrate", "--config", str(place.config), "--to", url or place.url, *arguments)


def test_it_says_what_it_copied_and_compared(place: OnServer) -> None:
    done = migrate(place)
    assert (done.returncode, done.stderr) == (DONE, "")
    assert done.stdout.startswith(f"{place.database} → {place.url}\n\ngeo_cache: 100 rows in the file\n")
    assert re.search(r"^ +100  copied$", done.stdout, re.MULTILINE)
    assert re.search(r"^ +100  compared, checksum [0-9a-f]{32} on both sides$", done.stdout, re.MULTILINE)
    assert "Done and verified, in " in done.stdout
    assert place.sql("SELECT count(*) FROM geo_cache") == [(100,)]
    assert place.sql("SELECT token FROM sessions ORDER BY 1") == [("a",), ("b",)]
    again = json.loads(migrate(place, "--json").stdout)
    assert [(table["same"], table["copied"]) for table in again["tables"]] == [(100, 0), (2, 0)]


def test_a_dry_run_says_what_it_would_do_and_does_nothing(place: OnServer) -> None:
    done = migrate(place, "--dry-run")
    assert (done.returncode, done.stderr) == (DONE, "")
    assert "would be copied" in done.stdout
    assert done.stdout.endswith("Nothing was changed.\n")
    assert place.sql("SELECT count(*) FROM geo_cache") == [(0,)]
    assert not (place.state / FILE).exists()


def test_what_the_server_refuses_is_named_and_fails(place: OnServer) -> None:
    place.sql("ALTER TABLE geo_cache ADD CONSTRAINT no_seven CHECK (ip <> '192.0.2.7')")
    done = migrate(place)
    assert done.returncode == FAILED
    assert re.search(r'1  REFUSED by the server: .*"no_seven" \(192\.0\.2\.7\)$', done.stdout, re.MULTILINE)
    assert done.stdout.splitlines()[-1].startswith("NOT all of it is there")


@pytest.mark.parametrize(
    ("url", "status", "told"),
    [
        ("postgresql://web:secret@/db", USAGE, "a password on the command line can be seen"),
        ("http://db/", USAGE, "--to: expected a url of PostgreSQL"),
        ("postgresql://web@/db?host=/nowhere", FAILED, "no server answers"),
    ],
)
def test_a_url_of_no_use_is_one_clear_error(place: OnServer, url: str, status: int, told: str) -> None:
    failed = migrate(place, url=url)
    assert (failed.returncode, failed.stdout) == (status, "")
    assert told in failed.stderr
    assert "secret" not in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_config_that_names_no_file_is_refused(place: OnServer) -> None:
    place.configure({"database.path": "", "database.url": place.url})
    failed = migrate(place)
    assert (failed.returncode, failed.stdout) == (USAGE, "")
    assert "the config names no file to copy from" in failed.stderr
    assert bangeod("migrate", "--config", str(place.home / "gone"), "--to", place.url).returncode == BAD_CONFIG


def test_killed_in_the_middle_the_same_command_goes_on(place: OnServer) -> None:
    place.insert([(f"198.51.{n // 250}.{n % 250}", "FR", "2026-11-22T00:00:00Z") for n in range(4_000)])
    place.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.0005); RETURN NEW; END $$",
        "CREATE TRIGGER slow BEFORE INSERT ON geo_cache FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    command = [sys.executable, "-m", "bangeod", "migrate", "--config", str(place.config), "--to", place.url]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment(None)) as process:
        eventually(lambda: place.sql("SELECT count(*) > 0 FROM geo_cache") == [(True,)], "a page is there")
        process.kill()
        assert process.wait() == -signal.SIGKILL
    place.sql("DROP TRIGGER slow ON geo_cache")
    ((copied,),) = place.sql("SELECT count(*) FROM geo_cache")
    assert 0 < copied < 4_100
    done = migrate(place, "--json")
    assert done.returncode == DONE
    geo = json.loads(done.stdout)["tables"][0]
    assert geo["copied"] + geo["same"] == geo["compared"] == 4_100
    assert geo["same"] >= copied


def test_stopped_by_an_error_it_says_how_far_it_came(place: OnServer) -> None:
    place.sql(
        "CREATE FUNCTION ended() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$",
        "CREATE TRIGGER ended BEFORE INSERT ON geo_cache FOR EACH ROW EXECUTE FUNCTION ended()",
    )
    failed = migrate(place)
    assert (failed.returncode, failed.stdout) == (FAILED, "")
    first, second = failed.stderr.splitlines()
    assert first.startswith("copying geo_cache came as far as 0 of 100 rows. Run the same command again: it goes on")
    assert "the server has ended the connection" in second


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand a file over")
def test_run_by_root_it_leaves_the_services_user_its_file(place: OnServer) -> None:
    os.chown(place.state, 65_534, 65_534)
    assert migrate(place).returncode == DONE
    assert (place.state / FILE).stat().st_uid == 65_534


def test_a_role_that_may_not_write_is_told_what_it_lacks(place: OnServer) -> None:
    place.sql(f"REVOKE INSERT ON sessions FROM {ROLE}")
    failed = migrate(place)
    assert (failed.returncode, failed.stdout) == (FAILED, "")
    assert f"role {ROLE} lacks INSERT on table public.sessions; GRANT INSERT ON public.sessions" in failed.stderr
