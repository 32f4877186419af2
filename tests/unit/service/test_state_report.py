"""What makes the daemon unhealthy: a database that can't be read or written, and nothing else."""

import pytest

from bangeod.jobs.job import JobId, Outcome, Report
from bangeod.service.state_report import trouble
from bangeod.service.status_line import Facts

LOCKED = "/db: the database is locked; look"


def facts(*reports: Report, database: str | None = None) -> Facts:
    by_job = {report.job_id: report for report in reports}
    failing = {report.job_id: report.started_at for report in reports if report.problem}
    return Facts(4, 0, 0, by_job, failing, database=database)


def report(job_id: JobId, problem: str | None = LOCKED, *, of_database: bool = True) -> Report:
    outcome = Outcome.FAILED if problem else Outcome.DONE
    return Report(job_id, "id", 0.0, 0.1, outcome, problem=problem, of_database=of_database)


def test_where_jobs_succeed_all_is_well() -> None:
    assert trouble(facts(report(JobId.GEO_CACHE_FLUSH, None, of_database=False))) is None


@pytest.mark.parametrize("job_id", JobId)
def test_a_job_that_cannot_write_is_trouble(job_id: JobId) -> None:
    others = [report(other, None, of_database=False) for other in JobId if other is not job_id]
    assert trouble(facts(report(job_id), *others)) == f"the database can't be used: {LOCKED}"


def test_a_job_that_fails_on_something_else_is_none() -> None:
    assert trouble(facts(report(JobId.GEO_RE_RESOLVE, "ip-api: refused", of_database=False))) is None


def test_a_job_that_was_disabled_since_is_none() -> None:
    assert trouble(facts(report(JobId.GEO_CACHE_CLEANUP))._replace(disabled=[JobId.GEO_CACHE_CLEANUP])) is None


def test_a_database_that_cannot_be_read_comes_first() -> None:
    said = trouble(facts(report(JobId.GEO_CACHE_FLUSH), database="/db: there is no such database"))
    assert said == "the database can't be used: /db: there is no such database"
