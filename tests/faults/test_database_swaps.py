"""The database changes beneath a daemon that is asked all the while and has entries which it could not write yet.

What must hold in the end: the file that is there is whole and has what came with it, every entry that was not written
yet or was learned since, and nothing else of the old one; each thing that was wrong was said once; every lookup was
answered all the while.
"""

import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import httpx
import pytest

from bangeod.client import Entry, GeoClient
from bangeod.store import schema
from tests.asking import Asking, new_addresses, socket_of
from tests.conftest import Start
from tests.daemon_process import DaemonProcess
from tests.faults.soak import times
from tests.feed import eventually
from tests.installation import JOBS, Installation, every, text
from tests.mmdb_files import write_mmdb

HERE = "SE"  # where the MMDB has all of 20.0.0.0/8
WAITING = list(islice(new_addresses("20.1"), 50))  # what is looked up while nothing can be written
TAKEN, OPEN = WAITING[:2]  # what the new database has: the one with a country of its own, the other without
EXPIRED = ("expired", "2001-01-01T00:00:00Z")
LIVE = ("live", "2999-01-01T00:00:00Z")
TABLES = {"geo_cache": schema.GEO_CACHE, "sessions": schema.SESSIONS}
SETTLED = 20  # answers after which things have had time to go wrong
ROWS = 3_000  # in either database: their files are about as large, which is the worst case

pytestmark = pytest.mark.usefixtures("locked_for_long")  # the half minute passes while these run

Harm = Callable[[Installation, Path], None]


class Scene:
    """A daemon at work on a database, a worker that asks it, and another database to be put in its place."""

    def __init__(self, daemon: DaemonProcess, place: Installation, backup: Path, asking: Asking) -> None:
        self.daemon = daemon
        self.place = place
        self.backup = backup
        self.asking = asking
        self.asked_since = 0  # answers
        self.said_since = 0  # log lines

    def harm(self, harm: Harm) -> None:
        """Do something to the database at a moment at which entries wait that could not be written."""
        self.daemon.wait_for("geo_cache_flush_ran")
        with self.place.locked():
            self.look_up_what_waits()
            self.daemon.wait_for("job_failed", job_id="geo_cache_flush", since=self.said_since)
            harm(self.place, self.backup)

    def look_up_what_waits(self) -> None:
        """Look addresses up that can't be written now."""
        self.asked_since, self.said_since = len(self.asking.heard()), self.daemon.mark()
        with GeoClient(str(socket_of(self.place)), strict=True) as client:
            assert all_answered(client.lookup_batch(WAITING))

    def wait_for_failures(self, said: str) -> None:
        """Wait until each job has failed for this reason."""
        for job in JOBS:
            eventually(lambda job=job: any(said in error for error in self.errors(job)), f"{job} fails: {said}")  # type: ignore[misc]

    def health(self) -> int:
        """Return the status of /healthz."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket_of(self.place)))) as client:
            return client.get("http://bangeod/healthz").status_code

    def settle(self) -> None:
        """Let everything be written, and stop."""
        eventually(self.all_is_written, "what waited is written")
        self.asking.wait_for_answers(SETTLED)
        self.asking.finish()
        assert self.daemon.stop() == 0
        assert not self.place.unwritten.exists()

    def all_is_written(self) -> bool:
        return set(WAITING) <= self.place.countries().keys()

    def left_over(self) -> dict[str, str | None]:
        """Return the rows of the database without those of what the daemon was asked; all that must be there are."""
        heard = [entry.ip for entry in self.asking.heard()]
        rows = self.place.countries()
        assert not {*WAITING, *heard[self.asked_since + 1 :]} - rows.keys()
        assert {rows.pop(ip, HERE) for ip in [*WAITING, *heard] if ip != TAKEN} == {HERE}
        return rows

    def errors(self, job: str) -> list[str]:
        """Return what a job has said to be wrong; that the database was locked left out."""
        lines = self.daemon.lines("job_failed", since=self.said_since, job_id=job, level="error")
        return [line["error"] for line in lines if "locked" not in line["error"]]


@pytest.fixture
def backup(place: Installation) -> Path:
    """Give another database, closed and without a log, with rows and sessions of its own."""
    other = Installation(place.home / "backup")
    other.make()
    fill(other, "31.1", ROWS)
    other.insert(rows=[(TAKEN, "AQ", text()), (OPEN, None, text())], sessions=[EXPIRED, LIVE])
    return other.database


@pytest.fixture
def scene(start: Start, place: Installation, backup: Path, tmp_path: Path) -> Iterator[Scene]:
    mmdb = write_mmdb(tmp_path / "country.mmdb", {"20.0.0.0/8": {"country_code": HERE}})
    fill(place, "30.1", ROWS)
    place.insert(sessions=[("another", LIVE[1])])
    daemon = start(every("100ms"), {"api.enabled": True, "geo.mmdb": [str(mmdb)], "geo.embedded": False})
    with Asking(socket_of(place), new_addresses("20.2")) as asking:
        yield Scene(daemon, place, backup, asking)


def fill(place: Installation, network: str, count: int) -> None:
    place.insert(rows=((ip, "NO", text()) for ip in islice(new_addresses(network), count)))


def all_answered(answers: list[Entry]) -> bool:
    return {answer.country_code for answer in answers} == {HERE}


# --- another database ---


def renamed_over(place: Installation, backup: Path) -> None:
    """Do what mv does, with the old one's log still there."""
    shutil.copyfile(backup, place.home / "part").rename(place.database)


