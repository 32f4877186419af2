"""The client of ip-api.com's batch endpoint: one request at a time, within its limits, also across restarts."""

import asyncio
import contextlib
import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from urllib.parse import quote, quote_plus

from bangeod import __version__, addresses
from bangeod.clock import Clock
from bangeod.errors import SourceError, SourcePausedError
from bangeod.geo.sources.ip_api import answer
from bangeod.geo.sources.ip_api.answer import Understood, Verdict
from bangeod.geo.sources.ip_api.limit import WINDOW, Limit, Reason
from bangeod.geo.sources.ip_api.reply import MAX_BODY, RequestFailedError
from bangeod.geo.sources.ip_api.turns import Alone, Outcome, Turn, Turns, UnknownFor, usual
from bangeod.model import Geo, Origin
from bangeod.trouble import Trouble

if TYPE_CHECKING:
    from bangeod.geo.sources.ip_api.transport import Transport

FREE_URL: Final = "http://ip-api.com/batch"
PRO_URL: Final = "https://pro.ip-api.com/batch"

_NAME: Final = "ip-api"
_FIELDS: Final = "status,message,country,countryCode,as,org,query"
_BATCH: Final = 100  # addresses; above it the answer is 422 (ip-api.com's documentation)
_LONGEST_RESTORED: Final = 86_400.0  # seconds; more than any pause that we record
_URL: Final = re.compile(r"\S+://\S*")
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # a compressed answer could grow past any limit
    "Content-Type": "application/json",
    "User-Agent": f"bangeod/{__version__}",
}


class PauseStore(Protocol):
    """Keeps across restarts the time until which nothing may be sent."""

    def load_pause(self) -> float | None:
        """Return that time, in seconds since the epoch; None where there is none."""

    async def save_pause(self, until: float | None) -> None:
        """Record that time, durably when this returns. Raises OSError where it can't."""


class Usage(NamedTuple):
    """The state of an ip-api client: requests since it was made, requests left, and what it waits for."""

    requests: int
    remaining: int | None  # None where ip-api has not said
    wait: float  # seconds
    reason: str | None  # of the wait
    refused: bool  # until it answers again


