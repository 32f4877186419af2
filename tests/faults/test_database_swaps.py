"""The database changes, or is locked, beneath a daemon that is asked all the while and can't write some entries yet.

What must hold in the end: the file that is there is whole and has what came with it, every entry that was not written
yet or was learned since, and nothing else of the old one; each thing that was wrong was said once; every lookup was
answered all the while.
"""

import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from bangeod.client import Entry, GeoClient
from bangeod.store.sqlite import schema
from tests.conftest import Start
from tests.faults.long_lock import LIMIT, LongLock
from tests.faults.soak import times
from tests.support.daemon.installation import JOBS, Installation, every, text
from tests.support.daemon.process import DaemonProcess
from tests.support.feed import DEADLINE, eventually
from tests.support.mmdb.files import write_mmdb
from tests.support.web_app.habits import Habits, new_addresses
from tests.support.web_app.web_app import WebApp

if TYPE_CHECKING:
    from sqlite3 import Connection

HERE = "SE"  # where the MMDB has all of 20.0.0.0/8
AT_ONCE = 50  # addresses that are looked up while nothing can be written
EXPIRED = ("expired", "2001-01-01T00:00:00Z")
LIVE = ("live", "2999-01-01T00:00:00Z")
TABLES = {"geo_cache": schema.GEO_CACHE, "sessions": schema.SESSIONS}
SETTLED = 20  # answers after which things have had time to go wrong
ROWS = 3_000  # in either database: their files are about as large, which is the worst case

pytestmark = pytest.mark.usefixtures("locked_for_long")  # the half minute passes while these run

Row = tuple[str, str | None, str]  # address, country, when it was last seen
Harm = Callable[[Installation, Path], None]


