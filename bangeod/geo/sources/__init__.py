"""The sources of geo data, and the protocols by which the cache asks them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from bangeod.model import Geo, Origin


class LocalSource(Protocol):
    """A source on this machine, asked one address at a time, as fast as memory."""

    @property
    def origin(self) -> Origin:
        """Return the origin that its answers carry."""

    def find(self, ip: str) -> Geo | None:
        """Return where a canonical, globally routable address is; None where it is not known. Never raises."""


class RemoteSource(Protocol):
    """A source across the network, asked in batches, with limits of its own."""

    @property
    def origin(self) -> Origin:
        """Return the origin that its answers carry."""

    @property
    def batch_size(self) -> int:
        """Return how many addresses one request may hold."""

    def wait(self) -> float:
        """Return the seconds until the next request may be sent; 0 if it may be sent now."""

    async def resolve(self, ips: Sequence[str]) -> Mapping[str, Geo | None]:
        """Ask about at most ``batch_size`` canonical, globally routable addresses.

        An address that the source does not know maps to None; an address missing from its answer is not in the
        mapping. Raises SourcePausedError where no request may be sent now, and SourceError where the request failed;
        then nothing is known about any of the addresses.
        """


class SourcesInUse(Protocol):
    """The sources that are in use now; they may change during any await."""

    @property
    def local(self) -> Sequence[LocalSource]:
        """Return the sources on this machine, in the order in which they are asked."""

    @property
    def remote(self) -> RemoteSource | None:
        """Return the source across the network; None where there is none, or none for now."""
