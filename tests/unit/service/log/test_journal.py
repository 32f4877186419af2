"""The journal's native protocol, against a real datagram socket that parses it as journald does."""

import array
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.service.log.journal import JournalOutput, encode, field_name, is_journal, to_fields
from bangeod.service.log.lines import LogEntry, to_entry
from bangeod.service.log.output import Output

ALL_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def parse(datagram: bytes) -> list[tuple[str, str]]:
    """Read a datagram as the protocol's text says it is to be read."""
    fields = []
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(rest[:8], "little")
            value, end, rest = rest[8 : 8 + length], rest[8 + length : 9 + length], rest[9 + length :]
            assert end == b"\n"
        fields.append((name.decode(), value.decode()))
        datagram = rest
    return fields


class Journald:
    """Stands in for journald."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.by_descriptor = 0

    def receive(self) -> dict[str, str]:
        content, ancillary, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(4))
        if ancillary:
            assert content == b""
            (descriptor,) = array.array("i", ancillary[0][2])
            assert fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) == ALL_SEALS
            content = os.pread(descriptor, 1 << 24, 0)
            os.close(descriptor)
            self.by_descriptor += 1
        return dict(parse(content))

    def receive_all(self) -> list[dict[str, str]]:
        entries = []
        while True:
            try:
                entries.append(self.receive())
            except BlockingIOError:
                return entries


class Kept(Output):
    """Keeps the entries that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[LogEntry] = []

    def write(self, entry: LogEntry) -> None:
        self.entries.append(entry)


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    journald = Journald(tmp_path / "journal")
    yield journald
    journald.socket.close()


@pytest.fixture
def fallback() -> Kept:
    return Kept()


@pytest.fixture
def journal(tmp_path: Path, fallback: Kept) -> Iterator[JournalOutput]:
    output = JournalOutput(fallback, str(tmp_path / "journal"))
    yield output
    output.close()


def entry(event: str = "started", level: str = "info", **keys: Any) -> LogEntry:
    return to_entry({"timestamp": "2026-11-22T00:00:00.000000Z", "level": level, "event": event, **keys})


def test_each_key_is_a_field_of_its_own(journald: Journald, journal: JournalOutput) -> None:
    journal.emit(entry("job_failed", "error", job_id="geo_re_resolve", correlation_id="c0ffee", tries=3))
    assert journald.receive() == {
        "MESSAGE": "job_failed job_id=geo_re_resolve correlation_id=c0ffee tries=3",
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "bangeod",
        "EVENT": "job_failed",
        "JOB_ID": "geo_re_resolve",
        "CORRELATION_ID": "c0ffee",
        "TRIES": "3",
    }


@pytest.mark.parametrize(
    ("level", "priority"), [("critical", "2"), ("error", "3"), ("warning", "4"), ("info", "6"), ("debug", "7")]
)
def test_levels_are_syslog_priorities(journald: Journald, journal: JournalOutput, level: str, priority: str) -> None:
    journal.emit(entry(level=level))
    assert journald.receive()["PRIORITY"] == priority


def test_a_traceback_is_in_the_message_of_one_entry(journald: Journald, journal: JournalOutput) -> None:
    journal.emit(entry("crashed", "critical", exception="Traceback:\n  here\nValueError: no"))
    received = journald.receive()
    assert received["MESSAGE"] == "crashed\n    Traceback:\n      here\n    ValueError: no"
    assert received["EXCEPTION"] == "Traceback:\n  here\nValueError: no"
    assert journald.receive_all() == []


def test_an_entry_too_large_for_a_datagram_goes_by_a_sealed_memfd(
    journald: Journald, journal: JournalOutput, fallback: Kept
) -> None:
    trace = "\n".join(["x" * 99] * 8_000)
    journal.emit(entry("crashed", "critical", exception=trace))
    assert journald.receive()["EXCEPTION"] == trace
    assert journald.by_descriptor == 1
    assert fallback.entries == []


def test_a_full_journal_drops_entries_without_waiting_and_says_so_later(
    journald: Journald, journal: JournalOutput, fallback: Kept
) -> None:
    sent = 0
    while journal.dropped < 3:
        journal.emit(entry(number=sent))
        sent += 1
    assert len(journald.receive_all()) == sent - 3
    journal.emit(entry("recovered"))
    report, recovered = journald.receive_all()
    assert report["MESSAGE"] == "log_records_dropped dropped=3"
    assert (report["EVENT"], report["PRIORITY"], report["DROPPED"]) == ("log_records_dropped", "4", "3")
    assert recovered["EVENT"] == "recovered"
    assert journal.dropped == 0
    assert fallback.entries == []


