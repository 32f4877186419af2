"""Users of this machine: the one that is judged for, and how to be that one for a while."""

import contextlib
import grp
import os
import pwd
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from bangeod.errors import BangeodError, UsageError

SERVICE_USER = "bangeod"


class Identity(NamedTuple):
    """A user, as the kernel sees what it starts."""

    name: str
    uid: int
    gid: int
    groups: frozenset[int]  # the one of ``gid`` among them


class LookFailedError(BangeodError):
    """The child process that looked as another user did not come to an end."""


def current() -> Identity:
    """Return the user that this process has the rights of."""
    uid, gid = os.geteuid(), os.getegid()
    return Identity(user_name(uid), uid, gid, frozenset({gid, *os.getgroups()}))


def of_user(uid: int) -> Identity | None:
    """Return a user of this machine with all its groups; None where there is no such user."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return None
    return _of_entry(entry)


def choose(wanted: str | None, service: Identity | None = None) -> Identity:
    """Settle on the user to judge for: the one that is asked for, else for root the service's, else this one.

    ``service`` is whom the service runs as, where systemd knows that. Raises UsageError where there is no such user, or
    where only root could find out.
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
    """Name a user; one without a name by its number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """Name a group; one without a name by its number."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def run_as(who: Identity, work: Callable[[], bytes]) -> bytes:
    """Do ``work`` with the rights of a user and return what it returns. Raises LookFailedError.

    For another user than this one a child process gives up root for good. It is forked and starts no program:
    that user may be unable to read the Python that runs here.
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
    """Work and end, whatever happens: nothing of the parent's may run a second time here."""
    status = 1
    try:
        os.close(reading)
        os.setgroups(sorted(who.groups))
        os.setresgid(who.gid, who.gid, who.gid)
        os.setresuid(who.uid, who.uid, who.uid)
        try:
            result, status = work(), 0
        except Exception as error:  # noqa: BLE001 - the parent says it
            result = f"{type(error).__name__}: {error}".encode()
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(result)
    finally:
        os._exit(status)


def _of_entry(entry: pwd.struct_passwd) -> Identity:
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return Identity(entry.pw_name, entry.pw_uid, entry.pw_gid, frozenset(groups))
