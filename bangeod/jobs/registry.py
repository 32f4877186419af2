"""The registry: the declarations of all jobs, and the making of the jobs for the settings in force."""

import importlib
from collections.abc import Mapping
from typing import Final

from bangeod.jobs.job import Declaration, Job, JobId, Tools

# The modules are named like the ids: a new job needs a line in JobId, and none here.
DECLARATIONS: Final[Mapping[JobId, Declaration]] = {
    job_id: importlib.import_module(f"{__package__}.{job_id}").DECLARATION for job_id in JobId
}


def build(tools: Tools, tables: object) -> Mapping[JobId, Job]:
    """Make the jobs; ``tables`` has the config table of each job under its id."""
    return {job_id: declared.make(tools, getattr(tables, job_id)) for job_id, declared in DECLARATIONS.items()}
