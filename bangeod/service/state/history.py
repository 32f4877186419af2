"""The state that outlives a restart: successes of jobs, ip-api's pause, MMDBs taken up, names of countries."""

import asyncio
import errno
import math
import os
import threading
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from bangeod import fields
from bangeod.os_errors import reason
from bangeod.service.state.files import advice, locked, set_aside
from bangeod.trouble import Trouble

STATE_FILE = "state.toml"  # in the state directory

Place = tuple[str, ...]  # the place of a value in the document: the names of the tables, then the key
Value = float | str  # seconds since the epoch, or a name

PAUSE: Place = ("ip_api", "paused_until")
MMDB = "mmdb"  # the table that has a table for each MMDB
NAMES = "country_names"  # the table of the countries' names in the database, by code
LATEST = 253_402_214_400.0  # 9999-12-31; TOML knows no later year


class JobRecord(msgspec.Struct):
    """The record of a job, a table ``[jobs.ID]``."""

    last_success: datetime | None = None


class MmdbTakenUp(msgspec.Struct):
    """The record of an MMDB that was taken up, a table ``[mmdb."PATH"]``."""

    verified_build: datetime | None = None


class IpApiRecord(msgspec.Struct):
    """The record of ip-api's pause, the table ``[ip_api]``."""

    paused_until: datetime | None = None


class Document(msgspec.Struct):
    """The part of ``state.toml`` that is read here; other tables and keys are kept as they are."""

    jobs: dict[str, JobRecord] = {}
    mmdb: dict[str, MmdbTakenUp] = {}
    country_names: dict[str, str] = {}
    ip_api: IpApiRecord = msgspec.field(default_factory=IpApiRecord)


