"""A state directory that can't be written: the jobs go on, the log says what and where, and it is made up for.

What at the stop can be written nowhere, neither to the database nor to the state directory, is said as an error.
"""

import errno
import os
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests.faults import strace
from tests.faults.patient import Patient
from tests.support.daemon.installation import Installation

pytestmark = strace.needs_strace

ERRORS = ("ENOSPC", "EIO")
PART = Path(".state.toml.part")  # opened by this name, relative to the directory
GOOGLE = "8.8.8.8"


def files_of(place: Installation) -> list[Path]:
    """Return what bangeod writes to in the state directory, and that itself."""
    names = (place.history.name, place.unwritten.name)
    return [place.state, *(place.state / name for name in (*names, *(f".{name}.part" for name in names)))]


def calls(place: Installation) -> dict[str, list[Path]]:
    """Return the calls that write the state file, and on which paths they count; failing reads are another matter."""
    return {"openat": [PART]} | dict.fromkeys(("write", "fsync", "rename", "renameat", "renameat2"), files_of(place))


def reason(error: str) -> str:
    return os.strerror(getattr(errno, error))


@pytest.mark.parametrize("error", ERRORS)
def test_a_state_file_that_cannot_be_written_is_said_and_made_up_for(patient: Patient, error: str) -> None:
    daemon, place = patient.daemon, patient.place
    faults: Counter[str] = Counter()
    for call, paths in calls(place).items():
        injected = True
        while injected:
            number = faults[call] + 1
            since, before = daemon.mark(), place.history.stat().st_mtime_ns
            fault = strace.Fault(call, f"error={error}", f"{number}+")
            with strace.Attached(daemon.process.pid, paths, [f"?{call}"], fault) as tracer:
                assert patient.run("session_cleanup")["outcome"] == "done"
                tracer.detach()
                injected = tracer.injected
            if injected:
                line = daemon.wait_for("state_unwritable", since=since)
                assert (line["level"], line["path"]) == ("warning", str(place.history))
                assert (line["problem"], bool(line["advice"])) == (reason(error), True)
            assert "session_cleanup" in tomllib.loads(place.history.read_text())["jobs"]
            patient.run("session_cleanup")
            assert place.history.stat().st_mtime_ns != before  # it was written anew, and whole
            assert [path.name for path in place.state.iterdir()] == [place.history.name]
            faults[call] += injected
    assert daemon.stop() == 0
    renamed = sum(times for call, times in faults.items() if call.startswith("rename"))
    # All there is of one write: the part is opened, written, synced and renamed, and the directory synced.
    assert (faults["openat"], faults["write"], faults["fsync"], renamed) == (1, 1, 2, 1)
    print(f"{error}: {faults.total()} faults: {dict(faults)}")


@pytest.mark.parametrize("error", ERRORS)
def test_what_can_be_written_nowhere_at_the_stop_is_said_as_an_error(patient: Patient, error: str) -> None:
    daemon, place = patient.daemon, patient.place
    patient.client.lookup(GOOGLE)
    state = {path.name: path.read_bytes() for path in place.state.iterdir()}
    faults = [strace.Fault(call, f"error={error}", "1+") for call in ("pwrite64", "write", "fsync")]
    files = [*patient.database_files, *files_of(place)]
    with strace.Attached(daemon.process.pid, files, [fault.call for fault in faults], *faults) as tracer:
        assert daemon.stop() == 0
        tracer.ended()
    [failed] = daemon.lines("final_flush_failed")
    assert (failed["level"], failed["database"]) == ("error", str(place.database))
    [lost] = daemon.lines("leftover_unwritable")
    assert (lost["level"], lost["path"], lost["entries"]) == ("error", str(place.unwritten), 1)
    assert lost["problem"] == reason(error)
    assert "looked up" in lost["advice"]
    assert daemon.lines("final_flush", flushed=0, left=1)
    assert place.countries() == {}
    assert {path.name: path.read_bytes() for path in place.state.iterdir()} == state
