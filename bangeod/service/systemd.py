"""Notifications to systemd: the protocol of sd_notify(3), without libsystemd.

Nothing here fails or blocks its caller: a notification that can't be delivered is counted and forgotten. The exception
is READY, which is added to the next notification, since systemd would otherwise kill a healthy daemon.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Final, Self

import structlog

from bangeod.clock import Clock

log = structlog.get_logger(__name__)

SEND_TIMEOUT: Final = 0.25  # seconds; systemd's queue may be full while it is busy, and the daemon does not wait for it
STATUS_LIMIT: Final = 500  # characters; systemd ignores a whole datagram of more than 4096 bytes
MICROSECONDS: Final = 1_000_000
FIRST_OF_NAMESPACE: Final = 1  # the number of a PID namespace's first process, as that itself sees it
MORE_TIME: Final = 10.0  # seconds between two requests
MOST_TIME: Final = 900.0  # seconds; work that takes longer hangs, and systemd may end it


class Notifier:
    """Sends notifications to ``address``: a socket's path, ``@name`` of an abstract one, or None for no receiver.

    Usable from any thread. ``failures`` counts notifications that could not be delivered.
    """

    def __init__(self, address: str | None, clock: Clock) -> None:
        self._address = _socket_address(address)
        self._clock = clock
        self._status: str | None = None
        self._owes_ready = False
        self.failures = 0

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str], clock: Clock, *, unset: bool = False) -> Self:
        """Take the address from $NOTIFY_SOCKET; with ``unset`` no child process inherits it."""
        address = environ.get("NOTIFY_SOCKET")
        if unset:
            environ.pop("NOTIFY_SOCKET", None)
        return cls(address, clock)

    @property
    def active(self) -> bool:
        """Whether a service manager receives the notifications."""
        return self._address is not None

    def ready(self, status: str) -> None:
        """Report that the start, or a reload, is done."""
        self._send("READY=1", status=status)

    def status(self, status: str) -> None:
        """Set the line that ``systemctl status`` shows; an unchanged line is not sent again."""
        if _one_line(status) != self._status:
            self._send(status=status)

    def watchdog(self) -> None:
        """Report that the daemon is alive."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Report that a reload has begun; ``ready`` ends it. systemd wants both fields in one datagram."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * MICROSECONDS)}")

    def stopping(self, status: str) -> None:
        self._owes_ready = False
        self._send("STOPPING=1", status=status)

    def extend_timeout(self, seconds: float) -> None:
        """Ask systemd to wait ``seconds`` from now, for the end of the start or the stop or for the next request."""
        self._send(f"EXTEND_TIMEOUT_USEC={max(0, int(seconds * MICROSECONDS))}")

    def _send(self, *assignments: str, status: str | None = None) -> None:
        if self._address is None:
            return
        lines = list(assignments)
        if self._owes_ready and "READY=1" not in lines:
            lines.insert(0, "READY=1")
        if status is not None:
            status = _one_line(status)
            lines.append(f"STATUS={status}")
        if _deliver(self._address, "\n".join(lines)):
            self._owes_ready = False
            self._status = self._status if status is None else status
        else:
            self.failures += 1
            self._owes_ready = "READY=1" in lines


def watchdog_interval(environ: Mapping[str, str], pid: int) -> float | None:
    """Return the seconds between two pings, or None if no watchdog waits for this process.

    A third of the time limit that systemd gives in $WATCHDOG_USEC: one ping may be lost or late. The first process of a
    PID namespace (``PrivatePIDs=``) has another number outside, and need not be the one that $WATCHDOG_PID names there:
    what systemd started within is itself.
    """
    limit = environ.get("WATCHDOG_USEC", "")
    owner = environ.get("WATCHDOG_PID", str(pid))
    if not _is_number(limit) or int(limit) == 0 or (owner != str(pid) and pid != FIRST_OF_NAMESPACE):
        return None
    return int(limit) / MICROSECONDS / 3


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(2**64))


def _socket_address(address: str | None) -> str | None:
    """Translate systemd's form of an address to the kernel's; None for any other form."""
    if not address:
        return None
    if address.startswith("@"):
        return "\0" + address[1:]
    if address.startswith("/"):
        return address
    log.debug("notify_address_unsupported", address=address)
    return None


def _one_line(text: str) -> str:
    """Shorten a status to one line: a newline would start another assignment."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:STATUS_LIMIT]


def _deliver(address: str, datagram: str) -> bool:
    """Send one datagram on a new socket, so that a restarted service manager is no special case."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            connection.settimeout(SEND_TIMEOUT)
            connection.connect(address)
            connection.send(datagram.encode(errors="replace"))
    except (OSError, ValueError) as error:  # ValueError: an address with a NUL in it
        log.debug("notify_failed", error=error, datagram=datagram)
        return False
    return True


async def with_more_time(notifier: Notifier, work: Callable[[], Awaitable[None]], *, every: float = MORE_TIME) -> None:
    """Do the work, in this task; until it is done, keep asking for time for twice ``every`` seconds from now."""
    asking = asyncio.create_task(_ask(notifier, every), name="ask_for_time")
    try:
        await work()
    finally:
        asking.cancel()


async def _ask(notifier: Notifier, every: float) -> None:
    for _ in range(round(MOST_TIME / every)):
        notifier.extend_timeout(2 * every)
        await asyncio.sleep(every)
