"""What runs add up to."""

from bangeod.jobs.job import Counts, JobId, Outcome, Report
from bangeod.service.schedule.totals import Totals

COUNTS = Counts(deleted=("deleted",), unreadable=("unreadable", "invalid"))


def report(outcome: Outcome = Outcome.DONE, problem: str | None = None, at: float = 100.0, **figures: object) -> Report:
    return Report(JobId.GEO_CACHE_CLEANUP, "id", at, 0.5, outcome, figures=figures, problem=problem)


def test_runs_and_their_times_add_up() -> None:
    totals = Totals(COUNTS)
    for _ in range(3):
        totals.add(report())
    assert (totals.runs, totals.failures, totals.seconds) == (3, 0, 1.5)


def test_a_failure_is_no_success() -> None:
    totals = Totals(COUNTS)
    totals.add(report(at=100.0))
    totals.add(report(Outcome.FAILED, "it is locked", at=200.0))
    totals.add(report(Outcome.UNFINISHED, at=300.0))
    assert (totals.failures, totals.last_success) == (1, 100.0)


def test_rows_add_up_and_the_unreadable_are_those_of_the_last_run() -> None:
    totals = Totals(COUNTS)
    totals.add(report(deleted=3, unreadable=2))
    totals.add(report(deleted=4, unreadable=1))
    totals.add(report(Outcome.FAILED, "it is locked"))
    assert (totals.deleted, totals.unreadable) == (7, 1)


def test_addresses_that_are_none_count_as_unreadable_and_before_the_first_run_nobody_knows() -> None:
    totals = Totals(COUNTS)
    assert totals.unreadable is None
    totals.add(report(invalid=2))
    assert totals.unreadable == 2


def test_figures_that_are_no_numbers_count_nothing() -> None:
    totals = Totals(Counts(written=("flushed", "resolved")))
    totals.add(report(flushed="many", resolved=2))
    assert totals.written == 2


def test_figures_that_a_job_does_not_declare_count_nothing() -> None:
    totals = Totals(Counts(written=("flushed",)))
    totals.add(report(resolved=2, deleted=3, unreadable=4))
    assert (totals.written, totals.deleted, totals.unreadable) == (0, 0, None)
