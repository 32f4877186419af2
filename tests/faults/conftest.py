"""What the tests of faults share: the fixtures of the tests against the real daemon, and what takes half a minute."""

from collections.abc import Iterator

import pytest

from tests.faults.long_lock import LongLock
from tests.integration.conftest import as_nobody, launch, place, place_of_nobody, start, systemd, watched

__all__ = ["as_nobody", "launch", "place", "place_of_nobody", "start", "systemd", "watched"]


@pytest.fixture(scope="session")
def locked_for_long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LongLock]:
    """Give a daemon whose database another process locks from now on; other tests can run meanwhile."""
    with LongLock(tmp_path_factory.mktemp("locked")) as scene:
        yield scene
