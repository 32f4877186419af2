"""Users of this machine: whom ``bangeod check`` judges for, and running code with the rights of another user."""

import contextlib
import grp
import os
import pwd
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from bangeod.errors import BangeodError, UsageError

SERVICE_USER = "bangeod"


class Identity(NamedTuple):
    """A user, as the kernel sees its processes."""

    name: str
    uid: int
    gid: int
    groups: frozenset[int]  # includes ``gid``


class LookFailedError(BangeodError):
    """The child process that ran as another user did not finish its work."""


def current() -> Identity:
    """Return the user whose rights this process has."""
    uid, gid = os.geteuid(), os.getegid()
    return Identity(user_name(uid), uid, gid, frozenset({gid, *os.getgroups()}))


def of_user(uid: int) -> Identity | None:
    """Return a user of this machine with all its groups; None if there is no such user."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return None
    return _of_entry(entry)


def choose(wanted: str | None, service: Identity | None = None) -> Identity:
    """Choose the user to judge for: the one asked for, else for root the service's, else the current one.

    ``service`` is the service's user, if systemd knows it. Raises UsageError if there is no such user, or if only root
    can check for it.
    """
    this = current()
    if wanted is None:
        if this.uid != 0:
            return this
        if service is not None:
            return service
        with contextlib.suppress(KeyError):
            return _of_entry(pwd.getpwnam(SERVICE_USER))
        return this
    try:
        chosen = _of_entry(pwd.getpwnam(wanted))
    except KeyError:
        raise UsageError(f"there is no user {wanted!r} on this machine") from None
    if chosen.uid == this.uid:
        return this
    if this.uid != 0:
        raise UsageError(f"only root can find out what user {wanted!r} may do: run this with sudo")
    return chosen


def user_name(uid: int) -> str:
    """Return the name of a user; its number if it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """Return the name of a group; its number if it has no name."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def run_as(who: Identity, work: Callable[[], bytes]) -> bytes:
    """Run ``work`` with the rights of a user and return its result. Raises LookFailedError.

    For another user, a child process gives up root for good. It is forked and starts no program: that user may be
    unable to read the Python that runs here.
    """
    if who.uid == os.geteuid():
        return work()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        _be_the_child(who, work, reading, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        result = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        reason = result.decode(errors="replace") or f"status {os.waitstatus_to_exitcode(status)}"
        raise LookFailedError(f"looking as user {who.name} failed: {reason}")
    return result


def _be_the_child(who: Identity, work: Callable[[], bytes], reading: int, writing: int) -> NoReturn:
    """Do the work and end the process, whatever happens: no code of the parent may run a second time here."""
    status = 1
    try:
        os.close(reading)
        os.setgroups(sorted(who.groups))
        os.setresgid(who.gid, who.gid, who.gid)
        os.setresuid(who.uid, who.uid, who.uid)
        try:
            result, status = work(), 0
        except Exception as error:  # noqa: BLE001 - the parent reports it
            result = f"{type(error).__name__}: {error}".encode()
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(result)
    finally:
        os._exit(status)


def _of_entry(entry: pwd.struct_passwd) -> Identity:
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return Identity(entry.pw_name, entry.pw_uid, entry.pw_gid, frozenset(groups))
