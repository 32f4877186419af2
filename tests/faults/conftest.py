"""What the tests of faults share."""

from collections.abc import Iterator

import pytest

from tests.conftest import Start
from tests.faults.patient import Patient
from tests.installation import Installation


@pytest.fixture
def patient(start: Start, place: Installation) -> Iterator[Patient]:
    """Give a daemon whose jobs run when they are told to."""
    patient = Patient(start, place)
    with patient.client:
        yield patient
