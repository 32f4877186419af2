"""The settings: one struct for each table of bangeod.toml, with the default and the kind of each key."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args, get_type_hints

import msgspec

from bangeod.config import values
from bangeod.config.values import UNITS, Secret, ValueKind

if TYPE_CHECKING:
    from bangeod.store.postgres.url import Url as ServerUrl
else:
    ServerUrl = object  # what reads one is imported where a config has one

FREE_URL = "http://ip-api.com/batch"
PRO_URL = "https://pro.ip-api.com/batch"
STATE_DIRECTORY = Path("/var/lib/bangeod")

# Keys that a reload can't change: the cache in memory mirrors one database, and the data that belongs to it (times of
# runs, entries not written yet, the time until which ip-api may not be asked) is in one state directory.
# A fleet knows this host by the name and the role with which it started.
RESTART_ONLY = frozenset(
    {"database.path", "database.url", "database.schema", "fleet.url", "fleet.host", "state.directory"}
)

_DAY = float(UNITS["d"])
_PLENTY = 1_000_000_000  # more entries than memory has room for

Switch = Annotated[bool, values.flag()]
Count = Annotated[int, values.whole(1, _PLENTY)]
CountOrNone = Annotated[int, values.whole(0, _PLENTY)]
Days = Annotated[int, values.whole(1, 36_500)]  # a century: so the earliest cutoff is still an ordinary date
Interval = Annotated[float, values.duration(0.1, 365 * _DAY)]
Timeout = Annotated[float, values.duration(0.001, _DAY)]
RequestTimeout = Annotated[float, values.duration(0.001, 600.0)]
LockTime = Annotated[float, values.duration(0.001, 1.0)]  # above a second the web app would notice each write
BusyTimeout = Annotated[float, values.duration(0.0, 600.0)]
AnyPath = Annotated[Path, values.path()]
PathOrNone = Annotated[Path | None, values.path_or_none()]
DatabasePath = Annotated[Path | None, values.database_path()]
DatabaseUrl = Annotated[ServerUrl | None, values.database_url()]
Schema = Annotated[str, values.text(r"[^\x00-\x1f\x7f]{0,63}", 'the name of a schema, or "" for that of the role')]
HostName = Annotated[
    str,
    values.text(
        r"[^\x00-\x20\x7f-\xa0\ud800-\udfff]{0,253}", 'a name without spaces, or "" for the machine\'s hostname'
    ),
]
FleetTimeout = Annotated[float, values.duration(0.001, 1.0)]  # a lookup waits for it; its client for two seconds
Paths = Annotated[tuple[Path, ...], values.paths()]
SocketPath = Annotated[Path, values.socket_path()]
Url = Annotated[str, values.url()]
SecretText = Annotated[Secret, values.secret()]
Databases = Annotated[
    tuple[str, ...], values.choices("dbip-country-lite", "dbip-asn-lite", "GeoLite2-Country", "GeoLite2-ASN")
]
Account = Annotated[str, values.text("[0-9]{0,20}", 'an account number in quotes, or "" for none')]
Mode = Annotated[str, values.text("0?[0-7]{3}", 'an octal mode in quotes, such as "0660"')]
LevelName = Literal["debug", "info", "warning", "error"]
FormatName = Literal["auto", "journal", "json", "console"]
Level = Annotated[LevelName, values.choice(*get_args(LevelName))]
Format = Annotated[FormatName, values.choice(*get_args(FormatName))]


class SettingsTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table of bangeod.toml. Fields are keys, or nested tables; durations are seconds."""


class DatabaseSettings(SettingsTable, frozen=True, kw_only=True):
    """The database that bangeod shares with the web app: SQLite's file, or a PostgreSQL server's by its url."""

    path: DatabasePath = Path("/var/lib/bangui/bangui.db")  # None where there is a url
    url: DatabaseUrl = None
    schema: Schema = ""  # of the server's
    busy_timeout: BusyTimeout = 5.0
    max_lock_time: LockTime = 0.003

    @property
    def name(self) -> str:
        """What everything calls the database: its path, or its url without secrets."""
        return str(self.path) if self.url is None else self.url.shown()

    @property
    def file(self) -> Path:
        """SQLite's file. Raises LookupError where there is a url."""
        if self.path is None:
            raise LookupError("this database is no file")
        return self.path


class FleetSettings(SettingsTable, frozen=True, kw_only=True):
    """What this host shares with others, through tables of bangeod's own on a PostgreSQL server."""

    url: DatabaseUrl = None  # None: it is in no fleet
    host: HostName = ""  # what the others call this host; empty: the machine's hostname
    timeout: FleetTimeout = 0.1  # for a lookup


