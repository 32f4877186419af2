"""How the daemon stands: the document that ``/v1/status`` answers, and that ``/metrics`` is made from.

Times are text as the database has them (``2026-11-22T00:00:00Z``), durations and ages seconds, sizes bytes.
"""

from typing import Any

import msgspec

from bangeod.jobs.job import JobId, Outcome


class JobState(msgspec.Struct, kw_only=True):
    """One job: its plan, its last run, and its figures since the start of the daemon."""

    id: JobId
    enabled: bool
    interval: float
    timeout: float
    running: bool
    next_run: str | None = None
    last_run: str | None = None
    last_success: str | None = None  # also of an earlier daemon
    outcome: Outcome | None = None
    duration: float | None = None
    figures: dict[str, Any] = {}
    problem: str | None = None
    failing_since: str | None = None
    runs: int = 0
    failures: int = 0
    total_duration: float = 0.0
    written: int = 0  # rows
    deleted: int = 0  # rows
    unreadable: int | None = None  # rows that the last run passed over; null until one has run


class CacheState(msgspec.Struct, kw_only=True):
    """The cache in memory."""

    entries: int
    max_entries: int
    dirty: int
    max_dirty: int
    negative: int
    refused: int
    not_kept: int  # so far
    loaded: bool


class MmdbState(msgspec.Struct, kw_only=True):
    """One MMDB of the config."""

    path: str
    status: str  # loaded, kept, missing, refused, pending
    database_type: str | None = None
    build_time: str | None = None
    age: float | None = None
    records: int | None = None
    good_for: str | None = None  # of which IP versions it knows countries, and of which autonomous systems
    lookup_errors: int = 0
    problem: str | None = None


class IpApiState(msgspec.Struct, kw_only=True):
    """ip-api.com."""

    enabled: bool
    requests: int = 0  # since the start
    remaining: int | None = None  # of this minute's; null where that is not known
    paused_until: str | None = None
    reason: str | None = None  # of the pause
    refused: bool = False  # banned, or with a key that is no good; until it answers again


class SourcesState(msgspec.Struct, kw_only=True):
    """Where countries come from."""

    mmdb: list[MmdbState]
    mmdb_reloads: int
    embedded: bool  # whether it is in force
    ip_api: IpApiState
    fail2ban: str | None  # the path of its database


class DatabaseState(msgspec.Struct, kw_only=True):
    """The database that bangeod shares with the web app."""

    path: str
    problem: str | None = None
    size: int | None = None
    wal: int | None = None
    free: int | None = None  # bytes in pages that hold nothing


class ConfigState(msgspec.Struct, kw_only=True):
    """The config."""

    path: str
    refused: bool  # the file has changed, and what is in it now is no good


class ApiState(msgspec.Struct, kw_only=True):
    """What the API itself has to do; since the start of the daemon."""

    requests: int = 0
    errors: int = 0  # answers with a status of 400 and above
    connections: int = 0  # now
    lookups: dict[str, int] = {}
    turned_away: int = 0  # connections that were closed to make room, or refused


class State(msgspec.Struct, kw_only=True):
    """All of it."""

    version: str
    pid: int
    started: str
    now: str
    healthy: bool
    problem: str | None = None
    config: ConfigState
    jobs: list[JobState]
    cache: CacheState
    sources: SourcesState
    database: DatabaseState
    api: ApiState
    loop_lag: float = 0.0  # the longest of the last minute
    log_entries_dropped: int = 0
