"""Log entries in systemd's journal, by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

Each key of an entry is a field: ``journalctl -u bangeod JOB_ID=geo_re_resolve`` finds the lines of a job.
"""

import array
import errno
import fcntl
import json
import os
import re
import socket
from collections.abc import Iterable, Mapping
from typing import Any, Final

from bangeod.service.log.lines import LogEntry, message
from bangeod.service.log.output import Output

JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"
IDENTIFIER: Final = "bangeod"
NAME_LIMIT: Final = 64  # bytes of a field's name; journald ignores fields with longer names

# As in syslog(3).
_PRIORITIES: Final = {"critical": "2", "error": "3", "warning": "4", "info": "6", "debug": "7"}
# Fields that journald or journalctl give a meaning of their own.
_RESERVED: Final = {"MESSAGE", "MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER"}
_NOT_IN_A_NAME = re.compile(r"[^A-Z0-9_]")
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class JournalOutput(Output):
    """Sends each entry as one datagram; an entry too large for that in a sealed memfd.

    Never waits: while journald is stopped, a blocking send hangs once the socket's queue is full, so an entry that
    finds the queue full is dropped and counted. If there is no journal at all, the entry goes to ``fallback``.
    """

    def __init__(self, fallback: Output, path: str = JOURNAL_SOCKET) -> None:
        super().__init__()
        self._fallback = fallback
        self._path = path
        # Not connected: each send finds the journal of the moment, also after a restart of journald.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def write(self, entry: LogEntry) -> None:
        """Send one entry; raises BlockingIOError or ENOBUFS if the queue is full."""
        datagram = encode(to_fields(entry))
        try:
            self._send(datagram)
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.ENOBUFS}:
                raise
            self._fallback.write(entry)

    def close(self) -> None:
        with self._lock:
            self._socket.close()

    def _send(self, datagram: bytes) -> None:
        try:
            self._socket.sendto(datagram, self._path)
        except OSError as error:
            # ENOBUFS: no contiguous memory for a datagram this large; a memfd may still work.
            if error.errno not in {errno.EMSGSIZE, errno.ENOBUFS}:
                raise
            self._send_in_memfd(datagram)

    def _send_in_memfd(self, content: bytes) -> None:
        with os.fdopen(os.memfd_create("bangeod-log-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb") as memory:
            memory.write(content)
            memory.flush()
            fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)  # journald reads only what nobody can change any more
            rights = array.array("i", [memory.fileno()])
            self._socket.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], 0, self._path)


def to_fields(entry: LogEntry) -> list[tuple[str, str]]:
    """Return the journal fields of an entry. journald itself adds the time and the process."""
    level = str(entry["level"])
    fields = [
        ("MESSAGE", message(entry)),
        ("PRIORITY", _PRIORITIES.get(level, _PRIORITIES["info"])),
        ("SYSLOG_IDENTIFIER", IDENTIFIER),
    ]
    fields += [(field_name(key), _text(entry[key])) for key in entry if key not in {"timestamp", "level"}]
    return fields


def field_name(key: str) -> str:
    """Return a name that journald accepts: A-Z, 0-9 and _, beginning with a letter, at most 64 characters."""
    name = _NOT_IN_A_NAME.sub("_", key.upper()).lstrip("_")
    if not name or name[0].isdigit() or name in _RESERVED:
        name = f"FIELD_{name}"
    return name[:NAME_LIMIT]


def encode(fields: Iterable[tuple[str, str]]) -> bytes:
    """Serialise fields: ``NAME=value``; if the value has a newline: name, length in 8 bytes, and value."""
    return b"".join(_encode(name.encode(), value.encode(errors="backslashreplace")) for name, value in fields)


def _encode(name: bytes, value: bytes) -> bytes:
    if b"\n" in value:
        return name + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return name + b"=" + value + b"\n"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def is_journal(descriptor: int, environ: Mapping[str, str]) -> bool:
    """Return whether the descriptor is connected to the journal: $JOURNAL_STREAM has its device and inode."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
