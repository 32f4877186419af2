"""Counting where addresses come from: all of the table, or those that fail2ban bans, by country or by network.

In a fleet those count that any of its hosts bans, as each of them has told; and hosts by what they ban.

What the daemon's memory holds is counted; a command without a daemon fills a memory of its own first. So both say the
same.
"""

from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Final

from bangeod.api.messages import Top, TopGroup, TopQuery
from bangeod.banned import Reading
from bangeod.clock import to_text
from bangeod.errors import Fail2banOffError, FleetOffError, StoreError
from bangeod.fleet.all_bans import EVER, AllBans
from bangeod.geo.cache.cache import GeoCache
from bangeod.geo.groups import ByCountry, ByNetwork, Group, Groups
from bangeod.model import Geo
from bangeod.service import fleet_places
from bangeod.service.components import Components
from bangeod.store.fail2ban import LATELY

BANS_SECONDS: Final = 20.0  # for reading fail2ban's database; a command waits for some more
FLEET_SECONDS: Final = 20.0  # for reading the fleet's bans, likewise

_GROUPS: Final[dict[str, Callable[[], Groups]]] = {"countries": ByCountry, "networks": ByNetwork}
_LACKS: Final = {"countries": fleet_places.lacks_country, "networks": fleet_places.lacks_network}
_ENDS_UNKNOWN: Final = (
    f"fail2ban before 0.11 does not note how long a ban lasts: what it banned in the last {LATELY} days counts"
)
_ONLY_A_PART: Final = f"of the fleet's bans only those count that can be read in {FLEET_SECONDS:g} s, by address"


async def count(components: Components, asked: TopQuery) -> Top:
    """Count once.

    Raises Fail2banOffError, FleetOffError, and StoreError where fail2ban's database, or the fleet's, can't be read.
    """
    now = int(components.clock.now())
    since = now - asked.since if asked.since else None
    fleet = None if components.fleet_bans is None else components.fleet_bans.everyones
    if asked.by == "hosts":
        if fleet is None:
            raise FleetOffError
        return await _hosts(fleet, asked, since)
    if asked.banned and fleet is not None and not asked.here:
        try:
            return await _of_fleet(components, fleet, asked, since)
        except StoreError as error:
            return await _instead_of_fleet(components, asked, now, error)
    return await _here(components, asked, now)


async def _here(components: Components, asked: TopQuery, now: int) -> Top:
    """Count what this host has, or bans."""
    since = now - asked.since if asked.since else None
    groups, counted = _GROUPS[asked.by](), _begun(asked, since)
    if asked.banned:
        reading = await _bans(components, now, since)
        await _count_banned(components.cache, reading, groups, counted)
    else:
        async for some in components.cache.places(since=since or 0):
            for place, number in some:
                groups.add(place, number)
        counted.notes += _what_memory_lacks(components)
    return await _completed(counted, groups, asked)


async def _instead_of_fleet(components: Components, asked: TopQuery, now: int, error: StoreError) -> Top:
    """Count what this host bans while the fleet's server is away; raises its error where this host tells nothing."""
    try:
        counted = await _here(components, asked, now)
    except Fail2banOffError:
        raise error from None
    counted.notes.append(f"what this host bans counts alone: the fleet can't be asked ({error.path}: {error.problem})")
    return counted


async def _of_fleet(components: Components, fleet: AllBans, asked: TopQuery, since: int | None) -> Top:
    groups, counted = _GROUPS[asked.by](), _begun(asked, since)
    clock, lacks = components.clock, _LACKS[asked.by]
    ends = clock.monotonic() + FLEET_SECONDS
    try:
        counted.hosts = (await fleet.by_host(0, begun=since or EVER)).hosts
        async with aclosing(fleet.pages(begun=since or EVER)) as pages:
            async for addresses, networks in pages:
                counted.banned_networks += networks
                async for places in fleet_places.located(components.cache, fleet, addresses, lacks):
                    _add(places, groups, counted)
                if clock.monotonic() > ends:
                    counted.notes.append(_ONLY_A_PART)
                    break
    finally:
        await fleet.close()
    return await _completed(counted, groups, asked)


async def _hosts(fleet: AllBans, asked: TopQuery, since: int | None) -> Top:
    counted = _begun(asked, since)
    counted.banned = True
    try:
        found = await fleet.by_host(asked.limit, begun=since or EVER)
    finally:
        await fleet.close()
    counted.groups = [TopGroup(each.addresses, host=each.host, newest=to_text(each.newest)) for each in found.largest]
    counted.hosts = found.hosts
    counted.other_groups = found.hosts - len(found.largest)
    counted.in_other_groups = found.addresses - sum(each.addresses for each in found.largest)
    counted.banned_networks = found.networks
    counted.total = found.addresses + found.networks
    return counted


def _begun(asked: TopQuery, since: int | None) -> Top:
    return Top(by=asked.by, banned=asked.banned, since=None if since is None else to_text(since))


async def _completed(counted: Top, groups: Groups, asked: TopQuery) -> Top:
    """Fill in what the groups add up to."""
    largest = await groups.largest(asked.limit)
    counted.groups = [_group(group) for group in largest]
    counted.other_groups = len(groups) - len(largest)
    counted.in_other_groups = groups.total - sum(group.addresses for group in largest)
    counted.unknown = groups.unknown
    counted.total = groups.total + groups.unknown + counted.not_routable + counted.banned_networks
    return counted


async def _bans(components: Components, now: int, since: int | None) -> Reading:
    source = components.sources.bans()
    if source is None:
        raise Fail2banOffError
    return await source.banned(now, BANS_SECONDS, begun=since)


async def _count_banned(cache: GeoCache, reading: Reading, groups: Groups, counted: Top) -> None:
    async for places in cache.places_of(reading.banned.addresses):
        _add(places, groups, counted)
    counted.banned_networks = len(reading.banned.networks)
    if not reading.ends_are_known:
        counted.notes.append(_ENDS_UNKNOWN)


def _add(places: Iterable[Geo | None], groups: Groups, counted: Top) -> None:
    for place in places:
        if place is None:
            counted.not_routable += 1
        else:
            groups.add(place)


def _what_memory_lacks(components: Components) -> list[str]:
    cache = components.cache
    if cache.progress is not None:
        return [f"the table is being read: {100 * cache.progress:.0f} % of it is counted so far"]
    if not cache.loaded:
        return ["the table was not read yet: only what was looked up since the start is counted"]
    if cache.is_full:
        most = components.settings.cache.max_entries
        return [f"memory is full ([cache] max_entries = {most}): addresses seen longest ago may not be counted"]
    return []


def _group(group: Group) -> TopGroup:
    return TopGroup(group.addresses, *group.place)
