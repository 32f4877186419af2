"""The search tree of an MMDB (MaxMind DB file format 2.0): its nodes, and one address for each record.

A lookup follows the bits of the address from node to node, left at 0 and right at 1, until a value is no node. Values
below the number of nodes are nodes, that number itself means that nothing is known, higher ones are records.
"""

import sys
from array import array
from collections.abc import Iterator
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Final

BITS: Final = {4: 32, 6: 128}  # of an address, by IP version
SMALL: Final = 24  # bits of one value in a node, which has two
MIDDLE: Final = 28
LARGE: Final = 32

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


def addresses_of_records(values: "array[int]", ip_version: int) -> Iterator[str]:
    """Hand out one address for each distinct record that a search tree leads to.

    Raises DamagedError where an address leads to no end: such a lookup would fail in whatever reads the file.
    """
    bits = BITS[ip_version]
    node_count = len(values) // 2
    parents = array("I", bytes(4 * node_count))  # of each node: where in ``values`` it is pointed to first, plus 1
    pointers = array("I", bytes(4 * node_count))  # to each node: how often it is pointed to
    records_at: dict[int, int] = {}  # of each record: where in ``values`` it is pointed to first
    reached = array("I", [0])
    for node in reached:  # grows while it is walked: breadth first, so that each way found is the shortest
        for place in (2 * node, 2 * node + 1):
            value = values[place]
            if value > node_count:
                records_at.setdefault(value, place)
            elif value < node_count:
                pointers[value] += 1
                if pointers[value] == 1 and value:
                    parents[value] = place + 1
                    reached.append(value)
    if sum(pointers) != len(reached) - 1:  # no plain tree: IPv4 is at several places of an IPv6 tree, say
        _check_depth(values, pointers, len(reached), bits)
    elif _way(2 * reached[-1], parents)[1] > bits:
        raise DamagedError("has a damaged search tree: fetch it again")
    for place in records_at.values():
        yield _address(*_way(place, parents), bits)


def _check_depth(values: "array[int]", pointers: "array[int]", reached: int, bits: int) -> None:
    """Follow the longest way to each node, by taking each up when all that point to it have been. Uses up ``pointers``.

    Raises DamagedError where nodes point at one another in a circle, or a way is longer than an address.
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
