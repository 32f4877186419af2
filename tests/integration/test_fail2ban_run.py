"""All four jobs beside fail2ban and the web app, with a made MMDB and with a real one: see fail2ban_run.py."""

from pathlib import Path

import pytest

from tests.integration import fail2ban_run
from tests.integration.fail2ban_run import Outcome
from tests.support.daemon.installation import JOBS
from tests.support.mmdb import published


@pytest.fixture(scope="module", params=["a made MMDB", "a real MMDB"])
def outcome(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, fail2bans_modules: Path
) -> Outcome:
    home = tmp_path_factory.mktemp("fail2ban")
    if request.param == "a made MMDB":
        mmdb = fail2ban_run.make_mmdb(home / "country.mmdb")
    else:
        try:
            mmdb = published.fetch(published.default_cache())
        except published.NotToBeHadError as error:
            pytest.skip(str(error))
    return fail2ban_run.run(home, mmdb, fail2bans_modules)


def test_each_row_is_as_it_has_to_be(outcome: Outcome) -> None:
    """Who is banned has a row, a country, and was seen today; who was banned once has what he would have anyway."""
    assert outcome.faults == []


def test_all_four_jobs_ran(outcome: Outcome) -> None:
    assert {line["job_id"] for line in outcome.lines if "correlation_id" in line} == set(JOBS)
    assert outcome.exit_status == 0


def test_that_fail2ban_kept_its_database_to_itself_is_told_once(outcome: Outcome) -> None:
    trouble = [line for line in outcome.lines if line["level"] not in {"debug", "info"}]
    assert [line["event"] for line in trouble] == ["fail2ban_unreadable"]
    assert "the database is locked" in trouble[0]["problem"]


def test_the_web_app_found_some_countries_itself(outcome: Outcome) -> None:
    assert len(outcome.web_app.rows) > 50
    assert outcome.web_app.resolved
