"""Reading the small files that settings come from: the config, systemd's credentials."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_LARGEST_CREDENTIAL: Final = 4096  # bytes


class UnreadableError(Exception):
    """A file can't be read; the text says why and what to do."""


class MissingError(UnreadableError):
    """There is no file at the path."""


def read(path: Path, limit: int) -> bytes:
    """Read a regular file of limited size; other kinds of files are not waited for or read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise UnreadableError(f"expected a regular file; found {_name_type(mode)}")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(limit + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise MissingError(
            "there is no such file: write one (bangeod.toml.example has every key), "
            "or name another with --config or $BANGEOD_CONFIG"
        ) from None
    except PermissionError:
        raise UnreadableError(
            f"this user (uid {os.geteuid()}) may not read it: give it read permission on the file "
            "and search permission on its directories"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UnreadableError(f"can't be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > limit:
        raise UnreadableError(f"larger than {limit} bytes; is this the right file?")
    return content


def credential(environ: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """Return a systemd credential as it stands there, and what to call it; None if there is no such one.

    Raises UnreadableError.
    """
    if not (directory := environ.get("CREDENTIALS_DIRECTORY")):
        return None
    path = Path(directory, name)
    try:
        return read(path, _LARGEST_CREDENTIAL).decode(), f"the credential {path}"
    except MissingError:
        return None
    except UnreadableError as error:
        raise UnreadableError(f"the credential {path}: {error}") from None
    except UnicodeDecodeError:
        raise UnreadableError(f"the credential {path}: expected text, found bytes that are none") from None


def _name_type(mode: int) -> str:
    for test, name in ((stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket")):
        if test(mode):
            return name
    return "a device"
