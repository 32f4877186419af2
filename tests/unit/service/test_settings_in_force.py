"""The settings in force: changed in one place, and a change that failed half-way is carried out by the next one."""

from pathlib import Path

import msgspec

from bangeod.config import Settings
from bangeod.jobs.job import JobId
from bangeod.service.config_change import ConfigChange
from bangeod.service.settings_in_force import SettingsInForce

replace = msgspec.structs.replace
OLD = Settings()
OTHER = replace(OLD, cache=replace(OLD.cache, max_entries=10))


def often(settings: Settings) -> Settings:
    flush = replace(settings.jobs.geo_cache_flush, interval=7.0)
    return replace(settings, jobs=replace(settings.jobs, geo_cache_flush=flush))


def test_a_change_is_in_force_at_once() -> None:
    in_force = SettingsInForce(OLD)
    assert in_force.current == OLD
    assert in_force.change(OTHER).taken_up == ["cache.max_entries"]
    assert in_force.current == OTHER


def test_what_needs_a_restart_stays_as_it_is() -> None:
    in_force = SettingsInForce(OLD)
    change = in_force.change(replace(OTHER, database=replace(OLD.database, path=Path("/elsewhere.db"))))
    assert change.needing_restart == ["database.path"]
    assert in_force.current == OTHER


def test_what_was_carried_out_is_no_part_of_the_next_change() -> None:
    in_force = SettingsInForce(OLD)
    assert in_force.change(often(OTHER)).jobs == {JobId.GEO_CACHE_FLUSH}
    in_force.carried_out()
    assert in_force.change(often(OTHER)) == ConfigChange(often(OTHER), [], [], frozenset())


def test_what_was_not_carried_out_is_part_of_the_next_change() -> None:
    in_force = SettingsInForce(OLD)
    in_force.change(often(OTHER))
    change = in_force.change(often(OTHER))
    assert sorted(change.taken_up) == ["cache.max_entries", "jobs.geo_cache_flush.interval"]
    assert change.jobs == {JobId.GEO_CACHE_FLUSH}


def test_a_job_that_may_have_been_planned_by_a_change_is_planned_anew_where_that_is_undone() -> None:
    in_force = SettingsInForce(OLD)
    in_force.change(often(OLD))
    change = in_force.change(OLD)
    assert change == ConfigChange(OLD, [], [], frozenset({JobId.GEO_CACHE_FLUSH}))
    assert in_force.current == OLD
