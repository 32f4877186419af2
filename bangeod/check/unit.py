"""Checks of the systemd unit: the service's user, where it may write, what it can see, whether it has a network.

The unit may have drop-ins, so systemd itself is asked.
"""

import contextlib
import grp
import os
import pwd
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bangeod.check import systemctl
from bangeod.check.finding import Finding, fault, ok, quoted, warning
from bangeod.check.identity import Identity, group_name
from bangeod.config import Settings
from bangeod.service.active_sources import mmdb_paths
from bangeod.store import symlinks

NAME: Final = "bangeod.service"
SUBJECT: Final = "unit"
DROP_INS: Final = f"/etc/systemd/system/{NAME}.d"
SHARED: Final = Path("/usr/share/bangeod")  # what Debian's package has for those who have no clone

# Property, and the directory to which its paths are relative (systemd.exec(5)).
_DIRECTORIES: Final = {"StateDirectory": "/var/lib", "RuntimeDirectory": "/run", "CacheDirectory": "/var/cache"}
_PROPERTIES: Final = (
    *("NeedDaemonReload", "User", "Group", "SupplementaryGroups", *_DIRECTORIES),
    *("ProtectSystem", "ReadWritePaths", "BindPaths", "BindReadOnlyPaths", "ProtectHome", "PrivateTmp"),
    *("PrivateNetwork", "RestrictAddressFamilies", "IPAddressDeny", "IPAddressAllow", "MemoryMax"),
)
_HOMES: Final = (Path("/home"), Path("/root"), Path("/run/user"))
_TEMPORARY: Final = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - looked for, not used
_RUN: Final = Path("/run")
_ANYWHERE: Final = frozenset({"::/0", "0.0.0.0/0"})


class Unit(NamedTuple):
    """The unit in force in systemd, as far as it matters here."""

    user: str
    group: str  # empty: the user's own group
    supplementary: Sequence[str]
    writable: Sequence[Path] | None  # None: it may write wherever its user may
    hidden: Sequence[Path]
    shown: Sequence[Path]  # paths that can be seen although they are below hidden ones
    has_network: bool
    is_outdated: bool
    memory: int | None = None  # bytes that it may have; None: no limit of its own

    def may_write(self, path: Path) -> bool:
        """Return whether the file system at a path is writable for it."""
        return self.writable is None or _lies_in(path, self.writable)

    def sees(self, path: Path) -> bool:
        """Return whether it sees at a path what everybody sees."""
        return not _lies_in(path, self.hidden) or _lies_in(path, self.shown)

    def identity(self) -> Identity | None:
        """Return the service's user, with all its groups; None if that user does not exist yet."""
        with contextlib.suppress(KeyError):
            user = pwd.getpwuid(_uid(self.user or "root"))
            gid = _group(self.group) if self.group else user.pw_gid
            groups = {*os.getgrouplist(user.pw_name, gid), *map(_group, self.supplementary)}
            return Identity(user.pw_name, user.pw_uid, gid, frozenset(groups))
        return None


def ask() -> Unit | None:
    """Return the unit in force; None if there is none, or no systemd."""
    return _unit(systemctl.show(NAME, _PROPERTIES))


def read(told: str) -> Unit | None:
    """Parse the output of ``systemctl show``; None if systemd has no such unit."""
    return _unit(systemctl.understood(told))


def _unit(shown: Mapping[str, str]) -> Unit | None:
    if not shown:
        return None
    bound = [*_bound(shown, "BindPaths"), *_bound(shown, "BindReadOnlyPaths")]
    return Unit(
        user=shown.get("User", ""),
        group=shown.get("Group", ""),
        supplementary=_words(shown, "SupplementaryGroups"),
        writable=_writable(shown) if shown.get("ProtectSystem") == "strict" else None,
        hidden=[
            *(_HOMES if shown.get("ProtectHome") in ("yes", "tmpfs") else ()),
            *(_TEMPORARY if shown.get("PrivateTmp") == "yes" else ()),
        ],
        shown=bound,
        has_network=_has_network(shown),
        is_outdated=shown.get("NeedDaemonReload") == "yes",
        memory=int(memory) if (memory := shown.get("MemoryMax", "")).isdecimal() else None,
    )


def judge(unit: Unit, settings: Settings, web_users: Sequence[Identity] = ()) -> list[Finding]:
    """Report what the config needs and the unit forbids, and which of the web app's users can't ask the daemon."""
    wrong = [
        *_outdated(unit),
        *_nobody(unit),
        *_invisible(unit, settings),
        *_unwritable(unit, settings),
        *_offline(unit, settings),
        *(_unheard(unit, web_users) if settings.api.enabled else ()),
    ]
    return wrong or [ok(SUBJECT, NAME, "lets the service do all that is needed")]


def _nobody(unit: Unit) -> Iterator[Finding]:
    """Report users and groups that don't exist: the service does not start without them."""
    named = [("user", unit.user, _uid)]
    named += [("group", group, _group) for group in dict.fromkeys((unit.group, *unit.supplementary))]
    for what, name, number in named:
        try:
            if name:
                number(name)
        except KeyError:
            mend = "systemd-sysusers" if name in ("bangeod", "bangui") else f"make it, or: systemctl edit {NAME}"
            yield fault(
                SUBJECT, NAME, f"there is no {what} {name} on this machine, so the service does not start", mend
            )


def _unheard(unit: Unit, web_users: Sequence[Identity]) -> Iterator[Finding]:
    service = unit.identity()
    for user in web_users:
        if service is None or user.uid in (0, service.uid) or service.gid in user.groups:
            continue
        group, own = group_name(service.gid), group_name(user.gid)
        problem = f"user {user.name}, whom the database belongs to, can't ask bangeod: it is not in the group {group}"
        mend = f"{_drop_in('group', 'Group=', own)} && systemctl restart bangeod"
        yield warning(SUBJECT, NAME, f"{problem} that the unit gives the socket", mend)


