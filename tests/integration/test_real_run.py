"""The main job on real input, once: see real_run.py, which can be run by itself and prints its figures."""

import pytest

from tests.integration import real_run
from tests.integration.real_run import Outcome
from tests.support.daemon.installation import JOBS
from tests.support.mmdb import published


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    try:
        mmdb = published.fetch(published.default_cache())
    except published.NotToBeHadError as error:
        pytest.skip(str(error))
    outcome = real_run.run(tmp_path_factory.mktemp("real"), mmdb)
    for name, value in outcome.figures():
        print(f"{name:<34}{value}")
    return outcome


def test_every_row_and_session_is_as_it_has_to_be(outcome: Outcome) -> None:
    """Those without a country have the MMDB's; stale and expired ones are gone; what others wrote is there."""
    assert outcome.contents.rows > 99_900  # of 100,003, a few addresses were drawn twice
    assert outcome.faults == []


def test_both_daemons_ended_well(outcome: Outcome) -> None:
    assert outcome.exit_statuses == [0, 0]
    assert [line for line in outcome.lines if line["level"] in {"error", "critical"}] == []


def test_all_four_jobs_ran(outcome: Outcome) -> None:
    assert {line["job_id"] for line in outcome.lines if "correlation_id" in line} == set(JOBS)


def test_the_web_app_could_write_all_the_time(outcome: Outcome) -> None:
    assert len(outcome.web_app.rows) > 100
    assert outcome.web_app.resolved, "the web app was to find some countries first"
