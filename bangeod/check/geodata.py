"""Checks of the sources: the geo databases, the embedded default, ip-api, and fail2ban's bans."""

import asyncio
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import bangeod
from bangeod.banned import Reading
from bangeod.check.finding import Finding, fault, ok, warning
from bangeod.check.identity import Identity
from bangeod.clock import SECONDS_A_DAY, to_text
from bangeod.config import Settings
from bangeod.config.values import goes_in_clear
from bangeod.errors import StoreError
from bangeod.geo.sources.mmdb.coverage import IPV4, IPV6, Coverage, together
from bangeod.geo.sources.mmdb.merged import MmdbFiles
from bangeod.geo.sources.mmdb.slot import FileState, FileStatus
from bangeod.service.active_sources import mmdb_paths
from bangeod.store.fail2ban import LATELY, Fail2banReader

MMDB: Final = "mmdb"
IP_API: Final = "ip-api"
FETCH: Final = "bangeod geodb update"
TIMER: Final = "systemctl enable --now bangeod-geodb-update.timer"
MAX_AGE: Final = 60  # days; the free databases are published monthly


def program(who: Identity) -> Finding | None:
    """Report if the user can't run this Python: geo databases are read in a separate process."""
    package = Path(bangeod.__file__).parent
    if os.access(sys.executable, os.X_OK) and os.access(package, os.R_OK | os.X_OK):
        return None
    return warning(
        "program",
        sys.executable,
        f"user {who.name} can't run this bangeod, so it can't be the service's, and geo databases were not looked into",
        "install it outside of home directories, with the distribution's Python: python3 -m venv /opt/bangeod",
    )


def mmdbs(settings: Settings, who: Identity, closed: Collection[Path], now: float) -> Iterator[Finding]:
    """Open every geo database as the daemon would, except those in ``closed``, which the user may not read."""
    listed = bool(settings.geo.mmdb)
    paths = [path for path in _followed(settings) if path not in closed]
    unable = program(who)
    if unable:
        yield unable
    elif paths:
        states = asyncio.run(_states(paths))
        for state in states:
            yield _of_file(state, now, listed=listed)
        in_use = [state.coverage for state in states if state.coverage is not None]
        if in_use and len(paths) == len(_followed(settings)):
            yield from _left_out(together(in_use), settings)


def _left_out(coverage: Coverage, settings: Settings) -> Iterator[Finding]:
    """Report for which addresses the geo databases in use have no countries, if ip-api doesn't fill the gap."""
    missing = [version for version in (IPV4, IPV6) if version not in coverage.countries]
    if not missing or settings.geo.ip_api.enabled:
        return
    has = f"countries of IPv{IPV6 if missing == [IPV4] else IPV4} alone" if coverage.countries else "no countries"
    rest = {IPV4: "IPv4 addresses get no country", IPV6: "IPv6 addresses get no country"}
    if settings.geo.embedded:
        rest[IPV4] = "countries come from the embedded default (IPv4 only, right for some 94 of 100 addresses)"
    problem = f"the geo databases have {has}: {'; '.join(rest[version] for version in missing)}"
    advice = "list a file with countries of both under [geo] mmdb as well"
    if not settings.geo.mmdb:
        advice = f"name one with countries in [geo.update] source as well, and: {FETCH}"
    yield warning("geo", "geo.mmdb", problem, advice)


def _followed(settings: Settings) -> Sequence[Path]:
    """Return the geo databases that the daemon follows; those that ``geodb update`` fetches only once one is there."""
    paths = mmdb_paths(settings)
    return paths if settings.geo.mmdb or any(os.path.exists(path) for path in paths) else []  # noqa: PTH110  False, not an error, where a directory is closed


async def _states(paths: Collection[Path]) -> Sequence[FileState]:
    files = MmdbFiles(paths)
    try:
        await files.refresh()
        return files.states()
    finally:
        files.close()