class IpApi:
    """ip-api.com as a source. The event loop's thread owns it.

    ``key`` is put into the query of the request and nowhere else: into no log line, error or ``repr``.
    ``timeout`` is the seconds that a request may take in all. ``turns`` settles with the other hosts of a fleet whose
    turn it is. To change the settings of a running client, close it before making the next, so that two never send at
    once; the next finds the pause in the pause store.
    """

    def __init__(
        self,
        *,
        url: str,
        key: str = "",
        timeout: float,
        clock: Clock,
        pause_store: PauseStore,
        turns: Turns | None = None,
    ) -> None:
        self._url = url
        self._key = key
        self._timeout = timeout
        self._clock = clock
        self._pauses = pause_store
        self._turns: Turns = turns or Alone()
        self._limit = Limit()
        self._batch = _BATCH
        self._one_in_flight = asyncio.Lock()
        self._transport: Transport | None = None  # until the first request
        self._closed = False
        self._requests = 0
        self._pausing = Trouble("ip_api_paused", "ip_api_recovered")
        self._not_saved = Trouble("ip_api_pause_not_saved", "ip_api_pause_saved")
        self._restored_until = self._restore()

    @property
    def origin(self) -> Origin:
        return Origin.IP_API

    @property
    def batch_size(self) -> int:
        return self._batch

    def wait(self) -> float:
        """Return the seconds until the next request may be sent; 0 if it may be sent now."""
        if self._clock.now() >= self._restored_until:
            self._limit.lift(Reason.RESTART)
        return self._limit.wait(self._clock.monotonic())

    def usage(self) -> Usage:
        now, wait = self._clock.monotonic(), self.wait()
        reason = self._limit.reason(now).value if wait > 0 else None
        return Usage(self._requests, self._limit.left(now), wait, reason, self._limit.refused)

    async def claimed(self, ips: Sequence[str]) -> Collection[str]:
        """Return those of canonical addresses that another host of the fleet asks about, or has asked about lately."""
        queries = _queries(ips)
        claimed = await self._turns.claimed(list(dict.fromkeys(queries.values())))
        return {ip for ip, query in queries.items() if query in claimed} if claimed else ()

    async def resolve(self, ips: Sequence[str], unknown_for: UnknownFor = usual) -> Mapping[str, Geo | None]:
        """Ask about canonical, globally routable addresses; other texts, and those beyond one batch, are left out.

        So are those that another host has claimed. For an IPv6 address that carries an IPv4 address the latter is sent,
        and its answer holds for both. Waits for a request in flight. Raises SourcePausedError and SourceError as
        RemoteSource says.
        """
        async with self._one_in_flight:
            queries = _queries(ips)
            if not queries:
                return {}
            self._check_may_send()
            with contextlib.suppress(ImportError):  # told once it is this host's turn
                await self._ready()  # takes long the first time: no other host is to wait for that
            try:
                found = await self._in_turn(list(dict.fromkeys(queries.values())), _by_query(queries, unknown_for))
            except asyncio.CancelledError:
                self._turns.break_off()
                raise
            return {ip: found[query] for ip, query in queries.items() if query in found}

    async def _in_turn(self, wanted: Sequence[str], unknown_for: UnknownFor) -> Mapping[str, Geo | None]:
        """Take the turn, and send one request about those of these that are not claimed by others."""
        began = self._clock.monotonic()
        turn = await self._turns.take(wanted, self._batch)
        if turn.wait > 0:
            self._limit.pause(self._clock.monotonic(), turn.wait, turn.reason)
            raise SourcePausedError(_NAME, turn.reason.value, turn.wait)
        if not turn.ips:
            return {}
        try:
            await self._record(self._clock.now() + WINDOW)
        except SourceError:
            await self._give_back()
            raise
        self._limit.sent(self._clock.monotonic())
        self._requests += 1
        try:
            outcome = await self._ask(turn, began)
        except asyncio.CancelledError:
            self._limit.broken_off(self._clock.monotonic())
            raise
        return await self._conclude(outcome, unknown_for)

    async def _give_back(self) -> None:
        """End a turn in which nothing was sent."""
        self._turns.break_off()
        await self._turns.settle()

    async def settle(self) -> None:
        """Tell the fleet what could not be told when it was news; to be called now and then."""
        await self._turns.settle()

    def _restore(self) -> float:
        """Resume the pause that the last process recorded; if its clock was ahead, for a day at most."""
        until = self._pauses.load_pause()
        if until is None or not math.isfinite(until):
            return 0.0
        left = min(until - self._clock.now(), _LONGEST_RESTORED)
        if left > 0:
            self._limit.pause(self._clock.monotonic(), left, Reason.RESTART)
        return until

    def _check_may_send(self) -> None:
        if self._closed:
            raise SourceError(_NAME, "it is closed")
        seconds = self.wait()
        if seconds > 0:
            raise SourcePausedError(_NAME, self._limit.reason(self._clock.monotonic()).value, seconds)

    async def _record(self, until: float | None) -> None:
        """Record a pause. If that fails nothing is sent, since without the record a crash loop would send endlessly."""
        try:
            await self._pauses.save_pause(until)
        except OSError as error:
            problem = f"the pause before the next request can't be recorded ({error.strerror}), so nothing is sent"
            raise SourceError(_NAME, f"{problem}: see to the state directory") from error

    async def _ask(self, turn: Turn, began: float) -> Understood | str:
        """Send one batch; returns the answer understood, or the reason why there was none.

        The turn was taken at ``began`` or later: there must be an answer before another host may take it.
        """
        try:
            transport = await self._ready()
        except ImportError as error:
            return f"it can't be asked: {error}; if bangeod was upgraded meanwhile, systemctl restart bangeod"
        seconds = min(self._timeout, began + turn.seconds - self._clock.monotonic())
        if seconds <= 0:
            return "the turn to ask it was over before the request could be sent"
        try:
            async with asyncio.timeout(seconds):
                return await self._send(transport, turn.ips)
        except TimeoutError:
            return f"it did not answer within {seconds:g} s"
        except RequestFailedError as error:
            # Only a text leaves the handler: what caused the error holds the request, and the request holds the key.
            return self._scrubbed(error.kind, error.text)
        except (OSError, ValueError) as error:
            return self._scrubbed(type(error).__name__, str(error))

    async def _ready(self) -> "Transport":
        """Return the transport. Making it is not counted in the time of a request. Raises ImportError."""
        if self._transport is None:
            self._transport = await asyncio.to_thread(_make_transport, self._timeout)
        return self._transport

    async def _send(self, transport: "Transport", asked: Sequence[str]) -> Understood:
        query = {"fields": _FIELDS} | ({"key": self._key} if self._key else {})
        reply = await transport.post(self._url, query, json.dumps(asked), _HEADERS)
        understood = answer.interpret(reply.status, reply.headers, reply.body or b"", asked)
        if reply.body is not None:
            return understood
        return Understood(
            Verdict.BROKEN, understood.quota, problem=f"its answer is over {MAX_BODY >> 10} KiB or compressed"
        )

    async def _conclude(self, outcome: Understood | str, unknown_for: UnknownFor) -> Mapping[str, Geo | None]:
        now = self._clock.monotonic()
        if isinstance(outcome, str):
            self._limit.failed(now)
            await self._save_wait(at_least=WINDOW)  # the request may have been counted
            await self._turns.finish(Outcome())
            raise self._paused(outcome)
        self._limit.answered(now, outcome.verdict, outcome.quota)
        # Requests that only this process has counted are unknown to the next process.
        counted_here = outcome.quota.left is None and outcome.verdict is not Verdict.LIMITED
        await self._save_wait(at_least=WINDOW if counted_here else 0.0)
        await self._turns.finish(self._for_others(outcome, unknown_for))
        if outcome.verdict is Verdict.ANSWERED:
            self._pausing.is_over()
            return outcome.found
        if outcome.verdict is Verdict.TOO_LARGE:
            self._batch = max(1, self._batch // 2)
        raise self._paused(outcome.problem)

    def _for_others(self, answered: Understood, unknown_for: UnknownFor) -> Outcome:
        """Return what an answer means to others: a limit and a refusal are theirs too, any other failure is not."""
        found = frozenset(ip for ip, geo in answered.found.items() if geo is not None and geo.country_code is not None)
        return Outcome(
            found,
            {ip: unknown_for(ip) for ip in answered.found if ip not in found},
            answered.quota,
            is_counted=answered.verdict is Verdict.ANSWERED,
            pause=self.wait() if answered.verdict in {Verdict.LIMITED, Verdict.REFUSED} else 0.0,
        )

    async def _save_wait(self, *, at_least: float = 0.0) -> None:
        """Replace the mark of the request in flight by the pause that is due now."""
        seconds = max(self.wait(), at_least)
        try:
            await self._record(self._clock.now() + seconds if seconds > 0 else None)
        except SourceError as error:
            # The answer is used all the same; the mark stays, and the next request meets the same obstacle.
            self._not_saved.tell(error.problem, problem=error.problem)
        else:
            self._not_saved.is_over()

    def _paused(self, problem: str) -> SourcePausedError:
        seconds = self.wait()
        self._pausing.tell(problem, reason=problem, seconds=round(seconds))
        return SourcePausedError(_NAME, problem, seconds)

    def _scrubbed(self, kind: str, text: str) -> str:
        text = _URL.sub("…", text)
        secrets = {self._key, quote(self._key), quote_plus(self._key)} - {""}
        if any(secret in text for secret in secrets):
            text = ""
        return f"the request failed ({kind}{': ' if text else ''}{text})"

    async def close(self) -> None:
        """Wait for the request in flight and close the connection; nothing is sent afterwards."""
        self._closed = True
        async with self._one_in_flight:
            if self._transport:
                await self._transport.close()
                self._transport = None
            await self._turns.close()


def _queries(ips: Sequence[str]) -> dict[str, str]:
    """Return what is asked about each address: one that carries an IPv4 address is where that is."""
    routable = (ip for ip in dict.fromkeys(ips) if addresses.read_address(ip) == (addresses.AddressKind.GLOBAL, ip))
    return {ip: addresses.carried_ipv4(ip) or ip for ip in routable}


def _by_query(queries: Mapping[str, str], unknown_for: UnknownFor) -> UnknownFor:
    """Return the waits by what is asked: the longest one, where that stands for several addresses."""
    return lambda asked: max(unknown_for(ip) for ip, query in queries.items() if query == asked)


def _make_transport(timeout: float) -> "Transport":
    """Import httpx and read the certificates of all authorities: that takes long. Raises ImportError."""
    from bangeod.geo.sources.ip_api import transport  # noqa: PLC0415 - only who asks ip-api has to hold httpx in memory

    return transport.make(timeout)
