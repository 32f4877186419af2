"""What the tests of faults share: the fixtures of the tests against the real daemon."""

import pytest

from tests.integration.conftest import launch, place, start, systemd, watched

__all__ = ["launch", "place", "start", "systemd", "watched"]

pytest.register_assert_rewrite("tests.faults.siege", "tests.faults.hostile")
