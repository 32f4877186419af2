"""Keys of rows that are not an address's canonical text, so that its row is found all the same.

IPv6 addresses can be written in too many ways to look for all of them; so the keys are read, and those noted that
``spellings`` does not have. The server tells no order in which rows came: a small table's keys are read again each
time, a large one's after a while; a row that comes in between under such a key is found then. Of a column of type inet
an address has one text, but IPv4 may be written as IPv6.
"""

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from bangeod.addresses import AddressKind, read_address, spellings
from bangeod.store.postgres import queries
from bangeod.store.postgres.columns import Kind, Table
from bangeod.store.postgres.session import Session

if TYPE_CHECKING:
    from bangeod.clock import Clock

PAGE: Final = 20_000  # keys; some milliseconds of the server's
FEW: Final = 2_000  # keys; up to this many are read again each time
READ_AGAIN: Final = 60.0  # seconds until more keys than that are read again
LEAST_REST: Final = 200  # times what reading them took is left until then: at most half a per cent of the server's time


def rest_after(rows: int, took: float) -> float:
    """Return the seconds until the keys are read again, after ``rows`` of them took ``took`` seconds."""
    return 0.0 if rows <= FEW else max(READ_AGAIN, LEAST_REST * took)


class OddKeys:
    """The keys of one table under which an address's rows may be."""

    def __init__(self, clock: "Clock") -> None:
        self._clock = clock
        self._keys: dict[str, dict[str, None]] = {}  # odd ones by canonical address
        self._has_mapped = True  # whether an IPv4 address is written as IPv6 anywhere
        self._due_at = 0.0  # monotonic
        self._is_known = False

    async def catch_up(self, session: Session, table: Table) -> None:
        """Read the keys, where that is due."""
        if table.columns["ip"].kind is Kind.ADDRESS:
            ((self._has_mapped,),) = await session.run(table.sql(queries.HAS_MAPPED), again=True)
        elif not self._is_known or self._clock.monotonic() >= self._due_at:
            began = time.perf_counter()
            rows = await self._read(session, table)
            self._due_at = self._clock.monotonic() + rest_after(rows, time.perf_counter() - began)
            self._is_known = True

    async def _read(self, session: Session, table: Table) -> int:
        keys: dict[str, dict[str, None]] = {}
        has_mapped, rows = False, 0
        after: str | None = None
        while True:
            bound = queries.ALL if after is None else queries.AFTER_IP.format(ip_type=table.columns["ip"].type)
            statement = table.sql(queries.ODD_KEYS_PAGE, after_ip=bound, odd=queries.ODD_KEY)
            ((read, after, mapped, odd),) = await session.run(statement, {"after": after, "limit": PAGE}, again=True)
            rows += int(read)
            has_mapped |= mapped
            for key in odd:
                kind, ip = read_address(key)
                if kind is AddressKind.GLOBAL and key not in spellings(ip):
                    keys.setdefault(ip, {})[key] = None
            if after is None:
                self._keys, self._has_mapped = keys, has_mapped
                return rows

    def texts(self, table: Table, ips: Iterable[str]) -> Sequence[str]:
        """Return the texts under which the rows of these addresses may be; what is no address has none in inet."""
        is_address = table.columns["ip"].kind is Kind.ADDRESS
        found: list[str] = []
        for ip in ips:
            if "\0" in ip or (is_address and (read_address(ip)[0] is AddressKind.INVALID or "%" in ip)):
                continue
            if is_address:
                found += (ip, f"::ffff:{ip}") if self._has_mapped and ":" not in ip else (ip,)
            else:
                found += spellings(ip) if self._has_mapped or ":" in ip else (ip,)
                found += self._keys.get(ip, ())
        return found
