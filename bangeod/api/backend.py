"""The protocols through which the API reaches the daemon."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from bangeod.api.daemon_state import ApiState, State
from bangeod.api.messages import Explanation, Top, TopQuery
from bangeod.jobs.job import JobId, Report
from bangeod.model import Answer, Geo


class Lookups(Protocol):
    """The lookups that the API needs of the cache."""

    async def lookup_batch(self, ips: Sequence[str]) -> list[Answer]:
        """Return where each address is, in the order asked; asks sources about what memory does not know."""

    async def lookup_unknown(self, ips: Sequence[str]) -> list[Answer]:
        """Return the same for addresses of which memory has just said that it does not know their country."""

    def lookup_cached_only(self, ips: Sequence[str]) -> list[Answer]:
        """Return what memory knows of each address, in the order asked."""

    async def lookup_stored(self, ips: Sequence[str]) -> list[Answer]:
        """Return what memory or the row knows of each address, in the order asked."""

    @property
    def loaded(self) -> bool:
        """Say whether memory has what the table had when it was read."""

    def lookup_written(self, ips: Sequence[str], write: Callable[[Geo], str]) -> list[str | Answer]:
        """Return the same, but of an address with a country what ``write`` makes of its place.

        ``write`` is the same each time.
        """

    def worth_asking(self, ips: Iterable[str]) -> bool:
        """Return whether any of these may be known by now; False if none of them was found lately."""


class Backend(Protocol):
    """The daemon, as the API sees it. Used on the event loop only."""

    @property
    def cache(self) -> Lookups:
        """The cache in use now."""

    def current_problem(self) -> str | None:
        """Return what keeps the daemon from its work; None if all is well."""

    async def state(self, api: ApiState) -> State:
        """Return the state of the daemon, including the API's own figures."""

    async def explain(self, ips: Sequence[str]) -> list[Explanation]:
        """Return what each source knows of each address, in the order asked. Changes nothing."""

    async def top(self, asked: TopQuery) -> Top:
        """Return which groups have the most addresses. Raises Fail2banOffError, FleetOffError and StoreError."""

    async def run_job(self, job_id: JobId, *, dry: bool) -> Report:
        """Run a job now and return its report. Raises JobRunningError, and StoppingError if the daemon is stopping."""
