"""The one line that `systemctl status` shows."""

import pytest

from bangeod.jobs.job import JobId, Outcome, Report
from bangeod.service.status_line import Facts, ago, line

NOW = 1_795_305_600.0  # 2026-11-22 00:00:00 UTC


def report(job_id: JobId, *, age: float = 0, problem: str | None = None, condition: str | None = None) -> Report:
    outcome = Outcome.FAILED if problem else Outcome.DONE
    return Report(job_id, "id", NOW - age, 0.1, outcome, problem=problem, condition=condition)


def facts(*reports: Report, failing_since: dict[JobId, float] | None = None) -> Facts:
    by_job = {each.job_id: each for each in reports}
    return Facts(4, 1_234_567, 12, by_job, failing_since or {})


def test_where_all_is_well_it_says_how_much_there_is() -> None:
    assert line(facts(), NOW) == "4 jobs, 1,234,567 cached, 12 to write"


def test_it_says_how_long_ago_the_last_flush_was() -> None:
    said = line(facts()._replace(last_flush=NOW - 42), NOW)
    assert said == "4 jobs, 1,234,567 cached, 12 to write, last flush 42 s ago"


def test_a_flush_that_failed_is_not_the_last_one() -> None:
    failed = report(JobId.GEO_CACHE_FLUSH, problem="it is locked")
    said = line(facts(failed, failing_since={JobId.GEO_CACHE_FLUSH: NOW})._replace(last_flush=NOW - 600), NOW)
    assert said.endswith("12 to write, last flush 10 min ago")


def test_a_job_that_fails_comes_first() -> None:
    failed = report(JobId.SESSION_CLEANUP, problem="no such table")
    said = line(facts(failed, failing_since={JobId.SESSION_CLEANUP: NOW - 3_600}), NOW)
    assert said == (
        "session_cleanup fails since 2026-11-21 23:00 UTC: no such table; 4 jobs, 1,234,567 cached, 12 to write"
    )


def test_it_is_one_line_whatever_a_problem_looks_like() -> None:
    failed = report(JobId.SESSION_CLEANUP, problem="a\n  b\tc\r\nd")
    said = line(facts(failed, failing_since={JobId.SESSION_CLEANUP: NOW}), NOW)
    assert "a b c d;" in said
    assert len(said.splitlines()) == 1


def test_a_refused_config_comes_before_all_else() -> None:
    failed = report(JobId.SESSION_CLEANUP, problem="x")
    said = line(facts(failed, failing_since={JobId.SESSION_CLEANUP: NOW})._replace(refused_config=True), NOW)
    assert said.startswith("the changed config was refused, the old one is in force; session_cleanup fails")


def test_a_database_that_no_job_has_met_yet_is_named() -> None:
    said = line(facts()._replace(database="/db: there is no such database"), NOW)
    assert said.startswith("the database can't be used: /db: there is no such database; 4 jobs")


def test_a_database_that_jobs_fail_on_is_named_by_them_alone() -> None:
    failed = report(JobId.SESSION_CLEANUP, problem="no database")
    said = line(facts(failed, failing_since={JobId.SESSION_CLEANUP: NOW})._replace(database="no database"), NOW)
    assert said.count("no database") == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59.4, "59 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7_199, "119 min"),
        (7_200, "2 h"),
        (172_800, "2 d"),
        (10 * 86_400, "10 d"),
    ],
)
def test_a_span_of_time_has_the_unit_that_a_person_would_use(seconds: float, text: str) -> None:
    assert ago(seconds) == text


def test_a_problem_that_several_jobs_have_is_told_once() -> None:
    failed = [report(job_id, problem="the disk is full") for job_id in (JobId.SESSION_CLEANUP, JobId.GEO_RE_RESOLVE)]
    since = {JobId.SESSION_CLEANUP: NOW, JobId.GEO_RE_RESOLVE: NOW - 60}
    said = line(facts(*failed, failing_since=since), NOW)
    assert said.startswith("geo_re_resolve, session_cleanup fail since 2026-11-21 23:59 UTC: the disk is full; 4 jobs")


def test_a_condition_that_says_it_all_stands_for_the_problem() -> None:
    failed = report(JobId.SESSION_CLEANUP, problem="/db: held for 5 s; look …", condition="database locked")
    said = line(facts(failed, failing_since={JobId.SESSION_CLEANUP: NOW}), NOW)
    assert said.startswith("database locked since 2026-11-22 00:00 UTC (session_cleanup); 4 jobs")
