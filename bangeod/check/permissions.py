"""Who may do what with a file, and the command that mends it: judged only by the results of stat().

Where the kernel could be asked, its answer decides; mode bits only explain it, since they don't show access lists and
read-only mounts. Below a closed directory the kernel always says no; there the mode bits decide alone, so that
everything to mend is named at once.
"""

import stat
from collections.abc import Callable, Mapping
from enum import Enum, IntFlag
from pathlib import Path
from typing import NamedTuple

from bangeod.check.finding import Finding, Level, quoted, warning
from bangeod.check.identity import Identity, group_name, user_name

# Members of these groups can do far more than share a file, so nobody is told to join them.
POWERFUL_GROUPS = frozenset({"root", "adm", "disk", "docker", "kmem", "lxd", "shadow", "sudo", "wheel"})

SUBJECT = "permissions"


class Access(IntFlag):
    """Kinds of access, numbered as in access(2) and in each third of a mode."""

    SEARCH = 1
    WRITE = 2
    READ = 4

    @property
    def letters(self) -> str:
        """The letters that chmod and setfacl take."""
        return "".join(letter for bit, letter in ((4, "r"), (2, "w"), (1, "x")) if self & bit)


class Remedy(Enum):
    """How access to a file is best given."""

    SHARE = "share"  # through its group: two users work with it
    PUBLISH = "publish"  # to everybody: there is no secret in it
    OWN = "own"  # by owning it: nobody else uses it
    GRANT = "grant"  # to this one user, through an access list: it belongs to somebody else


class PathFacts(NamedTuple):
    """The results of stat() for a path, and of statvfs() for its file system."""

    uid: int
    gid: int
    mode: int  # includes the type of the file
    read_only: bool = False

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


class Need(NamedTuple):
    """A path, its purpose, and the access that is needed."""

    path: Path
    what: str
    needs: Access
    remedy: Remedy = Remedy.SHARE


class Names(NamedTuple):
    """How to write the names of users and groups."""

    of_user: Callable[[int], str] = user_name
    of_group: Callable[[int], str] = group_name


NAMES = Names()


def granted(facts: PathFacts, who: Identity) -> Access:
    """Return what the mode bits allow: exactly one of owner, group and others counts (path_resolution(7))."""
    if who.uid == 0:
        may_search = facts.is_directory or facts.mode & 0o111
        return Access.READ | Access.WRITE | (Access.SEARCH if may_search else Access(0))
    return Access(facts.mode >> _bits_below(facts, who) & 7)


def judge(
    places: Mapping[Path, tuple[Need, PathFacts]],
    truths: Mapping[Path, Access],
    who: Identity,
    *,
    level: Level = Level.FAULT,
    names: Names = NAMES,
) -> list[Finding]:
    """Find every place where the user lacks needed access. Without ``truths``, mode bits decide."""
    closed = {path for path, (place, facts) in places.items() if _lacks(place, facts, truths, who, frozenset())}
    findings = []
    for path, (place, facts) in places.items():
        lacking = _lacks(place, facts, truths, who, closed)
        if lacking:
            problem, mend = _explain(place, facts, who, lacking, names)
            findings.append(Finding(level, SUBJECT, str(path), problem, mend))
    return findings


def judge_sharing(
    directory: Need, facts: PathFacts, who: Identity, other: Identity, *, names: Names = NAMES
) -> Finding | None:
    """Warn if two users can't share the files that SQLite makes in a directory: it must be setgid for that."""
    everyone_is_root = 0 in (who.uid, other.uid)
    group_stays = facts.mode & stat.S_ISGID or {who.gid, other.gid} == {facts.gid}
    if everyone_is_root or group_stays or not facts.is_directory:
        return None
    group = names.of_group(facts.gid)
    return warning(
        SUBJECT,
        directory.path,
        f"{directory.what} is not setgid: the -wal and -shm that user {who.name} or {other.name} makes there "
        f"get the maker's own group instead of {group}, and the other one can't write the database then",
        f"chmod g+s {quoted(directory.path)}",
    )


