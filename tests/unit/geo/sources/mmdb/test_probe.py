"""The probe: it reaches every record of a file, once, and judges what it finds."""

import random
import subprocess
import sys
from array import array
from collections.abc import Mapping, Sequence
from ipaddress import IPv6Network
from pathlib import Path

import maxminddb
import pytest

from bangeod.geo.sources.mmdb import reader
from bangeod.geo.sources.mmdb.probe import examine
from bangeod.geo.sources.mmdb.tree import DamagedError, records_reached, tree_values
from tests.support.mmdb.files import GOOGLE, nested, write_mmdb


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
    assert sorted(records_reached(values, 4)) == [
        ("0.0.0.0", True, False),  # noqa: S104 - nothing is bound
        ("128.0.0.0", True, False),
    ]


@pytest.mark.parametrize("values", [[0, 1, 1, 0], [1, 2, 0, 2], [1, 3, 2, 3, 1, 3], [1, 2, 2, 1]])
def test_a_tree_that_leads_back_to_itself_is_damaged(values: list[int]) -> None:
    with pytest.raises(DamagedError, match="leads back to itself"):
        list(records_reached(tree_values(nodes(values, 24), 24), 6))


def chain(length: int, last: int) -> list[int]:
    """Return a tree of so many nodes, one below the other on the left, and nothing on the right."""
    return [value for node in range(1, length + 1) for value in (node if node < length else last, length)]


def test_a_tree_is_as_deep_as_an_address_has_bits() -> None:
    (record,) = records_reached(tree_values(nodes(chain(32, 40), 24), 24), 4)
    assert record == ("0.0.0.0", True, False)  # noqa: S104 - nothing is bound
    for last in (33, 40):  # nothing, a record
        with pytest.raises(DamagedError, match="damaged search tree"):
            list(records_reached(tree_values(nodes(chain(33, last), 24), 24), 4))


def test_ipv4_may_be_at_several_places_of_an_ipv6_tree() -> None:
    # The right side of the root leads to where 100 zeros lead, too: a shorter way to the same 28 nodes.
    values = chain(128, 200)
    values[1] = 100
    (record,) = records_reached(tree_values(nodes(values, 24), 24), 6)
    assert record == ("8000::", True, False)


def tree(places: Mapping[str, int | str]) -> "array[int]":
    """Return an IPv6 tree: at each network the record of a number, or all that is at another network."""
    grown: list[list[int | None]] = [[None, None]]  # nodes by number, records by theirs below zero

    def place(network: str) -> tuple[int, int]:
        node, bit = 0, 0
        first, length = IPv6Network(network).network_address, IPv6Network(network).prefixlen
        for position in range(length):
            bit = int(first) >> 127 - position & 1
            if position < length - 1:
                node = grown[node][bit] or grow(node, bit)
        return node, bit

    def grow(node: int, bit: int) -> int:
        grown.append([None, None])
        grown[node][bit] = len(grown) - 1
        return len(grown) - 1

    for network, record in places.items():
        node, bit = place(network)
        if isinstance(record, str):
            there, side = place(record)
            grown[node][bit] = grown[there][side] or grow(there, side)
        else:
            grown[node][bit] = -record
    count = len(grown)
    flat = [value for pair in grown for value in pair]
    return array("I", [count if value is None else value if value > 0 else count + 15 - value for value in flat])


