"""A web app's worker that never stops asking the daemon: ever new addresses, one after the other, on a thread."""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from bangeod.client import Entry, GeoClient
from bangeod.errors import NoDaemonError, RefusedError
from tests.support.daemon.installation import Installation
from tests.support.feed import DEADLINE, Feed

EVERY = 0.005  # seconds


class Asking:
    """Asks for as long as the ``with`` block lasts; ``heard`` has all that was answered, ``failures`` what was not."""

    def __init__(self, socket: Path, addresses: Iterable[str]) -> None:
        self._addresses = iter(addresses)
        self._client = GeoClient(str(socket), timeout=DEADLINE, strict=True)
        self._heard: Feed[Entry] = Feed("the one that asks")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="asking")
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()
        self._client.close()

    def finish(self) -> None:
        """Ask no more."""
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ended.wait(EVERY):
            try:
                self._heard.add(self._client.lookup(next(self._addresses)))
            except (NoDaemonError, RefusedError) as error:
                self.failures.append(str(error))

    def heard(self, since: int = 0) -> list[Entry]:
        """Return the answers so far."""
        return self._heard.all(since)

    def wait_for_answers(self, number: int = 1) -> None:
        """Wait until so many more have come."""
        last = len(self._heard) + number - 1
        self._heard.wait(lambda _: True, f"{number} more answers", since=last)


def socket_of(place: Installation) -> Path:
    """Return the daemon's socket."""
    return place.home / "bangeod.sock"


def new_addresses(network: str) -> Iterator[str]:
    """Yield routable addresses, each once, from ``network``, such as "20.7"."""
    for number in range(65_536):
        yield f"{network}.{number >> 8}.{number & 255}"
