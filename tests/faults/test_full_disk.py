"""A disk that is really full, or read-only: nothing is lost, the errors say so, and it is over without a restart."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Start
from tests.faults import mounts
from tests.faults.patient import Patient, Work
from tests.support.daemon.installation import JOBS, Installation

pytestmark = mounts.needs_root

FULL = "the disk is full"


@pytest.fixture
def disk(tmp_path: Path, place: Installation) -> Iterator[Path]:
    """Give a small disk with the database on it."""
    with mounts.small_disk(tmp_path / "disk") as disk:
        mounts.move_database(place, disk)
        yield disk


def assert_all_done(patient: Patient, works: dict[str, Work]) -> None:
    """Run all jobs and look that all is done that they were given."""
    for job in JOBS:
        assert patient.run(job)["outcome"] == "done"
    assert all(work.is_done for work in works.values())
    assert patient.dirty == 0
    assert patient.place.execute("PRAGMA integrity_check") == [("ok",)]


def test_on_a_full_disk_nothing_is_lost_and_all_is_made_up_for_when_there_is_room(disk: Path, patient: Patient) -> None:
    works = {job: patient.give(job) for job in JOBS}
    patient.place.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # no room in the log either
    mounts.fill(disk)
    for job in JOBS:
        report = patient.run(job)
        assert (report["outcome"], FULL in report["problem"]) == ("failed", True)
        assert str(patient.place.database) in report["problem"]
        patient.assert_nothing_is_lost(works[job])
        assert patient.daemon.wait_for("job_failed", job_id=job)["level"] == "error"
    mounts.make_room(disk)
    assert_all_done(patient, works)
    for job in JOBS:
        assert patient.daemon.wait_for("job_recovered", job_id=job)


def test_a_start_on_a_full_disk_says_so_and_all_is_made_up_for_when_there_is_room(
    disk: Path, start: Start, place: Installation
) -> None:
    mounts.fill(disk)
    patient = Patient(start, place)  # it is ready all the same
    with patient.client:
        assert FULL in patient.daemon.lines("database_unavailable")[0]["problem"]
        work = patient.give("geo_cache_flush")
        assert FULL in patient.run("geo_cache_flush")["problem"]
        mounts.make_room(disk)
        assert_all_done(patient, {"geo_cache_flush": work})


def test_what_a_full_disk_does_not_take_at_the_stop_is_written_after_the_next_start(
    disk: Path, patient: Patient, start: Start
) -> None:
    work = patient.give("geo_cache_flush")
    patient.place.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    mounts.fill(disk)
    assert patient.daemon.stop() == 0
    assert patient.daemon.lines("final_flush_failed", level="error", problem=FULL)
    written = work.addresses & patient.place.countries().keys()
    assert patient.daemon.lines("leftover_kept")[0]["entries"] == len(work.addresses - written) > 0
    mounts.make_room(disk)
    assert start().stop() == 0
    assert work.is_done
    assert not patient.place.unwritten.exists()


def test_what_fits_neither_into_the_database_nor_the_state_directory_is_said_as_an_error(
    disk: Path, start: Start, place: Installation
) -> None:
    place.state = disk / "state"
    place.unwritten, place.history = place.state / place.unwritten.name, place.state / place.history.name
    place.state.mkdir()
    place.configure({"state.directory": str(place.state)})
    patient = Patient(start, place)
    with patient.client:
        work = patient.give("geo_cache_flush")
        before = place.history.read_bytes()
        place.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        mounts.fill(disk)
        assert patient.run("session_cleanup")["outcome"] == "done"  # there was nothing to delete
    daemon = patient.daemon
    line = daemon.wait_for("state_unwritable")
    assert (line["level"], line["problem"]) == ("warning", "No space left on device")
    assert "make room" in line["advice"]
    assert daemon.stop() == 0
    [lost] = daemon.lines("leftover_unwritable")
    assert (lost["level"], lost["path"]) == ("error", str(place.unwritten))
    assert lost["entries"] == len(work.addresses - place.countries().keys()) > 0
    assert [path.name for path in place.state.iterdir()] == [place.history.name]
    assert place.history.read_bytes() == before


def test_on_a_read_only_disk_nothing_is_lost_and_all_is_made_up_for_when_it_is_writable_again(
    disk: Path, patient: Patient
) -> None:
    database = patient.place.database
    assert patient.run("geo_cache_flush")["outcome"] == "done"
    works = {job: patient.give(job) for job in JOBS}
    aside = database.rename(database.with_suffix(".aside"))
    assert "there is no such database" in patient.run("session_cleanup")["problem"]  # it lets go of the file
    aside.rename(database)
    mounts.remount(disk, "ro")  # refused as long as a file is open for writing
    for job in JOBS:
        problem = patient.run(job)["problem"]
        assert "the database can't be" in problem
        assert "read-only" in problem
    assert patient.dirty == len(works["geo_cache_flush"].addresses)
    mounts.remount(disk, "rw")
    assert_all_done(patient, works)


def test_a_start_on_a_read_only_disk_says_so_and_all_is_made_up_for_when_it_is_writable(
    disk: Path, start: Start, place: Installation
) -> None:
    mounts.remount(disk, "ro")
    patient = Patient(start, place)
    with patient.client:
        line = patient.daemon.lines("database_unavailable")[0]
        assert "Read-only file system" in line["problem"]
        assert "for writing" in line["advice"]
        work = patient.give("geo_cache_flush")
        assert patient.run("geo_cache_flush")["outcome"] == "failed"
        mounts.remount(disk, "rw")
        assert_all_done(patient, {"geo_cache_flush": work})


def test_a_disk_that_becomes_read_only_in_the_middle_is_named_and_what_it_does_not_take_is_kept(
    tmp_path: Path, start: Start, place: Installation
) -> None:
    """As the kernel does to an ext4 in which it finds an error; nothing but a new mount makes that writable again."""
    with mounts.failing_disk(tmp_path / "disk", tmp_path / "image") as (disk, trigger):
        mounts.move_database(place, disk)
        patient = Patient(start, place)
        with patient.client:
            done = patient.give("geo_cache_flush")
            assert patient.run("geo_cache_flush")["outcome"] == "done"
            kept = patient.give("geo_cache_flush")
            trigger.write_text("1")
            assert "reading or writing failed" in patient.run("geo_cache_flush")["problem"]
            assert "the database can't be written" in patient.run("geo_cache_flush")["problem"]
        assert patient.daemon.stop() == 0
        assert patient.daemon.lines("leftover_kept", entries=len(kept.addresses))
        assert done.is_done
