"""Every error that bangeod raises on purpose: one root; each class knows its exit status and its fields."""

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, NamedTuple


class BangeodError(Exception):
    """The root. ``str()`` of one says what is wrong, where, and what to do."""

    exit_status: ClassVar[int] = 1
    condition: ClassVar[str | None] = None  # two words that say it all on the status line, where two do
    of_database: ClassVar[bool] = False  # whether nothing at all can be read from the database, or written to it

    def fields(self) -> dict[str, object]:
        """Return what a log line carries beside the message."""
        return {}

    def log_fields(self) -> dict[str, Any]:
        """Return all that a log line carries which has no message: what is wrong, and what to do, too."""
        return self.fields()


class ConfigProblem(NamedTuple):
    """One thing wrong with the config: the key (dotted, "" for the whole file) and what was expected."""

    key: str
    problem: str


class ConfigError(BangeodError):
    """The config can't be used; ``findings`` holds everything that is wrong with it."""

    exit_status = 78  # EX_CONFIG of sysexits(3); the unit does not restart on it

    def __init__(self, file: str, findings: Sequence[ConfigProblem]) -> None:
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


class SilentDaemonError(NoDaemonError):
    """Somebody listens at the socket and does not answer in time."""


class RefusedError(BangeodError):
    """A daemon answers, and refuses what was asked of it: its socket may not be opened, or it answered an error.

    ``status`` is that of HTTP, 0 where it did not come to that.
    """

    def __init__(self, message: str, *, status: int = 0, code: str = "") -> None:
        self.status = status
        self.code = code
        super().__init__(message)


class JobRunningError(BangeodError):
    """A job was asked for that is running already."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"{job_id} is running now: wait until it has ended (bangeod status shows it)")

    def fields(self) -> dict[str, object]:
        """Return the job."""
        return {"job_id": self.job_id}


class StoppingError(BangeodError):
    """The daemon is about to end, and takes no more work."""

    def __init__(self) -> None:
        super().__init__("bangeod is stopping: ask again when it has started")


class PathError(BangeodError):
    """Something at a path can't be used: which, what is wrong with it, and what to do."""

    what = "path"  # the name that the path has in ``fields``

    def __init__(self, path: str, problem: str, advice: str) -> None:
        self.path = path
        self.problem = problem
        self.advice = advice
        super().__init__(f"{path}: {problem}; {advice}")

    def fields(self) -> dict[str, object]:
        """Return the path, under the name of what it is the path of."""
        return {self.what: self.path}

    def log_fields(self) -> dict[str, Any]:
        """Return problem, advice and path, in this order."""
        return {"problem": self.problem, "advice": self.advice, **self.fields()}


class SocketError(PathError):
    """The socket of the API can't be made."""

    what = "socket"


class UsageError(BangeodError):
    """The command line asks for something that is not there."""

    exit_status = 2


class OutputError(BangeodError):
    """The result of a command can't be written to standard output. Raised once: what comes after it is dropped."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"the result can't be written to standard output ({problem}) and is lost; the work for it is done"
        )


class StoreError(PathError):
    """The database can't do what was asked of it now. Nothing of the transaction was kept."""

    what = "database"
    of_database = True


class StoreMissingError(StoreError):
    """There is no database file at the path."""


class StoreLockedError(StoreError):
    """Another process held the write lock for longer than the busy timeout."""

    condition = "database locked"


class StoreReadOnlyError(StoreError):
    """The database, its directory or its file system can't be written."""


class StoreFullError(StoreError):
    """No room is left on the device."""

    condition = "disk full"


class StoreDamagedError(StoreError):
    """The file is no SQLite database, or a malformed one."""


class StoreRefusedError(StoreError):
    """A constraint or a trigger of the database's refused a row; others may pass.

    ``ips``: the addresses whose rows are refused, where these are known. All others have been written then.
    """

    of_database = False

    def __init__(self, path: str, problem: str, advice: str, *, ips: Collection[str] = ()) -> None:
        super().__init__(path, problem, advice)
        self.ips = frozenset(ips)


class StoreReplacedError(StoreError):
    """The file at the path is not the one that was opened; the next run works on the new one."""

    of_database = False


class StoreIncompleteError(StoreError):
    """It was read in part only: there was no time for the rest, or it changed meanwhile."""

    of_database = False


class SchemaError(StoreError):
    """A table or a column that a job needs is missing or of a kind that can't be worked with; others may do."""

    of_database = False


class SourceError(BangeodError):
    """A source of countries can't be used now."""

    def __init__(self, source: str, problem: str) -> None:
        self.source = source
        self.problem = problem
        super().__init__(f"{source}: {problem}")

    def fields(self) -> dict[str, object]:
        """Return the name of the source: a path or ``ip-api``."""
        return {"source": self.source}

    def log_fields(self) -> dict[str, Any]:
        """Return source and problem, in this order."""
        return {**self.fields(), "problem": self.problem}


class SourcePausedError(SourceError):
    """The source must not be asked before ``seconds`` have passed."""

    def __init__(self, source: str, problem: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(source, f"{problem}; not asked again for {seconds:.0f} s")
