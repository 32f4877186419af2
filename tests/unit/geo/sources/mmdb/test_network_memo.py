"""Answers remembered by network: the same as the file's, for every address."""

from ipaddress import IPv4Address, ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bangeod.geo.sources.mmdb import network_memo
from bangeod.geo.sources.mmdb.file import MmdbSource, open_file
from bangeod.geo.sources.mmdb.network_memo import NetworkMemo
from bangeod.model import Geo
from tests.support.examples import at_most
from tests.support.mmdb.files import nested, write_mmdb

GERMANY, FRANCE = Geo("DE"), Geo("FR")
CODES = ("DE", "FR", "US", "JP")
# Networks of all sizes close together, so that one lies within another or is its neighbour.
spaces = st.builds(
    lambda bits, length: str(ip_network((0x08000000 | bits >> 8 << 8, length), strict=False)),
    st.integers(0, 0xFFFFFF),
    st.integers(6, 32),
)
addresses = st.integers(0x07FE0000, 0x0901FFFF).map(lambda number: str(IPv4Address(number)))


@settings(max_examples=at_most(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(spaces, st.sampled_from(CODES), min_size=1, max_size=12), st.lists(addresses, max_size=60))
async def test_a_source_that_remembers_says_what_a_fresh_one_says(
    tmp_path: Path, said: dict[str, str], asked: list[str]
) -> None:
    path = write_mmdb(tmp_path / "country.mmdb", {network: nested(code) for network, code in said.items()})
    remembering = await open_file(path)
    asked += [network.partition("/")[0] for network in said]
    try:
        for ip in asked + asked:
            assert remembering.find(ip) == forgetful(remembering).find(ip)
    finally:
        remembering.close()


def forgetful(source: MmdbSource) -> MmdbSource:
    return MmdbSource(source.path, source.signature, source.findings, source._reader)


@pytest.mark.parametrize(
    ("length", "known", "unknown"),
    [
        (16, ["8.8.255.255", "8.8.0.0"], ["8.7.255.255", "8.9.0.0"]),
        (14, ["8.8.0.0", "8.11.255.255"], ["8.7.255.255", "8.12.0.0"]),
        (8, ["8.0.0.0", "8.255.255.255"], ["7.255.255.255", "9.0.0.0"]),
        (4, ["8.0.0.0", "8.255.255.255"], ["9.0.0.0"]),
        (17, ["8.8.8.0", "8.8.8.255"], ["8.8.9.0", "8.8.0.0"]),
        (24, ["8.8.8.0", "8.8.8.255"], ["8.8.9.0", "8.8.7.255"]),
        (25, [], ["8.8.8.8"]),
        (32, [], ["8.8.8.8"]),
        (0, [], ["8.8.8.8"]),
        (-3, [], ["8.8.8.8"]),
    ],
)
def test_an_answer_holds_for_the_network_it_was_given_for(length: int, known: list[str], unknown: list[str]) -> None:
    memo = NetworkMemo()
    memo.remember("8.8.8.8", length, GERMANY)
    assert [memo.find(ip) for ip in known] == [GERMANY] * len(known)
    assert [memo.find(ip) for ip in unknown] == [...] * len(unknown)


def test_that_nothing_is_known_is_an_answer_too() -> None:
    memo = NetworkMemo()
    memo.remember("8.8.8.8", 24, None)
    assert memo.find("8.8.8.9") is None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_memo, "_MOST", 4)
    memo = NetworkMemo()
    for octet in range(20):
        memo.remember(f"8.8.{octet}.1", 24, GERMANY)
        memo.remember(f"8.{octet}.8.1", 16, FRANCE)
    assert (len(memo._long), len(memo._short)) == (4, 4)
