"""The state as JSON: times are numbers in the state, text in the document, and numbers again where it is read."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.api.daemon_state import Timestamp
from bangeod.api.status_document import encode, read
from tests.support.daemon.api_host import state


def document(**fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode(state()))
    return found | fields


def test_a_time_is_text_without_a_fraction_and_a_duration_is_a_number() -> None:
    shown = state()
    shown.now, shown.loop_lag = Timestamp(1_795_305_600.99), 0.25
    written = json.loads(encode(shown))
    assert (written["now"], written["loop_lag"]) == ("2026-11-22T00:00:00Z", 0.25)


@given(st.integers(0, 253_402_300_799))  # to the end of 9999, after which there is no text
def test_what_was_written_is_read_as_the_same_state(seconds: int) -> None:
    shown = state()
    shown.started = shown.jobs[0].next_run = Timestamp(seconds)
    assert read(json.loads(encode(shown))) == shown


@pytest.mark.parametrize("started", ["yesterday", "", 7, None, {}])
def test_a_time_that_is_none_is_refused_with_its_place(started: object) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"at `\$\.started`"):
        read(document(started=started))


def test_fields_of_a_newer_daemon_are_passed_over() -> None:
    assert read(document(later={"x": 1})) == state()
