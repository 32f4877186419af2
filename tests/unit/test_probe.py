"""The probe: it reaches every record of a file, once, and judges what it finds."""

import random
from collections.abc import Sequence
from pathlib import Path

import maxminddb
import pytest

from bangeod.geo.sources import reader
from bangeod.geo.sources.probe import addresses_of_records, examine, tree_values
from tests.mmdb_files import GOOGLE, nested, write_mmdb


@pytest.fixture(params=["C reader", "pure Python"])
def either_reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pure Python":
        monkeypatch.setattr(reader, "MODE", maxminddb.MODE_MEMORY)


def nodes(values: Sequence[int], record_size: int) -> bytes:
    """Encode nodes as the file format says, plainly."""
    octets = b""
    for left, right in zip(values[::2], values[1::2], strict=True):
        if record_size == 28:
            middle = (left >> 24) << 4 | right >> 24
            octets += (left & 0xFFFFFF).to_bytes(3) + middle.to_bytes(1) + (right & 0xFFFFFF).to_bytes(3)
        else:
            octets += left.to_bytes(record_size // 8) + right.to_bytes(record_size // 8)
    return octets


@pytest.mark.parametrize("record_size", [24, 28, 32])
def test_the_values_of_a_tree(record_size: int) -> None:
    values = [random.Random(record_size).randrange(1 << record_size) for _ in range(1000)]
    assert list(tree_values(nodes(values, record_size), record_size)) == values


def test_each_record_is_reached_by_one_address() -> None:
    # node 0: 0… is node 1, 1… record 20; node 1: 00… is record 21, 01… record 20 again
    values = tree_values(nodes([1, 20, 21, 20], 24), 24)
    assert sorted(addresses_of_records(values, 4)) == ["0.0.0.0", "128.0.0.0"]  # noqa: S104 - nothing is bound


def test_a_tree_that_leads_back_to_itself_ends() -> None:
    values = tree_values(nodes([0, 1, 1, 0], 24), 24)
    assert list(addresses_of_records(values, 6)) == []


@pytest.mark.usefixtures("either_reader")
def test_the_probe_counts_what_the_records_know(tmp_path: Path) -> None:
    path = write_mmdb(
        tmp_path / "test.mmdb", {"1.0.0.0/8": nested("DE"), "2.0.0.0/8": GOOGLE, "2a00::/16": nested("DE") | GOOGLE}
    )
    findings = examine(str(path))
    assert (findings.records, findings.countries, findings.networks) == (3, 2, 2)
