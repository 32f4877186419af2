"""Banned addresses and networks; a banned network protects the rows of all addresses within it."""

from bisect import bisect_right
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final, NamedTuple

from bangeod.addresses import AddressKind, read_address

Network = IPv4Network | IPv6Network

_MAPPED: Final = IPv6Network("::ffff:0:0/96")  # IPv4 addresses written as IPv6
_MAPPED_BITS: Final = 96
_LONGEST: Final = 64  # characters that a network's text has at most, a zone and a netmask included


def read_banned(text: object) -> str | Network | None:
    """Return the canonical address or the network that a text bans; None if it is neither. Never raises.

    A network may have host bits. A network of a single address becomes that address, and a network of IPv4-mapped
    addresses becomes an IPv4 network.
    """
    kind, ip = read_address(text)
    if kind is not AddressKind.INVALID:
        return ip
    return _read_network(text) if isinstance(text, str) and "/" in text else None


def _read_network(text: str) -> str | Network | None:
    if len(text) > _LONGEST or "%" in text:
        return None
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        bits = network.prefixlen - _MAPPED_BITS
        network = IPv4Network((int(network.network_address) & 0xFFFF_FFFF, bits))
    if network.prefixlen == network.max_prefixlen:
        return read_address(str(network.network_address))[1]
    return network


@dataclass(frozen=True)
class Banned:
    """Banned canonical addresses and networks (none of a single address); made once, then asked about many keys.

    Nobody changes the sets afterwards. They are not copied: copying a million addresses would stop the event loop.
    """

    addresses: AbstractSet[str] = frozenset()
    networks: AbstractSet[Network] = frozenset()
    _ranges4: "_Ranges" = field(init=False, repr=False, compare=False)
    _ranges6: "_Ranges" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ranges4", _Ranges(n for n in self.networks if isinstance(n, IPv4Network)))
        object.__setattr__(self, "_ranges6", _Ranges(n for n in self.networks if isinstance(n, IPv6Network)))

    def __bool__(self) -> bool:
        return bool(self.addresses or self.networks)

    def holds(self, text: str) -> bool:
        """Return whether a text is banned: an address in any spelling, or a network. Never raises."""
        kind, ip = read_address(text)  # a cleanup asks about every stale row, so each call counts
        if kind is not AddressKind.INVALID:
            return ip in self.addresses or (bool(self.networks) and self._cover(ip))
        what = _read_network(text) if "/" in text else None
        if what is None or isinstance(what, str):
            return what is not None and self.holds(what)
        ranges = self._ranges4 if isinstance(what, IPv4Network) else self._ranges6
        return ranges.hold(int(what.network_address), int(what.broadcast_address))

    def _cover(self, ip: str) -> bool:
        """Return whether one of the networks contains a canonical address; its zone is ignored."""
        if ":" in ip:
            number = int.from_bytes(inet_pton(AF_INET6, ip.partition("%")[0]))
            return self._ranges6.hold(number, number)
        number = int.from_bytes(inet_pton(AF_INET, ip))
        return self._ranges4.hold(number, number)


class _Ranges:
    """The addresses of some networks of one family, as sorted ranges of numbers that don't touch."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted((int(n.network_address), int(n.broadcast_address)) for n in networks):
            if self._lasts and first <= self._lasts[-1] + 1:
                self._lasts[-1] = max(last, self._lasts[-1])
            else:
                self._firsts.append(first)
                self._lasts.append(last)

    def hold(self, first: int, last: int) -> bool:
        """Return whether one range contains everything from ``first`` to ``last``."""
        place = bisect_right(self._firsts, first) - 1
        return place >= 0 and last <= self._lasts[place]


class Reading(NamedTuple):
    """The result of one look at fail2ban's bans.

    If not ``complete``, a lock or lack of time cut it short: don't take it for everybody who is banned. If the ends of
    bans are not known, it holds who was banned lately. One that was not ``was_read`` is empty, whoever is banned.
    """

    banned: Banned = Banned()
    of_gone_jails: Banned = Banned()  # banned only by jails that are disabled while another is enabled
    enabled: frozenset[str] = frozenset()  # the names of the enabled jails
    ends_are_known: bool = True
    complete: bool = True
    was_read: bool = True  # whether there was anything to read at all, and it could be read


NOT_READ: Final = Reading(was_read=False)


def sort_out(
    bans: Iterable[tuple[str | Network, str]], enabled: frozenset[str], *, ends_are_known: bool = True
) -> Reading:
    """Sort bans, each with its jail, by whether fail2ban still has the jail.

    ``jails.enabled`` is 0 for a jail that is no longer configured, and after a normal stop for every jail; those bans
    are in force again once fail2ban has started. So a disabled jail counts as gone only while another jail is enabled.
    A jail that is missing from the table counts like a disabled one, since no running fail2ban has it: fail2ban adds
    each of its jails before it bans anybody in its name, and never removes a jail that has bans (a foreign key; only a
    repair or another program can have lost it).
    """
    addresses: tuple[set[str], set[str]] = set(), set()
    networks: tuple[set[Network], set[Network]] = set(), set()
    for what, jail in bans:
        is_gone = bool(enabled) and jail not in enabled
        if isinstance(what, str):
            addresses[is_gone].add(what)
        else:
            networks[is_gone].add(what)
    gone = Banned(addresses[True] - addresses[False], networks[True] - networks[False])
    return Reading(Banned(addresses[False], networks[False]), gone, enabled, ends_are_known)
