"""The probe: its own process that reads every record of an MMDB, so that a damaged record kills the probe, not bangeod.

``python -P -m bangeod.geo.sources.mmdb.probe FD`` reads the file at that descriptor with the reader that bangeod
itself will use. A damaged record can kill maxminddb's C reader (SIGSEGV), and bangeod might meet that record only
months later: so the probe reads all records, each once. It writes a JSON object: ``{"records": 251, ...}`` as in
``Findings``, or ``{"problem": "..."}``. Killed by a signal it writes nothing.
"""

import contextlib
import json
import os
import resource
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import maxminddb
from maxminddb.reader import Metadata

from bangeod.geo.sources.mmdb import layouts, tree
from bangeod.geo.sources.mmdb.coverage import IPV4, IPV6, Coverage
from bangeod.geo.sources.mmdb.reader import open_reader
from bangeod.geo.sources.mmdb.tree import DamagedError, records_reached, tree_values
from bangeod.model import UNKNOWN

if TYPE_CHECKING:
    from array import array

_SEPARATOR: Final = 16  # octets between the tree and the data section (MaxMind DB file format 2.0)
_MAX_DAYS: Final = 100 * 366  # a build time beyond 2070 is damage
_RECORD_SIZES: Final = tree.SMALL, tree.MIDDLE, tree.LARGE
_EASILY_KILLED: Final = "1000"  # the highest score in proc(5)


class Findings(NamedTuple):
    """What the probe found in a good file."""

    database_type: str
    build_epoch: int  # seconds since the epoch
    ip_version: int
    records: int  # distinct ones
    countries: int  # how many of them know a country
    systems: int  # how many of them know an autonomous system
    countries_ipv4: int = 0  # how many of them know a country and answer for IPv4 addresses; and so on
    countries_ipv6: int = 0
    systems_ipv4: int = 0
    systems_ipv6: int = 0

    @property
    def coverage(self) -> Coverage:
        countries = {IPV4: self.countries_ipv4, IPV6: self.countries_ipv6}
        systems = {IPV4: self.systems_ipv4, IPV6: self.systems_ipv6}
        return Coverage(frozenset(filter(countries.get, countries)), frozenset(filter(systems.get, systems)))


def _metadata(reader: maxminddb.Reader) -> Findings:
    """Check the metadata; the C reader does not, and fails late where a field is of a wrong type."""
    metadata = reader.metadata()
    kind, built = metadata.database_type, metadata.build_epoch
    if not isinstance(kind, str) or not isinstance(built, int):
        raise DamagedError("has damaged metadata: fetch it again")
    if metadata.ip_version not in tree.BITS or metadata.record_size not in _RECORD_SIZES:
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
    kinds: Counter[tuple[bool, bool, bool, bool]] = Counter()  # has a country, has an AS, answers for IPv4, for IPv6
    for address, ipv4, ipv6 in records_reached(values, findings.ip_version):
        geo = layouts.interpret(reader.get(address)) or UNKNOWN
        kinds[geo.country_code is not None, geo.asn is not None, ipv4, ipv6] += 1
    if not kinds:
        raise DamagedError("holds no records")
    countries, systems = (Counter({kind: kinds[kind] for kind in kinds if kind[field]}) for field in (0, 1))
    if not countries and not systems:
        raise DamagedError("has neither countries nor AS numbers: give a country, city or ASN database")
    return findings._replace(
        records=kinds.total(),
        countries=countries.total(),
        systems=systems.total(),
        countries_ipv4=sum(countries[kind] for kind in countries if kind[2]),
        countries_ipv6=sum(countries[kind] for kind in countries if kind[3]),
        systems_ipv4=sum(systems[kind] for kind in systems if kind[2]),
        systems_ipv6=sum(systems[kind] for kind in systems if kind[3]),
    )


def main() -> None:
    """Probe the file at the descriptor given on the command line, and write the findings to stdout."""
    warnings.simplefilter("ignore")  # damaged records make the C reader call deprecated functions
    with contextlib.suppress(OSError):  # the unit's system call filter forbids it
        os.nice(10)
    with contextlib.suppress(OSError, ValueError):
        # A crash is an answer, not an incident: a limit of 1 also keeps out crash handlers, which ignore 0 (core(5)).
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    with contextlib.suppress(OSError):
        # If the machine runs out of memory over this file, the probe has to be killed, not the daemon.
        Path("/proc/self/oom_score_adj").write_text(_EASILY_KILLED)
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