def _outdated(unit: Unit) -> Iterator[Finding]:
    if unit.is_outdated:
        problem = "its files have changed since systemd read them, and what they say now is not in force"
        yield warning(SUBJECT, NAME, problem, "systemctl daemon-reload && systemctl restart bangeod")


def _invisible(unit: Unit, settings: Settings) -> Iterator[Finding]:
    files = [*mmdb_paths(settings), settings.state.directory]
    files = files if settings.database.path is None else [settings.database.path, *files]
    files += [settings.fail2ban.database] if settings.fail2ban.database else []
    files += [settings.api.socket] if settings.api.enabled else []
    for url in (settings.database.url, settings.fleet.url):
        files += [] if url is None else map(Path, url.sockets)
    for path in dict.fromkeys(passed for file in files for passed in _passed(file)):
        if not unit.sees(path):
            is_home = _lies_in(path, _HOMES)
            switch = "ProtectHome=" if is_home else "PrivateTmp="
            what = "home directories" if is_home else "the temporary directories of others"
            problem = f"the service can't see it: {NAME} hides {what} from it ({switch})"
            yield fault(
                SUBJECT, path, problem, f"put it below /var/lib or /srv, or: {_drop_in('places', switch, 'no')}"
            )


def _unwritable(unit: Unit, settings: Settings) -> Iterator[Finding]:
    path = settings.database.path
    places = {} if path is None else {"database": symlinks.real(path).parent}
    places["state"] = settings.state.directory
    if settings.api.enabled:
        places["socket"] = settings.api.socket.parent
    for what, path in places.items():
        real = Path(os.path.realpath(path))
        if unit.sees(path) and not unit.may_write(real):
            problem = f"{NAME} lets the service write nothing in the {what}'s directory (ReadWritePaths=)"
            yield fault(SUBJECT, real, problem, _letting_write(what, real))


def _offline(unit: Unit, settings: Settings) -> Iterator[Finding]:
    if settings.geo.ip_api.enabled and not unit.has_network:
        problem = f"ip-api is enabled, and {NAME} gives the service no network"
        yield fault(SUBJECT, settings.geo.ip_api.url, problem, _giving_network("ip-api.conf"))
    for what, url in (("database", settings.database.url), ("fleet", settings.fleet.url)):
        if url is not None and url.is_tcp and not unit.has_network:
            problem = f"the {what}'s server is reached over TCP, and {NAME} gives the service no network"
            yield fault(SUBJECT, url.shown(), problem, _giving_network("postgres.conf"))


def _giving_network(drop_in: str) -> str:
    """Return the command that puts a drop-in which is there for it in its place."""
    packaged = SHARED / drop_in
    where, source = ("", packaged) if packaged.exists() else ("in a clone of bangeod: ", f"contrib/systemd/{drop_in}")
    return f"{where}install -D -m 644 {source} {DROP_INS}/{drop_in} && systemctl daemon-reload"


def _letting_write(what: str, path: Path) -> str:
    """Return the command that lets the service write there; a path below /run is gone at the next boot."""
    if path.is_relative_to(_RUN) and path != _RUN:
        return _drop_in(what, "RuntimeDirectory=", _as_setting(path.relative_to(_RUN)))
    return _drop_in(what, "ReadWritePaths=", _as_setting(path, prefix="-"))


def _drop_in(name: str, setting: str, value: str) -> str:
    """Return the command that makes a drop-in with one setting."""
    line = shlex.quote(f"{setting}{value}")
    file = quoted(Path(DROP_INS, f"{name}.conf"))
    return f"printf '[Service]\\n%s\\n' {line} | install -D -m 644 /dev/stdin {file} && systemctl daemon-reload"


def _as_setting(path: Path, prefix: str = "") -> str:
    """Write a path for a unit file: with % doubled, and in quotes if necessary (systemd.syntax(7))."""
    text = prefix + str(path).replace("%", "%%")
    if not any(character.isspace() or character in "\"'\\" for character in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _writable(shown: Mapping[str, str]) -> list[Path]:
    own = [Path(base, name) for key, base in _DIRECTORIES.items() for name in _words(shown, key)]
    listed = [Path(word.lstrip("-+")) for word in _words(shown, "ReadWritePaths")]
    return [symlinks.real(path) for path in (*own, *listed, *_bound(shown, "BindPaths"))]  # systemd follows links, too


def _has_network(shown: Mapping[str, str]) -> bool:
    families = set(_words(shown, "RestrictAddressFamilies"))
    filtered = bool(families) and not any(word.startswith("~") for word in families)
    if shown.get("PrivateNetwork") == "yes" or (filtered and not families & {"AF_INET", "AF_INET6"}):
        return False
    denied = set(_words(shown, "IPAddressDeny"))
    return not denied >= _ANYWHERE or bool(_words(shown, "IPAddressAllow"))


def _bound(shown: Mapping[str, str], name: str) -> list[Path]:
    """Return the targets of bind mounts; systemctl shows each as SOURCE:DESTINATION:OPTIONS."""
    return [Path(word.split(":")[1]) for word in _words(shown, name) if ":" in word]


def _words(shown: Mapping[str, str], name: str) -> list[str]:
    return shlex.split(shown.get(name, ""))


def _passed(path: Path) -> Iterator[Path]:
    """Yield a path, the links on its way, and their targets."""
    way = symlinks.route(path)
    yield from (path, *way.links, way.end)


def _lies_in(path: Path, directories: Sequence[Path]) -> bool:
    return any(path.is_relative_to(directory) for directory in directories)


def _uid(name: str) -> int:
    return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid


def _group(name: str) -> int:
    return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