def judge_secret(place: Need, facts: PathFacts) -> list[Finding]:
    """Report a file with a key in it that everybody can read."""
    if not facts.mode & stat.S_IROTH:
        return []
    mend = f"chmod o-rwx {quoted(place.path)}   # the service's user then needs it to be of its group"
    return [warning(SUBJECT, place.path, f"{place.what} holds a key, and every user may read it", mend)]


def _lacks(
    place: Need, facts: PathFacts, truths: Mapping[Path, Access], who: Identity, closed: "frozenset[Path] | set[Path]"
) -> Access:
    by_modes = place.needs & ~granted(facts, who)
    if place.path not in truths or any(parent in closed for parent in place.path.parents):
        return by_modes
    return place.needs & ~truths[place.path]


def _explain(place: Need, facts: PathFacts, who: Identity, lacking: Access, names: Names) -> tuple[str, str]:
    """Return what is wrong, and the command that mends it."""
    may_not = f"user {who.name} may not {_verbs(lacking, facts)} {place.what}"
    user, group = names.of_user(facts.uid), names.of_group(facts.gid)
    shown = f"it is {user}:{group} {stat.S_IMODE(facts.mode):04o}"
    path = quoted(place.path)
    if not lacking & ~granted(facts, who):
        if facts.read_only:
            return f"{may_not}: its file system is mounted read-only", f"findmnt -T {path}   # mount it rw"
        forbidding = "an access list, an attribute or a security module forbids it"
        problem = f"{may_not}, although its mode would allow it ({shown}): {forbidding}"
        return problem, f"getfacl {path}; lsattr -d {path}"
    membership = "" if who.uid == facts.uid or facts.gid in who.groups else f", and {who.name} is not in group {group}"
    return f"{may_not}: {shown}{membership}", _mend(place, facts, who, lacking, names)


def _mend(place: Need, facts: PathFacts, who: Identity, lacking: Access, names: Names) -> str:
    path = quoted(place.path)
    if who.uid == facts.uid:
        return f"chmod u+{lacking.letters} {path}"
    if facts.gid in who.groups:
        return f"chmod g+{lacking.letters} {path}"
    match place.remedy:
        case Remedy.OWN:
            return f"chown {who.name}: {path} && chmod u+{place.needs.letters} {path}"
        case Remedy.PUBLISH:
            return f"chmod a+{lacking.letters} {path}"
    return _let_in(place, facts, who, names)


def _let_in(place: Need, facts: PathFacts, who: Identity, names: Names) -> str:
    """Return the command that gives access to a user who is neither the owner nor in the group."""
    path = quoted(place.path)
    group = names.of_group(facts.gid)
    not_by_group = place.needs & ~Access(facts.mode >> 3 & 7)
    may_be_joined = group not in POWERFUL_GROUPS and not group.isdigit()
    if may_be_joined and (place.remedy is Remedy.SHARE or not not_by_group):
        widen = f"chmod g+{not_by_group.letters} {path} && " if not_by_group else ""
        return f"{widen}usermod -aG {group} {who.name}   # holds for what {who.name} starts afterwards"
    if place.remedy is Remedy.SHARE:
        setgid = "s" if facts.is_directory else ""
        return f"chgrp {names.of_group(who.gid)} {path} && chmod g+{place.needs.letters}{setgid} {path}"
    return f"setfacl -m u:{who.name}:{place.needs.letters} {path}"


def _verbs(lacking: Access, facts: PathFacts) -> str:
    words = {Access.READ: "list", Access.WRITE: "make files in", Access.SEARCH: "enter"}
    if not facts.is_directory:
        words = {Access.READ: "read", Access.WRITE: "write", Access.SEARCH: "run"}
    *first, last = (word for bit, word in words.items() if lacking & bit)
    return f"{', '.join(first)} or {last}" if first else last


def _bits_below(facts: PathFacts, who: Identity) -> int:
    """Return how many mode bits stand below the three that count for the user."""
    if facts.uid == who.uid:
        return 6
    return 3 if facts.gid in who.groups else 0