class History:
    """``state.toml``, read once and then held in memory; times are seconds since the epoch.

    A bad file, or a directory that can't be written, is logged, and memory is used alone; only ``save_pause`` raises.
    Other processes may write the file too; a save changes only what was changed here. Reads and changes may come from
    any thread and don't wait for the disk. A change that may wait (``saving``) is written along with the next one that
    may not, or by ``save_all``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[Place, Value] = {}
        self._unsaved: dict[Place, Value | None] = {}  # None: to be removed
        self._waiting: set[Place] = set()  # those unsaved that may wait
        self._saved: dict[Place, Value | None] = {}  # what this process has written
        self._memory = threading.Lock()  # protects the four above; never held during I/O
        self._saving = threading.Lock()  # one save at a time
        self._unwritable = Trouble("state_unwritable", "state_recovered", repeats=False)
        self._unreadable = Trouble("state_unreadable")  # the file could not be set aside either

    def load(self, *, look_only: bool = False) -> None:
        """Read the file. A bad one is logged, kept aside as ``state.toml.bad``, and started anew.

        With ``look_only`` a bad file stays where it is.
        """
        values = _values_of(self._document(look_only=look_only))
        with self._memory:
            self._values = values

    @property
    def is_empty(self) -> bool:
        """Whether no earlier run is known; names of countries don't count, since lookups by hand write them as well."""
        return not any(place[0] != NAMES for place in list(self._values))

    def last_success(self, job_id: str) -> float | None:
        """Return when the job last succeeded, None if that is not known."""
        return self._time(_place_of(job_id))

    def saved_success(self, job_id: str) -> float | None:
        """Return the success of the job that this process has saved last, None if it has saved none."""
        with self._memory:
            at = self._saved.get(_place_of(job_id))
        return None if at is None else float(at)

    def succeeded(self, job_id: str, at: float, *, may_wait: bool = False) -> None:
        """Record a success in memory; ``save`` writes it to the disk, with ``may_wait`` only beside other changes."""
        self._set(_place_of(job_id), math.floor(at), may_wait=may_wait)

    def verified(self) -> dict[Path, float]:
        """Return the MMDBs that the cache was last verified against, with their build times."""
        with self._memory:
            values = dict(self._values)
        return {Path(place[1]): float(at) for place, at in values.items() if place[0] == MMDB}

    def has_verified(self, builds: Mapping[Path, float]) -> None:
        """Record in memory that the cache has been verified against these files; ``save`` writes it to the disk."""
        for path in self.verified().keys() - builds.keys():
            self._set(_place_of_file(path), None)
        for path, build in builds.items():
            self._set(_place_of_file(path), math.floor(build))

    def load_pause(self) -> float | None:
        """Return until when ip-api must not be asked, None if it may be."""
        return self._time(PAUSE)

    async def save_pause(self, until: float | None) -> None:
        """Record until when ip-api must not be asked; on the disk when this returns. Raises OSError if that fails."""
        self._set(PAUSE, None if until is None else math.ceil(until))  # whole seconds, and never too short
        await self.save()
        if PAUSE in self._unsaved and self._unwritable.is_said:  # and not just changed again meanwhile
            raise OSError(errno.EIO, "the state file can't be written")

    def load_names(self) -> Mapping[str, str]:
        """Return the countries' names in the database, by code."""
        with self._memory:
            values = dict(self._values)
        return {place[1]: str(name) for place, name in values.items() if place[0] == NAMES}

    async def keep_names(self, names: Mapping[str, str]) -> Mapping[str, str]:
        """Record the countries' names in the database; on the disk when this returns, if possible.

        Returns the names in force: a name that another process has written meanwhile stays.
        """
        for code, name in names.items():
            self._set(_place_of_name(code), name)
        await self.save()
        known = self.load_names()
        return {code: known.get(code, name) for code, name in names.items()}

    async def save(self) -> None:
        """Write the changes without blocking the event loop, if there is one that may not wait.

        A cancelled save is completed all the same.
        """
        if self._is_due:  # else no thread need be asked
            await asyncio.to_thread(self.save_now)

    async def save_all(self) -> None:
        """Write the changes as ``save`` does, also those that may wait: the process is about to end."""
        with self._memory:
            self._waiting.clear()
        await self.save()

    @property
    def _is_due(self) -> bool:
        with self._memory:
            return not self._unsaved.keys() <= self._waiting

    def save_now(self) -> None:
        """Write the changes in this thread, if one may not wait: some tens of milliseconds, for the fsyncs."""
        with self._saving:
            if not self._is_due:  # an earlier save has written them
                return
            with self._memory:
                changes = dict(self._unsaved)
            try:
                self._write(changes)
            except OSError as error:
                self._unwritable.tell(
                    path=str(self._path),
                    problem=reason(error),
                    advice=f"{advice(error)}; until then a restart forgets when jobs last ran",
                )
                return
            self._unwritable.is_over(path=str(self._path))
            with self._memory:
                self._unsaved = dict(self._unsaved.items() - changes.items())
                self._waiting &= self._unsaved.keys()
                self._saved |= changes

    def _time(self, place: Place) -> float | None:
        at = self._values.get(place)
        return None if at is None else float(at)

    def _set(self, place: Place, value: Value | None, *, may_wait: bool = False) -> None:
        if isinstance(value, float | int):
            value = within(value)
        with self._memory:
            if not may_wait:
                self._waiting.discard(place)
            elif place not in self._unsaved:  # else one that may not wait has perhaps not been written yet
                self._waiting.add(place)
            self._unsaved[place] = value
            if value is None:
                self._values.pop(place, None)
            else:
                self._values[place] = value

    def _write(self, changes: dict[Place, Value | None]) -> None:
        with locked(self._path.parent) as directory:
            document = self._document()
            if not document:  # gone or set aside: write everything that is known
                with self._memory:
                    changes = {**self._values, **changes}
            decided = _names_of(document)
            for place, value in changes.items():
                _put(document, place, decided.get(place, value))
            with self._memory:
                self._values |= decided
            directory.replace(self._path.name, tomli_w.dumps(document).encode())

    def _document(self, *, look_only: bool = False) -> dict[str, Any]:
        try:
            document = _parse(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            found = set_aside(self._path, error, look_only=look_only)
        else:
            self._unreadable.is_over()
            return document
        self._unreadable.tell(found.problem, **found._asdict())
        if not os.path.lexists(self._path):
            self._unreadable.is_over()
        return {}


def _place_of(job_id: str) -> Place:
    return ("jobs", job_id, "last_success")


def _place_of_name(code: str) -> Place:
    return (NAMES, code)


def _place_of_file(path: Path) -> Place:
    return (MMDB, str(path), "verified_build")


def _parse(content: bytes) -> dict[str, Any]:
    """Read the document. Raises ValueError, and RecursionError if tables are nested absurdly deep."""
    document = tomllib.loads(content.decode())
    _values_of(document)
    tomli_w.dumps(document)  # a document that can't be written again can't be kept
    return document


def _values_of(document: dict[str, Any]) -> dict[Place, Value]:
    """Return the known values of a document. Raises ValueError if one is not valid."""
    known = msgspec.convert(document, Document, builtin_types=(datetime, date, time))
    odd = [name for name in known.country_names.values() if name != fields.name(name)]
    if odd:
        raise ValueError(f"{odd[0][:80]!r} is no name of a country")
    times = {_place_of(job_id): record.last_success for job_id, record in known.jobs.items()}
    times |= {_place_of_file(Path(path)): record.verified_build for path, record in known.mmdb.items()}
    times[PAUSE] = known.ip_api.paused_until
    return {place: epoch(at) for place, at in times.items() if at is not None} | _names_of(document)


def _names_of(document: dict[str, Any]) -> dict[Place, Value]:
    return {_place_of_name(code): name for code, name in document.get(NAMES, {}).items()}


def epoch(at: datetime) -> float:
    """Return a time of the file in seconds since the epoch; a time without a zone is in UTC."""
    return within((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def within(epoch: float) -> float:
    """Return the nearest time that the file can hold."""
    return min(max(epoch, 0.0), LATEST)


def _put(document: dict[str, Any], place: Place, value: Value | None) -> None:
    *tables, key = place
    for name in tables:
        document = document.setdefault(name, {})
    if value is None:
        document.pop(key, None)
    else:
        document[key] = value if isinstance(value, str) else datetime.fromtimestamp(value, UTC)
