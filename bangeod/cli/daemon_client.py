"""How commands reach the running daemon: through its socket, if that is enabled and a daemon answers."""

from collections.abc import Callable
from typing import Final, TypeVar

from bangeod.client.command_client import CommandClient
from bangeod.config import Settings
from bangeod.errors import NoDaemonError, SilentDaemonError

T = TypeVar("T")

PATIENCE: Final = 35.0  # seconds; a lookup may ask sources for nearly as long


def through_daemon(settings: Settings, ask: Callable[[CommandClient], T]) -> T | None:
    """Let the running daemon do something; None if no daemon runs.

    Raises RefusedError if it refuses, and SilentDaemonError if it runs but does not answer.
    """
    if not settings.api.enabled:
        return None
    try:
        return from_daemon(settings, ask)
    except SilentDaemonError:
        raise
    except NoDaemonError:
        return None


def from_daemon(settings: Settings, ask: Callable[[CommandClient], T]) -> T:
    """Let the running daemon do something. Raises NoDaemonError, RefusedError."""
    with CommandClient(str(settings.api.socket), timeout=PATIENCE, strict=True) as client:
        return ask(client)
