"""A store without a database: the two tables in memory, with the semantics of the port and faults on demand.

The tests of cache and jobs use it. The tables are public: a test reads them, and changes them in the web app's place.
Pages and slices are small, so that a handful of rows already takes several of them.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import TypeVar

from bangeod.addresses import read_address
from bangeod.errors import StoreError, StoreMissingError
from bangeod.model import DirtyEntry, Geo, Row
from bangeod.store import row_values, time_forms, times
from bangeod.store.port import Census, Deleted, Page, Refusal, Sizes, endless
from bangeod.store.time_forms import TimeForms

GEO_COLUMNS = ("country_code", "country_name", "asn", "org", "cached_at", "last_seen")
SESSION_COLUMNS = ("token", "created_at", "expires_at")

K = TypeVar("K")
T = TypeVar("T")
RawRow = dict[str, object]  # column to value, of any type that SQLite can store; a missing column is NULL


class MemoryStore:
    """Two tables, a gate and a list of faults.

    ``geo_cache`` maps the key of a row to its other columns; ``sessions`` maps the id. Every page, slice and
    statement is one step. A step waits while ``gate`` is cleared, raises StoreMissingError while ``lost`` is
    true, and raises the fault that ``fail_next`` planned for it; a step that raises has changed nothing. A row whose
    key is not text is returned and deleted like any other, under ``str`` of the key. A row whose key is in
    ``held_back`` is not deleted; ``held_back`` maps the key to the reason. With ``newest_first`` the rows are walked
    through by their times, as if there were an index on these.
    """

    def __init__(self, *, page_size: int = 3, slice_size: int = 2) -> None:
        self.geo_cache: dict[object, RawRow] = {}
        self.sessions: dict[int, RawRow] = {}
        self.held_back: dict[object, str] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.lost = False
        self.newest_first = False
        self.prepared = False
        self._page_size = page_size
        self._slice_size = slice_size
        self._steps = 0
        self._faults: dict[int, StoreError] = {}  # by the number of the step
        self._ids = count(1)

    # For tests: changes by the web app, and faults.

    def put_geo(self, key: object, **columns: object) -> None:
        """Insert a row or replace the whole row; a column that is not given is NULL."""
        self.geo_cache[key] = {**dict.fromkeys(GEO_COLUMNS), **columns}

    def put_session(self, expires_at: object) -> int:
        """Insert a session; return its id."""
        number = next(self._ids)
        row: RawRow = {**dict.fromkeys(SESSION_COLUMNS), "token": f"token-{number}", "expires_at": expires_at}
        self.sessions[number] = row
        return number

    def fail_next(self, error: StoreError, *, after: int = 0) -> None:
        """Let ``after`` steps pass, and the next one without a planned fault raise ``error``."""
        number = self._steps + after
        while number in self._faults:
            number += 1
        self._faults[number] = error

    async def _step(self) -> None:
        await self.gate.wait()
        await asyncio.sleep(0)  # other tasks get their turn here, as they do while SQLite works
        number, self._steps = self._steps, self._steps + 1
        if number in self._faults:
            raise self._faults.pop(number)
        if self.lost:
            raise StoreMissingError("memory", "there is no database", "set lost to False")

    # The port.

    async def prepare(self) -> bool:
        """Mark the store as in use; return whether it was not. Clear ``prepared`` to simulate a swapped file."""
        await self._step()
        opened, self.prepared = not self.prepared, True
        return opened

    async def close(self) -> None:
        self.prepared = False

    async def rows(self) -> AsyncGenerator[Page, None]:
        keys = list(self.geo_cache)
        if self.newest_first:
            keys.sort(key=self._time_of, reverse=True)
        read = 0
        for some in _parts(keys, self._page_size):
            await self._step()
            read += len(some)
            if rows := [_row(key, self.geo_cache[key]) for key in some if key in self.geo_cache]:
                yield Page(rows, share=read / len(keys), newest_first=self.newest_first)

    def _time_of(self, key: object) -> int:
        return times.read(self.geo_cache[key].get("last_seen")) or 0

    def unresolved(self) -> AsyncGenerator[Sequence[Row], None]:
        return self._pages(lambda row: row_values.read(*_place(row)).country_code is None)

    async def find(self, ips: Sequence[str]) -> Mapping[str, Row]:
        await self._step()
        keys = self._keys_by_address()
        found = {ip: [_row(key, self.geo_cache[key]) for key in keys[ip]] for ip in ips if ip in keys}
        return {ip: max(rows, key=lambda row: row.geo.country_code is not None) for ip, rows in found.items()}

    async def names_by_code(self, *, but: Collection[str] = ()) -> Mapping[tuple[str, str], int]:
        await self._step()
        rows = self.geo_cache.values()
        countries = (row_values.country(row.get("country_code"), row.get("country_name")) for row in rows)
        return Counter(country for country in countries if country is not None and country[0] not in but)

    async def write(
        self,
        entries: Sequence[DirtyEntry],
        *,
        time_left: Callable[[], float] = endless,  # noqa: ARG002 - nobody else is here to be given way to
    ) -> AsyncGenerator[Sequence[DirtyEntry], None]:
        forms = self._forms()
        for part in _parts(entries, self._slice_size):
            await self._step()
            for entry in part:
                self._write_one(entry, forms)
            yield part

    async def delete_stale(
        self,
        before: int,
        *,
        keep: Callable[[str], bool],
        max_rows: int = 0,
        time_left: Callable[[], float] = endless,  # noqa: ARG002 - as above
    ) -> AsyncGenerator[Deleted, None]:
        for keys in _parts(list(self.geo_cache), self._page_size):
            await self._step()
            page = {key: self.geo_cache[key] for key in keys if key in self.geo_cache}
            deleted = self._delete(self.geo_cache, _stale(page, before, keep), str)
            yield _with_unreadable(deleted, (row.get("last_seen") for row in page.values()))
        tried = set(_stale(self.geo_cache, before, keep))
        while max_rows and (above := self._above(max_rows, keep, tried=tried)[: self._slice_size]):
            await self._step()
            tried.update(above)
            yield self._delete(self.geo_cache, [key for key in above if key in self.geo_cache], str)

    async def count_stale(self, before: int, *, keep: Callable[[str], bool], max_rows: int = 0) -> Census:
        await self._step()
        stale = set(_stale(self.geo_cache, before, keep))
        above = self._above(max_rows, keep, gone=stale) if max_rows else []
        unreadable = _unreadable(row.get("last_seen") for row in self.geo_cache.values())
        return Census(len(stale) + len(above), *unreadable)

    async def delete_expired(
        self,
        now: int,
        *,
        time_left: Callable[[], float] = endless,  # noqa: ARG002 - as above
    ) -> AsyncGenerator[Deleted, None]:
        for numbers in _parts(list(self.sessions), self._page_size):
            await self._step()
            page = {number: self.sessions[number] for number in numbers if number in self.sessions}
            expired = [number for number, row in page.items() if _has_expired(row, now)]
            deleted = self._delete(self.sessions, expired, lambda _number: "")
            yield _with_unreadable(deleted, (row.get("expires_at") for row in page.values()))

    async def count_expired(self, now: int) -> Census:
        await self._step()
        expired = sum(_has_expired(row, now) for row in self.sessions.values())
        return Census(expired, *_unreadable(row.get("expires_at") for row in self.sessions.values()))

    async def tidy(
        self,
        *,
        time_left: Callable[[], float] = endless,  # noqa: ARG002 - as above
    ) -> Mapping[str, int]:
        """Do nothing: memory has no statistics and no free pages."""
        await self._step()
        return {"free_pages": 0, "page_size": 0, "pages_given_back": 0}

    async def shorten_wal(self) -> None:
        """Do nothing: memory has no log."""

    async def empty_wal(self) -> float:
        return 60.0  # there is none

    async def sizes(self) -> Sizes:
        return Sizes()

    async def free_bytes(self) -> int:
        await self._step()
        return 0

    async def _pages(self, wanted: Callable[[RawRow], bool]) -> AsyncGenerator[Sequence[Row], None]:
        for keys in _parts(list(self.geo_cache), self._page_size):
            await self._step()
            rows = {key: self.geo_cache[key] for key in keys if key in self.geo_cache}
            if page := [_row(key, row) for key, row in rows.items() if wanted(row)]:
                yield page

    def _keys_by_address(self) -> dict[str, list[str]]:
        keys: dict[str, list[str]] = {}
        for key in self.geo_cache:
            if isinstance(key, str):
                keys.setdefault(_canonical(key), []).append(key)
        return keys

    def _forms(self) -> TimeForms:
        """Return the forms of the newest times; the columns have no declared type."""
        columns = (self._distinct(name) for name in TimeForms._fields)
        return TimeForms(*(time_forms.choose("", time_forms.newest(values)) for values in columns))

    def _distinct(self, column: str) -> Collection[object]:
        """Return the distinct values of a column, distinguished by type too: many rows have the same time."""
        values = (row.get(column) for row in self.geo_cache.values())
        return {(type(value), value): value for value in values}.values()

    def _write_one(self, entry: DirtyEntry, forms: TimeForms) -> None:
        keys = self._keys_by_address().get(entry.ip)
        if keys is None:
            self.put_geo(entry.ip, **entry.geo._asdict(), **_stamps(entry, forms))
        else:
            for key in keys:
                _update(self.geo_cache[key], entry, _stamps(entry, forms))

    def _delete(self, table: dict[K, RawRow], keys: Sequence[K], label: Callable[[K], str]) -> Deleted:
        """Delete the rows that are not held back."""
        going = [key for key in keys if key not in self.held_back]
        refusals = [Refusal(label(key) or f"id = {key}", self.held_back[key]) for key in keys if key in self.held_back]
        for key in going:
            del table[key]
        first = refusals[0] if refusals else None
        return Deleted([label(key) for key in going], refused=len(refusals), refusal=first)

    def _above(
        self,
        max_rows: int,
        keep: Callable[[str], bool],
        gone: Collection[object] = (),
        tried: Collection[object] = (),
    ) -> list[object]:
        """Return the rows that must go so that ``max_rows`` are left once ``gone`` are deleted; kept rows go last.

        Rows in ``tried`` are not chosen again.
        """
        excess = len(self.geo_cache) - len(gone) - max_rows
        seen = {key: times.read(row.get("last_seen")) for key, row in self.geo_cache.items()}
        passed_over = {*gone, *tried}
        ages = [(keep(str(key)), at, key) for key, at in seen.items() if at is not None and key not in passed_over]
        return [key for _, _, key in sorted(ages, key=lambda age: age[:2])[: max(0, excess)]]


def _update(row: RawRow, entry: DirtyEntry, stamps: Mapping[str, object]) -> None:
    """Update a row from an entry, without removing what the row knows better."""
    change = row_values.change(_place(row), entry)
    row.update(change.columns)
    if change.resolved:
        row["cached_at"] = stamps["cached_at"]
    seen = times.read(row.get("last_seen"))
    # What can't be read stays: it may be newer, and the web app may understand it.
    if row.get("last_seen") is None or (seen is not None and seen < entry.last_seen * times.MICROSECONDS):
        row["last_seen"] = stamps["last_seen"]


def _place(row: RawRow) -> list[object]:
    return [row.get(name) for name in Geo._fields]


def _stamps(entry: DirtyEntry, forms: TimeForms) -> dict[str, object]:
    """Return an entry's times in the form of the columns."""
    return {
        "cached_at": forms.cached_at.write(entry.resolved_at),
        "last_seen": forms.last_seen.write(entry.last_seen),
    }


