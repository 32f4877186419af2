"""SQLite's file and a PostgreSQL server, where the daemon has to tell them apart: store, lock, and the fleet."""

import socket
from typing import TYPE_CHECKING, Protocol

from bangeod.clock import Clock
from bangeod.config import Settings
from bangeod.config.settings import DatabaseSettings, FleetSettings
from bangeod.geo.sources.ip_api.turns import Alone, Turns
from bangeod.jobs.turns import JobTurns
from bangeod.service.lock import DatabaseLock
from bangeod.service.state_lock import StateLock
from bangeod.store.port import Store
from bangeod.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from bangeod.fleet.fleet import Fleet
    from bangeod.fleet.geo_tier import GeoTier


class Lock(Protocol):
    """The right to serve a database, held until ``release`` or the end of the process."""

    @property
    def held(self) -> bool:
        """Whether it is held."""

    def acquire(self) -> None:
        """Take it, without waiting; raises AlreadyServedError, and StoreError where the database can't be served so."""

    def release(self) -> None:
        """Release it, if it is held."""


class ServedStore(Store, Protocol):
    """A store, and how it is told of changed limits."""

    def limit(self, *, busy_timeout: float, max_lock_time: float) -> None:
        """Change the limits, in seconds."""


def lock_of(settings: Settings) -> Lock:
    """Make the lock. A server may have several daemons, but a state directory only one."""
    if settings.database.url is None:
        return DatabaseLock(settings.database.file)
    return StateLock(settings.state.directory)


def store_of(settings: DatabaseSettings, clock: Clock) -> ServedStore:
    """Make the store; nothing is opened yet."""
    busy_timeout, max_lock_time = settings.busy_timeout, settings.max_lock_time
    if settings.url is None:
        return SqliteStore(settings.file, busy_timeout=busy_timeout, max_lock_time=max_lock_time, clock=clock)
    from bangeod.store.postgres.store import PostgresStore  # noqa: PLC0415 - most daemons have no use for it

    conninfo, schema = settings.url.conninfo(), settings.schema or None
    return PostgresStore(conninfo, clock, schema=schema, busy_timeout=busy_timeout, max_lock_time=max_lock_time)


def fleet_of(settings: FleetSettings, clock: Clock) -> "Fleet | None":
    """Make this host's part in a fleet, if it is in one; nothing is opened yet."""
    if settings.url is None:
        return None
    from bangeod.fleet.fleet import Fleet  # noqa: PLC0415 - most daemons have no use for it

    return Fleet(settings.url.conninfo(is_fleets=True), clock, host=settings.host, timeout=settings.timeout)


def turns_of(settings: Settings, clock: Clock) -> JobTurns | None:
    """Make what gives each job to one daemon at a time; None where the database is a file, which has one daemon."""
    url, host = settings.database.url, settings.fleet.host or socket.gethostname()
    if url is None:
        return None
    from bangeod.fleet.job_turns import ServerTurns  # noqa: PLC0415 - as above

    return ServerTurns(url.conninfo(), clock, schema=settings.database.schema or None, host=host)


def geo_tier_of(fleet: "Fleet | None", most_waiting: int) -> "GeoTier | None":
    """Make the fleet's part in lookups, if there is a fleet; ``most_waiting`` bounds what waits to be told to it."""
    if fleet is None:
        return None
    from bangeod.fleet.geo_tier import GeoTier  # noqa: PLC0415 - as above

    return GeoTier(fleet, most_waiting=most_waiting)


def ip_api_turns_of(fleet: "Fleet | None", egress: str) -> Turns:
    """Make this host's turns to ask ip-api: those of its fleet, from the public address that ``egress`` names."""
    if fleet is None:
        return Alone()
    from bangeod.fleet.ip_api_turns import LOCK_TIMEOUT, IpApiTurns  # noqa: PLC0415 - as above
    from bangeod.store.postgres.session import Session  # noqa: PLC0415 - as above

    session = Session(fleet.conninfo, fleet.clock, schema=None, lock_timeout=LOCK_TIMEOUT)
    return IpApiTurns(session, fleet.clock, host=fleet.host, egress=egress)
