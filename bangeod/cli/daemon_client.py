"""The way from a command to the running daemon: its socket, where one is to be used and somebody answers there."""

from collections.abc import Callable
from typing import Final, TypeVar

from bangeod.client import GeoClient
from bangeod.config import Settings
from bangeod.errors import NoDaemonError, SilentDaemonError

T = TypeVar("T")

PATIENCE: Final = 35.0  # seconds; nearly as long as a lookup may ask sources


def through_daemon(settings: Settings, ask: Callable[[GeoClient], T]) -> T | None:
    """Have the running daemon do something; None where there is none.

    Raises RefusedError where it refuses, and SilentDaemonError where it is there and does not answer.
    """
    if not settings.api.enabled:
        return None
    try:
        return from_daemon(settings, ask)
    except SilentDaemonError:
        raise
    except NoDaemonError:
        return None


def from_daemon(settings: Settings, ask: Callable[[GeoClient], T]) -> T:
    """Have the running daemon do something. Raises NoDaemonError, RefusedError."""
    with GeoClient(str(settings.api.socket), timeout=PATIENCE, strict=True) as client:
        return ask(client)