def _row(key: object, row: RawRow) -> Row:
    return Row(str(key), row_values.read(*_place(row)), times.whole_seconds(row.get("last_seen")))


def _stale(rows: Mapping[object, RawRow], before: int, keep: Callable[[str], bool]) -> list[object]:
    """Return the keys of rows last seen before ``before``, in seconds, except those that ``keep`` holds."""
    seen = {key: times.read(row.get("last_seen")) for key, row in rows.items() if not keep(str(key))}
    return [key for key, at in seen.items() if at is not None and at < before * times.MICROSECONDS]


def _has_expired(row: RawRow, now: int) -> bool:
    expires = times.read(row.get("expires_at"))
    return expires is not None and expires <= now * times.MICROSECONDS


def _with_unreadable(deleted: Deleted, values: Iterable[object]) -> Deleted:
    unreadable, example = _unreadable(values)
    return deleted._replace(unreadable=unreadable, example=example)


def _unreadable(values: Iterable[object]) -> tuple[int, str | None]:
    """Return how many of the values are not times, and the first of them as text."""
    unreadable = [value for value in values if times.read(value) is None]
    return len(unreadable), repr(unreadable[0])[:80] if unreadable else None


@lru_cache(maxsize=100_000)
def _canonical(key: str) -> str:
    return read_address(key)[1]


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
