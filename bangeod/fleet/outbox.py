"""What waits to be told to the fleet: places that this host's own sources found, and own rows that are in use again.

Policy without a server: bounded, and what is newest stays.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from bangeod.model import Geo, Origin


class Finding(msgspec.Struct, frozen=True, gc=False):
    """What a source said of an address."""

    ip: str  # canonical
    geo: Geo
    origin: Origin
    last_seen: int  # seconds since the epoch
    resolved_at: int  # seconds since the epoch


class Seen(NamedTuple):
    """When an address was last in use."""

    ip: str
    at: int  # seconds since the epoch


class Outbox:
    """At most ``most`` findings, and as many addresses seen again; one for each address, the newest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: dict[str, Finding] = {}
        self._seen: dict[str, int] = {}
        self.dropped = 0  # findings that had to make room, so far

    def __len__(self) -> int:
        return len(self._found)

    def __bool__(self) -> bool:
        return bool(self._found or self._seen)

    def limit(self, most: int) -> None:
        """Change how many may wait."""
        self._most = most
        self._bound()

    def put(self, finding: Finding) -> None:
        """Let a finding wait, in place of an older one of the address."""
        self._found.pop(finding.ip, None)
        self._found[finding.ip] = finding
        self._seen.pop(finding.ip, None)  # its time is in the finding
        self._bound()

    def see(self, ip: str, at: int) -> None:
        """Note that an address is in use, in seconds since the epoch."""
        if ip not in self._found:
            self._seen.pop(ip, None)
            self._seen[ip] = at
            self._bound()

    def first(self, size: int) -> Sequence[Finding]:
        """Return the findings that have waited longest; they stay until they are ``done``."""
        return list(islice(self._found.values(), size))

    def done(self, findings: Iterable[Finding]) -> None:
        """Drop findings, unless there is a newer one of the address."""
        for finding in findings:
            if self._found.get(finding.ip) is finding:
                del self._found[finding.ip]

    def first_seen(self, size: int) -> Sequence[Seen]:
        """Return addresses in use, those that have waited longest."""
        return [Seen(ip, at) for ip, at in islice(self._seen.items(), size)]

    def done_seen(self, addresses: Iterable[Seen]) -> None:
        """Drop addresses, unless they were seen again since."""
        for ip, at in addresses:
            if self._seen.get(ip) == at:
                del self._seen[ip]

    def _bound(self) -> None:
        excess = len(self._found) - self._most
        if excess > 0:
            _drop(self._found, excess)
            self.dropped += excess
        _drop(self._seen, len(self._seen) - self._most)


def _drop(waiting: "dict[str, Finding] | dict[str, int]", number: int) -> None:
    for ip in list(islice(waiting, max(0, number))):
        del waiting[ip]


def columns(findings: Sequence[Finding]) -> Mapping[str, list[str | None]]:
    """Return the findings as SHARE_PLACES takes them."""
    return {
        "ip": [each.ip for each in findings],
        "code": [each.geo.country_code for each in findings],
        "name": [each.geo.country_name for each in findings],
        "asn": [each.geo.asn for each in findings],
        "org": [each.geo.org for each in findings],
        "origin": [str(each.origin) for each in findings],
        "resolved": [str(each.resolved_at) for each in findings],
        "seen": [str(each.last_seen) for each in findings],
    }