def copied_over(place: Installation, backup: Path) -> None:
    """Do what cp does: the inode stays."""
    shutil.copyfile(backup, place.database)


def copied_over_and_the_log_removed(place: Installation, backup: Path) -> None:
    copied_over(place, backup)
    for suffix in ("-wal", "-shm"):
        place.database.with_name(place.database.name + suffix).unlink()


def deleted_and_copied(place: Installation, backup: Path) -> None:
    place.database.unlink()
    copied_over(place, backup)


@pytest.mark.parametrize("harm", [renamed_over, copied_over, copied_over_and_the_log_removed, deleted_and_copied])
def test_a_backup_is_found_whole_and_gets_what_waited(scene: Scene, harm: Harm) -> None:
    for _ in range(times(1, 10)):
        scene.harm(harm)
        scene.daemon.wait_for("database_replaced", since=scene.said_since)
        eventually(scene.all_is_written, "what waited is written")
    scene.settle()
    assert scene.place.execute("PRAGMA integrity_check") == [("ok",)]
    assert scene.left_over() == {**dict.fromkeys(islice(new_addresses("31.1"), ROWS), "NO"), TAKEN: "AQ"}
    assert scene.place.tokens() == {"live"}
    assert scene.asking.failures == []
    assert all_answered(scene.asking.heard())


# --- something that is no database, or one without its tables, and later a good one ---


def deleted(place: Installation, _backup: Path) -> None:
    place.database.unlink()


def garbage_renamed_over(place: Installation, _backup: Path) -> None:
    part = place.home / "part"
    part.write_bytes(b"no database at all\n" * 5_000)
    part.rename(place.database)


def garbage_written_over(place: Installation, _backup: Path) -> None:
    place.database.write_bytes(b"no database at all\n" * 5_000)


def emptied(place: Installation, _backup: Path) -> None:
    place.database.write_bytes(b"")


def empty_one_renamed_over(place: Installation, _backup: Path) -> None:
    part = place.home / "part"
    part.touch()
    part.rename(place.database)


MISSING, NONE, EMPTY = "there is no such database", "is no SQLite database", "there is no table"


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (deleted, MISSING),
        (garbage_renamed_over, NONE),
        (garbage_written_over, NONE),
        (empty_one_renamed_over, EMPTY),
        (emptied, EMPTY),
    ],
)
def test_what_is_no_database_is_said_once_and_a_good_one_gets_what_waited(scene: Scene, harm: Harm, said: str) -> None:
    scene.harm(harm)
    scene.wait_for_failures(said)
    since = len(scene.asking.heard())
    scene.asking.wait_for_answers(SETTLED)
    assert all_answered(scene.asking.heard(since))
    health = scene.health()
    renamed_over(scene.place, scene.backup)
    scene.settle()
    assert health == 503
    assert scene.place.execute("PRAGMA integrity_check") == [("ok",)]
    assert scene.left_over() == {**dict.fromkeys(islice(new_addresses("31.1"), ROWS), "NO"), TAKEN: "AQ"}
    assert scene.place.tokens() == {"live"}
    assert scene.asking.failures == []
    assert {job: sum(said in error for error in scene.errors(job)) for job in JOBS} == dict.fromkeys(JOBS, 1)


def test_tables_that_are_dropped_and_made_again_get_what_waited(scene: Scene) -> None:
    for table in TABLES:
        scene.place.execute(f"DROP TABLE {table}")
    scene.look_up_what_waits()
    scene.wait_for_failures(EMPTY)
    for statement in TABLES.values():
        scene.place.execute(statement)
    scene.place.insert(rows=[(TAKEN, "AQ", text()), (OPEN, None, text())], sessions=[EXPIRED, LIVE])
    scene.settle()
    assert scene.place.execute("PRAGMA integrity_check") == [("ok",)]
    assert scene.left_over() == {TAKEN: "AQ"}
    assert scene.place.tokens() == {"live"}
    assert scene.asking.failures == []
    assert all_answered(scene.asking.heard())
