"""The client of the daemon's local API, for the web app: where addresses are, in one or two calls.

    geo = GeoClient()  # or AsyncGeoClient, whose methods are awaited
    geo.lookup("8.8.8.8").country_code

A lookup never raises and never takes long: where no daemon answers, its answer is an entry with the status
``unknown``. The process needs the right to open the socket, which the members of its group have.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
import msgspec

from bangeod.errors import NoDaemonError, RefusedError, SilentDaemonError

T = TypeVar("T")

log = logging.getLogger(__name__)

DEFAULT_SOCKET: Final = "/run/bangeod/bangeod.sock"
MOST_ADDRESSES: Final = 10_000  # of one request
TIMEOUT: Final = 2.0  # seconds; for a batch it is how long the daemon may stay silent, not how long it takes in all
JOB_TIMEOUT: Final = 86_400.0  # seconds; no job may run for longer
_CONNECT: Final = 1.0
_LOOK_AGAIN: Final = 0.01  # seconds until a daemon that is not quick enough to accept all who come is tried again
_BASE: Final = "http://bangeod"


class Status(StrEnum):
    """What became of a lookup."""

    RESOLVED = "resolved"
    UNRESOLVED = "unresolved"  # routable, and nobody knows a country
    PRIVATE = "private"  # not globally routable
    INVALID = "invalid"  # no address at all
    UNKNOWN = "unknown"  # no daemon has answered: ask again later


class Entry(msgspec.Struct, frozen=True):
    """Where an address is, under the text that was asked; None is not known."""

    ip: str
    status: Status
    country_code: str | None = None
    country_name: str | None = None
    asn: str | None = None
    org: str | None = None
    origin: str | None = None  # only where it was asked for


class _Entries(msgspec.Struct):
    entries: list[Entry]


class _Problem(msgspec.Struct):
    code: str
    message: str


class _Error(msgspec.Struct):
    error: _Problem


class _Client:
    """What both clients have in common: what is asked, and what the answers mean. No I/O."""

    def __init__(self, socket: str = DEFAULT_SOCKET, *, timeout: float = TIMEOUT, strict: bool = False) -> None:
        self._socket = socket
        self._strict = strict
        self._limits = httpx.Timeout(timeout, connect=min(timeout, _CONNECT))
        self._told: str | None = None  # the trouble that was logged last

    def _chunks(self, ips: Sequence[str], mode: str, *, origin: bool) -> Iterator[tuple[Sequence[str], bytes]]:
        """Cut a batch into what one request may ask, and its body."""
        for start in range(0, len(ips), MOST_ADDRESSES):
            chunk = ips[start : start + MOST_ADDRESSES]
            yield chunk, msgspec.json.encode({"ips": [_clean(ip) for ip in chunk], "mode": mode, "origin": origin})

    def _read_entries(self, answer: httpx.Response, asked: Sequence[str]) -> list[Entry]:
        entries = self._read(answer, _Entries).entries
        if len(entries) != len(asked):
            raise RefusedError(f"{self._socket}: {len(entries)} entries came for {len(asked)} addresses")
        self._told = None
        return entries

    def _read(self, answer: httpx.Response, kind: type[T]) -> T:
        """Understand an answer. Raises RefusedError where it is an error, or none of bangeod's."""
        try:
            if answer.status_code == httpx.codes.OK:
                return msgspec.json.decode(answer.content, type=kind)
            problem = msgspec.json.decode(answer.content, type=_Error).error
        except (msgspec.DecodeError, UnicodeError) as error:
            raise RefusedError(
                f"{self._socket}: this is no answer of bangeod's ({error})", status=answer.status_code
            ) from error
        raise RefusedError(problem.message, status=answer.status_code, code=problem.code)

    def _translated(self, error: Exception) -> Exception:
        """Say what a failed request means."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, PermissionError):
                return RefusedError(
                    f"{self._socket}: this user may not open the socket: make it a member of the socket's group"
                )
            cause = cause.__cause__ or cause.__context__
        said = str(error) or type(error).__name__
        if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout | httpx.PoolTimeout):
            return SilentDaemonError(f"{self._socket}: the daemon does not answer in time: systemctl status bangeod")
        if isinstance(error, httpx.ProtocolError):
            return RefusedError(f"{self._socket}: this is no answer of bangeod's ({said})")
        return NoDaemonError(f"{self._socket}: no daemon answers ({said}): systemctl start bangeod")

    def _unknown(self, asked: Sequence[str], error: Exception) -> list[Entry]:
        """Answer without a daemon; each trouble is logged once."""
        if self._strict:
            raise error
        if str(error) != self._told:
            self._told = str(error)
            log.warning("addresses stay unknown: %s", error)
        return [Entry(ip, Status.UNKNOWN) for ip in asked]


class GeoClient(_Client):
    """Asks the daemon at ``socket``; may be shared by threads.

    ``timeout`` is for how many seconds the daemon may be silent. With ``strict`` a lookup raises NoDaemonError or
    RefusedError instead of answering ``unknown``.
    """

    def __init__(self, socket: str = DEFAULT_SOCKET, *, timeout: float = TIMEOUT, strict: bool = False) -> None:
        super().__init__(socket, timeout=timeout, strict=strict)
        transport = httpx.HTTPTransport(uds=socket)
        self._http = httpx.Client(base_url=_BASE, transport=transport, timeout=self._limits, trust_env=False)

    def lookup(self, ip: str) -> Entry:
        """Say where an address is."""
        return self.lookup_batch([ip])[0]

    def lookup_batch(self, ips: Sequence[str], *, origin: bool = False) -> list[Entry]:
        """Say where each address is, in the order asked; with ``origin`` also which source says so."""
        return self._entries(ips, "resolve", origin=origin)

    def lookup_cached_only(self, ips: Sequence[str], *, origin: bool = False) -> list[Entry]:
        """Say of each address what the daemon's memory knows; asks no source."""
        return self._entries(ips, "cached", origin=origin)

    def status(self) -> dict[str, Any]:
        """Return how the daemon stands. Raises NoDaemonError, RefusedError."""
        return self._read(self._ask("GET", "/v1/status"), dict[str, Any])

    def run_job(self, job_id: str, *, dry_run: bool = False, timeout: float = JOB_TIMEOUT) -> dict[str, Any]:
        """Run a job, wait until it has ended, and return its report. Raises NoDaemonError, RefusedError."""
        body = msgspec.json.encode({"dry_run": dry_run})
        limits = httpx.Timeout(timeout, connect=_CONNECT)
        answer = self._ask("POST", _job_path(job_id), content=body, timeout=limits)
        return self._read(answer, dict[str, Any])

    def _entries(self, ips: Sequence[str], mode: str, *, origin: bool) -> list[Entry]:
        entries: list[Entry] = []
        for chunk, body in self._chunks(ips, mode, origin=origin):
            try:
                entries += self._read_entries(self._ask("POST", "/v1/lookup", content=body), chunk)
            except (NoDaemonError, RefusedError) as error:
                return entries + self._unknown(ips[len(entries) :], error)
        return entries

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            try:
                return self._request(method, path, **options)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):  # a restart: a connection was kept
                return self._request(method, path, **options)
        except (httpx.HTTPError, OSError) as error:
            raise self._translated(error) from error

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask; where too many are connecting, wait for that as long as for a connection. asyncio does so by itself."""
        given_up = time.monotonic() + _CONNECT
        while True:
            try:
                return self._http.request(method, path, **options)
            except httpx.ConnectError as error:
                if not _is_crowded(error) or time.monotonic() >= given_up:
                    raise
            time.sleep(_LOOK_AGAIN)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncGeoClient(_Client):
    """GeoClient for asyncio; belongs to one event loop."""

    def __init__(self, socket: str = DEFAULT_SOCKET, *, timeout: float = TIMEOUT, strict: bool = False) -> None:
        super().__init__(socket, timeout=timeout, strict=strict)
        transport = httpx.AsyncHTTPTransport(uds=socket)
        self._http = httpx.AsyncClient(base_url=_BASE, transport=transport, timeout=self._limits, trust_env=False)

    async def lookup(self, ip: str) -> Entry:
        """Say where an address is."""
        return (await self.lookup_batch([ip]))[0]

    async def lookup_batch(self, ips: Sequence[str], *, origin: bool = False) -> list[Entry]:
        """Say where each address is, in the order asked; with ``origin`` also which source says so."""
        return await self._entries(ips, "resolve", origin=origin)

    async def lookup_cached_only(self, ips: Sequence[str], *, origin: bool = False) -> list[Entry]:
        """Say of each address what the daemon's memory knows; asks no source."""
        return await self._entries(ips, "cached", origin=origin)

    async def status(self) -> dict[str, Any]:
        """Return how the daemon stands. Raises NoDaemonError, RefusedError."""
        return self._read(await self._ask("GET", "/v1/status"), dict[str, Any])

    async def run_job(self, job_id: str, *, dry_run: bool = False, timeout: float = JOB_TIMEOUT) -> dict[str, Any]:  # noqa: ASYNC109 - the daemon's silence, not ours
        """Run a job, wait until it has ended, and return its report. Raises NoDaemonError, RefusedError."""
        body = msgspec.json.encode({"dry_run": dry_run})
        limits = httpx.Timeout(timeout, connect=_CONNECT)
        answer = await self._ask("POST", _job_path(job_id), content=body, timeout=limits)
        return self._read(answer, dict[str, Any])

    async def _entries(self, ips: Sequence[str], mode: str, *, origin: bool) -> list[Entry]:
        entries: list[Entry] = []
        for chunk, body in self._chunks(ips, mode, origin=origin):
            try:
                entries += self._read_entries(await self._ask("POST", "/v1/lookup", content=body), chunk)
            except (NoDaemonError, RefusedError) as error:
                return entries + self._unknown(ips[len(entries) :], error)
        return entries

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            try:
                return await self._http.request(method, path, **options)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):  # as in GeoClient
                return await self._http.request(method, path, **options)
        except (httpx.HTTPError, OSError) as error:
            raise self._translated(error) from error

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _is_crowded(error: BaseException | None) -> bool:
    """Say whether a connection failed because so many others wait to be accepted (EAGAIN, connect(2))."""
    while error is not None:
        if isinstance(error, BlockingIOError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _clean(ip: str) -> str:
    """Return a text that can be sent: lone surrogates are no Unicode, and no address has any."""
    return ip.encode(errors="replace").decode()


def _job_path(job_id: str) -> str:
    return f"/v1/jobs/{job_id}/run"