class CacheSettings(SettingsTable, frozen=True, kw_only=True):
    """The cache in memory."""

    max_entries: Count = 5_000_000  # some hundred megabytes
    max_dirty: Count = 100_000


class IpApiSettings(SettingsTable, frozen=True, kw_only=True):
    """The web service ip-api.com."""

    enabled: Switch = False
    url: Url = FREE_URL
    key: SecretText = Secret()
    timeout: RequestTimeout = 10.0


class UpdateSettings(SettingsTable, frozen=True, kw_only=True):
    """Which geo databases are fetched."""

    source: Databases = ("dbip-country-lite",)
    account_id: Account = ""
    license_key: SecretText = Secret()


class GeoSettings(SettingsTable, frozen=True, kw_only=True):
    """The sources of countries."""

    mmdb: Paths = ()
    embedded: Switch = True
    ip_api: IpApiSettings = IpApiSettings()
    update: UpdateSettings = UpdateSettings()


class Fail2banSettings(SettingsTable, frozen=True, kw_only=True):
    """fail2ban's own database; None if it is not read."""

    database: PathOrNone = None


class JobSettings(SettingsTable, frozen=True, kw_only=True):
    """The settings of a job."""

    enabled: Switch = True
    interval: Interval
    timeout: Timeout


class CleanupJobSettings(JobSettings, frozen=True, kw_only=True):
    """The settings of the job that deletes addresses that were not seen for long."""

    retention_days: Days = 90
    max_rows: CountOrNone = 0  # 0: no cap


class JobsSettings(SettingsTable, frozen=True, kw_only=True):
    """The jobs, in the order of their ids; each field is named like the job's id."""

    geo_cache_flush: JobSettings = JobSettings(interval=60.0, timeout=60.0)
    geo_re_resolve: JobSettings = JobSettings(interval=600.0, timeout=540.0)
    geo_cache_cleanup: CleanupJobSettings = CleanupJobSettings(interval=_DAY, timeout=60.0)
    session_cleanup: JobSettings = JobSettings(interval=_DAY / 4, timeout=30.0)


class ApiSettings(SettingsTable, frozen=True, kw_only=True):
    """The local API."""

    enabled: Switch = True
    socket: SocketPath = Path("/run/bangeod/bangeod.sock")
    mode: Mode = "0660"

    @property
    def permissions(self) -> int:
        """The mode as a number, for chmod."""
        return int(self.mode, 8)


class LogSettings(SettingsTable, frozen=True, kw_only=True):
    """Logging."""

    level: Level = "info"
    format: Format = "auto"


class StateSettings(SettingsTable, frozen=True, kw_only=True):
    """The data that bangeod keeps for itself."""

    directory: AnyPath = STATE_DIRECTORY


class Settings(SettingsTable, frozen=True, kw_only=True):
    """All of bangeod.toml."""

    database: DatabaseSettings = DatabaseSettings()
    fleet: FleetSettings = FleetSettings()
    cache: CacheSettings = CacheSettings()
    geo: GeoSettings = GeoSettings()
    fail2ban: Fail2banSettings = Fail2banSettings()
    jobs: JobsSettings = JobsSettings()
    api: ApiSettings = ApiSettings()
    log: LogSettings = LogSettings()
    state: StateSettings = StateSettings()


def kinds(table: type[SettingsTable]) -> dict[str, ValueKind | None]:
    """Return the kind of each key of a table, in order; None if the field is a nested table."""
    hints = get_type_hints(table, include_extras=True)
    return {
        name: next((m for m in getattr(hints[name], "__metadata__", ()) if isinstance(m, ValueKind)), None)
        for name in table.__struct_fields__
    }


def leaves(table: SettingsTable, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield all keys, dotted, with their values."""
    for name, kind in kinds(type(table)).items():
        value = getattr(table, name)
        if kind is None:
            yield from leaves(cast("SettingsTable", value), f"{prefix}{name}.")
        else:
            yield prefix + name, value


def differences(old: Settings, new: Settings) -> list[str]:
    """Return the dotted keys whose values differ."""
    before = dict(leaves(old))
    return [key for key, value in leaves(new) if value != before[key]]


def to_toml(settings: Settings, *, mask: bool = True) -> str:
    """Write all settings as in bangeod.toml, secrets as asterisks unless ``mask`` is off."""
    import tomli_w  # noqa: PLC0415 - one command alone writes a config

    return tomli_w.dumps(_to_toml_table(settings, mask=mask))


def _to_toml_table(table: SettingsTable, *, mask: bool) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, kind in kinds(type(table)).items():
        value = getattr(table, name)
        if kind is None:
            result[name] = _to_toml_table(value, mask=mask)
        else:
            result[name] = (kind.mask if mask and kind.mask else kind.write)(value)
    return result
