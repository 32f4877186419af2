"""SIGKILL at every write system call of each job: nothing lost, and run again it ends as if it had run once."""

import itertools
import shutil
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults import strace
from tests.faults.warm import WarmCommand
from tests.installation import JOBS, Installation, text

pytestmark = strace.needs_strace

LONG_AGO = "2001-01-01T00:00:00Z"
HOUR = timedelta(hours=1)
MANY = 60  # more than the first slice has, so that there are two transactions
KILLED = -9

Rows = dict[str, tuple[object, ...]]


def address(network: int, number: int) -> str:
    return f"8.8.{network}.{number}"


def with_work(place: Installation) -> Installation:
    """Give an installation in which each job has something to do."""
    place.make()
    numbers = range(MANY)
    seen = text(-HOUR)
    place.insert(
        rows=[
            *((address(1, n), None, seen) for n in numbers),
            ("2001:4860::1", None, seen),  # nobody knows it
            *((address(2, n), "US", LONG_AGO) for n in numbers),
            *((address(3, n), None if n % 2 else "AQ", seen) for n in range(10)),
        ],
        sessions=[
            *((f"expired {n}", LONG_AGO) for n in numbers),
            *((f"live {n}", text(HOUR)) for n in range(10)),
        ],
    )
    place.leave_unwritten(*(address(3, n) for n in range(10)), *(address(4, n) for n in numbers))
    return place


def copy_of(place: Installation, home: Path) -> Installation:
    """Copy an installation that nobody works on."""
    copy = Installation(home)
    shutil.copytree(place.state, copy.state)
    shutil.copy(place.database, copy.database)
    copy.configure()
    return copy


class Outcome(NamedTuple):
    """All that a run leaves behind, but for when it ran."""

    rows: Rows
    tokens: set[str]
    files: set[str]
    succeeded: set[str]

    @staticmethod
    def of(place: Installation) -> "Outcome":
        """Look at a place where nothing runs."""
        found = place.execute("SELECT ip, country_code, country_name, asn, org, last_seen FROM geo_cache")
        rows = {str(ip): tuple(rest) for ip, *rest in found}
        tokens = place.tokens()
        files = {path.name for directory in (place.home, place.state) for path in directory.iterdir()}
        succeeded = tomllib.loads(place.history.read_text())["jobs"].keys() if place.history.exists() else ()
        return Outcome(rows, tokens, files, set(succeeded))


class Kill(NamedTuple):
    """A system call at which to kill: of the database or of the state directory, and the how manieth."""

    of_database: bool
    call: str
    number: int


def traced(place: Installation, *, of_database: bool) -> tuple[list[Path], tuple[str, ...]]:
    """Return the files of a place whose calls count, and which calls."""
    if of_database:
        return [place.database.with_name(place.database.name + end) for end in ("", "-wal", "-shm")], strace.ON_DATABASE
    names = (place.history.name, place.unwritten.name)
    files = [place.state / name for name in (*names, *(f".{name}.part" for name in names))]
    return [place.state, *files], strace.ON_STATE


def run(job: str, place: Installation) -> int:
    """Run a job by hand; return its exit status."""
    with command(job, place) as process:
        return process.go()


def command(job: str, place: Installation) -> WarmCommand:
    return WarmCommand("job", "run", job, "--config", str(place.config), output=place.home.with_suffix(".output"))


def run_and_kill(job: str, place: Installation, kill: Kill) -> int:
    """Run a job and kill it at a system call; return its exit status."""
    paths, calls = traced(place, of_database=kill.of_database)
    fault = strace.Fault(kill.call, "signal=SIGKILL", str(kill.number))
    with command(job, place) as process, strace.Attached(process.pid, paths, calls, fault):
        return process.go()


def first_calls(job: str, template: Installation, home: Path) -> Iterator[Kill]:
    """Find out by two runs which system calls there are to kill at; return the first of each."""
    for of_database in (True, False):
        place = copy_of(template, home / f"count-{of_database}")
        paths, calls = traced(place, of_database=of_database)
        with command(job, place) as process, strace.Attached(process.pid, paths, calls) as tracer:
            assert process.go() == 0
            tracer.ended()
            counted = tracer.counted
        yield from (Kill(of_database, call, 1) for call, times in counted.items() if times)


def assert_nothing_is_lost(place: Installation, before: Outcome, after: Outcome) -> None:
    """Every row is as it was or as it is to be, and a live session is there."""
    assert place.execute("PRAGMA integrity_check") == [("ok",)]
    now = Outcome.of(place)
    for ip in before.rows.keys() | after.rows.keys() | now.rows.keys():
        assert now.rows.get(ip) in (before.rows.get(ip), after.rows.get(ip)), ip
    assert before.tokens >= now.tokens >= after.tokens
    assert now.succeeded in (before.succeeded, after.succeeded)
    unwritten = [ip for ip in after.rows.keys() - before.rows.keys() if ip not in now.rows]
    if unwritten:
        assert place.unwritten.exists()


@pytest.mark.parametrize("job", JOBS)
def test_a_job_killed_at_any_write_and_run_again_ends_as_if_it_had_run_once(job: str, tmp_path: Path) -> None:
    template = with_work(Installation(tmp_path / "template"))
    before = Outcome.of(template)
    once = copy_of(template, tmp_path / "once")
    run(job, once)
    after = Outcome.of(once)
    assert after != before
    points = 0
    for kill in first_calls(job, template, tmp_path):
        # How many there are follows the time that slices and checkpoints take: until a run comes to its end.
        for number in itertools.count(1):
            place = copy_of(template, tmp_path / f"{kill.of_database}-{kill.call}-{number}")
            killed = run_and_kill(job, place, kill._replace(number=number)) == KILLED
            assert killed or number > 1, kill
            assert_nothing_is_lost(place, before, after)
            assert run(job, place) == 0
            assert Outcome.of(place) == after, (kill, number)
            shutil.rmtree(place.home)
            if not killed:
                break
            points += 1
    print(f"{job}: killed at {points} calls")


def test_what_could_not_be_written_is_kept_whole_wherever_the_file_of_it_is_being_written(tmp_path: Path) -> None:
    job = "geo_cache_flush"
    template = with_work(Installation(tmp_path / "template"))
    before = Outcome.of(template)
    once = copy_of(template, tmp_path / "once")
    assert run(job, once) == 0
    points = [Kill(of_database=False, call=call, number=1) for call in ("write", "renameat", "unlinkat")]
    points += [Kill(of_database=False, call="fsync", number=number) for number in (1, 2)]
    for place, kill in ((copy_of(template, tmp_path / f"{kill.call}-{kill.number}"), kill) for kill in points):
        with place.locked():
            assert run_and_kill(job, place, kill) == KILLED
        assert Outcome.of(place).rows == before.rows
        assert run(job, place) == 0
        assert Outcome.of(place) == Outcome.of(once), kill
