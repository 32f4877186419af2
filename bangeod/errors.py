"""Every error that bangeod raises on purpose: one root; each class knows its exit status and its fields."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple


class BangeodError(Exception):
    """The root. ``str()`` of one says what is wrong, where, and what to do."""

    exit_status: ClassVar[int] = 1

    def fields(self) -> dict[str, object]:
        """Return what a log line carries beside the message."""
        return {}


class Finding(NamedTuple):
    """One thing wrong with the config: the key (dotted, "" for the whole file) and what was expected."""

    key: str
    problem: str


class ConfigError(BangeodError):
    """The config can't be used; ``findings`` holds everything that is wrong with it."""

    exit_status = 78  # EX_CONFIG of sysexits(3); the unit does not restart on it

    def __init__(self, file: str, findings: Sequence[Finding]) -> None:
        self.file = file
        self.findings = tuple(findings)
        super().__init__(
            "\n".join(f"{file}: {f.key}: {f.problem}" if f.key else f"{file}: {f.problem}" for f in findings)
        )

    def fields(self) -> dict[str, object]:
        """Return the file and every finding as one line of text."""
        return {"file": self.file, "problems": [": ".join(filter(None, f)) for f in self.findings]}


class AlreadyServedError(BangeodError):
    """Another bangeod holds the lock of this database."""

    exit_status = 75  # EX_TEMPFAIL of sysexits(3)

    def __init__(self, database: str) -> None:
        self.database = database
        super().__init__(
            f"another bangeod already serves {database}: stop it first (systemctl stop bangeod), "
            "or give this one a database of its own"
        )

    def fields(self) -> dict[str, object]:
        """Return the database."""
        return {"database": self.database}


class NoDaemonError(BangeodError):
    """A command needs the running daemon, and none answers."""

    exit_status = 69  # EX_UNAVAILABLE of sysexits(3)


class UsageError(BangeodError):
    """The command line asks for something that is not there."""

    exit_status = 2


class StoreError(BangeodError):
    """The database can't do what was asked of it now. Nothing of the transaction was kept."""

    def __init__(self, path: str, problem: str, advice: str) -> None:
        self.path = path
        self.problem = problem
        self.advice = advice
        super().__init__(f"{path}: {problem}; {advice}")

    def fields(self) -> dict[str, object]:
        """Return the path of the database."""
        return {"database": self.path}


class StoreMissingError(StoreError):
    """There is no database file at the path."""


class StoreLockedError(StoreError):
    """Another process held the write lock for longer than the busy timeout."""


class StoreReadOnlyError(StoreError):
    """The database, its directory or its file system can't be written."""


class StoreFullError(StoreError):
    """No room is left on the device."""


class StoreDamagedError(StoreError):
    """The file is no SQLite database, or a malformed one."""


class StoreRefusedError(StoreError):
    """A constraint or a trigger of the database's refused a row; others may pass."""


class StoreReplacedError(StoreError):
    """The file at the path is not the one that was opened; the next run works on the new one."""


class SchemaError(StoreError):
    """A table or a column that a job needs is missing or of a kind that can't be worked with."""


class SourceError(BangeodError):
    """A source of countries can't be used now."""

    def __init__(self, source: str, problem: str) -> None:
        self.source = source
        self.problem = problem
        super().__init__(f"{source}: {problem}")

    def fields(self) -> dict[str, object]:
        """Return the name of the source: a path or ``ip-api``."""
        return {"source": self.source}


class SourcePausedError(SourceError):
    """The source must not be asked before ``seconds`` have passed."""

    def __init__(self, source: str, problem: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(source, f"{problem}; not asked again for {seconds:.0f} s")
