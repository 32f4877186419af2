"""The sources of geo data, and the protocols by which the cache asks them."""

from collections.abc import Callable, Collection, Mapping, Sequence
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

    async def claimed(self, ips: Sequence[str]) -> Collection[str]:
        """Return those of these canonical addresses that are not to be asked about: another host does, or just has.

        None where that can't be told: ``resolve`` leaves them out all the same. Never raises.
        """

    async def resolve(self, ips: Sequence[str], unknown_for: Callable[[str], float]) -> Mapping[str, Geo | None]:
        """Ask about at most ``batch_size`` canonical, globally routable addresses.

        ``unknown_for`` says for how many seconds an address will not be asked about again if it turns out not to be
        known. An address that the source does not know maps to None; an address missing from its answer, or not asked
        about since another host does, is not in the mapping. Raises SourcePausedError where no request may be sent now,
        and SourceError where the request failed; then nothing is known about any of the addresses.
        """


class FleetSource(Protocol):
    """What other hosts have found, and who tells them what this host's own sources found. Nothing of it raises."""

    async def find(self, ips: Sequence[str]) -> Mapping[str, Geo]:
        """Return where canonical, routable addresses are, of those whose country is known within its deadline."""

    async def read_again(self, ips: Sequence[str]) -> Mapping[str, Geo]:
        """Return the same of addresses that another host has just written, whatever the deadline; keeps it for find."""

    def found(self, ip: str, geo: Geo, origin: Origin, *, last_seen: int, resolved_at: int) -> None:
        """Note what a source of this host's said; what is none of evidence for others is left out.

        Times are in seconds since the epoch.
        """

    def seen(self, ip: str, last_seen: int) -> None:
        """Note that an address is in use, at most once a day."""

    async def flush(self, time_left: Callable[[], float]) -> None:
        """Write what was noted, or as much as the time allows, in seconds; the rest waits."""

    async def delete_stale(self, before: int, time_left: Callable[[], float]) -> int:
        """Delete what this host wrote and has not seen since ``before`` (epoch seconds); return how much that was."""


class SourcesInUse(Protocol):
    """The sources that are in use now; they may change during any await."""

    @property
    def local(self) -> Sequence[LocalSource]:
        """Return the sources on this machine, in the order in which they are asked."""

    @property
    def remote(self) -> RemoteSource | None:
        """Return the source across the network; None where there is none, or none for now."""
