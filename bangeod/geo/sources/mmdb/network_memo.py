"""A memo of an MMDB's answers for whole networks, so that neighbours need no lookup: decoding a record is the cost.

Attacking addresses come in swarms, and most of the IPv4 address space lies in networks of a /16 or larger.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from bangeod.model import Geo

if TYPE_CHECKING:
    from types import EllipsisType

_MOST: Final = 100_000  # networks of one size; 65,536 of them are a /16
_SHORT: Final = 16  # bits
_LONG: Final = 24  # bits


class NetworkMemo:
    """Answers by network, for IPv4 in dotted form. None is an answer too: nothing is known of that network."""

    def __init__(self) -> None:
        self._short: dict[str, Geo | None] = {}  # by the first two octets
        self._long: dict[str, Geo | None] = {}  # by the first three

    def find(self, ip: str) -> "Geo | EllipsisType | None":
        """Return the answer for the network of an address; ``...`` where none is remembered."""
        known = self._short.get(ip[: ip.find(".", ip.find(".") + 1)], ...)
        return self._long.get(ip[: ip.rfind(".")], ...) if known is ... else known

    def remember(self, ip: str, prefix_length: int, geo: Geo | None) -> None:
        """Remember the answer for an address and all others with the same prefix."""
        if 0 < prefix_length <= _SHORT:
            for network in _blocks(ip, prefix_length):
                _put(self._short, network, geo)
        elif _SHORT < prefix_length <= _LONG:
            _put(self._long, ip[: ip.rfind(".")], geo)


def _blocks(ip: str, prefix_length: int) -> Iterator[str]:
    """Return each /16 of an address's network; of a network larger than a /8, only those in the address's own /8."""
    first, second, _ = ip.split(".", 2)
    count = 1 << min(_SHORT - prefix_length, 8)
    start = int(second) & -count
    return (f"{first}.{octet}" for octet in range(start, start + count))


def _put(known: dict[str, Geo | None], network: str, geo: Geo | None) -> None:
    if len(known) >= _MOST:
        known.clear()
    known[network] = geo
