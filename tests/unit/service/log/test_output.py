"""Lines on a stream: whole, one write each, and no harm from a stream that fails."""

import json
import os
import threading
from pathlib import Path

import pytest

from bangeod.service.log.lines import LogEntry, json_line, to_entry
from bangeod.service.log.output import StreamOutput


def entry(event: str = "resolved", **keys: object) -> LogEntry:
    return to_entry({"timestamp": "2026-11-22T01:02:03.000004Z", "level": "info", "event": event, **keys})


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        output = StreamOutput(file, json_line)

        def log_much(n: int) -> None:
            for _ in range(50):
                output.emit(entry(n=n, text="x" * 5000))

        threads = [threading.Thread(target=log_much, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(line["n"] for line in lines) == sorted([*range(4)] * 50)


def test_each_line_is_one_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written: list[bytes] = []

    def write(_descriptor: int, data: bytes) -> int:
        written.append(data)
        return len(data)

    monkeypatch.setattr(os, "write", write)
    with (tmp_path / "log").open("w") as file:
        StreamOutput(file, json_line).emit(entry(text="x" * 50_000))
    assert len(written) == 1


def test_a_reader_that_has_gone_does_no_harm() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as broken:  # noqa: PTH123 - a descriptor, not a path
        output = StreamOutput(broken, json_line)
        output.emit(entry())
        assert output.dropped == 1


def test_a_full_disk_tears_one_line_and_the_next_one_starts_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write, room = os.write, [10, 0]

    def limited(descriptor: int, data: bytes) -> int:
        if not room:
            return write(descriptor, data)
        size = room.pop(0)
        if not size:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:size])

    monkeypatch.setattr(os, "write", limited)
    with (tmp_path / "log").open("w") as file:
        output = StreamOutput(file, json_line)
        output.emit(entry(event="torn"))
        assert output.dropped == 1
        output.emit(entry(event="whole"))
    torn, report, whole = (tmp_path / "log").read_text().splitlines()
    assert torn == json_line(entry(event="torn"))[:10]
    assert (json.loads(report)["event"], json.loads(report)["dropped"]) == ("log_records_dropped", 1)
    assert json.loads(whole)["event"] == "whole"
