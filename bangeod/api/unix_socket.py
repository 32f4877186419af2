"""The socket file of the API: it is never open with another mode, and is removed only while it is ours."""

import contextlib
import os
import secrets
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from bangeod.errors import SocketError
from bangeod.os_errors import reason

BACKLOG: Final = 1024  # connections that wait to be accepted; further ones are refused at once
AT_ONCE: Final = 32  # connections accepted in one turn of the event loop: each is an open file until it is counted
_NEW_DIRECTORY: Final = 0o750


class BoundSocket(NamedTuple):
    """A listening socket and the identity of its file."""

    socket: socket.socket
    path: Path
    identity: tuple[int, int]  # device and inode

    def remove(self) -> None:
        """Remove the file, unless another file has taken its place."""
        with contextlib.suppress(OSError):
            if _identity(self.path.lstat()) == self.identity:
                self.path.unlink()


def bind(path: Path, mode: int) -> BoundSocket:
    """Listen at ``path``, with the permissions in ``mode``; the group of the file is this process's.

    The directory is made if it is missing. A socket on which nobody listens is replaced. Raises SocketError.
    """
    _make_room(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _directory(path) as directory:
            identity = _place(listening, directory, path.name, mode)
    except OSError as error:
        listening.close()
        raise _unusable(path, error) from error
    except BaseException:
        listening.close()
        raise
    listening.setblocking(False)
    return BoundSocket(listening, path, identity)


def _place(listening: socket.socket, directory: int, name: str, mode: int) -> tuple[int, int]:
    """Bind under a temporary name, and rename the file when mode and group are right."""
    moment = f".bangeod-{secrets.token_hex(4)}"
    os.fchmod(listening.fileno(), 0)  # Linux gives the file the mode of the socket: nobody may open it until chmod
    listening.bind(f"/proc/self/fd/{directory}/{moment}")  # the path itself may be as long as a socket's can be
    try:
        made = os.stat(moment, dir_fd=directory, follow_symlinks=False)
        if made.st_gid != os.getegid():  # the directory is setgid
            os.chown(moment, -1, os.getegid(), dir_fd=directory, follow_symlinks=False)
        os.chmod(moment, mode, dir_fd=directory)
        listening.listen(BACKLOG)
        os.rename(moment, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(moment, dir_fd=directory)
        raise
    return _identity(made)


def _make_room(path: Path) -> None:
    """Raise SocketError if something at the path belongs to somebody else: it would be replaced."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(path, error) from error
    if not stat.S_ISSOCK(mode):
        raise SocketError(str(path), "something that is no socket is there", "move it away, or set [api] socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return  # left by a process that was killed
        except BlockingIOError:
            pass  # a process listens, and is overloaded
        except OSError as error:
            raise _unusable(path, error) from error
    raise SocketError(str(path), "another program listens there", "stop it, or set [api] socket to another path")


@contextlib.contextmanager
def _directory(path: Path) -> Iterator[int]:
    path.parent.mkdir(mode=_NEW_DIRECTORY, exist_ok=True)
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _unusable(path: Path, error: OSError) -> SocketError:
    advice = f"make {path.parent} a directory in which bangeod's user may make files, or set [api] socket"
    return SocketError(str(path), f"the socket can't be made ({reason(error)})", advice)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