def test_a_large_entry_in_a_full_journal_is_dropped_too(
    journald: Journald, journal: JournalOutput, fallback: Kept
) -> None:
    while not journal.dropped:
        journal.emit(entry())
    journald.receive_all()
    while journal.dropped < 2:
        journal.emit(entry())
    journal.emit(entry(exception="x" * 500_000))
    assert journal.dropped == 3
    assert fallback.entries == []


def test_no_memory_for_a_datagram_means_another_way_and_then_a_drop(journald: Journald, journal: JournalOutput) -> None:
    class Exhausted(socket.socket):
        def sendto(self, *_: Any) -> int:
            raise OSError(errno.ENOBUFS, "No buffer space available")

    full = Exhausted(socket.AF_UNIX, socket.SOCK_DGRAM)
    journal.close()
    journal._socket = full
    journal.emit(entry())
    assert journald.receive()["EVENT"] == "started"
    assert journald.by_descriptor == 1


def test_where_there_is_no_journal_the_fallback_has_the_entry(journal: JournalOutput, fallback: Kept) -> None:
    journal.emit(entry("alone"))
    assert [kept["event"] for kept in fallback.entries] == ["alone"]
    assert journal.dropped == 0


def test_a_journal_that_comes_back_is_used_again(tmp_path: Path, journal: JournalOutput, fallback: Kept) -> None:
    path = tmp_path / "journal"
    Journald(path).socket.close()
    journal.emit(entry("nobody_listens"))
    path.unlink()
    journald = Journald(path)
    journal.emit(entry("back"))
    assert [kept["event"] for kept in fallback.entries] == ["nobody_listens"]
    assert [received["EVENT"] for received in journald.receive_all()] == ["back"]
    journald.socket.close()


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("job_id", "JOB_ID"),
        ("max-rows", "MAX_ROWS"),
        ("_pid", "PID"),
        ("__", "FIELD_"),
        ("7z", "FIELD_7Z"),
        ("message", "FIELD_MESSAGE"),
        ("priority", "FIELD_PRIORITY"),
        ("größe", "GR_SSE"),
        ("n" * 80, "N" * 64),
    ],
)
def test_keys_become_names_that_journald_accepts(key: str, name: str) -> None:
    assert field_name(key) == name


@given(key=st.text())
def test_every_key_has_a_valid_name(key: str) -> None:
    name = field_name(key)
    assert name.isascii()
    assert 1 <= len(name) <= 64
    assert name[0].isalpha()
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


@given(st.lists(st.tuples(st.from_regex(r"[A-Z][A-Z0-9_]{0,63}", fullmatch=True), st.text())))
def test_what_is_encoded_is_what_journald_reads(fields: list[tuple[str, str]]) -> None:
    assert parse(encode(fields)) == fields


@given(
    keys=st.dictionaries(st.from_regex(r"[a-z_]{1,20}", fullmatch=True), st.text(st.characters()), max_size=4),
    event=st.text(),
)
def test_no_value_forges_a_field_or_a_line(keys: dict[str, str], event: str) -> None:
    names = [name for name, _ in parse(encode(to_fields(to_entry({"event": event, "level": "info", **keys}))))]
    kept = [key for key in keys if key not in {"event", "level", "timestamp", "exception"}]
    assert names[:4] == ["MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "EVENT"]
    assert len([name for name in names[4:] if name != "EXCEPTION"]) == len(kept)


def test_a_stream_is_the_journal_where_device_and_inode_are_those_of_the_environment(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w") as stream:
        status = os.fstat(stream.fileno())
        same, other = f"{status.st_dev}:{status.st_ino}", f"{status.st_dev}:{status.st_ino + 1}"
        assert is_journal(stream.fileno(), {"JOURNAL_STREAM": same})
        assert not is_journal(stream.fileno(), {"JOURNAL_STREAM": other})
        assert not is_journal(stream.fileno(), {})
    assert not is_journal(-1, {"JOURNAL_STREAM": same})