def _of_file(state: FileState, now: float, *, listed: bool) -> Finding:
    if state.status is FileStatus.MISSING and not listed:
        return warning(MMDB, state.path, "is named in [geo.update] source, and was not fetched yet", FETCH)
    if state.status is FileStatus.MISSING:
        return fault(MMDB, state.path, "there is no such file", "put it there, or take it off [geo] mmdb")
    if state.status is not FileStatus.LOADED or state.build_epoch is None:
        advice = "put a good one in its place; the daemon takes it up within a minute, and does without until then"
        return fault(MMDB, state.path, state.problem or "can't be used", advice if listed else FETCH)
    text = f"{state.database_type} of {to_text(state.build_epoch)[:10]}, {state.records:,} distinct records"
    text += f": {state.coverage}"
    days = int(now - state.build_epoch) // SECONDS_A_DAY
    if days > MAX_AGE:
        advice = "fetch a newer one, each month" if listed else f"{FETCH}   # each month: {TIMER}"
        return warning(MMDB, state.path, f"{text}; {days} days old, networks have moved since", advice)
    return ok(MMDB, state.path, text)


def fallback(settings: Settings) -> Iterator[Finding]:
    """Report what answers if no geo database does."""
    geo = settings.geo
    if geo.ip_api.enabled or _followed(settings):
        return
    if geo.embedded:
        text = f"countries come from the embedded default (IPv4 only); good for a first run, {FETCH} fetches better"
        yield ok("geo", "geo.mmdb", text)
        return
    yield warning(
        "geo",
        "geo.mmdb",
        "there is no geo database, ip-api and the embedded default are off: no address gets a country",
        f"{FETCH}   # or list one under [geo] mmdb, or set embedded = true",
    )


def ip_api(settings: Settings, paused_until: float | None, now: float) -> Iterator[Finding]:
    """Report what asking ip-api means, and whether it is asked at the moment."""
    wanted = settings.geo.ip_api
    if not wanted.enabled:
        return
    key = "with a key" if wanted.key else "without a key (one that systemd gives the service can't be seen from here)"
    if goes_in_clear(wanted.url):
        yield warning(
            IP_API,
            wanted.url,
            f"addresses of visitors are sent there in clear text, {key}; it is free for non-commercial use only",
            "list an MMDB and set enabled = false, or get a key: with one it is asked over https",
        )
    else:
        yield ok(IP_API, wanted.url, f"addresses of visitors are sent there, {key}")
    if paused_until is not None and paused_until > now:
        yield warning(
            IP_API,
            wanted.url,
            f"it is not asked before {to_text(paused_until)}, because of a limit or a refusal",
            "wait; where that comes back, see whether others on this network ask it too",
        )


def fail2ban(settings: Settings, closed: Collection[Path], now: float) -> Iterator[Finding]:
    """Read who is banned, as the jobs do; not if the file is in ``closed``, which the user may not read."""
    path = settings.fail2ban.database
    if path is None or path in closed:
        return
    reader = Fail2banReader(path, busy_timeout=settings.database.busy_timeout)
    try:
        found = asyncio.run(reader.read(int(now)))
    except StoreError as error:
        yield fault("fail2ban", path, error.problem, error.advice)
    else:
        yield ok("fail2ban", path, _of_bans(found))


def _of_bans(found: Reading) -> str:
    """Say how many are banned as the jobs count them: without bans of jails that are gone."""
    count = _counted(len(found.banned.addresses), "address", "addresses")
    if found.banned.networks:
        count += f" and {_counted(len(found.banned.networks), 'network', 'networks')}"
    lately = f"banned in the last {LATELY} days, which counts as banned now: before 0.11 fail2ban notes no end"
    text = f"{count} banned now" if found.ends_are_known else f"{count} {lately}"
    gone = len(found.of_gone_jails.addresses) + len(found.of_gone_jails.networks)
    left = f"; {_counted(gone, 'ban', 'bans')} left of jails that are no longer in force, which don't count"
    return text + left if gone else text


def _counted(number: int, one: str, many: str) -> str:
    return f"1 {one}" if number == 1 else f"{number:,} {many}"
