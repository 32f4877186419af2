"""IP addresses as text: whether they are globally routable, their canonical form and their other spellings.

This module has its own tables of what is routable, since ``ipaddress.is_global`` differs between releases of Python and
calls multicast global. Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190; as of
October 2025), RFC 5771 and RFC 4291 for multicast, and RFC 4291 for IPv6, where nothing but 2000::/3 is handed out as
global unicast.

Where the registries leave it open:

* NAT64 (64:ff9b::/96, RFC 6052), 6to4 (2002::/16, RFC 3056) and Teredo (2001::/32, RFC 4380, with the client's address
  inverted in the last 32 bits) addresses carry the IPv4 address of the same host. Such an address is routable if the
  IPv4 address is, and is in the same place. What a database says of these networks themselves is ignored: some
  databases put a whole network into one country, others look up the Teredo server (bits 32 to 63 in RFC 4380). The
  address is still one of its own, with its own row, since it is another route to the host.
* 192.88.99.0/24, once the anycast prefix of 6to4 relays, counts as routable: the registry no longer reserves it.
* A zone (``fe80::1%eth0``) belongs to a link-local address and is kept; on any other address the text is invalid.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from enum import Enum
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final


class AddressKind(Enum):
    """Whether a text is an address, and whether that is globally routable."""

    GLOBAL = "global"  # globally routable: worth asking a source about
    PRIVATE = "private"  # an address that is not globally routable
    INVALID = "invalid"  # not an address


_IPV4: Final = {
    "0.0.0.0/0": True,
    "0.0.0.0/8": False,  # this network
    "10.0.0.0/8": False,  # private use
    "100.64.0.0/10": False,  # shared address space: carrier-grade NAT
    "127.0.0.0/8": False,  # loopback
    "169.254.0.0/16": False,  # link-local
    "172.16.0.0/12": False,  # private use
    "192.0.0.0/24": False,  # IETF protocol assignments
    "192.0.0.9/32": True,  # Port Control Protocol anycast
    "192.0.0.10/32": True,  # TURN anycast
    "192.0.2.0/24": False,  # documentation
    "192.88.99.2/32": False,  # 6a44 relay anycast
    "192.168.0.0/16": False,  # private use
    "198.18.0.0/15": False,  # benchmarking
    "198.51.100.0/24": False,  # documentation
    "203.0.113.0/24": False,  # documentation
    "224.0.0.0/4": False,  # multicast
    "240.0.0.0/4": False,  # reserved, and the limited broadcast
}

_IPV6: Final = {
    "::/0": False,  # what is not global unicast: unspecified, loopback, fc00::/7, fe80::/10, ff00::/8, ...
    "64:ff9b::/96": True,  # NAT64, see above
    "2000::/3": True,  # global unicast
    "2001::/23": False,  # IETF protocol assignments, benchmarking among them
    "2001::/32": True,  # Teredo, see above
    "2001:1::1/128": True,  # Port Control Protocol anycast
    "2001:1::2/128": True,  # TURN anycast
    "2001:1::3/128": True,  # DNS-SD service registration anycast
    "2001:3::/32": True,  # Automatic Multicast Tunneling
    "2001:4:112::/48": True,  # AS112
    "2001:20::/28": True,  # ORCHIDv2
    "2001:30::/28": True,  # drone remote ID
    "2001:db8::/32": False,  # documentation
    "2002::/16": True,  # 6to4, see above
    "3fff::/20": False,  # documentation
}

_GLOBAL: Final = AddressKind.GLOBAL  # bound to a name once, for speed
_MAX_TEXT: Final = 64  # 45 characters of address, "%" and an interface name of 15 at most
_IPV4_OCTETS: Final = 4
_MAPPED: Final = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, IPv4 addresses written as IPv6
_NAT64: Final = bytes.fromhex("0064ff9b") + bytes(8)
_6TO4: Final = bytes.fromhex("2002")
_TEREDO: Final = bytes.fromhex("20010000")
_CARRYING: Final = "2002:", "64:ff9b:", "2001::", "2001:0:"  # how a canonical address that carries IPv4 begins
_LINK_LOCAL: Final = IPv6Network("fe80::/10")
_ZONE: Final = re.compile(r"[!-$&-.0-~]{1,15}")  # an interface's name: printable, without "%" and "/"


def _segments(table: dict[str, bool]) -> tuple[Sequence[int], Sequence[AddressKind]]:
    """Cut the address space into segments by a table of prefixes; the most specific prefix decides.

    Returns where each segment begins, and the kind of its addresses.
    """
    networks = [(ip_network(prefix), routable) for prefix, routable in table.items()]
    by_length = sorted(networks, key=lambda entry: entry[0].prefixlen, reverse=True)
    starts = sorted(_borders(network for network, _ in networks))
    kinds = [
        next(
            AddressKind.GLOBAL if routable else AddressKind.PRIVATE
            for network, routable in by_length
            if int(network.network_address) <= start <= int(network.broadcast_address)
        )
        for start in starts
    ]
    return starts, kinds


def _borders(networks: Iterable[IPv4Network | IPv6Network]) -> set[int]:
    """Return the first address of each network and the one after its last, within the space of the largest."""
    borders = set[int]()
    end = 0
    for network in networks:
        borders |= {int(network.network_address), int(network.broadcast_address) + 1}
        end = max(end, int(network.broadcast_address) + 1)
    return borders - {end}


_STARTS4, _KINDS4 = _segments(_IPV4)
_STARTS6, _KINDS6 = _segments(_IPV6)


def _kinds_by_octet(starts: Sequence[int], kinds: Sequence[AddressKind], bits: int) -> Sequence[AddressKind | None]:
    """Return for each first octet the kind of all addresses that begin with it; None where they differ."""

    def segment(number: int) -> int:
        return bisect_right(starts, number) - 1

    blocks = [(octet << bits - 8, (octet + 1 << bits - 8) - 1) for octet in range(256)]
    found = [set(kinds[segment(first) : segment(last) + 1]) for first, last in blocks]
    return tuple(of_block.pop() if len(of_block) == 1 else None for of_block in found)


_BY_OCTET4: Final = _kinds_by_octet(_STARTS4, _KINDS4, 32)
_BY_OCTET6: Final = _kinds_by_octet(_STARTS6, _KINDS6, 128)


def read_address(text: object) -> tuple[AddressKind, str]:
    """Return the kind of a text and its canonical form; a text that is not an address is returned as it is.

    Canonical is dotted for IPv4, IPv4 for an IPv4-mapped IPv6 address, and compressed lower case for IPv6. White space,
    prefix lengths, ports, brackets and leading zeros in IPv4 make a text invalid. A row may hold a value that is not
    text: the result is then the name of its type in angle brackets. Never raises.
    """
    if not isinstance(text, str):
        return AddressKind.INVALID, f"<{type(text).__name__}>"
    if ":" in text:
        return _read_ipv6(text)
    try:
        packed = inet_pton(AF_INET, text)
    except (OSError, ValueError):  # ValueError: a NUL or a lone surrogate in it
        return AddressKind.INVALID, text
    # A text that inet_pton accepts is canonical: it takes only four decimal octets without leading zeros.
    return _kind4(packed), text


def _read_ipv6(text: str) -> tuple[AddressKind, str]:
    if len(text) > _MAX_TEXT:
        return AddressKind.INVALID, text
    if "%" in text:
        return _read_zoned(text)
    try:
        packed = inet_pton(AF_INET6, text)
    except (OSError, ValueError):
        return AddressKind.INVALID, text
    kind = _BY_OCTET6[packed[0]]
    if kind:
        return kind, inet_ntop(AF_INET6, packed)
    if packed.startswith(_MAPPED):
        return _kind4(packed[12:]), inet_ntop(AF_INET, packed[12:])
    return _kind6(packed), _compressed(packed)


def octets(text: str) -> bytes:
    """Return the octets of an address: 4 of IPv4, also where it is written as IPv6, else 16; none of anything else.

    Nothing else includes an address with a zone. All spellings of an address have the same octets.
    """
    try:
        if ":" not in text:
            return inet_pton(AF_INET, text)
        address = inet_pton(AF_INET6, text)
    except (OSError, ValueError):
        return b""
    return address[12:] if address.startswith(_MAPPED) else address


def octets_of_all(texts: Sequence[str]) -> list[bytes]:
    """Return the octets of each of many addresses, in less time for each."""
    try:
        addresses = list(map(inet_pton, [AF_INET6 if ":" in text else AF_INET for text in texts], texts))
    except (OSError, ValueError):
        return list(map(octets, texts))
    return [
        address if len(address) == _IPV4_OCTETS or not address.startswith(_MAPPED) else address[12:]
        for address in addresses
    ]


def text_of(address: bytes) -> str:
    """Return the canonical text of an address of 4 or 16 octets."""
    return inet_ntop(AF_INET, address) if len(address) == _IPV4_OCTETS else _compressed(address)


def is_global(address: bytes) -> bool:
    """Say whether an address of 4 or 16 octets, as ``octets`` returns it, is globally routable."""
    if len(address) == _IPV4_OCTETS:
        return (_BY_OCTET4[address[0]] or _kind4(address)) is _GLOBAL
    return (_BY_OCTET6[address[0]] or _kind6(address)) is _GLOBAL


def _read_zoned(text: str) -> tuple[AddressKind, str]:
    address, _, zone = text.partition("%")
    kind, canonical = _read_ipv6(address)
    scoped = kind is AddressKind.PRIVATE and ":" in canonical and IPv6Address(canonical) in _LINK_LOCAL
    if scoped and _ZONE.fullmatch(zone):
        return AddressKind.PRIVATE, f"{canonical}%{zone}"
    return AddressKind.INVALID, text


def _kind4(packed: bytes) -> AddressKind:
    return _BY_OCTET4[packed[0]] or _KINDS4[bisect_right(_STARTS4, int.from_bytes(packed)) - 1]


def _kind6(packed: bytes) -> AddressKind:
    carried = _carried(packed)
    return _kind4(carried) if carried else _KINDS6[bisect_right(_STARTS6, int.from_bytes(packed)) - 1]


def _compressed(packed: bytes) -> str:
    """Write an IPv6 address as text; where ten octets are 0, C libraries differ on when to use dots."""
    return inet_ntop(AF_INET6, packed) if any(packed[:10]) else IPv6Address(packed).compressed


def _carried(packed: bytes) -> bytes | None:
    if packed.startswith(_6TO4):
        return packed[2:6]
    if packed.startswith(_NAT64):
        return packed[12:]
    if packed.startswith(_TEREDO):
        return bytes(octet ^ 0xFF for octet in packed[12:])
    return None


def carried_ipv4(canonical: str) -> str | None:
    """Return the IPv4 address that a canonical NAT64, 6to4 or Teredo address carries; None for any other."""
    if not canonical.startswith(_CARRYING):
        return None
    packed = _carried(inet_pton(AF_INET6, canonical))
    return inet_ntop(AF_INET, packed) if packed else None


def spellings(canonical: str) -> tuple[str, ...]:
    """Return the texts under which a web app may have stored an address, the canonical one first.

    ``read_address`` turns each of them into the canonical one. What is no canonical address has no other spelling.
    """
    kind, text = read_address(canonical)
    if kind is AddressKind.INVALID or text != canonical or "%" in canonical:
        return (canonical,)
    if ":" in canonical:
        exploded = inet_pton(AF_INET6, canonical).hex(":", 2)
        texts = [canonical, canonical.upper(), exploded, exploded.upper()]
    else:
        high, low = divmod(int.from_bytes(inet_pton(AF_INET, canonical)), 1 << 16)
        mapped = f"::ffff:{high:x}:{low:x}"
        texts = [canonical, f"::ffff:{canonical}", f"::FFFF:{canonical}", mapped, mapped.upper()]
    return tuple(dict.fromkeys(texts))
