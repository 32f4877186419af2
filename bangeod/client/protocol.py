"""The common part of both clients: building requests, reading answers, and when not to ask. No I/O."""

import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from urllib.parse import urlencode

import msgspec

from bangeod.errors import NoDaemonError, RefusedError, SilentDaemonError

if TYPE_CHECKING:
    from logging import Logger

T = TypeVar("T")

DEFAULT_SOCKET: Final = "/run/bangeod/bangeod.sock"
MOST_ADDRESSES: Final = 10_000  # of one request
TIMEOUT: Final = 2.0  # seconds for which the daemon may be silent; a large batch may take longer in all
JOB_TIMEOUT: Final = 86_400.0  # seconds; no job may run for longer
CONNECT: Final = 1.0
LOOK_AGAIN: Final = 0.01  # seconds until the next try, if the daemon does not accept connections quickly enough
_ANSWERED_AFTER: Final = 0.8  # of the time that the client waits: the rest is for the transport
_QUIET: Final = 1.0  # seconds without requests after the daemon has not answered in time
EXPLAIN_PATH: Final = "/v1/explain"
TOP_TIMEOUT: Final = 60.0  # seconds; who is banned may take twenty to read, and others may be counted for before
BASE: Final = "http://bangeod"
_OK: Final = 200


class Status(StrEnum):
    """The result of a lookup, in a word."""

    RESOLVED = "resolved"
    UNRESOLVED = "unresolved"  # routable, but no source knows a country
    PRIVATE = "private"  # not globally routable
    INVALID = "invalid"  # not an address
    UNKNOWN = "unknown"  # no daemon answered: ask again later


class Entry(msgspec.Struct, frozen=True):
    """Where an address is, with the text that was asked about; None is not known."""

    ip: str
    status: Status
    country_code: str | None = None
    country_name: str | None = None
    asn: str | None = None
    org: str | None = None
    origin: str | None = None  # only if requested


class Reply(NamedTuple):
    """An answer: the HTTP status, and the body."""

    status: int
    body: bytes


class _Entries(msgspec.Struct):
    entries: list[Entry]


class Explanations(msgspec.Struct):
    """What the daemon's sources know, as in the JSON."""

    explanations: list[dict[str, Any]]


class _Problem(msgspec.Struct):
    code: str
    message: str


class _Error(msgspec.Struct):
    error: _Problem


class Protocol:
    """The common part of both clients: building requests and reading answers. No I/O."""

    def __init__(self, socket: str = DEFAULT_SOCKET, *, timeout: float = TIMEOUT, strict: bool = False) -> None:
        self.socket = socket
        self._strict = strict
        self._told: str | None = None  # the last trouble that was logged
        self.timeout = timeout
        self.lookup_path = f"/v1/lookup?wait={min(timeout, JOB_TIMEOUT) * _ANSWERED_AFTER:.3f}"
        self._quiet_until = float("-inf")  # monotonic

    def chunks(self, ips: Sequence[str], mode: str, *, origin: bool) -> Iterator[tuple[Sequence[str], bytes]]:
        """Split a batch into parts that one request may have, each with its body."""
        for start in range(0, len(ips), MOST_ADDRESSES):
            chunk = ips[start : start + MOST_ADDRESSES]
            yield chunk, msgspec.json.encode({"ips": [_clean(ip) for ip in chunk], "mode": mode, "origin": origin})

    def check_silence(self) -> None:
        """Raise SilentDaemonError if the daemon was silent just now: otherwise many would wait for it at once."""
        if time.monotonic() < self._quiet_until:
            raise self.silent()

    def silent(self) -> SilentDaemonError:
        """Return the error for a daemon that does not answer in time."""
        return SilentDaemonError(f"{self.socket}: the daemon does not answer in time: systemctl status bangeod")

    def read_entries(self, answer: Reply, asked: Sequence[str]) -> list[Entry]:
        """Read the answer to a batch. Raises RefusedError as ``read`` does."""
        entries = self.read(answer, _Entries).entries
        if len(entries) != len(asked):
            raise RefusedError(f"{self.socket}: {len(entries)} entries came for {len(asked)} addresses")
        self._told = None
        return entries

    def read(self, answer: Reply, kind: type[T]) -> T:
        """Read an answer. Raises RefusedError if it is an error, or not from bangeod."""
        try:
            if answer.status == _OK:
                return msgspec.json.decode(answer.body, type=kind)
            problem = msgspec.json.decode(answer.body, type=_Error).error
        except (msgspec.DecodeError, UnicodeError) as error:
            raise RefusedError(
                f"{self.socket}: this is no answer of bangeod's ({error})", status=answer.status
            ) from error
        raise RefusedError(problem.message, status=answer.status, code=problem.code)

    def translated(self, error: Exception, *, late: bool = False, garbled: bool = False) -> Exception:
        """Return bangeod's error for a failed request: ``late`` after a timeout, ``garbled`` if it was no HTTP."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, PermissionError):
                return RefusedError(
                    f"{self.socket}: this user may not open the socket: make it a member of the socket's group"
                )
            cause = cause.__cause__ or cause.__context__
        said = str(error) or type(error).__name__
        if late or is_crowded(error):
            return self.silent()
        if garbled:
            return RefusedError(f"{self.socket}: this is no answer of bangeod's ({said})")
        return NoDaemonError(f"{self.socket}: no daemon answers ({said}): systemctl start bangeod")

    def unknown(self, asked: Sequence[str], error: Exception) -> list[Entry]:
        """Return entries for a failed lookup; each trouble is logged once."""
        if isinstance(error, SilentDaemonError) and time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _QUIET
        if self._strict:
            raise error
        said = str(error)  # the error itself would keep a socket alive wherever the record is kept
        if said != self._told:
            self._told = said
            _log().warning("addresses stay unknown: %s", said)
        return [Entry(str(ip), Status.UNKNOWN) for ip in asked]


def _log() -> "Logger":
    """Return the client's logger, by a name that the web app relies on."""
    from logging import getLogger  # noqa: PLC0415 - bangeod's commands log nothing

    return getLogger("bangeod.client")


def is_crowded(error: BaseException | None) -> bool:
    """Return whether a connection failed because too many others wait to be accepted (EAGAIN, connect(2))."""
    while error is not None:
        if isinstance(error, BlockingIOError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _clean(ip: str) -> str:
    """Return a text that can be sent: lone surrogates can't be encoded, and no address has any."""
    return str(ip).encode(errors="replace").decode()


def explain_body(ips: Sequence[str]) -> bytes:
    return msgspec.json.encode({"ips": [_clean(ip) for ip in ips]})


def top_path(by: str, *, banned: bool, since: int | None, limit: int | None, here: bool = False) -> str:
    asked = {"by": by, "banned": str(banned).lower(), "since": since, "limit": limit, "here": "true" if here else None}
    return f"/v1/top?{urlencode({name: value for name, value in asked.items() if value is not None})}"


def job_path(job_id: str) -> str:
    return f"/v1/jobs/{job_id}/run"
