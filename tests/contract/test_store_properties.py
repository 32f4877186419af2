"""What every store promises for any mix of values and any order of events, against the rules written down once more."""

from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bangeod.addresses import read_address, spellings
from bangeod.errors import StoreLockedError
from bangeod.model import DirtyEntry, Geo
from bangeod.store import row_values, times
from bangeod.store.memory import RawRow
from bangeod.store.time_forms import TimeForms, choose, newest
from tests.contract.harness import EACH_KIND, Harness, opened
from tests.contract.values import NOW, read_all, total, write_all
from tests.support.examples import at_most

SECOND = times.MICROSECONDS

each_store = pytest.mark.parametrize("kind", EACH_KIND)
# Of each kind of store, of which there are seven; the rules are the same for all, and each example makes a database.
examples = settings(max_examples=at_most(35), deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Where an example has several rows that don't concern each other.
examples_of_many = settings(examples, max_examples=at_most(15))


@st.composite
def times_near_now(draw: st.DrawFn) -> object:
    """Draw a time within two seconds of NOW, to the microsecond, in one of the forms that can be read."""
    micros = NOW * SECOND + draw(st.integers(-2, 2)) * SECOND + draw(st.sampled_from((0, 0, 1, -1, 500_000)))
    zone = timezone(timedelta(minutes=draw(st.sampled_from((0, 60, -330, 1439, -1439)))))
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    naive = moment.replace(tzinfo=None).isoformat(draw(st.sampled_from("T ")))
    forms = (naive, f"{naive}Z", moment.astimezone(zone).isoformat(), micros // SECOND, micros / SECOND)
    return draw(st.sampled_from((*forms, str(micros // SECOND))))


@st.composite
def nearly_times(draw: st.DrawFn) -> str:
    """Draw text that looks like a time; some is one, some breaks a rule."""
    date = draw(st.sampled_from(("2000-01-01", "2000-02-30", "1900-02-29", "2000-13-01", "0000-01-01", "9999-12-31")))
    clock = draw(st.sampled_from(("00:00:00", "24:00:00", "23:60:00", "23:59:60", "23:59", "23:59:59")))
    fraction = draw(
        st.sampled_from(("", ".", ".1", ".123456", ".1234567", ",5", ".1.2", ".\N{ARABIC-INDIC DIGIT ONE}"))
    )
    zones = ("", "Z", "z", " Z", "ZZ", "+00:00", "-23:59", "+24:00", "+00:60", "+0100", "+01", "+1:00", "+01:00:00")
    end = draw(st.sampled_from(("", "", "", " ", "\n", "\0", "\0Z", "\udcff")))
    return date + draw(st.sampled_from("TTt ")) + clock + fraction + draw(st.sampled_from(zones)) + end


anything = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=12),
    st.text(max_size=12),
    st.text("0123456789.-+eE \0", max_size=14),
    st.sampled_from(("now", "2000-01-01", "00:00:00", "1990-01-01T00:00:00Z", "0000-01-01T00:00:00")),
)
# On both sides of the ends of the age in which numbers are seconds, and what else a number may be taken for.
ages = (times.EARLIEST, times.END, NOW, NOW * 1_000, NOW * SECOND, NOW / 86_400 + 2_440_587.5)
edges = st.builds(
    lambda age, step, form: form(age + step),
    st.sampled_from(ages),
    st.sampled_from((0, -1, -0.25, 0.25)),
    st.sampled_from((int, float, str)),
)
values = st.one_of(times_near_now(), times_near_now(), nearly_times(), edges, anything)


@each_store
@examples
@given(expiries=st.lists(values, max_size=12))
async def test_exactly_the_expired_sessions_go(kind: str, expiries: list[object]) -> None:
    async with opened(kind) as harness:
        for value in expiries:
            harness.put_session(harness.storable(value))
        stored = {number: times.read(value) for number, value in harness.sessions().items()}
        left = {number for number, at in stored.items() if at is None or at > NOW * SECOND}
        unreadable = sum(at is None for at in stored.values())
        census = await harness.store.count_expired(NOW)
        deleted = await total(harness.store.delete_expired(NOW))
        assert set(harness.sessions()) == left
        assert (census.matching, census.unreadable) == (len(stored) - len(left), unreadable)
        assert (len(deleted.keys), deleted.unreadable) == (len(stored) - len(left), unreadable)


@each_store
@examples
@given(
    rows=st.lists(st.tuples(values, st.booleans()), max_size=12),
    max_rows=st.integers(0, 12),
)
async def test_exactly_the_stale_rows_go_and_then_the_oldest_above_the_cap(
    kind: str, rows: list[tuple[object, bool]], max_rows: int
) -> None:
    keys = [f"8.8.8.{i}" for i in range(len(rows))]
    kept = {key for key, (_, keep) in zip(keys, rows, strict=True) if keep}
    async with opened(kind) as harness:
        for key, (value, _) in zip(keys, rows, strict=True):
            harness.put_geo(key, last_seen=harness.storable(value))
        seen = {key: times.read(row["last_seen"]) for key, row in harness.geo().items()}
        census = await harness.store.count_stale(NOW, keep=kept.__contains__, max_rows=max_rows)
        deleted = await total(harness.store.delete_stale(NOW, keep=kept.__contains__, max_rows=max_rows))
        assert set(harness.geo()) == set(keys) - set(deleted.keys)

    # Which of the rows seen at the same time go is the store's choice, so ranks are compared, not keys.
    ranks = sorted((key in kept, at) for key, at in seen.items() if at is not None)
    stale = [rank for rank in ranks if rank < (False, NOW * SECOND)]
    excess = max(0, len(keys) - len(stale) - max_rows) if max_rows else 0
    expected = ranks[: len(stale) + excess]
    assert sorted((key in kept, at) for key, at in seen.items() if key in deleted.keys) == expected
    unreadable = sum(at is None for at in seen.values())
    assert (census.matching, census.unreadable, deleted.unreadable) == (len(expected), unreadable, unreadable)


@each_store
@examples_of_many
@given(seen=st.lists(values, min_size=1, max_size=12))
async def test_a_row_is_handed_out_with_the_time_that_it_holds(kind: str, seen: list[object]) -> None:
    keys = [f"8.8.8.{i}" for i in range(len(seen))]
    async with opened(kind) as harness:
        for key, value in zip(keys, seen, strict=True):
            harness.put_geo(key, last_seen=harness.storable(value))
        expected = {key: times.whole_seconds(row["last_seen"]) for key, row in harness.geo().items()}
        assert {key: row.last_seen for key, row in (await harness.store.find(keys)).items()} == expected


placeholders = st.sampled_from(("", "XX", "ZZ", "T1", "A1", "AP", "EU", "-", "--", "Unknown", "N/A", " ", b"--"))
places_stored = st.one_of(
    anything, placeholders, st.text("DEdeXx \0", max_size=3), st.sampled_from(("DE", "de", b"De", " FR", "DEU"))
)


@each_store
@examples_of_many
@given(stored=st.lists(st.tuples(*[places_stored] * 4), min_size=1, max_size=6))
async def test_a_row_is_read_as_its_columns_are_and_is_unresolved_just_where_that_says_no_country(
    kind: str, stored: list[tuple[object, ...]]
) -> None:
    keys = [f"8.8.8.{i}" for i in range(len(stored))]
    async with opened(kind) as harness:
        for key, columns in zip(keys, stored, strict=True):
            harness.put_geo(key, **dict(zip(Geo._fields, map(harness.storable, columns), strict=True)))
        read = {key: row_values.read(*(row[name] for name in Geo._fields)) for key, row in harness.geo().items()}
        assert {key: row.geo for key, row in (await harness.store.find(keys)).items()} == read
        unresolved = {row.key: row.geo for row in await read_all(harness.store.unresolved())}
        assert unresolved == {key: geo for key, geo in read.items() if geo.country_code is None}
        long = {key for key, row in harness.geo().items() if _is_long(row["country_name"])}
        named = Counter(
            geo[:2] for key, geo in read.items() if geo.country_code and geo.country_name and key not in long
        )
        assert await harness.store.names_by_code() == named


def _is_long(stored: object) -> bool:
    """Say whether this is too long for a name: a number of more than 200 digits, of all that is drawn here."""
    return isinstance(stored, float) and stored.is_integer() and len(str(int(stored))) > 200


CACHED = "2026-11-01 00:00:00.123456"  # by the web app
ADDRESSES = ("8.8.8.8", "2a00::ab:0:0:1")
keys_of_both = st.sampled_from([key for ip in ADDRESSES for key in spellings(ip)[:3]])
maybe = st.none() | st.sampled_from(("x", "y"))
numbers = st.none() | st.sampled_from(("AS64500", "AS64501"))
countries = st.none() | st.sampled_from(("DE", "FR"))
geos = st.builds(Geo, countries, maybe, numbers, maybe)
last_seen = st.one_of(st.none(), times_near_now().map(str), st.just("yesterday"))


@dataclass(frozen=True)
class Put:
    """The web app writes a whole row."""

    key: str
    geo: Geo
    seen: object

    def on(self, harness: Harness) -> None:
        harness.put_geo(self.key, **self.geo._asdict(), cached_at=CACHED, last_seen=self.seen)

    def in_model(self, table: dict[object, RawRow], as_stored: RawRow) -> None:
        seen = as_stored["last_seen"]  # a column of type DATETIME makes a number of digits
        table[self.key] = {**self.geo._asdict(), "cached_at": CACHED, "last_seen": seen}


@dataclass(frozen=True)
class Resolve:
    """The web app changes the country of a row that is there."""

    key: str
    country: str | None

    def on(self, harness: Harness) -> None:
        harness.set_geo(self.key, country_code=self.country)

    def in_model(self, table: dict[object, RawRow], _as_stored: RawRow) -> None:
        table.get(self.key, {}).update(country_code=self.country)


@dataclass(frozen=True)
class Drop:
    """The web app deletes a row."""

    key: str

    def on(self, harness: Harness) -> None:
        harness.drop_geo(self.key)

    def in_model(self, table: dict[object, RawRow], _as_stored: RawRow) -> None:
        table.pop(self.key, None)


@dataclass(frozen=True)
class Write:
    """The daemon writes entries: to the end, only the first slice, or against a locked database."""

    entries: Sequence[DirtyEntry]
    manner: str


web_app = st.one_of(
    st.builds(Put, keys_of_both, geos, last_seen),
    st.builds(Resolve, keys_of_both, countries),
    st.builds(Drop, keys_of_both),
)
entries_of_one = st.builds(
    DirtyEntry, st.just(""), geos, st.integers(NOW - 2, NOW + 2), st.just(NOW), replaces=st.one_of(st.none(), geos)
)
writes = st.builds(
    lambda ips, entries, manner: Write([replace(e, ip=ip) for ip, e in zip(ips, entries, strict=False)], manner),
    st.lists(st.sampled_from((*ADDRESSES, "1.1.1.1", "9.9.9.9")), min_size=1, unique=True),
    st.lists(entries_of_one, min_size=4, max_size=4),
    st.sampled_from(("whole", "whole", "first slice", "locked")),
)


def forms_of(table: dict[object, RawRow]) -> TimeForms:
    """Return the forms of the newest times in the model. The columns are none that ask for a number."""
    return TimeForms(*(choose("", newest(row[name] for row in table.values())) for name in TimeForms._fields))


def apply(entry: DirtyEntry, table: dict[object, RawRow], forms: TimeForms) -> None:
    """Do to the model what the port says of one entry."""
    cached_at, last_seen = forms.cached_at.write(entry.resolved_at), forms.last_seen.write(entry.last_seen)
    keys = [key for key in table if read_address(key)[1] == entry.ip]
    if not keys:
        table[entry.ip] = {**entry.geo._asdict(), "cached_at": cached_at, "last_seen": last_seen}
    for key in keys:
        row, old = table[key], dict(table[key])
        known, code = old["country_code"], entry.geo.country_code
        held = entry.replaces and entry.replaces._asdict()
        is_as_held = held and all(old[name] == held[name] for name in ("country_code", "asn", "org"))
        if code and is_as_held:
            row |= entry.geo._asdict() | {"cached_at": cached_at}
        elif not (code or known) and is_as_held:
            row |= {"asn": entry.geo.asn, "org": entry.geo.org}
        elif code and known is None:
            row |= {name: new or old[name] for name, new in entry.geo._asdict().items()}
            row["cached_at"] = cached_at
        elif code and code == known:
            row |= {name: old[name] or new for name, new in entry.geo._asdict().items()}
        elif not code and old["asn"] is None and old["org"] in (None, entry.geo.org if entry.geo.asn else None):
            row |= {"asn": entry.geo.asn, "org": entry.geo.org or old["org"]}
        elif not code and old["org"] is None and old["asn"] == entry.geo.asn:
            row["org"] = entry.geo.org
        if old["last_seen"] is None:
            row["last_seen"] = last_seen
        else:
            seen = times.read(old["last_seen"])
            moves = seen is not None and entry.last_seen * SECOND > seen
            row["last_seen"] = last_seen if moves else old["last_seen"]


async def carry_out(write: Write, harness: Harness) -> Sequence[DirtyEntry]:
    """Return what the store says is committed."""
    if write.manner == "locked":
        with harness.locked():
            try:
                written = await write_all(harness.store, write.entries)
            except StoreLockedError:
                return []
        assert harness.needs_no_lock_for_what_stays
        return written
    if write.manner == "first slice":
        async with aclosing(harness.store.write(write.entries)) as slices:
            return await anext(slices)
    return await write_all(harness.store, write.entries)


@each_store
@examples
@given(events=st.lists(web_app | writes, max_size=10))
async def test_whoever_writes_when_the_newest_of_both_sides_is_left(
    kind: str, events: list[Put | Resolve | Drop | Write]
) -> None:
    table: dict[object, RawRow] = {}
    async with opened(kind) as harness:
        for event in events:
            if isinstance(event, Write):
                forms = forms_of(table)
                for entry in await carry_out(event, harness):
                    apply(entry, table, forms)
            else:
                event.on(harness)
                event.in_model(table, harness.geo().get(event.key, {}))
        assert harness.geo() == table