@pytest.mark.parametrize(
    ("places", "reached"),
    [
        pytest.param({"::102:300/120": 1}, {(True, False)}, id="IPv4"),
        pytest.param({"2a00::/16": 1}, {(False, True)}, id="IPv6"),
        pytest.param({"::102:300/120": 1, "2a00::/16": 1}, {(True, True)}, id="one record for both"),
        pytest.param({"::102:300/120": 1, "2a00::/16": 2}, {(True, False), (False, True)}, id="one for each"),
        pytest.param({"::102:300/120": 1, "2002::/16": "::/96"}, {(True, False)}, id="alias of 6to4"),
        pytest.param({"::102:300/120": 1, "::ffff:0:0/96": "::/96"}, {(True, False)}, id="alias of mapped addresses"),
        pytest.param({"2001::/32": 1, "2002:102::/32": 1, "fc00::/7": 1}, {(False, False)}, id="never asked about"),
        pytest.param({"::/1": 1}, {(True, True)}, id="one record for all"),
        pytest.param({"::/90": 1}, {(True, False)}, id="one record for all of IPv4"),
        pytest.param({"fc00::/24": 1, "2a00::/16": "fc00::/8"}, {(False, True)}, id="a part that leads elsewhere"),
        pytest.param({"2a00::/24": 1, "fd00::/8": "2a00::/16"}, {(False, True)}, id="elsewhere leads to a part"),
        pytest.param({"::102:0/112": 1, "2a00::/16": "::100:0/104"}, {(True, True)}, id="parts that share nodes"),
    ],
)
def test_of_which_ip_version_a_record_answers(places: Mapping[str, int | str], reached: set[tuple[bool, bool]]) -> None:
    assert {(record.ipv4, record.ipv6) for record in records_reached(tree(places), 6)} == reached


def test_what_a_file_is_good_for(tmp_path: Path) -> None:
    both = write_mmdb(tmp_path / "a", {"1.0.0.0/8": nested("US") | GOOGLE, "2a00::/16": nested("US") | GOOGLE})
    assert str(examine(str(both)).coverage) == "countries and AS of IPv4 and IPv6"
    asn = write_mmdb(tmp_path / "b", {"1.0.0.0/8": GOOGLE, "2a00::/16": GOOGLE})
    assert str(examine(str(asn)).coverage) == "AS of IPv4 and IPv6, no countries"
    mixed = write_mmdb(tmp_path / "c", {"1.0.0.0/8": nested("US") | GOOGLE, "2a00::/16": nested("US")})
    assert str(examine(str(mixed)).coverage) == "countries of IPv4 and IPv6, AS of IPv4"
    six = write_mmdb(tmp_path / "d", {"2a00::/16": nested("US"), "2002::/17": nested("US")})
    assert str(examine(str(six)).coverage) == "countries of IPv6"
    four = write_mmdb(tmp_path / "e", {"1.0.0.0/8": nested("US")}, ip_version=4)
    assert str(examine(str(four)).coverage) == "countries of IPv4"
    none = write_mmdb(tmp_path / "f", {"fc00::/7": nested("US")})
    assert str(examine(str(none)).coverage) == "no routable address"


def test_a_way_around_may_not_be_longer_than_an_address_either() -> None:
    values = chain(33, 40)
    values[1] = 2  # right at the root skips a node: the shortest way to the last one is just short enough
    with pytest.raises(DamagedError, match="damaged search tree"):
        list(records_reached(tree_values(nodes(values, 24), 24), 4))


@pytest.mark.slow
def test_a_machine_short_of_memory_ends_the_probe_before_the_daemon(tmp_path: Path) -> None:
    program = (
        "import bangeod.geo.sources.mmdb.probe as probe; probe.main(); print(open('/proc/self/oom_score_adj').read())"
    )
    with write_mmdb(tmp_path / "test.mmdb", {"1.0.0.0/8": nested("DE")}).open("rb") as file:
        command = [sys.executable, "-c", program, str(file.fileno())]
        done = subprocess.run(command, pass_fds=[file.fileno()], capture_output=True, text=True, check=True)
    findings, _, score = done.stdout.partition("}")
    assert '"records": 1' in findings
    assert int(score) == 1000


@pytest.mark.usefixtures("either_reader")
def test_the_probe_counts_what_the_records_know(tmp_path: Path) -> None:
    path = write_mmdb(
        tmp_path / "test.mmdb", {"1.0.0.0/8": nested("DE"), "2.0.0.0/8": GOOGLE, "2a00::/16": nested("DE") | GOOGLE}
    )
    findings = examine(str(path))
    assert (findings.records, findings.countries, findings.systems) == (3, 2, 2)
