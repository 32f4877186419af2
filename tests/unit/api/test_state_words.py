"""What several views say alike: what makes the daemon unhealthy, and how long a span of time is.

A database that can't be read or written makes it unhealthy, and nothing else.
"""

import pytest

from bangeod.api.daemon_state import Failure, Standing
from bangeod.api.state_words import ago, current_problem
from bangeod.jobs.job import JobId

LOCKED = Failure(0.0, "/db: the database is locked; look", of_database=True)


def standing(failures: dict[JobId, Failure], *, database: str | None = None) -> Standing:
    return Standing(now=0.0, planned=4, cached=0, dirty=0, failures=failures, database=database)


def test_where_jobs_succeed_all_is_well() -> None:
    assert current_problem(standing({})) is None


@pytest.mark.parametrize("job_id", JobId)
def test_a_job_that_cannot_write_is_trouble(job_id: JobId) -> None:
    assert current_problem(standing({job_id: LOCKED})) == f"the database can't be used: {LOCKED.problem}"


def test_a_job_that_fails_on_something_else_is_none() -> None:
    assert current_problem(standing({JobId.GEO_RE_RESOLVE: Failure(0.0, "ip-api: refused")})) is None


def test_a_job_that_was_disabled_since_is_none() -> None:
    assert current_problem(standing({JobId.GEO_CACHE_CLEANUP: LOCKED._replace(planned=False)})) is None


def test_a_database_that_cannot_be_read_comes_first() -> None:
    said = current_problem(standing({JobId.GEO_CACHE_FLUSH: LOCKED}, database="/db: there is no such database"))
    assert said == "the database can't be used: /db: there is no such database"


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
