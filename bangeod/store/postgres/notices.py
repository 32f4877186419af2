"""What a notice says that a daemon sends to others by NOTIFY: addresses whose rows are to be read again, never values.

Anybody who may connect to the database may send one, so what is read is taken for no more than a hint.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from bangeod.addresses import AddressKind, read_address

LARGEST: Final = 7_999  # bytes; a payload has to be shorter than 8000 (postgresql.org/docs/current/sql-notify.html)


def payloads(ips: Iterable[str]) -> list[str]:
    """Return the payloads that name these addresses, however they are spelled, as many in each as it holds."""
    text = " ".join(ips)
    made: list[str] = []
    start = 0
    while len(text) - start > LARGEST:
        end = text.rindex(" ", start, start + LARGEST + 1)
        made.append(text[start:end])
        start = end + 1
    if text:
        made.append(text[start:])
    return made


def read(payload: str) -> Sequence[str]:
    """Return the routable addresses that a payload names, in canonical form; what is none is left out."""
    found = (read_address(word) for word in payload.split(" "))
    return [ip for kind, ip in found if kind is AddressKind.GLOBAL]
