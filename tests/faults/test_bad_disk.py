"""A disk that fails at any write of a job: nothing is lost, the log says what and where, and the next run is whole."""

from collections import Counter

import pytest

from tests.faults import strace
from tests.faults.patient import Patient
from tests.support.daemon.installation import JOBS
from tests.support.daemon.process import Line
from tests.support.feed import eventually

pytestmark = strace.needs_strace

ONCE, STAYS = "{}", "{}+"
DATABASE_CALLS = ("pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate")
# Of each call so many at least must have failed. How many a job makes follows the pages that its rows fall on: these
# are somewhat below what was counted (29, 22 to 26, 10 and 10 writes). None for fdatasync and fallocate: the SQLite of
# pysqlite3 makes neither, Python's own may.
FEWEST_WRITES = {"geo_cache_flush": 20, "geo_re_resolve": 12, "geo_cache_cleanup": 8, "session_cleanup": 8}
FEWEST = {"fsync": 2, "ftruncate": 1}
FAILED = "reading or writing failed"


def assert_said(patient: Patient, reports: list[Line], error: str) -> None:
    """Look that the log of these runs names what is wrong and where: with the job, or with its checkpoint alone."""
    expected = ("the disk is full", FAILED) if error == "ENOSPC" else (FAILED,)  # SQLite knows no full disk in an fsync

    def said() -> list[Line]:
        runs = {report["correlation_id"] for report in reports}
        lines = [line for line in patient.daemon.lines() if line.get("correlation_id") in runs]
        return [line for line in lines if line["event"] in ("job_failed", "checkpoint_failed")]

    eventually(lambda: bool(said()), "the log says what is wrong")
    for line in said():
        assert line["database"] == str(patient.place.database)
        problem = line["error"] if line["event"] == "job_failed" else line["problem"]
        assert any(words in problem for words in expected)
    first = said()[0]
    assert first["level"] == ("error" if first["event"] == "job_failed" else "warning")


def run_failing(patient: Patient, job: str, fault: strace.Fault) -> tuple[Line, bool]:
    """Run a job while a call fails; return its report, and whether the call was made."""
    with strace.Attached(patient.daemon.process.pid, patient.database_files, [fault.call], fault) as tracer:
        report = patient.run(job)
        tracer.detach()
        return report, tracer.injected


@pytest.mark.parametrize("when", [ONCE, STAYS])
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("job", JOBS)
def test_a_write_that_fails_costs_nothing_and_is_said_and_the_next_run_makes_up_for_it(
    patient: Patient, job: str, error: str, when: str
) -> None:
    faults: Counter[str] = Counter()
    for call in DATABASE_CALLS:
        injected = True
        while injected:
            number = faults[call] + 1
            work = patient.give(job)
            report, injected = run_failing(patient, job, strace.Fault(call, f"error={error}", when.format(number)))
            reports = [report]
            if injected and when is STAYS:  # the next run opens it anew on another thread, and strace counts by thread
                report, _ = run_failing(patient, job, strace.Fault(call, f"error={error}", when.format(1)))
                reports.append(report)
            faults[call] += injected
            patient.assert_nothing_is_lost(work)
            if injected:
                assert_said(patient, reports, error)
            if reports[-1]["outcome"] == "done":
                assert work.is_done
            more = patient.give(job)
            assert patient.run(job)["outcome"] == "done"
            assert work.is_done
            assert more.is_done
            assert patient.dirty == 0
    fewest = {"pwrite64": FEWEST_WRITES[job], **FEWEST}
    assert all(faults[call] >= number for call, number in fewest.items()), f"too few to prove anything: {faults}"
    print(f"{job}, {error}, {when}: {faults.total()} faults: {dict(faults)}")
