"""Which sources are in force: made from the settings, changed by a reload, followed on disk."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import structlog

from bangeod.clock import Clock
from bangeod.config import Settings
from bangeod.errors import SourceError
from bangeod.geo.cache.resolver import Resolver
from bangeod.geo.sources.embedded import EmbeddedSource
from bangeod.geo.sources.ip_api.client import IpApi
from bangeod.geo.sources.mmdb.coverage import IPV4
from bangeod.geo.sources.mmdb.merged import MmdbFiles
from bangeod.geo.update.releases import file_name
from bangeod.model import Geo, Origin
from bangeod.service.state.history import History, within
from bangeod.store.fail2ban import Fail2banReader

log = structlog.get_logger(__name__)


def mmdb_paths(settings: Settings) -> Sequence[Path]:
    """Return the files that are followed: those that the config lists, else those that ``geodb update`` fetches."""
    directory = settings.state.directory
    return settings.geo.mmdb or [directory / file_name(source) for source in settings.geo.update.source]


class EmbeddedWhileAlone:
    """The embedded default, for as long as nothing better is there: no MMDB in use has countries of IPv4, ip-api off.

    Countries of IPv4 are all that it knows. An AS file, or one for IPv6 alone, does not switch it off.
    """

    origin = Origin.EMBEDDED

    def __init__(self, mmdb: MmdbFiles) -> None:
        self._mmdb = mmdb
        self._source = EmbeddedSource()
        self._prepared = False
        self.enabled = True  # in the config, and without ip-api

    @property
    def in_force(self) -> bool:
        """Say whether it answers."""
        return self.enabled and IPV4 not in self._mmdb.coverage.countries

    async def prepare(self) -> None:
        """Read its table where it will be asked: off the event loop, which the first lookup would stop otherwise."""
        if self.in_force and not self._prepared:
            self._prepared = True
            with contextlib.suppress(SourceError):  # said by the first lookup, once
                await asyncio.to_thread(self._source.load)

    def find(self, ip: str) -> Geo | None:
        """Say where an address is, while this source is in force."""
        return self._source.find(ip) if self.in_force else None


class Sources:
    """Keeps the resolver's sources and fail2ban's reader as the settings want them.

    ``apply`` decides, ``refresh`` opens and closes; until the first ``refresh`` no source answers but the embedded one.
    """

    def __init__(self, settings: Settings, clock: Clock, history: History, resolver: Resolver) -> None:
        self._clock = clock
        self._history = history
        self._resolver = resolver
        self.mmdb = MmdbFiles(())
        self.mmdb_reloads = 0  # files taken into use, the first ones too
        self.embedded = EmbeddedWhileAlone(self.mmdb)
        self.ip_api: IpApi | None = None
        self.bans: Fail2banReader | None = None
        self._settings = settings
        self._ip_api_settings: object = None  # what ``ip_api`` was made from
        self._in_force = (False, False)  # the embedded default, ip-api; at the last refresh
        self._refreshing = asyncio.Lock()
        resolver.local = (self.mmdb, self.embedded)

    def apply(self, settings: Settings) -> None:
        """Take up settings; ``refresh`` then does what takes time."""
        self._settings = settings
        self.mmdb.set_paths(mmdb_paths(settings), expected=bool(settings.geo.mmdb))
        self.embedded.enabled = settings.geo.embedded and not settings.geo.ip_api.enabled
        path = settings.fail2ban.database
        busy_timeout = settings.database.busy_timeout
        self.bans = None if path is None else Fail2banReader(path, busy_timeout=busy_timeout)

    async def refresh(self) -> bool:
        """Look at the files on disk, put ip-api in force as wanted; return whether there is a new source."""
        async with self._refreshing:
            taken = await self.mmdb.refresh()
            self.mmdb_reloads += len(taken)
            changed = bool(taken)
            await self._renew_ip_api()
            await self.embedded.prepare()
            before, self._in_force = self._in_force, (self.embedded.in_force, self.ip_api is not None)
            return changed or any(now and not was for was, now in zip(before, self._in_force, strict=True))

    def builds(self) -> dict[Path, float]:
        """Return the MMDBs in use, and when each was built, in seconds since the epoch."""
        states = self.mmdb.states()
        return {state.path: within(state.build_epoch) for state in states if state.build_epoch is not None}

    async def _renew_ip_api(self) -> None:
        """Close the client in use before the next is made, so that two never send at once."""
        wanted = self._settings.geo.ip_api
        if self._ip_api_settings == wanted:
            return
        before, self.ip_api = self.ip_api, None
        self._resolver.remote = None
        if before is not None:
            await before.close()
        self._ip_api_settings = wanted
        if wanted.enabled:
            self.ip_api = IpApi(
                url=wanted.url,
                key=wanted.key.reveal(),
                timeout=wanted.timeout,
                clock=self._clock,
                pause_store=self._history,
            )
        self._resolver.remote = self.ip_api
        if before is None and self.ip_api is not None:
            self._resolver.start_over()

    async def close(self) -> None:
        """Let go of files and connections."""
        self.mmdb.close()
        if self.ip_api is not None:
            await self.ip_api.close()
