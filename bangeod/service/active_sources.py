"""The sources in use: chosen by the settings, and updated when files on disk change."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from enum import Flag, auto
from pathlib import Path

import structlog

from bangeod.clock import Clock
from bangeod.config import Settings
from bangeod.errors import SourceError
from bangeod.geo.sources import LocalSource, RemoteSource
from bangeod.geo.sources.embedded import EmbeddedSource
from bangeod.geo.sources.ip_api.client import IpApi
from bangeod.geo.sources.ip_api.turns import Turns
from bangeod.geo.sources.mmdb.coverage import IPV4
from bangeod.geo.sources.mmdb.merged import MmdbFiles
from bangeod.geo.update.releases import file_name
from bangeod.model import Geo, Origin
from bangeod.service.settings_in_force import SettingsInForce
from bangeod.service.state.history import History, within
from bangeod.store.fail2ban import Fail2banReader

log = structlog.get_logger(__name__)

MakeTurns = Callable[[str], Turns]  # to ask ip-api, for the name of a public address that is shared


def mmdb_paths(settings: Settings) -> Sequence[Path]:
    """Return the MMDBs to follow: those that the config lists, else those that ``geodb update`` fetches."""
    directory = settings.state.directory
    return settings.geo.mmdb or [directory / file_name(source) for source in settings.geo.update.source]


class NewSources(Flag):
    """Which sources are new after a refresh; false if none is."""

    NONE = 0
    LOCAL = auto()
    REMOTE = auto()


class EmbeddedWhileAlone:
    """The embedded default, used while ip-api is off and no MMDB in use has countries for IPv4.

    It knows only countries of IPv4. An AS file, or a file for IPv6 alone, does not switch it off.
    """

    origin = Origin.EMBEDDED

    def __init__(self, mmdb: MmdbFiles, settings: SettingsInForce) -> None:
        self._mmdb = mmdb
        self._settings = settings
        self._source = EmbeddedSource()
        self._prepared = False

    @property
    def enabled(self) -> bool:
        """Whether it may answer: it is on in the config, and ip-api is not."""
        geo = self._settings.current.geo
        return geo.embedded and not geo.ip_api.enabled

    @property
    def in_force(self) -> bool:
        """Whether it answers now."""
        return self.enabled and IPV4 not in self._mmdb.coverage.countries

    async def prepare(self) -> None:
        """Read its table, if it will be asked, outside the event loop, which the first lookup would block otherwise."""
        if self.in_force and not self._prepared:
            self._prepared = True
            with contextlib.suppress(SourceError):  # logged by the first lookup, once
                await asyncio.to_thread(self._source.load)

    def find(self, ip: str) -> Geo | None:
        """Return the place of an address; the caller checks ``in_force`` first, once for many addresses."""
        return self._source.find(ip)


class Sources:
    """The sources in use, fail2ban's database too. ``refresh`` updates them to the settings and the files.

    Until the first ``refresh`` only the embedded source answers.
    """

    def __init__(self, settings: SettingsInForce, clock: Clock, history: History, make_turns: MakeTurns) -> None:
        self._settings = settings
        self._clock = clock
        self._history = history
        self._make_turns = make_turns
        self.mmdb = MmdbFiles(())
        self.mmdb_reloads = 0  # files taken into use, including the first ones
        self.embedded = EmbeddedWhileAlone(self.mmdb, settings)
        self.ip_api: IpApi | None = None
        self._ip_api_settings: object = None  # what ``ip_api`` was made from
        self._bans: Fail2banReader | None = None
        self._bans_settings: object = None  # what ``_bans`` was made from
        self._in_force = (False, False)  # the embedded default and ip-api, at the last refresh
        self._refreshing = asyncio.Lock()

    @property
    def local(self) -> Sequence[LocalSource]:
        """The sources on this machine, in the order in which they are asked."""
        return (self.mmdb, self.embedded) if self.embedded.in_force else (self.mmdb,)

    @property
    def remote(self) -> RemoteSource | None:
        """ip-api, or None if it is off."""
        return self.ip_api

    def bans(self) -> Fail2banReader | None:
        """Return the reader of fail2ban's database; None if the settings name none."""
        path, busy_timeout = self._settings.current.fail2ban.database, self._settings.current.database.busy_timeout
        if self._bans_settings != (path, busy_timeout):
            self._bans_settings = (path, busy_timeout)
            self._bans = None if path is None else Fail2banReader(path, busy_timeout=busy_timeout)
        return self._bans

    async def refresh(self) -> NewSources:
        """Look at the files on disk and at the settings of ip-api; return which of the sources are new."""
        async with self._refreshing:
            settings = self._settings.current
            self.mmdb.set_paths(mmdb_paths(settings), expected=bool(settings.geo.mmdb))
            taken = await self.mmdb.refresh()
            self.mmdb_reloads += len(taken)
            await self._renew_ip_api()
            await self.embedded.prepare()
            before, self._in_force = self._in_force, (self.embedded.in_force, self.ip_api is not None)
            embedded, ip_api = (now and not was for was, now in zip(before, self._in_force, strict=True))
            local = NewSources.LOCAL if taken or embedded else NewSources.NONE
            return local | (NewSources.REMOTE if ip_api else NewSources.NONE)

    def builds(self) -> dict[Path, float]:
        """Return the MMDBs in use with their build times, in seconds since the epoch."""
        states = self.mmdb.states()
        return {state.path: within(state.build_epoch) for state in states if state.build_epoch is not None}

    async def _renew_ip_api(self) -> None:
        """Close the client in use before making the next, so that two never send at the same time."""
        wanted = self._settings.current.geo.ip_api
        if self._ip_api_settings == wanted:
            return
        before, self.ip_api = self.ip_api, None
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
                turns=self._make_turns(wanted.egress),
            )

    async def settle(self) -> None:
        """Tell the fleet what could not be told of requests to ip-api when it was news."""
        if self.ip_api is not None:
            await self.ip_api.settle()

    async def close(self) -> None:
        """Close files and connections."""
        self.mmdb.close()
        if self.ip_api is not None:
            await self.ip_api.close()
