"""The paths that bangeod works with, the access it needs to each, and the access that it has."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bangeod.check import permissions
from bangeod.check.finding import Finding, Level, fault, ok, quoted
from bangeod.check.identity import Identity, group_name, of_user
from bangeod.check.permissions import SUBJECT, Access, Need, PathFacts, Remedy
from bangeod.config import Secret, Settings
from bangeod.service.active_sources import mmdb_paths
from bangeod.service.lock import SUFFIX
from bangeod.service.state.history import STATE_FILE
from bangeod.store import symlinks

WORK = Access.READ | Access.WRITE
WORK_IN = WORK | Access.SEARCH
SIDE_FILES = ("-wal", "-shm", "-journal")

# Directories that systemd makes when it starts the service (StateDirectory=, RuntimeDirectory=).
MADE_AT_START = frozenset({Path("/var/lib/bangeod"), Path("/run/bangeod")})


class Survey(NamedTuple):
    """The places, in order, with the result of stat() for each; None if nothing is there or it can't be seen."""

    database: Path | None  # the real path: SQLite and the lock follow links; None where it is a server's
    places: Sequence[Need]
    facts: Mapping[Path, PathFacts | None]
    others: Sequence[Identity]  # the web app's user, if the owners of its files show it
    secret: Path | None  # the config, if it holds a key


def survey(settings: Settings, config: Path) -> Survey:
    """Look at all places with the rights of this process, by stat() alone."""
    path = settings.database.path
    database = None if path is None else symlinks.real(path)
    places = list(_places(settings, config, database))
    facts = {place.path: _look(place.path) for place in places}
    owners = () if database is None else (facts[path] for path in (database, database.parent))
    others = [of_user(found.uid) for found in owners if found and found.uid]
    secret = config if _holds_key(settings) else None
    return Survey(database, places, facts, [other for other in others if other], secret)


def truths(found: Survey) -> dict[Path, Access]:
    """Ask the kernel what this process may do with each place that exists."""
    bits = (Access.READ, Access.WRITE, Access.SEARCH)
    return {
        path: Access(sum(bit for bit in bits if os.access(path, bit, effective_ids=True)))
        for path, facts in found.facts.items()
        if facts
    }


def examine(found: Survey, settings: Settings, who: Identity) -> Iterator[Finding]:
    """Check all places for the user that this process runs as; the database's also for the web app's user."""
    there = _there(found)
    wrong = permissions.judge(there, truths(found), who)
    wrong += _missing_directories(found, settings, who)
    wrong += _examine_sharing(found, there, who)
    if found.secret in there:
        wrong += permissions.judge_secret(*there[found.secret])
    yield from wrong or [ok(SUBJECT, "", f"user {who.name} may do all that is needed")]


def closed(found: Survey) -> frozenset[Path]:
    """Return the places that exist and that this process may not read."""
    return frozenset(path for path, access in truths(found).items() if not access & Access.READ)


def _places(settings: Settings, config: Path, database: Path | None) -> Iterator[Need]:
    """Yield each path once: the directories on the way, then the files and directories to work with."""
    named: dict[Path, Need] = {}
    for place in _work_places(settings, config, database):
        first = named.setdefault(place.path, place)
        named[place.path] = first._replace(needs=first.needs | place.needs)
    way: dict[Path, Need] = {}
    as_given = () if settings.database.path is None else (settings.database.path,)
    for path in (*as_given, *named):
        for parent in symlinks.route(path).directories:
            if parent not in named:
                what = f"the directory on the way to {path}"
                way.setdefault(parent, Need(parent, what, Access.SEARCH, Remedy.GRANT))
    yield from sorted(way.values())
    yield from named.values()


def _work_places(settings: Settings, config: Path, database: Path | None) -> Iterator[Need]:
    yield Need(config, "the config", Access.READ)
    if database is not None:
        yield from _database_places(database)
    yield Need(settings.state.directory, "the state directory", WORK_IN, Remedy.OWN)
    yield Need(settings.state.directory / STATE_FILE, "the state file", Access.READ, Remedy.OWN)
    if settings.api.enabled:
        yield Need(settings.api.socket.parent, "the socket's directory", WORK_IN, Remedy.OWN)
    for mmdb in mmdb_paths(settings):
        yield Need(mmdb, "the geo database", Access.READ, Remedy.PUBLISH)
    if settings.fail2ban.database:
        yield Need(settings.fail2ban.database, "fail2ban's database", Access.READ, Remedy.GRANT)


def _database_places(database: Path) -> Iterator[Need]:
    yield Need(database.parent, "the database's directory", WORK_IN)
    yield Need(database, "the database", WORK)
    for suffix in SIDE_FILES:
        yield Need(Path(f"{database}{suffix}"), f"the database's {suffix} file", WORK)
    yield Need(Path(f"{database}{SUFFIX}"), "the lock file of the database", Access.READ, Remedy.PUBLISH)


def _holds_key(settings: Settings) -> bool:
    urls = [url for url in (settings.database.url, settings.fleet.url) if url is not None]
    keys = {"BANGEOD_IP_API_KEY": settings.geo.ip_api.key, "BANGEOD_LICENSE_KEY": settings.geo.update.license_key}
    keys |= {"PGPASSFILE": Secret("".join(url.password or "" for url in urls))}
    return any(key and not {variable, "CREDENTIALS_DIRECTORY"} & os.environ.keys() for variable, key in keys.items())


def _there(found: Survey) -> dict[Path, tuple[Need, PathFacts]]:
    return {place.path: (place, facts) for place in found.places if (facts := found.facts[place.path])}


def _look(path: Path) -> PathFacts | None:
    try:
        status = path.stat()
        read_only = os.statvfs(path).f_flag & os.ST_RDONLY
    except (OSError, ValueError):
        return None
    return PathFacts(status.st_uid, status.st_gid, status.st_mode, bool(read_only))


def _missing_directories(found: Survey, settings: Settings, who: Identity) -> Iterator[Finding]:
    wanted = [(settings.state.directory, "the state directory")]
    if settings.api.enabled:
        wanted.append((settings.api.socket.parent, "the socket's directory"))
    for path, what in wanted:
        facts = found.facts[path]
        if facts is None and path not in MADE_AT_START and not os.access(path.parent, os.W_OK | os.X_OK):
            mend = f"install -d -m 0750 -o {who.name} -g {group_name(who.gid)} {quoted(path)}"
            yield fault(SUBJECT, path, f"{what} is not there, and user {who.name} may not make it", mend)
        elif facts and not facts.is_directory:
            yield fault(SUBJECT, path, f"{what} is no directory", f"move {quoted(path)} away")


def _examine_sharing(found: Survey, there: Mapping[Path, tuple[Need, PathFacts]], who: Identity) -> Iterator[Finding]:
    """Check for the web app's user too; only by mode bits, so findings are warnings."""
    other = next((user for user in found.others if user.uid != who.uid), None)
    directory = None if found.database is None else there.get(found.database.parent)
    if other is None or directory is None:
        return
    shared = [directory[0].path, *(Path(f"{found.database}{suffix}") for suffix in ("", *SIDE_FILES))]
    in_common = {path: there[path] for path in shared if path in there}
    yield from permissions.judge(in_common, {}, other, level=Level.WARNING)
    sharing = permissions.judge_sharing(*directory, who, other)
    if sharing:
        yield sharing
