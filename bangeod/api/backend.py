"""What the API needs of the daemon behind it."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from bangeod.api.daemon_state import ApiState, State
from bangeod.api.messages import Explanation
from bangeod.jobs.job import JobId, Report
from bangeod.model import Answer


class Lookups(Protocol):
    """The cache, as far as the API asks it."""

    async def lookup_batch(self, ips: Sequence[str]) -> list[Answer]:
        """Say where each address is, in the order asked; asks whatever may know it."""

    def lookup_cached_only(self, ips: Sequence[str]) -> list[Answer]:
        """Say of each address what memory knows, in the order asked."""

    def worth_asking(self, ips: Iterable[str]) -> bool:
        """Say whether any of these might be known by now: not where none of them was found lately."""


class Backend(Protocol):
    """The daemon behind the API. Everything belongs to the event loop."""

    @property
    def cache(self) -> Lookups:
        """Return the cache of now."""

    def trouble(self) -> str | None:
        """Say what keeps the daemon from its work; None where all is well."""

    async def state(self, api: ApiState) -> State:
        """Describe how the daemon stands, with the API's own part filled in."""

    async def explain(self, ips: Sequence[str]) -> list[Explanation]:
        """Say what each source says of each address, in the order asked. Changes nothing."""

    async def run_job(self, job_id: JobId, *, dry: bool) -> Report:
        """Run a job now and return its report. Raises JobRunningError, and StoppingError where the daemon ends."""