class Scene:
    """A daemon at work on a database, a worker that asks it, and another database to be put in its place."""

    def __init__(self, daemon: DaemonProcess, place: Installation, backup: Installation, asking: WebApp) -> None:
        self.daemon = daemon
        self.place = place
        self.asking = asking
        self.taken: list[str] = []  # what waited for a database that had it with a country of its own
        self.asked_since = 0  # answers
        self.said_since = 0  # log lines
        self._backup = backup
        self._addresses = new_addresses("20.1")
        self._waited: list[str] = []  # all that ever waited
        self._waiting: list[str] = []  # of it, what was learned last

    def harm(self, harm: Harm) -> None:
        """Do something to the database at a moment at which entries wait that could not be written.

        Of these the backup has one with a country of its own, and another without.
        """
        self._backup.insert(rows=self.choose_what_waits())
        self.daemon.wait_for("geo_cache_flush_ran")
        with self.place.locked():
            self.look_up_what_waits()
            self.daemon.wait_for("job_failed", job_id="geo_cache_flush", since=self.said_since)
            self.let_the_wal_be_moved()
            self.put_back(harm)

    def let_the_wal_be_moved(self) -> None:
        """Wait until no frame of the WAL is left to be moved, and the daemon has seen that.

        A frame of the old database's that is left belongs, for SQLite, to the one that is copied over it: nobody can
        tell. What the daemon wrote just before it could not is such a frame, until the next checkpoint.
        """
        with self.place.connection() as connection:
            eventually(lambda: _nothing_to_move(connection), "the WAL is moved")
        self.daemon.wait_for("job_failed", job_id="geo_cache_flush", since=self.daemon.mark())

    def put_back(self, harm: Harm) -> None:
        """Do something to the database, for which the backup is there."""
        harm(self.place, self._backup.database)

    def choose_what_waits(self) -> list[Row]:
        """Choose addresses that nobody has asked about; return the rows of the two that the new database has."""
        self._waiting = list(islice(self._addresses, AT_ONCE))
        taken, without = self._waiting[:2]
        self._waited += self._waiting
        self.taken.append(taken)
        return [(taken, "AQ", text()), (without, None, text())]

    def look_up_what_waits(self) -> None:
        """Look addresses up that can't be written now."""
        self.asked_since, self.said_since = self.asking.mark(), self.daemon.mark()
        with GeoClient(str(self.place.socket), timeout=DEADLINE, strict=True) as client:
            assert all_answered(client.lookup_batch(self._waiting))

    def wait_for_failures(self, said: str) -> None:
        """Wait until each job has failed for this reason."""
        for job in JOBS:
            eventually(lambda job=job: any(said in error for error in self.errors(job)), f"{job} fails: {said}")  # type: ignore[misc]

    def health(self) -> int:
        """Return the status of /healthz."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.place.socket))) as client:
            return client.get("http://bangeod/healthz").status_code

    def settle(self) -> None:
        """Let everything be written, and stop."""
        eventually(self.all_is_written, "what waited is written")
        self.asking.wait_for_answers(SETTLED)
        self.asking.finish()
        assert self.daemon.stop() == 0
        assert not self.place.unwritten.exists()

    def all_is_written(self) -> bool:
        return set(self._waiting) <= self.place.countries().keys()

    def left_over(self) -> dict[str, str | None]:
        """Return the rows of the database without those of what the daemon was asked; all that must be there are."""
        heard = [entry.ip for entry in self.asking.heard()]
        rows = self.place.countries()
        assert not {*self._waiting, *heard[self.asked_since + 1 :]} - rows.keys()
        assert {rows.pop(ip, HERE) for ip in [*self._waited, *heard] if ip not in self.taken} == {HERE}
        return rows

    def errors(self, job: str) -> list[str]:
        """Return what a job has said to be wrong; that the database was locked left out."""
        lines = self.daemon.lines("job_failed", since=self.said_since, job_id=job, level="error")
        return [line["error"] for line in lines if "locked" not in line["error"]]


@pytest.fixture(scope="module")
def locked_for_long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LongLock]:
    """Give a daemon whose database another process locks from now on; other tests can run meanwhile."""
    with LongLock(tmp_path_factory.mktemp("locked")) as scene:
        yield scene


@pytest.fixture
def backup(place: Installation) -> Installation:
    """Give another database, closed and without a log, with rows and sessions of its own."""
    other = Installation(place.home / "backup")
    other.make()
    fill(other, "31.1", ROWS)
    other.insert(sessions=[EXPIRED, LIVE])
    return other


@pytest.fixture
def scene(start: Start, place: Installation, backup: Installation, tmp_path: Path) -> Iterator[Scene]:
    mmdb = write_mmdb(tmp_path / "country.mmdb", {"20.0.0.0/8": {"country_code": HERE}})
    fill(place, "30.1", ROWS)
    place.insert(sessions=[("another", LIVE[1])])
    daemon = start(every("100ms"), {"api.enabled": True, "geo.mmdb": [str(mmdb)], "geo.embedded": False})
    with WebApp(habits=Habits(socket=str(place.socket), asks=["20.2"])) as asking:
        yield Scene(daemon, place, backup, asking)


def _nothing_to_move(connection: "Connection") -> bool:
    _, frames, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return bool(frames == moved)


def fill(place: Installation, network: str, count: int) -> None:
    place.insert(rows=((ip, "NO", text()) for ip in islice(new_addresses(network), count)))


def all_answered(answers: list[Entry]) -> bool:
    return {answer.country_code for answer in answers} == {HERE}


def what_came_with_the_backup(scene: Scene) -> dict[str, str]:
    return {**dict.fromkeys(islice(new_addresses("31.1"), ROWS), "NO"), **dict.fromkeys(scene.taken, "AQ")}


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
        # The daemon may have been quicker: it closes a database that was copied over, and SQLite removes these then.
        place.database.with_name(place.database.name + suffix).unlink(missing_ok=True)


def deleted_and_copied(place: Installation, backup: Path) -> None:
    place.database.unlink()
    copied_over(place, backup)


@pytest.mark.parametrize("harm", [renamed_over, copied_over, copied_over_and_the_log_removed, deleted_and_copied])
def test_a_backup_is_found_whole_and_gets_what_waited(scene: Scene, harm: Harm) -> None:
    for _ in range(times(2, 10)):
        scene.harm(harm)
        scene.daemon.wait_for("database_replaced", since=scene.said_since)
        eventually(scene.all_is_written, "what waited is written")
    scene.settle()
    assert scene.place.execute("PRAGMA integrity_check") == [("ok",)]
    assert scene.left_over() == what_came_with_the_backup(scene)
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
    since = scene.asking.mark()
    scene.asking.wait_for_answers(SETTLED)
    assert all_answered(scene.asking.heard(since))
    health = scene.health()
    scene.put_back(renamed_over)
    scene.settle()
    assert health == 503
    assert scene.place.execute("PRAGMA integrity_check") == [("ok",)]
    assert scene.left_over() == what_came_with_the_backup(scene)
    assert scene.place.tokens() == {"live"}
    assert scene.asking.failures == []
    assert {job: sum(said in error for error in scene.errors(job)) for job in JOBS} == dict.fromkeys(JOBS, 1)


def test_tables_that_are_dropped_and_made_again_get_what_waited(scene: Scene) -> None:
    since = scene.daemon.mark()
    for table in TABLES:
        scene.place.execute(f"DROP TABLE {table}")
    rows = scene.choose_what_waits()
    scene.look_up_what_waits()
    scene.said_since = since  # some jobs have failed before there was anything to wait
    scene.wait_for_failures(EMPTY)
    for statement in TABLES.values():
        scene.place.execute(statement)
    scene.place.insert(rows=rows, sessions=[EXPIRED, LIVE])
    scene.settle()
    assert scene.place.execute("PRAGMA integrity_check") == [("ok",)]
    assert scene.left_over() == dict.fromkeys(scene.taken, "AQ")
    assert scene.place.tokens() == {"live"}
    assert scene.asking.failures == []
    assert all_answered(scene.asking.heard())


# --- the half minute that has passed meanwhile ---


def test_locked_for_half_a_minute_the_daemon_lives_on_and_writes_afterwards(
    locked_for_long: LongLock,
) -> None:
    scene = locked_for_long
    scene.last()
    scene.asking.wait_for_answers(20)
    assert scene.systemd.longest_silence(scene.since) < LIMIT
    assert scene.place.tokens() == {"expired"}
    assert scene.place.countries() == {}
    failed = scene.daemon.lines("job_failed", level="error")
    jobs = [line["job_id"] for line in failed]
    assert {"session_cleanup", "geo_cache_flush"} <= set(jobs)
    assert len(jobs) == len(set(jobs))  # each has said it once
    assert all("another process has held the database locked for over 5 s" in line["error"] for line in failed)
    scene.release()
    scene.daemon.wait_for("session_cleanup_ran", deleted_count=1)
    scene.asking.finish()
    asked = scene.asking.heard()
    assert {entry.country_code for entry in asked} == {HERE}
    assert scene.asking.failures == []
    eventually(lambda: scene.place.countries() == {entry.ip: HERE for entry in asked}, "all of it is written")
    assert scene.daemon.stop() == 0
