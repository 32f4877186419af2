"""What fails around bangeod, injected into the real daemon over its real interfaces: nothing may be lost by it."""

import pytest

pytest.register_assert_rewrite("tests.faults.siege", "tests.faults.hostile")
