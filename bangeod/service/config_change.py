"""What a reload changes in the running daemon: pure policy."""

from typing import NamedTuple

import msgspec

from bangeod.config import RESTART_ONLY, Settings, differences
from bangeod.jobs import registry
from bangeod.jobs.job import JobId


class ConfigChange(NamedTuple):
    """The difference between the old and the new config."""

    settings: Settings  # those in force from now on
    taken_up: list[str]  # dotted keys
    needing_restart: list[str]  # dotted keys
    jobs: frozenset[JobId]  # whose schedule has changed


def between(old: Settings, wanted: Settings) -> ConfigChange:
    """Return what changes; keys of RESTART_ONLY keep their old values."""
    changed = differences(old, wanted)
    needing_restart = [key for key in changed if key in RESTART_ONLY]
    settings = wanted
    for key in needing_restart:
        table, _, name = key.rpartition(".")
        kept = msgspec.structs.replace(getattr(settings, table), **{name: getattr(getattr(old, table), name)})
        settings = msgspec.structs.replace(settings, **{table: kept})
    taken_up = [key for key in changed if key not in RESTART_ONLY]
    jobs = frozenset(
        job_id
        for job_id, declared in registry.DECLARATIONS.items()
        for name in ("enabled", "interval", *declared.scheduled_with)
        if f"jobs.{job_id}.{name}" in taken_up
    )
    return ConfigChange(settings, taken_up, needing_restart, jobs)
