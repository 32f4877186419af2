"""``bangeod check``: finds everything that may be wrong with a daemon's surroundings at once, and changes nothing.

Each part has a module: ``paths`` with ``permissions`` (who may what), ``database`` (SQLite's) and ``server``
(PostgreSQL's), ``fleet``, ``geodata``, ``unit`` (with ``unit_files`` and ``systemctl``), ``sandbox``, ``credentials``
and ``process`` (lock, socket, state file). Each says what it finds as a ``finding``; ``identity`` is the user for whom
it is judged.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import msgspec

from bangeod.check import credentials, database, fleet, geodata, memory, paths, process, sandbox, server, unit
from bangeod.check.finding import Finding, Level, fault, ok
from bangeod.check.identity import Identity, LookFailedError, current, group_name, run_as
from bangeod.check.paths import Survey
from bangeod.check.unit import Unit
from bangeod.config import Settings

__all__ = ["Finding", "Level", "checkup"]


def checkup(settings: Settings, config: Path, who: Identity, now: float, service: Unit | None = None) -> list[Finding]:
    """Run all checks for the user ``who``, with its rights; with ``service``, also what the unit lets the service do.

    ``now`` is in epoch seconds. Changes nothing.
    """
    findings = [ok("config", config, "is good"), _introduce(who)]
    survey = paths.survey(settings, config)
    if service is not None:
        settings = server.with_services_password(settings)
        findings += unit.judge(service, settings, survey.others)
        findings += _guarded("credential", credentials.examine)
        writable = _writable(service, survey.database)
        findings += _guarded("sandbox", lambda: sandbox.examine(writable))
        findings += _guarded("memory", lambda: memory.examine(settings, service.memory))

    def look() -> bytes:
        return msgspec.json.encode(list(_look(settings, survey, who, now)))

    try:
        return findings + msgspec.json.decode(run_as(who, look), type=list[Finding])
    except LookFailedError as error:
        return [*findings, _own_fault("check", error)]


def _look(settings: Settings, survey: Survey, who: Identity, now: float) -> Iterator[Finding]:
    """Run the checks; this process has the user's rights."""
    closed = paths.closed(survey)
    state = process.state(settings)
    yield from _guarded("permissions", lambda: paths.examine(survey, settings, who))
    yield from _of_file(survey.database, settings, closed, now)
    yield from _guarded("database", lambda: server.examine(settings, now))
    yield from _guarded("fleet", lambda: fleet.examine(settings))
    yield from _at_most_one(state.finding)
    yield from _guarded("socket", lambda: _at_most_one(process.api_socket(settings)))
    yield from _guarded("mmdb", lambda: geodata.mmdbs(settings, who, closed, now))
    yield from _guarded("geo", lambda: geodata.fallback(settings))
    yield from _guarded("ip-api", lambda: geodata.ip_api(settings, state.paused_until, now))
    yield from _guarded("fail2ban", lambda: geodata.fail2ban(settings, closed, now))


def _of_file(file: Path | None, settings: Settings, closed: Collection[Path], now: float) -> Iterator[Finding]:
    """Run the checks of a database that is SQLite's."""
    if file is None:
        return
    may_read = file not in closed
    yield from _guarded("database", lambda: database.examine(settings, may_read=may_read, now=now))
    yield from _guarded("lock", lambda: _at_most_one(process.lock(file)))


def _writable(service: Unit, file: Path | None) -> Path | None:
    """Return the database's directory, where the unit lets the service write there."""
    if file is None or not (service.may_write(file.parent) and service.sees(file.parent)):
        return None
    return file.parent


def _at_most_one(finding: Finding | None) -> list[Finding]:
    return [finding] if finding else []


def _introduce(who: Identity) -> Finding:
    groups = ", ".join(sorted(group_name(gid) for gid in who.groups))
    text = f"judged for this user (uid {who.uid}; groups {groups})"
    if who.uid == 0:
        text += "; root may do nearly everything: where the service runs as another user, name it with --user"
    elif who.uid == current().uid:
        text += "; run by root it judges for the service's user"
    return ok("user", who.name, text)


def _guarded(subject: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    try:
        return list(look())
    except Exception as error:  # noqa: BLE001 - a check that fails must not hide what the others find
        return [_own_fault(subject, error)]


def _own_fault(subject: str, error: Exception) -> Finding:
    problem = f"could not be looked at: {type(error).__name__}: {error}"
    return fault(subject, "", problem, "this is a fault of bangeod itself: please report it with this line")
