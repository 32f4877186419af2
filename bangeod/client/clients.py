"""The two clients, synchronous and asyncio: ``protocol`` builds requests and reads answers, httpx transports them."""

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

import httpx
import msgspec

from bangeod.client.blocking import BlockingClient
from bangeod.client.connecting import NO_TLS, PatientTransport
from bangeod.client.protocol import (
    BASE,
    CONNECT,
    DEFAULT_SOCKET,
    EXPLAIN_PATH,
    JOB_TIMEOUT,
    LOOK_AGAIN,
    TIMEOUT,
    TOP_TIMEOUT,
    Entry,
    Explanations,
    Protocol,
    Reply,
    explain_body,
    is_crowded,
    job_path,
    top_path,
)
from bangeod.errors import NoDaemonError, RefusedError

AT_ONCE: Final = 32  # lookups at a time; the cost of httpcore's pool grows with the square of its waiting requests


class GeoClient(BlockingClient):
    """Asks the daemon at ``socket``; may be shared by threads.

    ``timeout`` is for how many seconds the daemon may be silent. The daemon answers a lookup sooner: addresses that no
    source has answered by then are ``unresolved``, and known a little later. With ``strict`` a lookup raises
    NoDaemonError or RefusedError instead of returning ``unknown``.
    """

    def __init__(self, socket: str = DEFAULT_SOCKET, *, timeout: float = TIMEOUT, strict: bool = False) -> None:
        super().__init__(socket, timeout=timeout, strict=strict)
        self.limits = httpx.Timeout(timeout, connect=min(timeout, CONNECT))
        transport = httpx.HTTPTransport(uds=socket, verify=NO_TLS)
        self._http = httpx.Client(base_url=BASE, transport=transport, timeout=self.limits, trust_env=False)

    def exchange(self, method: str, path: str, body: bytes = b"", *, silence: float | None = None) -> Reply:
        """Send a request and return the answer. Raises NoDaemonError, RefusedError."""
        limits = self.limits if silence is None else httpx.Timeout(silence, connect=CONNECT)
        try:
            try:
                return self._request(method, path, body, limits)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):  # kept open over a restart
                return self._request(method, path, body, limits)
        except (httpx.HTTPError, OSError) as error:
            raise _translated(self, error) from error

    def _request(self, method: str, path: str, body: bytes, limits: httpx.Timeout) -> Reply:
        """Send a request; if too many clients are connecting, wait as long as for a connection."""
        given_up = time.monotonic() + (limits.connect or 0.0)
        while True:
            try:
                return _reply(self._http.request(method, path, content=body, timeout=limits))
            except httpx.ConnectError as error:
                if not is_crowded(error) or time.monotonic() >= given_up:
                    raise
            time.sleep(LOOK_AGAIN)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class AsyncGeoClient(Protocol):
    """GeoClient for asyncio; belongs to one event loop."""

    def __init__(self, socket: str = DEFAULT_SOCKET, *, timeout: float = TIMEOUT, strict: bool = False) -> None:
        super().__init__(socket, timeout=timeout, strict=strict)
        self.limits = httpx.Timeout(timeout, connect=min(timeout, CONNECT))
        self._turns = asyncio.Semaphore(AT_ONCE)
        transport = PatientTransport(socket)
        self._http = httpx.AsyncClient(base_url=BASE, transport=transport, timeout=self.limits, trust_env=False)

    async def lookup(self, ip: str) -> Entry:
        return (await self.lookup_batch([ip]))[0]

    async def lookup_batch(self, ips: Sequence[str], *, origin: bool = False) -> list[Entry]:
        """Return where each address is, in the order asked; with ``origin`` also which source says so."""
        return await self._entries(ips, "resolve", origin=origin)

    async def lookup_cached_only(self, ips: Sequence[str], *, origin: bool = False) -> list[Entry]:
        """Return what the daemon's memory knows of each address; asks no source."""
        return await self._entries(ips, "cached", origin=origin)

    async def explain(self, ips: Sequence[str]) -> list[dict[str, Any]]:
        """Return what each source knows of each of up to 100 addresses. Raises NoDaemonError, RefusedError."""
        answer = await self._ask("POST", EXPLAIN_PATH, content=explain_body(ips))
        return self.read(answer, Explanations).explanations

    async def top(
        self,
        by: str = "countries",
        *,
        banned: bool = False,
        since: int | None = None,
        limit: int | None = None,
        here: bool = False,
    ) -> dict[str, Any]:
        """Return which ``countries`` or ``networks`` have the most addresses. Raises NoDaemonError, RefusedError.

        Of those ``banned`` now, or of all; last seen, or banned, within ``since`` seconds; ``limit`` groups at most.
        In a fleet those count that any host bans, or that this one does, ``here``; ``hosts`` are the fleet's.
        """
        path = top_path(by, banned=banned, since=since, limit=limit, here=here)
        answer = await self._ask("GET", path, timeout=httpx.Timeout(TOP_TIMEOUT, connect=CONNECT))
        return self.read(answer, dict[str, Any])

    async def status(self) -> dict[str, Any]:
        """Return the state of the daemon. Raises NoDaemonError, RefusedError."""
        return self.read(await self._ask("GET", "/v1/status"), dict[str, Any])

    async def run_job(self, job_id: str, *, dry_run: bool = False, timeout: float = JOB_TIMEOUT) -> dict[str, Any]:  # noqa: ASYNC109 - the daemon's silence, not ours
        """Run a job, wait until it has ended, and return its report. Raises NoDaemonError, RefusedError."""
        body = msgspec.json.encode({"dry_run": dry_run})
        limits = httpx.Timeout(timeout, connect=CONNECT)
        answer = await self._ask("POST", job_path(job_id), content=body, timeout=limits)
        return self.read(answer, dict[str, Any])

    async def _entries(self, ips: Sequence[str], mode: str, *, origin: bool) -> list[Entry]:
        entries: list[Entry] = []
        for chunk, body in self.chunks(ips, mode, origin=origin):
            try:
                entries += self.read_entries(await self._ask_in_turn(body), chunk)
            except (NoDaemonError, RefusedError) as error:
                return entries + self.unknown(ips[len(entries) :], error)
        return entries

    async def _ask_in_turn(self, body: bytes) -> Reply:
        """Look up, a limited number at a time; a lookup that has waited for ``timeout`` gives up."""
        try:
            async with asyncio.timeout(self.timeout):
                await self._turns.acquire()
        except TimeoutError:
            raise self.silent() from None
        try:
            self.check_silence()
            return await self._ask("POST", self.lookup_path, content=body)
        finally:
            self._turns.release()

    async def _ask(self, method: str, path: str, **options: Any) -> Reply:
        try:
            try:
                return _reply(await self._http.request(method, path, **options))
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):  # as in GeoClient
                return _reply(await self._http.request(method, path, **options))
        except (httpx.HTTPError, OSError) as error:
            raise _translated(self, error) from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _reply(response: httpx.Response) -> Reply:
    return Reply(response.status_code, response.content)


def _translated(client: Protocol, error: Exception) -> Exception:
    """Return bangeod's error for one of httpx."""
    late, garbled = isinstance(error, httpx.TimeoutException), isinstance(error, httpx.ProtocolError)
    return client.translated(error, late=late, garbled=garbled)
