"""Explaining an answer: what each source knows of an address, asked one by one, without changing anything.

The use of the address is not noted, no row or cache entry is made, and ip-api is never asked.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Final, NamedTuple

from bangeod import addresses
from bangeod.addresses import AddressKind
from bangeod.api.messages import Explanation, MmdbRecord, Place, Said, place_of
from bangeod.clock import to_text
from bangeod.errors import StoreError
from bangeod.geo.cache.cache import DATABASE_SECONDS, LOCALLY_KNOWN
from bangeod.geo.cache.resolver import Found, Resolver, with_fleet
from bangeod.geo.sources.mmdb.file import MmdbSource
from bangeod.geo.sources.mmdb.plain_records import plain
from bangeod.geo.sources.mmdb.slot import FileState
from bangeod.model import UNKNOWN, Geo, Origin, Row, Status, merge
from bangeod.service.components import Components

NAMED: Final = "country_names"  # what decides on a country's name: its name in the table
_LONGEST_PROBLEM: Final = 300  # characters
_ROWS: Final = {Origin.MEMORY, Origin.DATABASE}


class Told(NamedTuple):
    """What had to be waited for."""

    row: Row | None
    problem: str | None  # why the database could not be asked
    by_fleet: Geo | None


async def explain(components: Components, ips: Sequence[str]) -> list[Explanation]:
    """Explain each address, in the order asked."""
    read = [addresses.read_address(ip) for ip in ips]
    routable = list(dict.fromkeys(ip for kind, ip in read if kind is AddressKind.GLOBAL))
    rows, problem = await _rows(components, routable)
    fleet = components.geo_tier
    theirs = {} if fleet is None or not routable else await fleet.find(routable)
    explained = []
    for asked, (kind, ip) in zip(ips, read, strict=True):
        if kind is AddressKind.GLOBAL:
            told = Told(rows.get(ip), problem, theirs.get(ip))
            explained.append(_explain(components, asked, ip, told))
        else:
            explained.append(
                Explanation(
                    ip=asked,
                    status=LOCALLY_KNOWN[kind],
                    address=ip if kind is AddressKind.PRIVATE else None,
                    answer=Place(),
                )
            )
        await asyncio.sleep(0)
    return explained


async def _rows(components: Components, ips: Sequence[str]) -> tuple[Mapping[str, Row], str | None]:
    """Return the rows, or the reason why the database can't be asked."""
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            return await components.store.find(ips) if ips else {}, None
    except StoreError as error:
        return {}, str(error)
    except TimeoutError:
        return {}, f"the database did not answer within {DATABASE_SECONDS:g} s"


def _explain(components: Components, asked: str, ip: str, told: Told) -> Explanation:
    held = components.cache.known(ip)
    found = components.naming.aside(lambda: _found(components.resolver, ip, told.by_fleet))
    geo, origin = _answer(held, told.row, found)
    carried = addresses.carried_ipv4(ip) if ":" in ip else None
    said = [
        _memory(held),
        _database(told.row, told.problem),
        *_files(components, ip, carried),
        *_fleet(components, told.by_fleet),
        _embedded(components, ip, carried),
    ]
    said.append(_ip_api(components, carried, answered=geo.country_code is not None))
    return Explanation(
        ip=asked,
        status=Status.UNRESOLVED if geo.country_code is None else Status.RESOLVED,
        address=ip,
        sources=said,
        answer=place_of(geo) or Place(),
        origin=origin,
        decided_by=dict(_decided(geo, origin, said)),
    )


def _found(resolver: Resolver, ip: str, theirs: Geo | None) -> Found | None:
    """Return what the local sources and the fleet come to."""
    of_fleet = {} if theirs is None else resolver.from_fleet({ip: theirs})
    return with_fleet(resolver.ask_local([ip]), of_fleet).get(ip)


def _answer(held: Geo | None, row: Row | None, found: Found | None) -> tuple[Geo, Origin | None]:
    """Return what a lookup would answer without ip-api: an answer without a country has no origin."""
    if held is not None and held.country_code is not None:
        return held, Origin.MEMORY
    if row is not None and row.geo.country_code is not None:
        return row.geo, Origin.DATABASE
    known = merge(held or UNKNOWN, row.geo if row is not None else UNKNOWN)
    if found is None:
        return known, None
    return merge(found.geo, known), found.origin if found.resolved else None


