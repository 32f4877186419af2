"""What the jobs declare, held against what they do and what the config says of them."""

import subprocess
import sys

import pytest

from bangeod.config import JobSettings, Settings
from bangeod.jobs import registry
from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.job import JobId, Run, Tools
from bangeod.jobs.kept_rows import KeptRows
from bangeod.jobs.registry import DECLARATIONS
from tests.support.fakes import GERMANY, World

LONG_AGO = "2001-01-01T00:00:00Z"


def tools_of(world: World) -> Tools:
    return Tools(world.store, world.cache, BanWatch(), KeptRows())


def test_each_job_is_made_under_its_id_from_the_config_as_it_is_by_default() -> None:
    tools = tools_of(World())
    jobs = {job_id: registry.make(job_id, tools, Settings().jobs) for job_id in JobId}
    assert list(jobs) == list(DECLARATIONS) == list(JobId)
    assert all(job.id is job_id is DECLARATIONS[job_id].id for job_id, job in jobs.items())


def test_the_tables_of_the_config_are_those_of_the_jobs_in_their_order() -> None:
    assert Settings().jobs.__struct_fields__ == tuple(JobId)


def test_the_ids_are_known_without_importing_a_job() -> None:
    """Commands that talk to the daemon need them, and have to start fast."""
    code = "import sys, bangeod.jobs.job; print(*(name for name in sys.modules if name.startswith('bangeod.')))"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(imported.split()) == {"bangeod.clock", "bangeod.jobs", "bangeod.jobs.job"}


@pytest.mark.parametrize("job_id", JobId)
def test_what_is_said_when_a_job_is_scheduled_is_in_its_table(job_id: JobId) -> None:
    table: JobSettings = getattr(Settings().jobs, job_id)
    of_all = {"interval", *JobSettings.__struct_fields__}
    assert set(DECLARATIONS[job_id].scheduled_with) <= set(table.__struct_fields__) - of_all


@pytest.mark.parametrize("job_id", JobId)
async def test_the_figures_that_a_job_declares_are_figures_of_its_report(job_id: JobId) -> None:
    world = World()
    world.local.places["8.8.8.8"] = GERMANY
    world.store.put_geo("8.8.8.8", last_seen=world.now)
    world.store.put_geo("nonsense", last_seen=0)
    world.store.put_session(LONG_AGO)
    job = registry.make(job_id, tools_of(world), Settings().jobs)
    result = await job.run(Run.within(60.0, world.clock))
    counts = DECLARATIONS[job_id].counts
    assert result.figures.keys() >= {*counts.written, *counts.deleted, *counts.unreadable}
