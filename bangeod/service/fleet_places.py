"""Where addresses are that any host of the fleet bans: by memory and this host's rows, else by the fleet's."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from bangeod.geo.cache.cache import GeoCache
from bangeod.model import Geo, merge


class FleetPlaces(Protocol):
    """Who knows the fleet's rows."""

    async def places(self, ips: Sequence[str]) -> Mapping[str, Geo]:
        """Return what the fleet's rows say of canonical addresses, those that have any. Raises StoreError."""


def lacks_country(place: Geo) -> bool:
    return place.country_code is None


def lacks_network(place: Geo) -> bool:
    return place.asn is None and place.org is None


async def located(
    cache: GeoCache,
    fleet: FleetPlaces,
    ips: Iterable[str],
    lacks: Callable[[Geo], bool] = lacks_country,
) -> AsyncIterator[list[Geo | None]]:
    """Iterate over the places of canonical addresses, in no order; None if one is not routable.

    The fleet is asked about those whose place ``lacks`` something here. Raises StoreError.
    """
    async for addresses, places in cache.located(ips):
        gaps = [ip for ip, place in zip(addresses, places, strict=True) if place is not None and lacks(place)]
        more = await fleet.places(gaps) if gaps else {}
        yield [
            place if place is None or ip not in more else merge(place, more[ip])
            for ip, place in zip(addresses, places, strict=True)
        ]
