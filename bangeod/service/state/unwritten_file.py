"""Reading and writing the unwritten file: entries that could not be written at the stop. Blocks for the disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import structlog

from bangeod.model import DirtyEntry, Geo
from bangeod.os_errors import reason
from bangeod.service.state.files import advice, is_there, locked, set_aside
from bangeod.trouble import Trouble

LOST = "what could be written nowhere is resolved anew when it is looked up again"

log = structlog.get_logger(__name__)

Seconds = Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800)]  # since the epoch, until the year 10000


class KeptPlace(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A place in the file: with named fields, so that a later version with more fields can read it too."""

    country_code: str | None = None
    country_name: str | None = None
    asn: str | None = None
    org: str | None = None

    def geo(self) -> Geo:
        return Geo(self.country_code, self.country_name, self.asn, self.org)


class KeptEntry(KeptPlace, omit_defaults=True, kw_only=True):
    """An entry in the file."""

    ip: str
    last_seen: Seconds
    resolved_at: Seconds
    replaces: KeptPlace | None = None


class Unwritten(msgspec.Struct):
    """The content of the file."""

    entries: list[KeptEntry]


def save(path: Path, entries: Sequence[DirtyEntry]) -> bool:
    """Replace the whole file; with no entries, remove it. False if that fails: it has been logged."""
    if not entries:
        return discard(path)
    content = msgspec.json.encode(Unwritten([_kept(entry) for entry in entries]))
    try:
        with locked(path.parent) as directory:
            directory.replace(path.name, content)
    except OSError as error:
        problem, what_to_do = reason(error), advice(error)
    else:
        return True
    log.error(
        "leftover_unwritable", path=str(path), problem=problem, advice=f"{what_to_do}; {LOST}", entries=len(entries)
    )
    return False


def load(path: Path, *, look_only: bool = False) -> list[DirtyEntry]:
    """Read the file; empty if there is none. A bad one is logged and kept aside as ``<path>.bad``.

    With ``look_only`` a bad file stays where it is.
    """
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Unwritten)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as error:
        found = set_aside(path, error, look_only=look_only)
        log.warning("leftover_unreadable", **found._asdict())
        return []
    return [_entry(entry) for entry in kept.entries]


def stays() -> Trouble:
    """Return the trouble to pass to each call of ``discard``, so that the same failure is logged once."""
    return Trouble("leftover_not_removed", "leftover_removed")


def discard(path: Path, trouble: Trouble | None = None) -> bool:
    """Remove the file once its entries are in the database. False if that fails: it has been logged."""
    trouble = trouble or stays()
    try:
        if is_there(path):
            with locked(path.parent) as directory:
                directory.remove(path.name)
    except OSError as error:
        trouble.tell(reason(error), path=str(path), problem=reason(error))
        return False
    trouble.is_over(path=str(path))
    return True


def _kept(entry: DirtyEntry) -> KeptEntry:
    return KeptEntry(
        ip=entry.ip,
        last_seen=entry.last_seen,
        resolved_at=entry.resolved_at,
        replaces=None if entry.replaces is None else KeptPlace(**_texts(entry.replaces)._asdict()),
        **_texts(entry.geo)._asdict(),
    )


def _texts(place: Geo) -> Geo:
    """Replace values that are not text by None: a row may hold anything, and the whole file would be refused."""
    return Geo(*(value if isinstance(value, str) else None for value in place))


def _entry(kept: KeptEntry) -> DirtyEntry:
    return DirtyEntry(
        kept.ip, kept.geo(), kept.last_seen, kept.resolved_at, None if kept.replaces is None else kept.replaces.geo()
    )
