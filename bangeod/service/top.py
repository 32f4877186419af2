"""Counting where addresses come from: all of the table, or those that fail2ban bans, by country or by network.

What the daemon's memory holds is counted; a command without a daemon fills a memory of its own first. So both say the
same.
"""

from collections.abc import Callable
from typing import Final

from bangeod.api.messages import Top, TopGroup, TopQuery
from bangeod.banned import Reading
from bangeod.clock import to_text
from bangeod.errors import Fail2banOffError
from bangeod.geo.cache.cache import GeoCache
from bangeod.geo.groups import ByCountry, ByNetwork, Group, Groups
from bangeod.service.components import Components
from bangeod.store.fail2ban import LATELY

BANS_SECONDS: Final = 20.0  # for reading fail2ban's database; a command waits for some more

_GROUPS: Final[dict[str, Callable[[], Groups]]] = {"countries": ByCountry, "networks": ByNetwork}
_ENDS_UNKNOWN: Final = (
    f"fail2ban before 0.11 does not note how long a ban lasts: what it banned in the last {LATELY} days counts"
)


async def count(components: Components, asked: TopQuery) -> Top:
    """Count once. Raises Fail2banOffError, and StoreError where fail2ban's database can't be read."""
    now = int(components.clock.now())
    since = now - asked.since if asked.since else None
    groups = _GROUPS[asked.by]()
    counted = Top(by=asked.by, banned=asked.banned, since=None if since is None else to_text(since))
    if asked.banned:
        reading = await _bans(components, now, since)
        await _count_banned(components.cache, reading, groups, counted)
    else:
        async for some in components.cache.places(since=since or 0):
            for place, number in some:
                groups.add(place, number)
        counted.notes += _what_memory_lacks(components)
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
        for place in places:
            if place is None:
                counted.not_routable += 1
            else:
                groups.add(place)
    counted.banned_networks = len(reading.banned.networks)
    if not reading.ends_are_known:
        counted.notes.append(_ENDS_UNKNOWN)


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
