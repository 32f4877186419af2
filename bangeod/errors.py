"""The errors that bangeod raises on purpose: one base class; each class defines its exit status and its log fields."""

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, NamedTuple


class BangeodError(Exception):
    """The base class. ``str()`` of an error says what is wrong, where, and what to do."""

    exit_status: ClassVar[int] = 1
    condition: ClassVar[str | None] = None  # two words for the status line, where two words are enough
    of_database: ClassVar[bool] = False  # whether nothing at all can be read from the database, or written to it

    def fields(self) -> dict[str, object]:
        """Return what a log line carries in addition to the message."""
        return {}

    def log_fields(self) -> dict[str, Any]:
        """Return the fields of a log line without a message: ``fields``, what is wrong, and what to do."""
        return self.fields()


class ConfigProblem(NamedTuple):
    """One problem in the config: the key (dotted, "" for the whole file) and what was expected."""

    key: str
    problem: str


class ConfigError(BangeodError):
    """The config can't be used; ``findings`` holds all its problems."""

    exit_status = 78  # EX_CONFIG of sysexits(3); the unit does not restart on it

    def __init__(self, file: str, findings: Sequence[ConfigProblem]) -> None:
        self.file = file
        self.findings = tuple(findings)
        super().__init__(
            "\n".join(f"{file}: {f.key}: {f.problem}" if f.key else f"{file}: {f.problem}" for f in findings)
        )

    def fields(self) -> dict[str, object]:
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
        return {"database": self.database}


class StateInUseError(AlreadyServedError):
    """Another bangeod works with this state directory."""

    def __init__(self, directory: str) -> None:
        BangeodError.__init__(
            self,
            f"another bangeod works with the state directory {directory}: stop it first (systemctl stop bangeod), "
            "or give this one a state directory of its own",
        )
        self.database = directory

    def fields(self) -> dict[str, object]:
        return {"state_directory": self.database}


class NoDaemonError(BangeodError):
    """A command needs the running daemon, and none answers."""

    exit_status = 69  # EX_UNAVAILABLE of sysexits(3)


class SilentDaemonError(NoDaemonError):
    """A process listens at the socket but does not answer in time."""


class RefusedError(BangeodError):
    """The daemon refuses a request: its socket may not be opened, or it answers with an error.

    ``status`` is the HTTP status; 0 if there was no HTTP answer.
    """

    def __init__(self, message: str, *, status: int = 0, code: str = "") -> None:
        self.status = status
        self.code = code
        super().__init__(message)


class JobRunningError(BangeodError):
    """A job was requested that is already running."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"{job_id} is running now: wait until it has ended (bangeod status shows it)")

    def fields(self) -> dict[str, object]:
        return {"job_id": self.job_id}


class JobElsewhereError(JobRunningError):
    """A job was requested that another daemon of the same database is running."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        BangeodError.__init__(
            self,
            f"{job_id} is running now on another daemon of this database, for all of them: wait until it has ended",
        )


class JobDoneElsewhereError(BangeodError):
    """A run of a job is not needed: another daemon of the same database has done it, begun ``ago`` seconds ago."""

    def __init__(self, job_id: str, ago: float) -> None:
        self.job_id = job_id
        self.ago = ago
        super().__init__(f"{job_id} was done {ago:.0f} s ago, for all daemons of this database")

    def fields(self) -> dict[str, object]:
        return {"job_id": self.job_id, "ago": self.ago}


class StoppingError(BangeodError):
    """The daemon is stopping and takes no more work."""

    def __init__(self) -> None:
        super().__init__("bangeod is stopping: ask again when it has started")


class Fail2banOffError(BangeodError):
    """A question about bans, where the config names no fail2ban database."""

    def __init__(self) -> None:
        super().__init__(
            "fail2ban's bans are not read: set [fail2ban] database = "
            '"/var/lib/fail2ban/fail2ban.sqlite3" in the config, and systemctl reload bangeod if it runs'
        )


class PathError(BangeodError):
    """A file or directory can't be used: its path, what is wrong with it, and what to do."""

    what = "path"  # the key of the path in ``fields``

    def __init__(self, path: str, problem: str, advice: str) -> None:
        self.path = path
        self.problem = problem
        self.advice = advice
        super().__init__(f"{path}: {problem}; {advice}")

    def fields(self) -> dict[str, object]:
        """Return the path, under the key ``what``."""
        return {self.what: self.path}

    def log_fields(self) -> dict[str, Any]:
        """Return problem, advice and path, in this order."""
        return {"problem": self.problem, "advice": self.advice, **self.fields()}


class SocketError(PathError):
    """The socket of the API can't be created."""

    what = "socket"


class UsageError(BangeodError):
    """The command line asks for something that does not exist."""

    exit_status = 2


class OutputError(BangeodError):
    """The result of a command can't be written to standard output. Raised once: later output is dropped."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"the result can't be written to standard output ({problem}) and is lost; the work for it is done"
        )


class StoreError(PathError):
    """The database can't do what was asked of it now. The transaction was rolled back."""

    what = "database"
    of_database = True


class StoreMissingError(StoreError):
    """There is no database file at the path."""


class StoreLockedError(StoreError):
    """Another process held the write lock for longer than the busy timeout."""

    condition = "database locked"


class StoreUnreachableError(StoreError):
    """No server answers, it lets nobody in, or the connection to it is lost."""

    condition = "database unreachable"


class StoreReadOnlyError(StoreError):
    """The database, its directory or its file system is not writable."""


class StoreFullError(StoreError):
    """No room is left on the device."""

    condition = "disk full"


class StoreDamagedError(StoreError):
    """The file is not an SQLite database, or a malformed one."""


class StoreRefusedError(StoreError):
    """A constraint or a trigger of the database refused a row; others may pass.

    ``ips``: the addresses whose rows were refused, if known. All other rows have been written then.
    """

    of_database = False

    def __init__(self, path: str, problem: str, advice: str, *, ips: Collection[str] = ()) -> None:
        super().__init__(path, problem, advice)
        self.ips = frozenset(ips)


class StoreReplacedError(StoreError):
    """The file at the path is not the one that was opened; the next run uses the new one."""

    of_database = False


class StoreIncompleteError(StoreError):
    """The database was read only in part: there was no time for the rest, or it changed meanwhile."""

    of_database = False


class SchemaError(StoreError):
    """A table or a column that a job needs is missing or can't be used; other jobs may work."""

    of_database = False


class SourceError(BangeodError):
    """A source can't be used now."""

    def __init__(self, source: str, problem: str) -> None:
        self.source = source
        self.problem = problem
        super().__init__(f"{source}: {problem}")

    def fields(self) -> dict[str, object]:
        """Return the name of the source: a path or ``ip-api``."""
        return {"source": self.source}

    def log_fields(self) -> dict[str, Any]:
        return {**self.fields(), "problem": self.problem}


class SourcePausedError(SourceError):
    """The source must not be asked for another ``seconds``."""

    def __init__(self, source: str, problem: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(source, f"{problem}; not asked again for {seconds:.0f} s")
