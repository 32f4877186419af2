"""What an MMDB said of whole networks, so that neighbours need no look into it: decoding a record is what costs.

Addresses that attack come in swarms, and most of the IPv4 address space lies in networks of a /16 or larger.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from bangeod.model import Geo

if TYPE_CHECKING:
    from types import EllipsisType

_MOST: Final = 100_000  # networks of a size; there are 65,536 of a /16
_SHORT: Final = 16  # bits
_LONG: Final = 24  # bits


class NetworkMemo:
    """Answers by network, for IPv4 in dotted form. None is an answer, too: that nothing is known."""

    def __init__(self) -> None:
        self._short: dict[str, Geo | None] = {}  # by the first two octets
        self._long: dict[str, Geo | None] = {}  # by the first three

    def find(self, ip: str) -> "Geo | EllipsisType | None":
        """Return what is known of the network that an address is in; ``...`` where it has not been met."""
        known = self._short.get(ip[: ip.find(".", ip.find(".") + 1)], ...)
        return self._long.get(ip[: ip.rfind(".")], ...) if known is ... else known

    def remember(self, ip: str, prefix_length: int, geo: Geo | None) -> None:
        """Take note of what was found for an address and all others that share so many bits with it."""
        if 0 < prefix_length <= _SHORT:
            for network in _blocks(ip, prefix_length):
                _put(self._short, network, geo)
        elif _SHORT < prefix_length <= _LONG:
            _put(self._long, ip[: ip.rfind(".")], geo)


def _blocks(ip: str, prefix_length: int) -> Iterator[str]:
    """Return each /16 of the network that an address is in; of one larger than a /8 those of its own /8."""
    first, second, _ = ip.split(".", 2)
    count = 1 << min(_SHORT - prefix_length, 8)
    start = int(second) & -count
    return (f"{first}.{octet}" for octet in range(start, start + count))


def _put(known: dict[str, Geo | None], network: str, geo: Geo | None) -> None:
    if len(known) >= _MOST:
        known.clear()
    known[network] = geo
