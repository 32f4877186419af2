"""MMDBs: what is looked up in them, and how several are merged field by field."""

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bangeod.geo.model import Geo, Origin
from bangeod.geo.sources import mmdb_file, records
from bangeod.geo.sources.mmdb import MmdbFiles, merge
from bangeod.geo.sources.mmdb_file import MmdbSource
from bangeod.geo.sources.probe import Findings
from bangeod.geo.sources.snapshot import Signature
from tests.mmdb_files import GERMANY, GOOGLE, nested, write_mmdb


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "country.mmdb"


async def opened(*paths: Path) -> MmdbFiles:
    files = MmdbFiles(paths)
    await files.refresh()
    return files


async def test_a_nested_file_answers_for_both_ip_versions(path: Path) -> None:
    write_mmdb(path, {"1.0.0.0/8": nested("DE", "FR"), "2a00::/16": nested("FR")})
    files = await opened(path)
    assert files.loaded
    assert files.origin is Origin.MMDB
    assert files.find("1.2.3.4") == Geo("DE", "Land DE")
    assert files.find("2a00::1") == Geo("FR", "Land FR")
    assert files.find("9.9.9.9") is None
    files.close()


async def test_a_flat_file_answers(path: Path) -> None:
    write_mmdb(path, {"1.0.0.0/8": {"country_code": "DE"}})
    files = await opened(path)
    assert files.find("1.2.3.4") == Geo("DE", "Germany")
    files.close()


async def test_an_ipv4_file_has_no_answer_for_ipv6_and_no_error(path: Path) -> None:
    write_mmdb(path, {"1.0.0.0/8": {"country_code": "DE"}}, ip_version=4)
    files = await opened(path)
    assert files.find("2a00::1") is None
    assert files.states()[0].lookup_errors == 0
    files.close()


@pytest.mark.parametrize("ip", ["64:ff9b::102:304", "2002:102:304::1"])
async def test_the_ipv4_address_that_an_ipv6_one_carries_is_asked_about(path: Path, ip: str) -> None:
    write_mmdb(path, {"1.0.0.0/8": {"country_code": "DE"}}, ip_version=4)
    files = await opened(path)
    assert files.find(ip) == Geo("DE", "Germany")
    files.close()


async def test_equal_answers_are_one_object(path: Path) -> None:
    write_mmdb(
        path, {"1.0.0.0/8": {"country_code": "DE", "city": "A"}, "2.0.0.0/8": {"country_code": "DE", "city": "B"}}
    )
    files = await opened(path)
    assert files.find("1.1.1.1") is files.find("2.2.2.2")
    files.close()


async def test_files_are_merged_field_by_field(tmp_path: Path) -> None:
    country = write_mmdb(tmp_path / "country.mmdb", {"1.0.0.0/8": {"country": GERMANY}})
    asn = write_mmdb(tmp_path / "asn.mmdb", {"1.0.0.0/9": GOOGLE, "2.0.0.0/8": GOOGLE | {"country_code": "FR"}})
    files = await opened(country, asn)
    assert files.find("1.1.1.1") == Geo("DE", "Germany", "AS15169", "Google LLC")
    assert files.find("1.1.1.1") is files.find("1.1.1.2")
    assert files.find("1.200.1.1") == Geo("DE", "Germany")
    assert files.find("2.2.2.2") == Geo("FR", "France", "AS15169", "Google LLC")
    assert files.find("3.3.3.3") is None
    files.close()


@pytest.mark.parametrize(
    ("known", "more", "merged"),
    [
        (Geo(), Geo("DE", "Germany"), Geo("DE", "Germany")),
        (Geo("DE", "Deutschland"), Geo("FR", "France", "AS1", "A"), Geo("DE", "Deutschland", "AS1", "A")),
        (Geo("DE", None), Geo("FR", "France"), Geo("DE", None)),
        (Geo(asn="AS1"), Geo(asn="AS1", org="A"), Geo(asn="AS1", org="A")),
        (Geo(asn="AS1"), Geo(org="A"), Geo(asn="AS1", org="A")),
        (Geo(asn="AS1"), Geo(asn="AS2", org="B"), Geo(asn="AS1")),
    ],
)
def test_what_the_first_knows_stays_and_names_stay_with_what_they_name(known: Geo, more: Geo, merged: Geo) -> None:
    assert merge(known, more) == merged


class RaisingReader:
    def get(self, ip: str) -> dict[str, Any]:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, ip)

    def close(self) -> None:
        pass


class ConstantReader(RaisingReader):
    def __init__(self, record: object) -> None:
        self.record = record

    def get(self, ip: str) -> Any:
        return self.record


def source_on(fake: RaisingReader) -> MmdbSource:
    findings = Findings("Test", 1_700_000_000, 6, 1, 1, 0)
    return MmdbSource(Path("/test.mmdb"), Signature(1, 2, 3, 4, 5), findings, fake)  # type: ignore[arg-type]


def test_a_lookup_that_raises_is_no_answer_and_is_logged_once() -> None:
    source = source_on(RaisingReader())
    with capture_logs() as logs:
        assert source.find("1.1.1.1") is None
        assert source.find("1.1.1.2") is None
    assert source.lookup_errors == 2
    assert [(line["event"], line["path"]) for line in logs] == [("mmdb_lookup_failed", "/test.mmdb")]


@pytest.mark.parametrize(
    "record",
    [None, "US", ["US"], {"country_code": ["US"]}, {"country_code": ["US"], "country": "DE"}, {"asn": "x" * 9999}],
)
def test_a_source_says_of_a_record_what_its_interpretation_says(record: object) -> None:
    source = source_on(ConstantReader(record))
    assert source.find("1.1.1.1") == records.interpret(record)
    assert source.find("1.1.1.1") == records.interpret(record)


def test_the_memo_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmdb_file, "_MAX_MEMO", 3)
    fake = ConstantReader(None)
    source = source_on(fake)
    for number in range(1, 20):
        fake.record = {"asn": number}
        assert source.find("1.1.1.1") == Geo(asn=f"AS{number}")
    assert len(source._by_essence) <= 3
    assert len(source._shared) <= 3
