"""What the synchronous clients offer; how a request gets to the daemon is the affair of each."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from bangeod.client.protocol import (
    EXPLAIN_PATH,
    JOB_TIMEOUT,
    TOP_TIMEOUT,
    Entry,
    Explanations,
    Protocol,
    Reply,
    explain_body,
    job_path,
    top_path,
)
from bangeod.errors import NoDaemonError, RefusedError


class BlockingClient(Protocol, ABC):
    """Asks the daemon, and waits for its answer. With ``strict`` a lookup raises NoDaemonError or RefusedError."""

    @abstractmethod
    def exchange(self, method: str, path: str, body: bytes = b"", *, silence: float | None = None) -> Reply:
        """Send a request and return the answer. Raises NoDaemonError, RefusedError.

        ``silence``: the seconds for which the daemon may be silent; ``timeout`` if None.
        """

    def lookup(self, ip: str) -> Entry:
        return self.lookup_batch([ip])[0]

    def lookup_batch(self, ips: Sequence[str], *, origin: bool = False) -> list[Entry]:
        """Return where each address is, in the order asked; with ``origin`` also which source says so."""
        return self._entries(ips, "resolve", origin=origin)

    def lookup_cached_only(self, ips: Sequence[str], *, origin: bool = False) -> list[Entry]:
        """Return what the daemon's memory knows of each address; asks no source."""
        return self._entries(ips, "cached", origin=origin)

    def explain(self, ips: Sequence[str]) -> list[dict[str, Any]]:
        """Return what each source knows of each of up to 100 addresses. Raises NoDaemonError, RefusedError."""
        return self.read(self.exchange("POST", EXPLAIN_PATH, explain_body(ips)), Explanations).explanations

    def top(
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
        return self.read(self.exchange("GET", path, silence=TOP_TIMEOUT), dict[str, Any])

    def status(self) -> dict[str, Any]:
        """Return the state of the daemon. Raises NoDaemonError, RefusedError."""
        return self.read(self.exchange("GET", "/v1/status"), dict[str, Any])

    def run_job(self, job_id: str, *, dry_run: bool = False, timeout: float = JOB_TIMEOUT) -> dict[str, Any]:
        """Run a job, wait until it has ended, and return its report. Raises NoDaemonError, RefusedError."""
        body = msgspec.json.encode({"dry_run": dry_run})
        return self.read(self.exchange("POST", job_path(job_id), body, silence=timeout), dict[str, Any])

    def _entries(self, ips: Sequence[str], mode: str, *, origin: bool) -> list[Entry]:
        entries: list[Entry] = []
        for chunk, body in self.chunks(ips, mode, origin=origin):
            try:
                self.check_silence()
                entries += self.read_entries(self.exchange("POST", self.lookup_path, body), chunk)
            except (NoDaemonError, RefusedError) as error:
                return entries + self.unknown(ips[len(entries) :], error)
        return entries

    def close(self) -> None:
        """Close what is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
