"""Who is banned on all hosts of the fleet, as each of them has told.

Any role that may write there may write anything, so the server judges rows as they are read (statements.py): what no
daemon writes does not count, is said once, and stays. Nothing is held open for long: addresses come in pages, each a
statement of its own.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from bangeod.banned import read_banned
from bangeod.fleet import geo_rows, statements
from bangeod.fleet.answers import in_time
from bangeod.fleet.geo_rows import OddRow
from bangeod.model import Geo
from bangeod.trouble import Trouble

if TYPE_CHECKING:
    from bangeod.clock import Clock
    from bangeod.store.postgres.session import Rows, Session, Values

ANSWERS_WITHIN: Final = 15.0  # seconds; a command waits for some more
PAGE: Final = 2_000  # addresses read by one statement
SILENT_AFTER: Final = "1 day"  # a host that has not told of its bans for so long has none for good any more
EVER: Final = 0  # seconds since the epoch: before any ban began


class HostBans(NamedTuple):
    """What one host bans."""

    host: str
    addresses: int
    networks: int
    newest: int  # when its newest ban began, in seconds since the epoch


class BansByHost(NamedTuple):
    """The hosts with the most bans, and what all hosts have together: an address counts for each."""

    largest: Sequence[HostBans]
    hosts: int
    addresses: int
    networks: int


class AllBans:
    """The bans of all hosts. Belongs to one event loop; ``session`` is its own. Raises only StoreError."""

    def __init__(self, session: "Session", clock: "Clock") -> None:
        self._session = session
        self._clock = clock
        self._bad = Trouble("fleet_bans_bad", "fleet_bans_good", repeats=False)

    async def by_host(self, most: int, *, begun: int = EVER) -> BansByHost:
        """Return the hosts with the most banned addresses; with ``begun`` only of bans that began then or later."""
        values = {"silent": SILENT_AFTER, "begun": begun, "limit": max(1, most)}
        rows = await self._read(statements.BANNED_BY_HOST, values)
        largest = [HostBans(host, addresses, networks, int(newest)) for host, addresses, networks, newest, *_ in rows]
        hosts, addresses, networks = rows[0][-3:] if rows else (0, 0, 0)
        return BansByHost(largest[:most], hosts, addresses, networks)

    async def pages(self, *, begun: int = EVER) -> AsyncGenerator[tuple[list[str], int], None]:
        """Iterate over what is banned, each address and network once: some addresses, and a number of networks."""
        values = {"silent": SILENT_AFTER, "begun": begun, "limit": PAGE, "after": statements.FIRST_INET}
        while True:
            rows = await self._read(statements.ALL_BANNED, values)
            found = [read_banned(text) for text, counts in rows if counts]
            addresses = [what for what in found if isinstance(what, str)]
            yield addresses, len(found) - len(addresses)
            if len(rows) < PAGE:
                return
            values["after"] = rows[-1][0]

    async def places(self, ips: Sequence[str]) -> dict[str, Geo]:
        """Return where canonical addresses are by the fleet's rows, those that have a good one."""
        places, odd = await self._places(statements.FIND_PLACES, ips)
        if odd:
            more, _ = await self._places(statements.FIND_MORE_PLACES, [row.ip for row in odd])
            places |= more
        return places

    async def _places(self, statement: str, ips: Sequence[str]) -> tuple[dict[str, Geo], list[OddRow]]:
        values = {"ips": list(ips), "longest": geo_rows.LONGEST}
        return geo_rows.read(await self._read(statement, values), ips)

    async def look_for_bad_rows(self) -> int:
        """Return how many rows don't count because no daemon has written them; they are said once."""
        ((count, writer, host),) = await self._read(statements.BAD_BANS)
        if count:
            advice = "look for them in bangeod.bans, and at who has this role; its owner may delete them"
            shown = None if host is None else "".join(letter if letter.isprintable() else "?" for letter in host)
            now = self._clock.monotonic()
            self._bad.tell(count=count, now=now, rows=count, example_writer=writer, example_host=shown, advice=advice)
        else:
            self._bad.is_over()
        return int(count)

    async def _read(self, statement: str, values: "Values | None" = None) -> "Rows":
        return await in_time(self._session, statement, values, within=ANSWERS_WITHIN, again=True)

    async def close(self) -> None:
        """End the connection; the next statement makes another one."""
        await self._session.close()
