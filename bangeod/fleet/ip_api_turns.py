"""The turns of a fleet's hosts to ask ip-api.com: by claims and pauses, committed on the server before each request.

No address is asked about by two hosts while an answer is pending or fresh: a host claims it before, and keeps the claim
after the answer until the answer is in the others' reach, or as long as an unknown address is left alone. Hosts that
share a public address, their egress, say to each other when they ask, and what is left of the minute (egress.py).

While the server can't be reached, a host with an egress does not ask: it can't know whether another one does. A host by
itself goes on by its own limit, since nobody else's quota is at stake: an address that another host asks about, too,
costs it some of its own, and that is better than bans without a country for as long as the server is away. Where the
tables can't be used, no host asks: then it is the setting up that is not finished, and that is said.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Collection, Sequence
from typing import Final

from bangeod.clock import Clock
from bangeod.errors import SchemaError, StoreError, StoreUnreachableError
from bangeod.fleet import statements
from bangeod.fleet.egress import Egress, Leave, Said, Taken, Word, word_after
from bangeod.geo.sources.ip_api.limit import WINDOW, Reason
from bangeod.geo.sources.ip_api.turns import Outcome, Turn
from bangeod.store.postgres.session import Rows, Session, Values
from bangeod.trouble import Trouble

PENDING: Final = 600.0  # seconds that a claim lasts whose answer nobody has told of: also a server's restart
FRESH: Final = 3_600.0  # seconds that an answer takes at most to be in the others' reach, by the fleet's table
FOR_THE_ANSWER: Final = WINDOW - 5.0  # seconds, so that it is told before another host may ask
PATIENCE: Final = 5.0  # seconds for the server to answer
LOCK_TIMEOUT: Final = 2.0  # seconds; who holds the lock of an egress does so for one statement
TRIES: Final = 3  # where others of the egress say something meanwhile
RETRY: Final = 1.0  # seconds, after that
AWAY: Final = 10.0  # seconds until the next try
UNUSABLE: Final = 60.0
TIDIED_EVERY: Final = 100.0  # seconds
TIDIED: Final = 5_000  # claims at most; in that time an egress asks about 2,500 addresses
NOT_PERMITTED: Final = "42501"  # SQLSTATE

_Owed = dict[str, float]  # until when, monotonic, each address is still claimed; in the past: it is to be released


class IpApiTurns:
    """The turns of one host. ``egress`` is the name of the public address that it shares; empty: it has its own.

    ``speed`` is how many seconds of the clock pass in one of the server's; tests run faster. Belongs to one event loop.
    """

    def __init__(self, session: Session, clock: Clock, *, host: str, egress: str, speed: float = 1.0) -> None:
        self._session = session
        self._clock = clock
        self._host = host
        self._egress = egress
        self._speed = speed
        self._rows = Egress()
        self._taken: Taken | None = None  # by the request in flight
        self._is_sure = False  # that turn was committed
        self._asked: Collection[str] = ()  # the addresses of the last turn
        self._word: Word | None = None  # not said yet
        self._owed: _Owed = {}
        self._settling = asyncio.Lock()
        self._tidied = float("-inf")
        self._away = Trouble("ip_api_turns_unknown", "ip_api_turns_known")
        self._odd_pauses = Trouble("ip_api_odd_pauses")
        self._odd_claims = Trouble("ip_api_odd_claims")

    async def claimed(self, ips: Sequence[str]) -> Collection[str]:
        """Return those that another host asks about, or has asked about lately; none where the server is away."""
        try:
            rows = await self._run(statements.CLAIMED, {"ips": list(ips)}, again=True)
        except StoreError:  # told by who takes the turn
            return frozenset()
        return {ips[number - 1] for (number,) in rows}

    async def take(self, ips: Sequence[str], most: int) -> Turn:
        """Take the turn and claim addresses, where nobody who shares the egress asks or is to wait."""
        self._taken, self._is_sure, self._asked = None, False, ()
        try:
            await self._settle()
            turn = await self._claim(ips, most) if not self._egress else await self._claim_in_turn(ips, most)
        except StoreError as problem:
            self.break_off()  # whether it was committed nobody knows
            self._tell(problem)
            return self._without_server(problem, ips[:most])
        self._away.is_over()
        return turn

    def _without_server(self, problem: StoreError, ips: Sequence[str]) -> Turn:
        if _is_unfinished(problem):
            return Turn(wait=UNUSABLE, reason=Reason.UNUSABLE)
        if self._egress:
            return Turn(wait=AWAY, reason=Reason.AWAY)
        self._asked = ()  # nothing is claimed
        return Turn(ips)

    def _tell(self, problem: StoreError) -> None:
        asks = not self._egress and not _is_unfinished(problem)
        effect = "asked, whatever others ask about" if asks else "not asked"
        self._away.tell((type(problem).__name__, asks), **problem.log_fields(), ip_api=effect)

    async def _claim(self, ips: Sequence[str], most: int) -> Turn:
        """Claim addresses, without an egress to share."""
        values = self._claiming(ips, most)
        await self._run(statements.EXPIRE, {"ips": values["ips"]}, again=True)
        self._asked = ips  # as far as anybody knows until there is an answer
        ((_, numbers, odd),) = await self._run(statements.CLAIM, values)
        self._asked = self._numbered(ips, numbers, odd)
        return Turn(self._asked, FOR_THE_ANSWER)

    async def _claim_in_turn(self, ips: Sequence[str], most: int) -> Turn:
        """Claim addresses where it is this host's turn in its egress."""
        values = self._claiming(ips, most)
        values |= {"egress": self._egress, "key": _key_of(self._egress), "pause": WINDOW / self._speed}
        for _ in range(TRIES):
            leave, digest = await self._leave()
            if leave.wait > 0:
                return Turn(wait=leave.wait)
            await self._run(statements.EXPIRE, {"ips": values["ips"]}, again=True)
            at = self._clock.monotonic()
            self._asked = ips  # as far as anybody knows until there is an answer
            self._taken = Taken(at, leave.left, at + leave.window, leave.is_known)
            values |= {"digest": digest, "left": leave.left, "window": leave.window / self._speed}
            ((same, numbers, odd),) = await _within_patience(
                self._session, self._session.run_behind(statements.LOCK_EGRESS, statements.TAKE, values)
            )
            self._asked = self._numbered(ips, numbers, odd)
            self._is_sure = bool(self._asked)
            if not self._is_sure:
                self._taken = None
            if same:
                return Turn(self._asked, FOR_THE_ANSWER)
        return Turn(wait=RETRY)

    def _claiming(self, ips: Sequence[str], most: int) -> dict[str, object]:
        return {"ips": list(ips), "most": most, "host": self._host, "claim": PENDING / self._speed}

    async def _leave(self) -> tuple[Leave, str]:
        """Read what the hosts of the egress say; return what follows, and the digest of what was read."""
        rows = await self._run(statements.PAUSES, {"egress": self._egress}, again=True)
        now, digest = rows[0][0] * self._speed, rows[0][1]
        said = [
            Said(writer, host, until * self._speed, left, None if end is None else end * self._speed, at * self._speed)
            for _, _, writer, host, until, left, end, at in rows
            if writer is not None
        ]
        leave = self._rows.leave(said, now)
        if leave.odd:
            who = sorted({f"{row.writer}@{row.host}" for row in leave.odd})
            self._odd_pauses.tell(
                tuple(who),
                count=len(leave.odd),
                egress=self._egress,
                rows=len(leave.odd),
                example=f"{who[0]}"[:200],
                advice="no daemon wrote these; delete them from bangeod.pauses. They hold for a day at most",
            )
        else:
            self._odd_pauses.is_over()
        return leave, digest

    def _numbered(self, ips: Sequence[str], numbers: Sequence[int], odd: int) -> Sequence[str]:
        if odd:
            advice = "their time is further ahead than any daemon's; delete them from bangeod.claims. They don't bind"
            self._odd_claims.tell(count=odd, now=self._clock.monotonic(), rows=odd, advice=advice)
        return [ips[number - 1] for number in numbers]

    # --- what came of a request ---

    async def finish(self, outcome: Outcome) -> None:
        """Say what is left of the window, keep the claims of what was answered and release the others."""
        now = self._clock.monotonic()
        self._owed |= {ip: now + outcome.unknown.get(ip, FRESH if ip in outcome.found else 0.0) for ip in self._asked}
        if self._taken is not None:
            self._word, self._taken = word_after(self._taken, outcome, now), None
        try:
            await self._settle()
        except StoreError as problem:
            self._tell(problem)

    def break_off(self) -> None:
        """Have the turn ended, by the next ``settle``."""
        now = self._clock.monotonic()
        self._owed |= dict.fromkeys(self._asked, now)
        if self._taken is not None:
            # Where nobody knows whether the turn was committed, nothing was sent: only the pause has to go.
            self._word = word_after(self._taken, Outcome(), now) if self._is_sure else Word(now)
            self._taken = None

    async def settle(self) -> None:
        """Say what was not said yet. Where the server is away, that is tried again."""
        try:
            await self._settle()
            await self._tidy()
        except StoreError as problem:
            self._tell(problem)

    async def _settle(self) -> None:
        async with self._settling:
            if self._word is not None:
                await self._say(self._word)
            if self._owed:
                await self._settle_claims(dict(self._owed))

    async def _say(self, word: Word) -> None:
        now, news = self._clock.monotonic(), word.news
        values: dict[str, object] = {"egress": self._egress, "host": self._host}
        values["pause"] = (word.until - now) / self._speed
        if news is None:
            await self._run(statements.END_TURN, values, again=True)
        else:
            window, age = (news.window_end - now) / self._speed, (now - news.at) / self._speed
            values |= {"left": news.left, "window": window, "age": age}
            await self._run(statements.END_TURN_WITH_NEWS, values, again=True)
        if self._word is word:
            self._word = None

    async def _settle_claims(self, owed: _Owed) -> None:
        now = self._clock.monotonic()
        kept = {ip: until - now for ip, until in owed.items() if until > now}
        if kept:
            seconds = [str(left / self._speed) for left in kept.values()]
            values = {"ips": list(kept), "seconds": seconds, "host": self._host}
            await self._run(statements.KEEP_CLAIMS, values, again=True)
        released = [ip for ip in owed if ip not in kept]
        if released:
            await self._run(statements.RELEASE_CLAIMS, {"ips": released, "host": self._host}, again=True)
        for ip, until in owed.items():
            if self._owed.get(ip) == until:
                del self._owed[ip]

    async def _tidy(self) -> None:
        """Delete expired claims, whoever made them, and what this host said of egresses that it has left."""
        now = self._clock.monotonic()
        if now - self._tidied < TIDIED_EVERY:
            return
        self._tidied = now
        await self._run(statements.TIDY_CLAIMS, {"most": TIDIED})
        await self._run(statements.TIDY_PAUSES, {"host": self._host, "egress": self._egress})

    async def close(self) -> None:
        """Say what was not said yet, and close the connection."""
        try:
            await self._settle()
        except StoreError as problem:
            self._tell(problem)
        finally:
            await self._session.close()

    async def _run(self, statement: str, values: Values, *, again: bool = False) -> Rows:
        return await _within_patience(self._session, self._session.run(statement, values, again=again))


async def _within_patience(session: Session, running: Awaitable[Rows]) -> Rows:
    """Wait for the server for so long: a request, and who asked for it, wait meanwhile."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await running
    except TimeoutError:
        problem = f"the server did not answer within {PATIENCE:g} s"
        raise StoreUnreachableError(session.conninfo.shown, problem, "tried again by itself") from None


def _is_unfinished(problem: StoreError) -> bool:
    """Say whether a table or a grant is missing: then the fleet is not set up."""
    return isinstance(problem, SchemaError) or getattr(problem.__cause__, "sqlstate", None) == NOT_PERMITTED


def _key_of(egress: str) -> int:
    """Return the number of an egress's lock: of 64 bits, so that two egresses hardly share one."""
    digest = hashlib.blake2b(f"bangeod egress {egress}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
