"""Explaining an answer: what each source says of an address, asked one by one, and nothing is changed by it.

No use of the address is noted, no row and no cache entry is made, and ip-api is never asked.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Final

from bangeod.api.explanations import Explanation, MmdbRecord, Place, Said, place_of
from bangeod.clock import to_text
from bangeod.errors import StoreError
from bangeod.geo import addresses
from bangeod.geo.addresses import Kind
from bangeod.geo.answering import DATABASE_SECONDS
from bangeod.geo.model import UNKNOWN, Geo, Origin, Row, Status, merge
from bangeod.geo.sources.mmdb_file import MmdbSource
from bangeod.geo.sources.mmdb_slot import FileState
from bangeod.geo.sources.plain import plain
from bangeod.service.core import Core

NAMED: Final = "country_names"  # decides on a name: that of the country in the table
_LONGEST_PROBLEM: Final = 300  # characters
_LOCALLY_KNOWN: Final = {Kind.PRIVATE: Status.PRIVATE, Kind.INVALID: Status.INVALID}


async def explain(core: Core, ips: Sequence[str]) -> list[Explanation]:
    """Explain each address, in the order asked."""
    read = [addresses.read(ip) for ip in ips]
    routable = list(dict.fromkeys(ip for kind, ip in read if kind is Kind.GLOBAL))
    rows, problem = await _rows(core, routable)
    explained = []
    for asked, (kind, ip) in zip(ips, read, strict=True):
        if kind is Kind.GLOBAL:
            explained.append(_explain(core, asked, ip, rows.get(ip), problem))
        else:
            explained.append(
                Explanation(
                    ip=asked,
                    status=_LOCALLY_KNOWN[kind],
                    address=ip if kind is Kind.PRIVATE else None,
                    answer=Place(),
                )
            )
        await asyncio.sleep(0)
    return explained


async def _rows(core: Core, ips: Sequence[str]) -> tuple[Mapping[str, Row], str | None]:
    """Return the rows, or why the database can't be asked."""
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            return await core.store.find(ips) if ips else {}, None
    except StoreError as error:
        return {}, str(error)
    except TimeoutError:
        return {}, f"the database did not answer within {DATABASE_SECONDS:g} s"


def _explain(core: Core, asked: str, ip: str, row: Row | None, problem: str | None) -> Explanation:
    held = core.cache.known(ip)
    found = core.naming.aside(lambda: core.resolver.ask_local([ip])).get(ip)
    geo, origin = UNKNOWN, None
    if held is not None and held.country_code is not None:
        geo, origin = held, Origin.MEMORY
    elif row is not None and row.geo.country_code is not None:
        geo, origin = row.geo, Origin.DATABASE
    else:
        # As a lookup does: what memory and the row know of it, if not its country, fills in what the sources leave.
        known = merge(held or UNKNOWN, UNKNOWN if row is None else row.geo)
        geo = known if found is None else merge(found.geo, known)
        origin = found.origin if found is not None and found.resolved else None
    said = [_memory(held), _database(row, problem), *_files(core, ip), _embedded(core, ip)]
    said.append(_ip_api(core, answered=geo.country_code is not None))
    return Explanation(
        ip=asked,
        status=Status.UNRESOLVED if geo.country_code is None else Status.RESOLVED,
        address=ip,
        sources=said,
        answer=place_of(geo) or Place(),
        origin=origin,
        decided_by=dict(_decided(geo, origin, said)),
    )


def _decided(geo: Geo, origin: Origin | None, said: Sequence[Said]) -> Iterator[tuple[str, str]]:
    """Say of each field of the answer which source it is from: the first of those asked that says so.

    Memory and row come first where they have a country, and last where they have not.
    """
    saying = [each for each in said if each.says is not None]
    if origin in {Origin.MEMORY, Origin.DATABASE}:
        asked = [each for each in saying if each.source is origin]
    else:
        asked = sorted(saying, key=_is_row)
    for field, value in geo._asdict().items():
        key = "country_code" if field == "country_name" else field  # code and name come together
        first = next((each for each in asked if getattr(each.says, key) == getattr(geo, key)), None)
        if value is None or first is None:
            continue
        if field == "country_name" and getattr(first.says, field) != value:
            yield field, NAMED
        else:
            yield field, first.file.path if first.file else str(first.source)


def _is_row(said: Said) -> bool:
    return said.source in {Origin.MEMORY, Origin.DATABASE}


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


def _files(core: Core, ip: str) -> Iterator[Said]:
    carried = addresses.carried_ipv4(ip) if ":" in ip else None
    for state, source in core.sources.mmdb.files():
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
    except Exception as error:  # noqa: BLE001 - damaged records raise all sorts
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


def _embedded(core: Core, ip: str) -> Said:
    embedded = core.sources.embedded
    said = Said(source=Origin.EMBEDDED)
    if not embedded.in_force:
        said.note = f"not in force: {_better(core)}"
        return said
    said.says = place_of(embedded.find(ip))
    said.note = "in force" if said.says else "in force, and does not know it"
    return said


def _better(core: Core) -> str:
    """Say why the embedded default does not answer."""
    if core.sources.embedded.enabled:
        return "an MMDB that is in use has countries of IPv4"
    return "off in the config" if core.sources.ip_api is None else "ip-api is on"


def _ip_api(core: Core, *, answered: bool) -> Said:
    client = core.sources.ip_api
    said = Said(source=Origin.IP_API)
    if client is None:
        said.note = "off"
        return said
    standing = client.standing()
    if answered:
        said.note = "on, and not asked: the answer is known without it"
    elif standing.wait > 0:
        until = to_text(core.clock.now() + standing.wait)
        said.note = f"paused until {until}: {standing.reason}"
    else:
        said.note = "on: a lookup would ask it"
    return said
