"""A disk that fails at any write of a job: nothing is lost, the log says what and where, and the next run is whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from bangeod.client import GeoClient
from tests.conftest import Start
from tests.daemon_process import DaemonProcess, Line
from tests.faults import strace
from tests.installation import JOBS, Installation, every, text

pytestmark = strace.needs_strace

LONG_AGO = "2001-01-01T00:00:00Z"
MANY = 60  # more than the first slice has, so that there are two transactions
ONCE, STAYS = "{}", "{}+"
DATABASE_CALLS = ("pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate")
FAILED = "reading or writing failed"


@dataclass
class Work:
    """What a job was given to do."""

    place: Installation
    job: str
    addresses: frozenset[str]
    number: int

    @property
    def is_done(self) -> bool:
        """Say whether the database shows it done."""
        if self.job == "session_cleanup":
            return all(token.startswith("live") for token in self.place.tokens())
        countries = self.place.countries()
        if self.job == "geo_cache_cleanup":
            return not self.addresses & countries.keys()
        return all(countries.get(ip) is not None for ip in self.addresses)


@dataclass
class Patient:
    """A daemon whose jobs run when they are told to."""

    daemon: DaemonProcess
    place: Installation
    client: GeoClient
    given: int = 0

    @property
    def database_files(self) -> list[Path]:
        """Return what SQLite writes to."""
        return [self.place.database.with_name(self.place.database.name + end) for end in ("", "-wal", "-shm")]

    def give(self, job: str) -> Work:
        """Give a job something to do."""
        self.given += 1
        addresses = frozenset(f"8.{self.given // 250}.{self.given % 250}.{n}" for n in range(MANY))
        if job == "geo_cache_flush":
            self.client.lookup_batch(sorted(addresses))
        elif job == "geo_re_resolve":
            self.place.insert(rows=[(ip, None, text()) for ip in addresses])
        elif job == "geo_cache_cleanup":
            self.place.insert(rows=[(ip, "SE", LONG_AGO) for ip in addresses])
        else:
            expired = [(f"{self.given} {n}", LONG_AGO) for n in range(MANY)]
            self.place.insert(sessions=[(f"live {self.given}", text(timedelta(hours=1))), *expired])
        return Work(self.place, job, addresses, self.given)

    def assert_nothing_is_lost(self, work: Work) -> None:
        """Look that what is not in the table waits to be written, and that rows and live sessions are still there."""
        assert self.place.execute("PRAGMA integrity_check") == [("ok",)]
        countries = self.place.countries()
        if work.job == "geo_cache_flush":
            assert self.dirty >= len(work.addresses - countries.keys())
        if work.job == "geo_re_resolve":
            assert work.addresses <= countries.keys()
        if work.job == "session_cleanup":
            assert {f"live {number + 1}" for number in range(work.number)} <= self.place.tokens()

    def run(self, job: str) -> Line:
        """Run a job; return its report."""
        report: Line = self.client.run_job(job)
        return report

    @property
    def dirty(self) -> int:
        """Return how many entries wait to be written."""
        waiting: int = self.client.status()["cache"]["dirty"]
        return waiting


@pytest.fixture
def patient(start: Start, place: Installation) -> Iterator[Patient]:
    for job in JOBS:
        place.ran(job, timedelta(0))  # else some would run shortly after the start
    daemon = start({"api.enabled": True}, every("1h"))
    with GeoClient(str(place.home / "bangeod.sock"), timeout=30, strict=True) as client:
        yield Patient(daemon, place, client)


def assert_said(place: Installation, lines: list[Line], error: str) -> None:
    """Look that the log names what is wrong and where: with the job, or where only its checkpoint has failed."""
    told = [line for line in lines if line["event"] in ("job_failed", "checkpoint_failed")]
    assert told, lines
    expected = ("the disk is full", FAILED) if error == "ENOSPC" else (FAILED,)  # SQLite knows no full disk in an fsync
    for line in told:
        assert line["database"] == str(place.database)
        problem = line["error"] if line["event"] == "job_failed" else line["problem"]
        assert any(words in problem for words in expected)
    assert told[0]["level"] == ("error" if told[0]["event"] == "job_failed" else "warning")


@pytest.mark.parametrize("when", [ONCE, STAYS])
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("job", JOBS)
def test_a_write_that_fails_costs_nothing_and_is_said_and_the_next_run_makes_up_for_it(
    patient: Patient, job: str, error: str, when: str
) -> None:
    faults = 0
    for call in DATABASE_CALLS:
        number, injected = 0, True
        while injected:
            number += 1
            work = patient.give(job)
            fault = strace.Fault(call, f"error={error}", when.format(number))
            since = patient.daemon.mark()
            with strace.Attached(patient.daemon.process.pid, patient.database_files, [call], fault) as tracer:
                report = patient.run(job)
                if when is STAYS:
                    report = patient.run(job)  # opens the database anew
                tracer.detach()
                injected = tracer.injected
            faults += injected
            patient.assert_nothing_is_lost(work)
            if injected:
                assert_said(place=patient.place, lines=patient.daemon.lines(since=since), error=error)
            if report["outcome"] == "done":
                assert work.is_done
            more = patient.give(job)
            assert patient.run(job)["outcome"] == "done"
            assert work.is_done
            assert more.is_done
            assert patient.dirty == 0
    print(f"{job}, {error}, {when}: {faults} faults")
