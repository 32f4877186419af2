"""Loading the settings from the config file and the environment, or finding everything that is wrong with them."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bangeod.config import database, files, fleet, values
from bangeod.config.files import UnreadableError
from bangeod.config.settings import FREE_URL, PRO_URL, STATE_DIRECTORY, Settings, SettingsTable, kinds
from bangeod.config.values import Secret, UnfitValueError, describe, goes_in_clear
from bangeod.errors import ConfigError, ConfigProblem

DEFAULT_FILE = Path("/etc/bangeod/bangeod.toml")

_LARGEST_FILE = 1024 * 1024  # bytes; a config with every key and many comments has some 5 kB
_MOST_UNKNOWN_KEYS = 20  # reported per table; a file of another program should not fill the log
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,60}")
_POSITION = re.compile(r" \(at line (\d+), column (\d+)\)$")

T = TypeVar("T", bound=SettingsTable)


def find_file(option: str | None, environ: Mapping[str, str]) -> Path:
    """Return the config file: the one of ``--config``, of ``$BANGEOD_CONFIG``, or the usual one."""
    if option is not None:
        return Path(option)
    return Path(environ.get("BANGEOD_CONFIG") or DEFAULT_FILE)


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read the config file and the environment. Raises ConfigError with everything that is wrong."""
    findings: list[ConfigProblem] = []
    raw = _parse(path)
    settings = read_table(Settings(), raw, "", findings)
    refused = {finding.key for finding in findings}
    if not refused & {"database", "database.path", "database.url", "database.schema"}:
        settings = database.settle(settings, raw.get("database", {}), environ, findings)
    if not refused & {"fleet", "fleet.url"}:
        settings = fleet.settle(settings, environ, findings)
    settings = _with_key(settings, environ, findings)
    settings = _with_license_key(settings, environ, findings)
    settings = _with_state(settings, environ, findings)
    if not refused & {"geo", "geo.ip_api", "geo.ip_api.key", "geo.ip_api.url"}:
        findings += _check_ip_api(settings)
    if findings:
        raise ConfigError(str(path), findings)
    return settings


def read_table(default: T, raw: Mapping[str, object], prefix: str, findings: list[ConfigProblem]) -> T:
    """Return the defaults overwritten by the keys of a TOML table; problems are added to the findings."""
    known = kinds(type(default))
    changes: dict[str, object] = {}
    for name, kind in known.items():
        if name not in raw:
            continue
        value, key = raw[name], prefix + name
        if kind is not None:
            try:
                changes[name] = kind.read(value)
            except UnfitValueError as error:
                findings.append(ConfigProblem(key, str(error)))
        elif isinstance(value, dict):
            changes[name] = read_table(getattr(default, name), value, f"{key}.", findings)
        else:
            findings.append(ConfigProblem(key, f"expected a table, [{key}]; found {describe(value)}"))
    findings += _unknown(raw, list(known), prefix)
    return msgspec.structs.replace(default, **changes)


def _unknown(raw: Mapping[str, object], known: list[str], prefix: str) -> Iterator[ConfigProblem]:
    names = [name for name in raw if name not in known]
    for name in names[:_MOST_UNKNOWN_KEYS]:
        # Its value is not shown: the key may be misspelt and the value a secret.
        what = "table" if isinstance(raw[name], dict) else "key"
        import difflib  # noqa: PLC0415 - hardly ever needed

        close = difflib.get_close_matches(name[:60], known, n=1)
        advice = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"
        shown = name if _BARE_KEY.fullmatch(name) else describe(name)
        yield ConfigProblem(prefix + shown, f"unknown {what}; {advice}")
    if len(names) > _MOST_UNKNOWN_KEYS:
        left = len(names) - _MOST_UNKNOWN_KEYS
        yield ConfigProblem(prefix.rstrip("."), f"{left} more unknown keys; is this a config of bangeod?")


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = files.read(path, _LARGEST_FILE).decode("utf-8-sig")
        return tomllib.loads(content)
    except UnreadableError as error:
        problem = str(error)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = f"line {line} is not UTF-8 (byte 0x{error.object[error.start]:02x}): save the file as UTF-8"
    except tomllib.TOMLDecodeError as error:
        problem = f"not TOML: {_locate(str(error), content)}"
    except ValueError:  # int() of a number with thousands of digits
        problem = "not TOML that bangeod can read: a number in it has too many digits"
    except RecursionError:
        problem = "not TOML that bangeod can read: arrays or tables in it are nested too deeply"
    raise ConfigError(str(path), [ConfigProblem("", problem)])


