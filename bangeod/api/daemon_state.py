"""The state of the daemon: one description; status line, screen, JSON, metrics and health are views of it.

``Standing`` is the core, available at any time; ``State`` is everything, with the fields of the JSON document. Times
are seconds since the epoch, durations and ages seconds, sizes bytes.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from bangeod.jobs.job import JobId, Outcome


class Timestamp(float):
    """A time in seconds since the epoch: a type of its own, since JSON has times as text and durations as numbers."""

    __slots__ = ()


class Failure(NamedTuple):
    """Why a job fails, and since when."""

    since: float  # seconds since the epoch
    problem: str
    condition: str | None = None  # the problem in two words, if two words are enough
    of_database: bool = False  # whether the problem is that the database can't be used
    planned: bool = True  # whether the job is on the schedule: the failure of one that is not is old news


class Standing(NamedTuple):
    """The core of the state, made without I/O or a walk over entries: the status line needs it every few seconds."""

    now: float  # seconds since the epoch
    planned: int  # jobs on the schedule
    cached: int
    dirty: int
    progress: float | None = None  # how much of the table has been read, from 0 to 1, while it is being read
    last_flush: float | None = None  # seconds since the epoch; of the last that succeeded
    failures: Mapping[JobId, Failure] = {}  # by job, in the order of their ids
    config_refused: bool = False
    database: str | None = None  # what is wrong with it, even if no job has run into that yet
    api: str | None = None  # why its socket is not open although it should be


class JobState(msgspec.Struct, kw_only=True):
    """One job: its plan, its last run, and its figures since the start of the daemon."""

    id: JobId
    enabled: bool
    interval: float
    timeout: float
    running: bool
    next_run: Timestamp | None = None
    last_run: Timestamp | None = None
    last_success: Timestamp | None = None  # also of an earlier daemon
    outcome: Outcome | None = None
    duration: float | None = None
    figures: dict[str, Any] = {}
    problem: str | None = None
    failing_since: Timestamp | None = None
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
    progress: float | None = None  # how much of the table has been read, from 0 to 1, while it is being read


class MmdbState(msgspec.Struct, kw_only=True):
    """One MMDB of the config."""

    path: str
    status: str  # loaded, kept, missing, refused, pending
    database_type: str | None = None
    build_time: Timestamp | None = None
    age: float | None = None
    records: int | None = None
    good_for: str | None = None  # the IP versions for which it has countries, and autonomous systems
    lookup_errors: int = 0
    problem: str | None = None


class IpApiState(msgspec.Struct, kw_only=True):
    """ip-api.com."""

    enabled: bool
    requests: int = 0  # since the start
    remaining: int | None = None  # of this minute's; null where that is not known
    paused_until: Timestamp | None = None
    reason: str | None = None  # of the pause
    refused: bool = False  # banned, or the key is not valid; until it answers again


class BansState(msgspec.Struct, kw_only=True):
    """How much fail2ban bans, as the last run of geo_re_resolve found it."""

    countries: dict[str, int]  # addresses, by the country's code
    without_country: int  # addresses
    networks: int


class SourcesState(msgspec.Struct, kw_only=True):
    """Where countries come from."""

    mmdb: list[MmdbState]
    mmdb_reloads: int
    embedded: bool  # whether it is in force
    ip_api: IpApiState
    fail2ban: str | None  # the path of its database
    bans: BansState | None = None  # null until they were read


class DatabaseState(msgspec.Struct, kw_only=True):
    """The database that bangeod shares with the web app."""

    path: str  # or the url, without secrets
    kind: str = "sqlite"  # or postgresql, of whose log and free space nothing is known here
    problem: str | None = None
    size: int | None = None
    wal: int | None = None
    free: int | None = None  # bytes in pages that hold nothing


class DaemonsState(msgspec.Struct, kw_only=True):
    """The other daemons on the same server, and what this one hears of them."""

    count: int | None = None  # of those seen within a minute, this one included; null where nobody tells
    listening: bool | None = None  # whether it hears what others write to the database; null where that is a file
    lag: float | None = None  # how long what it has heard waits until memory follows; null as above
    clocks: dict[str, float] = {}  # by host, by how many seconds its clock is ahead of the server's, if by too much


class FleetState(msgspec.Struct, kw_only=True):
    """The fleet that this host is in."""

    url: str  # without secrets
    host: str  # what the others call this host
    connected: bool
    away_since: Timestamp | None = None  # null while it answers
    problem: str | None = None  # why it is away
    listening: bool = False  # whether the others are heard
    answered: int = 0  # addresses that it has answered, since the start
    shared: int = 0  # rows that this host has written there, since the start
    waiting: int = 0  # addresses that wait to be written there
    dropped: int = 0  # addresses that had to make room for others, since the start
    last_share: Timestamp | None = None  # when nothing was left to be written


class ConfigState(msgspec.Struct, kw_only=True):
    """The config."""

    path: str
    refused: bool  # the file has changed, and its new content is not valid


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
    started: Timestamp
    now: Timestamp
    healthy: bool
    problem: str | None = None
    config: ConfigState
    jobs: list[JobState]
    cache: CacheState
    sources: SourcesState
    database: DatabaseState
    daemons: DaemonsState | None = None  # null where there is no server by which they know each other
    api: ApiState
    fleet: FleetState | None = None  # null where this host is in none
    loop_lag: float = 0.0  # the longest of the last minute
    log_entries_dropped: int = 0
