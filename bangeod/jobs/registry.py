"""The registry: the declarations of all jobs, and the making of the jobs for the settings in force."""

import importlib
from collections.abc import Mapping
from typing import Final

from bangeod.jobs.job import Declaration, Job, JobId, Tools

# The modules are named like the ids: a new job needs a line in JobId, and none here.
DECLARATIONS: Final[Mapping[JobId, Declaration]] = {
    job_id: importlib.import_module(f"{__package__}.{job_id}").DECLARATION for job_id in JobId
}


def make(job_id: JobId, tools: Tools, settings: object) -> Job:
    """Make a job; ``settings`` has each one's table of the config under its id."""
    return DECLARATIONS[job_id].make(tools, getattr(settings, job_id))