def _locate(problem: str, content: str) -> str:
    """Put line and column first; the parser puts them last, and omits them at the end of the document."""
    if match := _POSITION.search(problem):
        return f"line {match[1]}, column {match[2]}: {problem[: match.start()]}"
    last = content.split("\n")
    return f"line {len(last)}, column {len(last[-1]) + 1}: {problem}"


def _with_key(settings: Settings, environ: Mapping[str, str], findings: list[ConfigProblem]) -> Settings:
    """Take ip-api's key from the config, else the environment, else systemd; ip-api has another URL for keys."""
    ip_api = settings.geo.ip_api
    key = ip_api.key or _key_from_outside(environ, "ip_api_key", "geo.ip_api.key", findings)
    url = PRO_URL if key and ip_api.url == FREE_URL else ip_api.url
    ip_api = msgspec.structs.replace(ip_api, key=key, url=url)
    return msgspec.structs.replace(settings, geo=msgspec.structs.replace(settings.geo, ip_api=ip_api))


def _with_license_key(settings: Settings, environ: Mapping[str, str], findings: list[ConfigProblem]) -> Settings:
    """Take the licence key for geo databases from the config, else the environment, else systemd."""
    update = settings.geo.update
    key = update.license_key or _key_from_outside(environ, "license_key", "geo.update.license_key", findings)
    update = msgspec.structs.replace(update, license_key=key)
    return msgspec.structs.replace(settings, geo=msgspec.structs.replace(settings.geo, update=update))


def _key_from_outside(environ: Mapping[str, str], name: str, key: str, findings: list[ConfigProblem]) -> Secret:
    """Return a secret from outside the config; one that is not valid is reported as ``key`` and comes out empty."""
    try:
        return _outside(environ, name)
    except (UnfitValueError, UnreadableError) as error:
        findings.append(ConfigProblem(key, str(error)))
        return Secret()


def _outside(environ: Mapping[str, str], name: str) -> Secret:
    """Read a secret from ``$BANGEOD_NAME``, else from the systemd credential of that name."""
    variable = f"BANGEOD_{name.upper()}"
    if text := environ.get(variable, "").strip():
        return _read_key(text, f"${variable}")
    found = files.credential(environ, name)
    return Secret() if found is None else _read_key(found[0].strip(), found[1])


def _read_key(text: str, where: str) -> Secret:
    try:
        key = values.secret().read(text)
    except UnfitValueError as error:
        raise UnfitValueError(f"{where}: {error}") from None
    return key if isinstance(key, Secret) else Secret()


def _check_ip_api(settings: Settings) -> Iterator[ConfigProblem]:
    ip_api = settings.geo.ip_api
    if ip_api.key and goes_in_clear(ip_api.url):
        yield ConfigProblem(
            "geo.ip_api.url",
            f"expected https://, as the key would travel in clear text; found {describe(ip_api.url)}",
        )
    if ip_api.enabled and not ip_api.key and ip_api.url == PRO_URL:
        yield ConfigProblem(
            "geo.ip_api.key",
            f"expected the key that {PRO_URL} asks for, here, in $BANGEOD_IP_API_KEY or in the systemd "
            "credential ip_api_key; found none",
        )


def _with_state(settings: Settings, environ: Mapping[str, str], findings: list[ConfigProblem]) -> Settings:
    """Use systemd's state directory if the config has the default one; of several, the first."""
    given = next(filter(None, environ.get("STATE_DIRECTORY", "").split(":")), "")
    if not given or settings.state.directory != STATE_DIRECTORY:
        return settings
    try:
        directory = values.path().read(given)
    except UnfitValueError as error:
        findings.append(ConfigProblem("state.directory", f"$STATE_DIRECTORY: {error}"))
        return settings
    state = msgspec.structs.replace(settings.state, directory=directory)
    return msgspec.structs.replace(settings, state=state)
