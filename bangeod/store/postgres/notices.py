"""What a notice says that a daemon sends to others by NOTIFY: addresses whose rows are to be read again, never values.

Anybody who may connect to the database may send one, so what is read is taken for no more than a hint.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from bangeod.addresses import AddressKind, read_address

LARGEST: Final = 7_999  # bytes; a payload has to be shorter than 8000 (postgresql.org/docs/current/sql-notify.html)


def payloads(ips: Iterable[str]) -> list[str]:
    """Return the payloads that name these canonical addresses, as many in each as it holds."""
    made: list[str] = []
    part: list[str] = []
    size = -1
    for ip in ips:
        if size + 1 + len(ip) > LARGEST and part:
            made.append(" ".join(part))
            part, size = [], -1
        part.append(ip)
        size += 1 + len(ip)
    if part:
        made.append(" ".join(part))
    return made


def read(payload: str) -> Sequence[str]:
    """Return the routable addresses that a payload names, in canonical form; what is none is left out."""
    found = (read_address(word) for word in payload.split(" "))
    return [ip for kind, ip in found if kind is AddressKind.GLOBAL]
