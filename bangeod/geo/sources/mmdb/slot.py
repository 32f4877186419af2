"""One listed MMDB over time: which version of it is in use, which was refused, and what was logged about it."""

from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from bangeod.clock import to_text
from bangeod.errors import SourceError
from bangeod.geo.sources.mmdb.coverage import Coverage
from bangeod.geo.sources.mmdb.file import MmdbSource, ProbeError, UnusableFileError
from bangeod.geo.sources.mmdb.snapshot import Signature
from bangeod.trouble import Trouble

log = structlog.get_logger(__name__)

# Refreshes until a file that could not be checked is tried again: each try may take minutes.
_REFRESHES_AFTER_PROBE_ERROR: Final = 10


class FileStatus(StrEnum):
    """The state of one listed file."""

    LOADED = "loaded"  # the file at the path is in use
    KEPT = "kept"  # an older file is in use; the one at the path can't be used
    MISSING = "missing"  # nothing is at the path, nothing in use
    REFUSED = "refused"  # the file at the path can't be used, nothing in use
    PENDING = "pending"  # not looked at yet


class FileState(NamedTuple):
    """What ``check`` and the status show of one file."""

    path: Path
    status: FileStatus
    database_type: str | None = None
    build_epoch: int | None = None  # seconds since the epoch
    records: int | None = None  # distinct ones
    lookup_errors: int = 0
    problem: str | None = None  # with the file at the path now
    coverage: Coverage | None = None  # of the file in use


class TakenUp(NamedTuple):
    """A file that was put in use, in place of an older one or for the first time."""

    path: Path
    database_type: str
    build_epoch: int


class Slot:
    """One path: the source in use, and what is known of the file at the path now. Policy only: opens no file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source: MmdbSource | None = None
        self.expected = True  # whether to warn if the file has never been there
        self._problem: str | None = None
        self._missing = False
        self._unusable = Trouble("mmdb_refused", "mmdb_recovered", repeats=False)
        self._refused: Signature | None = None  # not to be opened again, or not before some refreshes have passed
        self._refreshes_left = 0

    def wants(self, found: Signature) -> bool:
        """Say whether the file with this signature is to be opened now."""
        if self.source and found == self.source.signature:
            self._unusable.is_over(path=str(self.path))
            self._clear()
            return False
        if found != self._refused:
            return True
        self._refreshes_left -= 1
        return self._refreshes_left == 0

    def take(self, source: MmdbSource) -> TakenUp:
        """Put a newly opened file in use, and close the one that it replaces."""
        if self.source:
            self.source.close()
        self.source = source
        self._clear()
        found = source.findings
        log.info(
            "mmdb_loaded",
            path=str(self.path),
            database_type=found.database_type,
            build_time=to_text(found.build_epoch),
            records=found.records,
            good_for=str(found.coverage),
        )
        return TakenUp(self.path, found.database_type, found.build_epoch)

    def refuse(self, error: SourceError, found: Signature | None) -> None:
        """Note that the file with this signature can't be used, and when it may be tried again."""
        self._problem = error.problem
        self._missing = False
        self._refused = found if isinstance(error, UnusableFileError | ProbeError) else None
        self._refreshes_left = _REFRESHES_AFTER_PROBE_ERROR if isinstance(error, ProbeError) else 0
        self._tell("mmdb_refused", found, error.problem)

    def miss(self) -> None:
        self._problem = "there is no such file; it is taken up when it comes"
        self._missing = True
        self._refused = None
        if self.expected or self.source:
            self._tell("mmdb_missing", None, self._problem)

    def _tell(self, event: str, found: Signature | None, problem: str) -> None:
        """Log a problem once for each state of the file."""
        kept = self.source is not None
        self._unusable.tell((found, problem), event=event, path=str(self.path), problem=problem, old_one_in_use=kept)

    def _clear(self) -> None:
        self._unusable.forget()
        self._problem = self._refused = None
        self._missing = False

    def state(self) -> FileState:
        if self.source is None:
            status = FileStatus.REFUSED if self._problem else FileStatus.PENDING
            return FileState(self.path, FileStatus.MISSING if self._missing else status, problem=self._problem)
        found = self.source.findings
        return FileState(
            self.path,
            FileStatus.KEPT if self._problem else FileStatus.LOADED,
            found.database_type,
            found.build_epoch,
            found.records,
            self.source.lookup_errors,
            self._problem,
            found.coverage,
        )
