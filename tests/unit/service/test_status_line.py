"""The one line that `systemctl status` shows."""

from bangeod.api.daemon_state import Failure, Standing
from bangeod.jobs.job import JobId
from bangeod.service.status_line import line

NOW = 1_795_305_600.0  # 2026-11-22 00:00:00 UTC
WELL = Standing(NOW, planned=4, cached=1_234_567, dirty=12)


def failing(failures: dict[JobId, Failure]) -> Standing:
    return WELL._replace(failures=failures)


def test_where_all_is_well_it_says_how_much_there_is() -> None:
    assert line(WELL) == "4 jobs, 1,234,567 cached, 12 to write"


def test_it_says_how_long_ago_the_last_flush_was() -> None:
    said = line(WELL._replace(last_flush=NOW - 42))
    assert said == "4 jobs, 1,234,567 cached, 12 to write, last flush 42 s ago"


def test_it_says_how_much_of_the_table_has_been_read_until_all_has() -> None:
    said = line(WELL._replace(progress=0.256))
    assert said == "4 jobs, 1,234,567 cached (26 % of the table read), 12 to write"


def test_a_flush_that_failed_is_not_the_last_one() -> None:
    failed = failing({JobId.GEO_CACHE_FLUSH: Failure(NOW, "it is locked")})
    said = line(failed._replace(last_flush=NOW - 600))
    assert said.endswith("12 to write, last flush 10 min ago")


def test_a_job_that_fails_comes_first() -> None:
    said = line(failing({JobId.SESSION_CLEANUP: Failure(NOW - 3_600, "no such table")}))
    assert said == (
        "session_cleanup fails since 2026-11-21 23:00 UTC: no such table; 4 jobs, 1,234,567 cached, 12 to write"
    )


def test_it_is_one_line_whatever_a_problem_looks_like() -> None:
    said = line(failing({JobId.SESSION_CLEANUP: Failure(NOW, "a\n  b\tc\r\nd")}))
    assert "a b c d;" in said
    assert len(said.splitlines()) == 1


def test_a_refused_config_comes_before_all_else() -> None:
    said = line(failing({JobId.SESSION_CLEANUP: Failure(NOW, "x")})._replace(config_refused=True))
    assert said.startswith("the changed config was refused, the old one is in force; session_cleanup fails")


def test_a_database_that_no_job_has_met_yet_is_named() -> None:
    said = line(WELL._replace(database="/db: there is no such database"))
    assert said.startswith("the database can't be used: /db: there is no such database; 4 jobs")


def test_a_database_that_jobs_fail_on_is_named_by_them_alone() -> None:
    said = line(failing({JobId.SESSION_CLEANUP: Failure(NOW, "no database")})._replace(database="no database"))
    assert said.count("no database") == 1


def test_an_api_that_is_not_open_is_named() -> None:
    said = line(WELL._replace(api="/run/b.sock: no socket\nis there"))
    assert said.startswith("the API is not open: /run/b.sock: no socket is there; 4 jobs")


def test_a_problem_that_several_jobs_have_is_told_once() -> None:
    since = {JobId.GEO_RE_RESOLVE: NOW - 60, JobId.SESSION_CLEANUP: NOW}
    said = line(failing({job_id: Failure(at, "the disk is full") for job_id, at in since.items()}))
    assert said.startswith("geo_re_resolve, session_cleanup fail since 2026-11-21 23:59 UTC: the disk is full; 4 jobs")


def test_a_condition_that_says_it_all_stands_for_the_problem() -> None:
    locked = Failure(NOW, "/db: held for 5 s; look …", condition="database locked")
    said = line(failing({JobId.SESSION_CLEANUP: locked}))
    assert said.startswith("database locked since 2026-11-22 00:00 UTC (session_cleanup); 4 jobs")
