"""The text of ``bangeod top``: a line for each country, network or host, with a bar where it is shown on a terminal."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from bangeod.api.messages import Top, TopGroup
from bangeod.cli.tables import count_of, cut, printable, table, width

LONGEST_BAR: Final = 40  # columns
SHORTEST_BAR: Final = 8  # where there is no room for such a long one, there is none
SHORTEST_NAME: Final = 12  # columns
BLOCKS: Final = "▏▎▍▌▋▊▉█"  # an eighth of a column to a whole one
ASCII: Final = "#"
NOTHING: Final = "-"
_GAP: Final = "  "  # between two columns
_HEADS: Final = {"countries": ("CODE", "COUNTRY"), "networks": ("AS", "ORGANISATION"), "hosts": ("LAST BAN", "HOST")}
_BY: Final = {"countries": "country", "networks": "network", "hosts": "host"}


class Chart(NamedTuple):
    """How a chart is drawn: the columns of the terminal, and what bars are made of, thinnest first."""

    width: int
    ticks: str = BLOCKS


class Line(NamedTuple):
    """A line; its bar comes after the text, and may have a colour."""

    text: str
    bar: str = ""


class _Row(NamedTuple):
    key: str
    name: str
    addresses: int
    has_bar: bool = True


def ticks_for(encoding: str) -> str:
    """Return what bars are made of on a terminal of this encoding."""
    try:
        BLOCKS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def lines(counted: Top, chart: Chart | None = None) -> Iterator[Line]:
    """Yield the heading and the table; without a chart, as for a file, no name is cut and no bar is drawn."""
    yield Line(_heading(counted))
    rows = [*map(_row, counted.groups), *_rest(counted)]
    if rows:
        yield Line("")
        yield from _table(counted, rows, chart)
    if counted.by == "networks" and counted.unknown and not counted.groups:
        yield Line("")
        yield Line("No network is known: list an MMDB of AS numbers in [geo] mmdb, or fetch one")
        yield Line('([geo.update] source = ["dbip-country-lite", "dbip-asn-lite"], bangeod geodb update).')


def _heading(counted: Top) -> str:
    what, when = ("banned now", "banned") if counted.banned else ("in geo_cache", "last seen")
    since = "" if counted.since is None else f", {when} since {counted.since}"
    if not counted.total:
        return f"No addresses {what}{since}."
    if counted.hosts is not None:
        what += f" on {count_of(counted.hosts, 'host')}"
    addresses = counted.total - counted.banned_networks
    networks = f" and {count_of(counted.banned_networks, 'network')}" if counted.banned_networks else ""
    return (
        f"{count_of(addresses, 'address', 'addresses')}{networks} {what}{since}, by {_BY.get(counted.by, counted.by)}:"
    )


def _row(group: TopGroup) -> _Row:
    key, name = group.country_code or group.asn or group.newest, group.country_name or group.org or group.host
    return _Row(key or NOTHING, name or NOTHING, group.count)


def _rest(counted: Top) -> Iterator[_Row]:
    """Yield what belongs to no group that is shown, as far as there is any of it."""
    if counted.other_groups:
        yield _Row("", f"and {count_of(counted.other_groups, 'other')}", counted.in_other_groups, has_bar=False)
    if counted.unknown:
        yield _Row("", "no country yet" if counted.by == "countries" else "no network known", counted.unknown)
    if counted.not_routable:
        yield _Row("", "not routable", counted.not_routable)
    if counted.banned_networks:
        yield _Row("", "whole networks", counted.banned_networks)


def _table(counted: Top, rows: Sequence[_Row], chart: Chart | None) -> Iterator[Line]:
    head = _HEADS.get(counted.by, ("", ""))
    keys, names = [printable(row.key) for row in rows], [printable(row.name) for row in rows]
    counts = _to_the_right("ADDRESSES", [f"{row.addresses:,}" for row in rows])
    shares = _to_the_right("SHARE", [f"{100 * row.addresses / counted.total:.1f} %" for row in rows])
    if chart is not None:
        others = max(map(len, (head[0], *keys))) + len(counts[0]) + len(shares[0]) + 4 * len(_GAP)
        names = [cut(name, max(SHORTEST_NAME, chart.width - others - SHORTEST_BAR)) for name in names]
    cells = list(zip(keys, names, counts[1:], shares[1:], strict=True))
    first, *texts = table([*head, counts[0], shares[0]], cells).splitlines()
    yield Line(first)
    for text, bar in zip(texts, _bars(rows, chart, width(first)), strict=True):
        yield Line(f"{text}{_GAP}" if bar else text, bar)


def _to_the_right(head: str, texts: Sequence[str]) -> list[str]:
    longest = max(map(len, (head, *texts)))
    return [text.rjust(longest) for text in (head, *texts)]


def _bars(rows: Sequence[_Row], chart: Chart | None, taken: int) -> list[str]:
    """Return a bar for each row, the longest for the most addresses; ``taken`` are the columns before the bars."""
    room = 0 if chart is None else min(LONGEST_BAR, chart.width - taken - len(_GAP))
    if chart is None or room < SHORTEST_BAR:
        return [""] * len(rows)
    most = max((row.addresses for row in rows if row.has_bar), default=1)
    return [_bar(row.addresses / most * room, chart.ticks) if row.has_bar else "" for row in rows]


def _bar(columns: float, ticks: str) -> str:
    whole, rest = divmod(max(1, round(columns * len(ticks))), len(ticks))
    return ticks[-1] * whole + (ticks[rest - 1] if rest else "")
