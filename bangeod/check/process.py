"""The traces of a running daemon: its lock, its socket, its state file."""

import errno
import fcntl
import os
import socket
import stat
import tomllib
from datetime import date, datetime
from datetime import time as time_of_day
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from bangeod.check.finding import Finding, fault, ok, quoted, warning
from bangeod.config import Settings
from bangeod.os_errors import reason
from bangeod.service.lock import SUFFIX
from bangeod.service.state.history import STATE_FILE, Document, epoch

CONNECT_SECONDS: Final = 2.0


class StateFile(NamedTuple):
    """The part of the state file that matters here."""

    finding: Finding | None
    paused_until: float | None = None  # epoch seconds


def lock(database: Path) -> Finding | None:
    """Report whether a bangeod serves the database now. Makes no lock file, and does not keep the lock."""
    path = Path(f"{database}{SUFFIX}")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return ok("lock", path, "no bangeod has served this database yet")
    except OSError as error:
        if error.errno in (errno.EACCES, errno.ENOTDIR):  # reported by the checks of permissions and of the database
            return None
        return fault("lock", path, f"is no lock file ({error.strerror})", f"move {quoted(path)} away")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return ok("lock", path, "a bangeod serves this database now")
    except OSError as error:
        return fault("lock", path, f"can't be locked ({error.strerror})", "keep the database on a local file system")
    finally:
        os.close(descriptor)
    return ok("lock", path, "no bangeod serves this database now")


def api_socket(settings: Settings) -> Finding | None:
    """Report whether a daemon answers at the socket."""
    path = settings.api.socket
    if not settings.api.enabled:
        return ok("socket", path, "the local API is off")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return ok("socket", path, "nothing is there")
    except OSError:  # reported by the check of its directory's permissions
        return None
    if not stat.S_ISSOCK(mode):
        return fault("socket", path, "something that is no socket is there", f"move {quoted(path)} away")
    return _connect(path)


def _connect(path: Path) -> Finding:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(CONNECT_SECONDS)
        try:
            connection.connect(str(path))
        except ConnectionRefusedError:
            advice = f"nothing, the next daemon replaces it; or: rm {quoted(path)}"
            return warning("socket", path, "nobody listens: a daemon that was killed has left it", advice)
        except OSError as error:
            problem = f"nobody answers ({reason(error)})"
            return fault("socket", path, problem, "look at the daemon: systemctl status bangeod")
    return ok("socket", path, "a daemon answers")


def state(settings: Settings) -> StateFile:
    """Read the state file without changing it."""
    path = settings.state.directory / STATE_FILE
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        document = msgspec.convert(raw, Document, builtin_types=(datetime, date, time_of_day))
        until = document.ip_api.paused_until
        paused = None if until is None else epoch(until)
    except FileNotFoundError:
        return StateFile(ok("state", path, "not there yet: the cleanups are due shortly after the start"))
    except OSError:  # reported by the check of permissions
        return StateFile(None)
    except (ValueError, RecursionError) as error:
        problem = f"can't be understood ({error}): the daemon keeps it as {STATE_FILE}.bad and starts afresh"
        return StateFile(warning("state", path, problem, f"nothing, or: rm {quoted(path)}"))
    return StateFile(ok("state", path, f"knows when {_jobs(len(document.jobs))} last succeeded"), paused)


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"
