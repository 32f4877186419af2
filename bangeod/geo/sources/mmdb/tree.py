"""The search tree of an MMDB (MaxMind DB file format 2.0): its nodes, and one address for each record.

A lookup follows the bits of the address from node to node, left at 0 and right at 1, until a value is no node. Values
below the number of nodes are nodes, that number itself means that nothing is known, higher values are records.

A tree for IPv6 has IPv4 at ::/96, and may also have it elsewhere: there a node points to the same nodes.
"""

import sys
from array import array
from collections.abc import Iterator
from ipaddress import IPv6Network
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Final, NamedTuple

BITS: Final = {4: 32, 6: 128}  # of an address, by IP version
SMALL: Final = 24  # bits of one value in a node, which has two
MIDDLE: Final = 28
LARGE: Final = 32

# Which addresses are looked up in each part of an IPv6 tree. 6to4 (2002::/16) and Teredo, in 2001::/23, never are.
_NEITHER: Final = 0
_IPV4: Final = 1
_IPV6: Final = 2
_PARTS: Final = {
    IPv6Network("::/96"): _IPV4,
    IPv6Network("2000::/3"): _IPV6,
    IPv6Network("2001::/23"): _NEITHER,
    IPv6Network("2002::/16"): _NEITHER,
}

_HIGH_NIBBLE: Final = bytes(octet >> 4 for octet in range(256))
_LOW_NIBBLE: Final = bytes(octet & 15 for octet in range(256))


class DamagedError(Exception):
    """The file can't be used; the text says why."""


def tree_values(tree: bytes, record_size: int) -> "array[int]":
    """Return the two values of each node of a search tree, in order."""
    if record_size == LARGE:
        wide = bytearray(tree)
    else:
        wide = bytearray(len(tree) * LARGE // record_size)
        if record_size == SMALL:
            for octet in range(3):
                wide[octet + 1 :: 4] = tree[octet::3]
        else:  # the fourth octet of a node holds the high nibbles of both its values
            wide[0::8], wide[4::8] = tree[3::7].translate(_HIGH_NIBBLE), tree[3::7].translate(_LOW_NIBBLE)
            for octet in range(3):
                wide[octet + 1 :: 8], wide[octet + 5 :: 8] = tree[octet::7], tree[octet + 4 :: 7]
    values = array("I")  # 4 octets on every machine that Linux runs on
    values.frombytes(wide)
    if sys.byteorder == "little":
        values.byteswap()
    return values


class Reached(NamedTuple):
    """A record that a search tree leads to."""

    address: str  # one of the addresses that lead to it
    ipv4: bool  # whether it answers for IPv4 addresses
    ipv6: bool  # whether it answers for globally routable IPv6 addresses that carry no IPv4 one


def records_reached(values: "array[int]", ip_version: int) -> Iterator[Reached]:
    """Yield each distinct record that a search tree leads to, once.

    Raises DamagedError where the path of an address never ends: any reader of the file would fail at that lookup.
    """
    bits = BITS[ip_version]
    node_count = len(values) // 2
    parents = array("I", bytes(4 * node_count))  # of each node: index in ``values`` of the first pointer to it, plus 1
    pointers = array("I", bytes(4 * node_count))  # of each node: how many pointers lead to it
    # Of each record, by the kind of address looked up there: index in ``values`` of the first pointer to it.
    borders, records_at = _parts(values) if bits == BITS[6] else ({}, ({}, {}, {}))
    parts = bytearray(node_count)  # of each node
    parts[0] = _IPV4 if bits == BITS[4] else _NEITHER
    shared: list[tuple[int, int]] = []  # nodes that another part leads to as well, with that part
    reached = array("I", [0])
    for node in reached:  # grows during the loop: breadth first, so that the first way found is the shortest
        part = parts[node]
        found = records_at[part]
        for place in (2 * node, 2 * node + 1):
            value = values[place]
            if value > node_count:
                found.setdefault(value, place)
            elif value < node_count:
                pointers[value] += 1
                if pointers[value] == 1 and value:
                    parents[value] = place + 1
                    parts[value] = borders.get(value, part)
                    reached.append(value)
                elif part != parts[value] and value not in borders:
                    shared.append((value, part))
    if sum(pointers) != len(reached) - 1:  # no plain tree: for example IPv4 is at several places of an IPv6 tree
        _check_depth(values, pointers, len(reached), bits)
    elif _way(2 * reached[-1], parents)[1] > bits:
        raise DamagedError("has a damaged search tree: fetch it again")
    _walk_shared(values, shared, borders, records_at)
    _, four, six = records_at
    for value, place in (records_at[_NEITHER] | six | four).items():
        yield Reached(_address(*_way(place, parents), bits), value in four, value in six)


def _parts(values: "array[int]") -> tuple[dict[int, int], tuple[dict[int, int], dict[int, int], dict[int, int]]]:
    """Return the nodes at which the parts of an IPv6 tree begin, and the records that hold for a whole part."""
    node_count = len(values) // 2
    borders: dict[int, int] = {}
    records_at: tuple[dict[int, int], dict[int, int], dict[int, int]] = {}, {}, {}
    for network, part in _PARTS.items():
        node = place = 0
        for bit in range(network.prefixlen):
            place = 2 * node + (int(network.network_address) >> 127 - bit & 1)
            node = values[place]
            if node >= node_count:
                break
        if node < node_count:
            borders.setdefault(node, part)  # IPv4 first: others may point there
        elif node > node_count and part != _NEITHER:
            records_at[part].setdefault(node, place)
    return borders, records_at


def _walk_shared(
    values: "array[int]",
    shared: list[tuple[int, int]],
    borders: dict[int, int],
    records_at: tuple[dict[int, int], dict[int, int], dict[int, int]],
) -> None:
    """Add records to all parts that lead to them."""
    node_count = len(values) // 2
    seen = set(shared)
    while shared:
        node, part = shared.pop()
        for place in (2 * node, 2 * node + 1):
            value = values[place]
            if value > node_count:
                records_at[part].setdefault(value, place)
            elif value < node_count and value not in borders and (value, part) not in seen:
                seen.add((value, part))
                shared.append((value, part))


def _check_depth(values: "array[int]", pointers: "array[int]", reached: int, bits: int) -> None:
    """Find the longest way to each node: a node is visited once all nodes that point to it have been.

    Uses up ``pointers``. Raises DamagedError where nodes form a circle, or a way is longer than an address.
    """
    node_count = len(pointers)
    depths = bytearray(node_count)
    ready = array("I", [0] if not pointers[0] else [])
    for node in ready:
        depth = depths[node] + 1
        for value in (values[2 * node], values[2 * node + 1]):
            if value < node_count:
                if depth == bits:
                    raise DamagedError("has a damaged search tree: fetch it again")
                depths[value] = max(depths[value], depth)
                pointers[value] -= 1
                if not pointers[value]:
                    ready.append(value)
    if len(ready) != reached:
        raise DamagedError("has a search tree that leads back to itself: fetch it again")


def _way(place: int, parents: "array[int]") -> tuple[int, int]:
    """Climb from a place in the tree to the root; return the bits that lead there, as a number, and how many."""
    number = place & 1
    length = 1
    while node := place >> 1:
        place = parents[node] - 1
        number |= (place & 1) << length
        length += 1
    return number, length


def _address(number: int, length: int, bits: int) -> str:
    octets = (number << (bits - length)).to_bytes(bits // 8)
    return inet_ntop(AF_INET if bits == BITS[4] else AF_INET6, octets)
