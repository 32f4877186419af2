"""The probe: a process of its own that reads every record of an MMDB, so that a corrupt one kills it and not bangeod.

``python -P -m bangeod.geo.sources.probe FD`` reads the file at that descriptor with the reader that bangeod
itself will use. maxminddb's C reader can be killed by a damaged record (SIGSEGV), and that one record may be met
months later: so the probe looks at all of them, each once. It writes a JSON object: ``{"records": 251, ...}``
as in ``Findings``, or ``{"problem": "..."}``. Killed by a signal it writes nothing.
"""

import contextlib
import json
import os
import resource
import sys
import warnings
from array import array
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple

import maxminddb
from maxminddb.reader import Metadata

from bangeod.geo.sources import records
from bangeod.geo.sources.reader import open_reader

_SEPARATOR: Final = 16  # octets between the tree and the data section (MaxMind DB file format 2.0)
_MAX_DAYS: Final = 100 * 366  # a build time beyond 2070 is damage
_HIGH_NIBBLE: Final = bytes(octet >> 4 for octet in range(256))
_LOW_NIBBLE: Final = bytes(octet & 15 for octet in range(256))
_BITS: Final = {4: 32, 6: 128}  # of an address, by IP version
_SMALL: Final = 24  # bits of one value in a node, which has two
_MIDDLE: Final = 28
_LARGE: Final = 32


class Findings(NamedTuple):
    """What the probe found in a good file."""

    database_type: str
    build_epoch: int  # seconds since the epoch
    ip_version: int
    records: int  # distinct ones
    countries: int  # how many of them know a country
    networks: int  # how many of them know an autonomous system


class DamagedError(Exception):
    """The file can't be used; the text says why."""


def tree_values(tree: bytes, record_size: int) -> "array[int]":
    """Return the two values of each node of a search tree, in order (MaxMind DB file format 2.0, binary tree)."""
    if record_size == _LARGE:
        wide = bytearray(tree)
    else:
        wide = bytearray(len(tree) * _LARGE // record_size)
        if record_size == _SMALL:
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
    """Hand out one address for each distinct record that a search tree leads to."""
    node_count = len(values) // 2
    parents = array("I", bytes(4 * node_count))  # of each node: where in ``values`` it is pointed to, plus 1
    records_at: dict[int, int] = {}  # of each record: where in ``values`` it is pointed to first
    reached = array("I", [0])
    for node in reached:  # grows while it is walked: breadth first, so that each way found is the shortest
        for place in (2 * node, 2 * node + 1):
            value = values[place]
            if value > node_count:
                records_at.setdefault(value, place)
            elif value < node_count and not parents[value]:
                parents[value] = place + 1
                reached.append(value)
    for place in records_at.values():
        address = _address(place, parents, ip_version)
        if address:
            yield address


def _address(place: int, parents: "array[int]", ip_version: int) -> str | None:
    """Climb from a place in the tree to the root; None where it lies deeper than an address has bits."""
    bits = _BITS[ip_version]
    number = place & 1
    length = 1
    while node := place >> 1:
        if length == bits:
            return None
        place = parents[node] - 1
        number |= (place & 1) << length
        length += 1
    octets = (number << (bits - length)).to_bytes(bits // 8)
    return str(ip_address(octets))


def _metadata(reader: maxminddb.Reader) -> Findings:
    """Check what the metadata says; the C reader does not, and fails late where a field is of a wrong type."""
    metadata = reader.metadata()
    kind, built = metadata.database_type, metadata.build_epoch
    if not isinstance(kind, str) or not isinstance(built, int):
        raise DamagedError("has damaged metadata: fetch it again")
    if metadata.ip_version not in _BITS or metadata.record_size not in (_SMALL, _MIDDLE, _LARGE):
        raise DamagedError("has damaged metadata: its IP version or record size is unknown")
    if built > _MAX_DAYS * 86_400:
        raise DamagedError("has damaged metadata: its build time is absurd")
    return Findings("".join(filter(str.isprintable, kind[:100])), built, metadata.ip_version, 0, 0, 0)


def examine(path: str) -> Findings:
    """Read every record of the file at the path. Raises DamagedError, or what the reader raises."""
    try:
        opened = open_reader(path)
    except maxminddb.InvalidDatabaseError as error:
        raise DamagedError("is no MMDB, or not all of one: fetch it again") from error
    with opened as reader:
        findings = _metadata(reader)
        return _count(reader, findings, _read_tree(path, reader.metadata()))


def _read_tree(path: str, metadata: Metadata) -> "array[int]":
    length = metadata.node_count * metadata.record_size // 4
    size = Path(path).stat().st_size
    if not 0 < length <= size - _SEPARATOR:
        raise DamagedError("ends too early: fetch it again")
    with Path(path).open("rb") as file:
        return tree_values(file.read(length), metadata.record_size)


def _count(reader: maxminddb.Reader, findings: Findings, values: "array[int]") -> Findings:
    total = countries = networks = 0
    for address in addresses_of_records(values, findings.ip_version):
        geo = records.interpret(reader.get(address))
        total += 1
        if geo:
            countries += geo.country_code is not None
            networks += geo.asn is not None
    if not total:
        raise DamagedError("holds no records")
    if not countries and not networks:
        raise DamagedError("has neither countries nor AS numbers: give a country, city or ASN database")
    return findings._replace(records=total, countries=countries, networks=networks)


def main() -> None:
    """Probe the file at the descriptor that the command line names, and write the findings."""
    warnings.simplefilter("ignore")  # damaged records make the C reader call deprecated functions
    os.nice(10)
    with contextlib.suppress(OSError, ValueError):
        # A crash is an answer, not an incident: 1 also keeps crash handlers out, which ignore 0 (core(5)).
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    try:
        findings = examine(f"/proc/self/fd/{int(sys.argv[1])}")
    except DamagedError as error:
        answer: dict[str, object] = {"problem": str(error)}
    except Exception as error:  # noqa: BLE001 - whatever a damaged file makes the reader raise is the answer
        answer = {"problem": f"is damaged ({type(error).__name__}: {error}); fetch it again"[:300]}
    else:
        answer = findings._asdict()
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