def _decided(geo: Geo, origin: Origin | None, said: Sequence[Said]) -> Iterator[tuple[str, str]]:
    """Return the source of each field of the answer: the first source asked that has it."""
    if origin in _ROWS:
        asked = [each for each in said if each.source is origin]
    else:  # the sources come first; memory and row fill the gaps
        asked = sorted(said, key=lambda each: each.source in _ROWS)
    for field, value in geo._asdict().items():
        key = "country_code" if field == "country_name" else field  # code and name come together
        first = next((each for each in asked if each.says and getattr(each.says, key) == getattr(geo, key)), None)
        if value is None or first is None:
            continue
        if field == "country_name" and getattr(first.says, field) != value:
            yield field, NAMED
        else:
            yield field, first.file.path if first.file else str(first.source)


def _memory(held: Geo | None) -> Said:
    note = "not in memory" if held is None else _without_country(held)
    return Said(source=Origin.MEMORY, says=place_of(held), note=note)


def _database(row: Row | None, problem: str | None) -> Said:
    if row is None:
        return Said(source=Origin.DATABASE, note=problem or "no row")
    seen = "at a time that can't be read" if row.last_seen is None else to_text(row.last_seen)
    note = _without_country(row.geo) or f"last seen {seen}"
    return Said(source=Origin.DATABASE, says=place_of(row.geo), note=note)


def _without_country(geo: Geo) -> str | None:
    return "no country: the sources are asked" if geo.country_code is None else None


def _files(components: Components, ip: str, carried: str | None) -> Iterator[Said]:
    for state, source in components.sources.mmdb.files():
        yield _file(state, source, ip, carried)


def _file(state: FileState, source: MmdbSource | None, ip: str, carried: str | None) -> Said:
    file = MmdbRecord(
        path=str(state.path),
        status=state.status.value,
        database_type=state.database_type,
        build_time=None if state.build_epoch is None else to_text(state.build_epoch),
        asked=None if source is None else carried,
    )
    said = Said(source=Origin.MMDB, note=state.problem, file=file)
    if source is None:
        said.note = said.note or "not looked at yet"
        return said
    asked = carried or ip
    try:
        record, length = source.record(asked)
    except Exception as error:  # noqa: BLE001 - damaged records raise all kinds of errors
        said.note = f"its record can't be read: {type(error).__name__}: {error}"[:_LONGEST_PROBLEM]
        return said
    if length is None:
        said.note = "it has IPv4 addresses alone"
        return said
    file.network = str(ip_network(f"{asked}/{length}", strict=False))
    file.record = plain(record)
    said.says = place_of(source.find(ip))
    if record is None:
        said.note = "it has no record for this network"
    elif said.says is None:
        said.note = "its record holds nothing that bangeod takes"
    return said


def _fleet(components: Components, theirs: Geo | None) -> Iterator[Said]:
    if components.fleet is None:
        return
    problem = components.fleet.problem
    note = f"away: {problem}" if problem else None if theirs else "no host has told of it, or not in time"
    yield Said(source=Origin.FLEET, says=place_of(theirs), note=note)


def _embedded(components: Components, ip: str, carried: str | None) -> Said:
    said = Said(source=Origin.EMBEDDED)
    if not components.settings.geo.embedded:
        said.note = "off"
    elif not components.sources.embedded.enabled:
        said.note = "not in force: ip-api is on"
    elif not components.sources.embedded.in_force:
        said.note = "not in force: the MMDBs in use have countries of IPv4"
    else:
        said.says = place_of(components.sources.embedded.find(ip))
        why = "in force: no MMDB in use has countries of IPv4" if components.sources.mmdb.loaded else "in force"
        knows = "" if said.says else ", and knows IPv4 alone" if ":" in (carried or ip) else ", and does not know it"
        said.note = f"{why}{knows}{_asked_for(carried)}"
    return said


def _asked_for(carried: str | None) -> str:
    return f"; asked for {carried}, which the address carries" if carried else ""


def _ip_api(components: Components, carried: str | None, *, answered: bool) -> Said:
    client = components.sources.ip_api
    said = Said(source=Origin.IP_API)
    if client is None:
        said.note = "off"
        return said
    usage = client.usage()
    if answered:
        said.note = "on, and not asked: the answer is known without it"
    elif usage.wait > 0:
        until = to_text(components.clock.now() + usage.wait)
        said.note = f"paused until {until}: {usage.reason}"
    else:
        said.note = f"on: a lookup would ask it{_asked_for(carried)}"
    return said
