"""The sources of countries: what each of them offers to the cache."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from bangeod.model import Geo, Origin


class LocalSource(Protocol):
    """A source on this machine, asked one address at a time, at memory's speed."""

    @property
    def origin(self) -> Origin:
        """Return the name that answers of it carry."""

    def find(self, ip: str) -> Geo | None:
        """Say where a canonical, globally routable address is; None where it is not known. Never raises."""


class RemoteSource(Protocol):
    """A source across the network, asked in batches, with limits of its own."""

    @property
    def origin(self) -> Origin:
        """Return the name that answers of it carry."""

    @property
    def batch_size(self) -> int:
        """Return how many addresses one request may hold."""

    def wait(self) -> float:
        """Return the seconds until the next request may go; 0 where it may go now."""

    async def resolve(self, ips: Sequence[str]) -> Mapping[str, Geo | None]:
        """Ask about at most ``batch_size`` canonical, globally routable addresses.

        An address that the source does not know maps to None; one that it left out of its answer is
        not in the mapping. Raises SourcePausedError where no request may go now, SourceError where the
        request failed; then nothing is known about any of them.
        """


class SourcesInUse(Protocol):
    """Which sources are to be asked. They may be others after any await."""

    @property
    def local(self) -> Sequence[LocalSource]:
        """Return those on this machine, in the order in which they are asked."""

    @property
    def remote(self) -> RemoteSource | None:
        """Return the one across the network; None where there is none, or none for now."""
