"""This host's bans, as all hosts of the fleet read them: what is there is compared with what is banned now.

Only what differs is written, in small statements, each a transaction. So whatever was missed, while the server was away
or the daemon was not running, is made up for by the next comparison.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv6Address, IPv6Interface
from typing import TYPE_CHECKING, Final, NamedTuple

from bangeod.ban_spans import BanKey, BansInForce, BanSpan, Jails, Verdict, cleaned
from bangeod.cooperative import yielding
from bangeod.errors import StoreRefusedError
from bangeod.fleet import statements
from bangeod.fleet.answers import in_time

if TYPE_CHECKING:
    from bangeod.clock import Clock
    from bangeod.store.postgres.session import Rows, Session, Values

ANSWERS_WITHIN: Final = 35.0  # seconds; the server itself ends a statement after 30
PAGE: Final = 1_000  # rows read, or written, by one statement
COMPARED_EVERY: Final = 3_600.0  # seconds; in between, what has not changed here is not compared
SAID_EVERY: Final = 600.0  # seconds between two notes of being there
LOST_AFTER: Final = "30 days"  # without such a note, what this role wrote for a host goes
CLEARED_EVERY: Final = 86_400.0  # seconds between two looks for these
FOR_GOOD: Final = -1.0  # as the server tells the end of such a ban


class HeldBan(NamedTuple):
    """A row on the server: times in seconds since the epoch, negative for what no daemon has written."""

    jail: str
    ip: str  # as the server spells it
    since: float
    until: float


class Told(NamedTuple):
    """What was done."""

    written: int = 0
    deleted: int = 0
    refused: int = 0  # rows that the server does not take


class Difference:
    """What has to change on the server, found page by page of what it has; what is of a jail in doubt stays."""

    def __init__(self, current: BansInForce, jails: Jails) -> None:
        self._jails = jails
        self._wanted = current.bans
        self._there: set[BanKey] = set()

    def page(self, rows: Iterable[HeldBan]) -> tuple[list[HeldBan], list[BanKey]]:
        """Take some rows of the server; return those that are to go, and the bans whose times are to be written."""
        gone: list[HeldBan] = []
        changed: list[BanKey] = []
        for row in rows:
            verdict = self._jails.verdict(row.jail)
            if verdict is Verdict.IN_DOUBT:
                continue
            key = BanKey(row.jail, spelled(row.ip))
            span = self._wanted.get(key) if verdict is Verdict.COUNT else None
            if span is None:
                gone.append(row)
                continue
            self._there.add(key)
            if (row.since, row.until) != (span.since, FOR_GOOD if span.until is None else span.until):
                changed.append(key)
        return gone, changed

    def missing(self, keys: Iterable[BanKey]) -> list[BanKey]:
        """Return which of these bans are to be added, once all pages were taken."""
        verdict = self._jails.verdict
        return [key for key in keys if key not in self._there and verdict(key.jail) is Verdict.COUNT]


def spelled(inet: str) -> str:
    """Return an address or network of the server in the spelling of bangeod's keys; what is no such key is none.

    That is so of an IPv4-mapped address and of a network with host bits: no daemon writes them.
    """
    if ":" not in inet:
        return inet
    return str(IPv6Interface(inet)) if "/" in inet else IPv6Address(inet).compressed


class OwnBans:
    """This host's rows of ``bangeod.bans``. Belongs to one event loop; ``session`` is its own."""

    def __init__(self, session: "Session", host: str, clock: "Clock") -> None:
        self._session = session
        self._host = cleaned(host)
        self._clock = clock
        self._jails = Jails()
        self._told: object = None  # the bans and jails of the last complete comparison
        self._compared_at = 0.0  # monotonic, like those below
        self._said_at: float | None = None
        self._cleared_at: float | None = None

    async def tell(self, current: BansInForce) -> Told:
        """Have the server hold what is banned here now. Raises StoreError; what was written until then stays.

        The connection is closed afterwards: this is done once a minute, and a server has not many connections.
        """
        try:
            return await self._tell(current)
        except BaseException:
            self._told = self._said_at = None  # there is no knowing what of it is there
            raise
        finally:
            await self._session.close()

    async def close(self) -> None:
        """End the connection."""
        await self._session.close()

    async def _tell(self, current: BansInForce) -> Told:
        self._jails.look(current.enabled)
        now, state = self._clock.monotonic(), (current.signature, self._jails.state)
        told = Told()
        if state != self._told or now - self._compared_at >= COMPARED_EVERY:
            told = await self._compare(current)
            self._told, self._compared_at = (state, now) if not told.refused else (None, now)
        if self._said_at is None or now - self._said_at >= SAID_EVERY:
            await self._run(statements.BANS_ARE_TOLD, {"host": self._host})
            self._said_at = now
        if self._cleared_at is None or now - self._cleared_at >= CLEARED_EVERY:
            await self._clear()
            self._cleared_at = now
        return told

    async def _compare(self, current: BansInForce) -> Told:
        difference = Difference(current, self._jails)
        written = deleted = refused = 0
        asked: dict[str, object] = {"host": self._host, "limit": PAGE}
        statement = statements.OWN_BANS
        while True:
            rows = [HeldBan._make(row) for row in await self._run(statement, asked)]
            gone, changed = difference.page(rows)
            await self._remove(gone)
            refused += await self._put(changed, current.bans)
            written, deleted = written + len(changed), deleted + len(gone)
            if len(rows) < PAGE:
                break
            statement = statements.OWN_BANS_AFTER
            asked |= {"jail": rows[-1].jail, "ip": rows[-1].ip}
        async for some in yielding(current.bans, PAGE):
            new = difference.missing(some)
            refused += await self._put(new, current.bans)
            written += len(new)
        return Told(written - refused, deleted, refused)

    async def _remove(self, rows: Sequence[HeldBan]) -> None:
        if rows:
            values = {"jails": [row.jail for row in rows], "ips": [row.ip for row in rows]}
            await self._run(statements.REMOVE_BANS, {"host": self._host, **values})

    async def _put(self, keys: Sequence[BanKey], bans: Mapping[BanKey, BanSpan]) -> int:
        """Write bans; return how many of them the server refuses."""
        if not keys:
            return 0
        spans = [bans[key] for key in keys]
        values = {
            "jails": [key.jail for key in keys],
            "ips": [key.ip for key in keys],
            "since": [str(span.since) for span in spans],
            "until": [None if span.until is None else str(span.until) for span in spans],
        }
        try:
            await self._run(statements.PUT_BANS, {"host": self._host, **values})
        except StoreRefusedError:
            if len(keys) == 1:
                return 1
            middle = len(keys) // 2
            return await self._put(keys[:middle], bans) + await self._put(keys[middle:], bans)
        return 0

    async def _run(self, statement: str, values: "Values") -> "Rows":
        return await in_time(self._session, statement, values, within=ANSWERS_WITHIN)

    async def _clear(self) -> None:
        """Remove what this role wrote for a host that is no more: this one under an earlier name, say."""
        values = {"host": self._host, "lost": LOST_AFTER, "limit": PAGE}
        while (await self._run(statements.REMOVE_BANS_OF_LOST_HOSTS, values))[0][0] == PAGE:
            pass
