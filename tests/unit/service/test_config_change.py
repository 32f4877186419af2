"""What a changed config may change in the running daemon."""

from pathlib import Path

import msgspec
import pytest

from bangeod.config import RESTART_ONLY, Settings, leaves
from bangeod.jobs.job import JobId
from bangeod.service.config_change import between
from bangeod.store.postgres.url import parse

replace = msgspec.structs.replace
OLD = Settings()


def with_job(settings: Settings, job_id: JobId, **changes: object) -> Settings:
    job = replace(getattr(settings.jobs, job_id), **changes)
    return replace(settings, jobs=replace(settings.jobs, **{job_id: job}))


def test_an_unchanged_config_changes_nothing() -> None:
    assert between(OLD, Settings()) == (OLD, [], [], frozenset())


def test_what_only_a_restart_can_change_keeps_its_value() -> None:
    wanted = replace(
        OLD,
        database=replace(OLD.database, path=Path("/elsewhere.db"), busy_timeout=9.0),
        state=replace(OLD.state, directory=Path("/elsewhere")),
    )
    change = between(OLD, wanted)
    assert sorted(change.needing_restart) == ["database.path", "state.directory"]
    of_database = {"database.path", "database.url", "database.schema"}
    assert {*of_database, "fleet.url", "fleet.host", "state.directory"} == RESTART_ONLY
    assert change.taken_up == ["database.busy_timeout"]
    assert change.settings == replace(OLD, database=replace(OLD.database, busy_timeout=9.0))


def test_a_server_in_the_files_place_is_left_to_a_restart_with_all_that_belongs_to_it() -> None:
    moved = replace(OLD.database, path=None, url=parse("postgresql:///bangui"), schema="web")
    change = between(OLD, replace(OLD, database=moved))
    assert change.needing_restart == ["database.path", "database.url", "database.schema"]
    assert change.settings == OLD


def test_what_is_needing_restart_is_held_back_again_at_the_next_reload() -> None:
    wanted = replace(OLD, database=replace(OLD.database, path=Path("/elsewhere.db")))
    assert between(between(OLD, wanted).settings, wanted).needing_restart == ["database.path"]


@pytest.mark.parametrize("job_id", JobId)
@pytest.mark.parametrize("changes", [{"interval": 7.0}, {"enabled": False}])
def test_a_job_is_planned_anew_where_its_schedule_has_changed(job_id: JobId, changes: dict[str, object]) -> None:
    change = between(OLD, with_job(OLD, job_id, **changes))
    assert change.jobs == {job_id}
    assert change.taken_up == [f"jobs.{job_id}.{name}" for name in changes]


def test_a_job_whose_retention_has_changed_says_so_with_its_schedule() -> None:
    change = between(OLD, with_job(OLD, JobId.GEO_CACHE_CLEANUP, retention_days=30))
    assert change.jobs == {JobId.GEO_CACHE_CLEANUP}


@pytest.mark.parametrize("job_id", JobId)
def test_another_timeout_does_not_move_a_job(job_id: JobId) -> None:
    change = between(OLD, with_job(OLD, job_id, timeout=7.0))
    assert (change.taken_up, change.jobs) == ([f"jobs.{job_id}.timeout"], frozenset())


def test_every_key_that_is_needing_restart_is_a_key() -> None:
    assert {key for key, _ in leaves(OLD)} >= RESTART_ONLY
