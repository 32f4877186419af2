"""MMDBs: what is looked up in them, and how several are merged field by field."""

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bangeod.geo.sources.mmdb import file, layouts
from bangeod.geo.sources.mmdb.file import MmdbSource
from bangeod.geo.sources.mmdb.merged import MmdbFiles
from bangeod.geo.sources.mmdb.probe import Findings
from bangeod.geo.sources.mmdb.snapshot import Signature
from bangeod.model import Geo, Origin, merge
from tests.support.mmdb.files import FRANCE, GERMANY, GOOGLE, nested, write_mmdb


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


LAYOUTS: dict[str, dict[str, Any]] = {
    "MaxMind": {
        "continent": {"code": "EU", "names": {"en": "Europe"}},
        "country": GERMANY,
        "registered_country": FRANCE,
        "traits": {"autonomous_system_number": 15169, "autonomous_system_organization": "Google LLC"},
    },
    "DB-IP": {
        "continent": {"code": "EU", "geoname_id": 6255148, "names": {"en": "Europe"}},
        "country": {"geoname_id": 2921044, "is_in_european_union": True, "iso_code": "DE", "names": {"en": "Germany"}},
        "traits": GOOGLE,
    },
    "IPinfo": {
        "continent": "Europe",
        "continent_code": "EU",
        "country": "Germany",
        "country_code": "DE",
        "asn": "AS15169",
        "as_name": "Google LLC",
        "as_domain": "google.com",
    },
    "ip-location-db": {"country_code": "DE"} | GOOGLE,
}


@pytest.mark.parametrize("record", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(("name", "database_type"), [("GeoLite2-ASN.mmdb", "GeoLite2-City"), ("x", "ipinfo lite.mmdb")])
async def test_the_record_says_what_layout_it_has_not_the_file(
    tmp_path: Path, record: dict[str, Any], name: str, database_type: str
) -> None:
    path = write_mmdb(tmp_path / name, {"1.0.0.0/8": record, "2a00::/16": record}, database_type=database_type)
    files = await opened(path)
    for ip in ("1.2.3.4", "2a00::1"):
        assert files.find(ip) == Geo("DE", "Germany", "AS15169", "Google LLC")
    files.close()


async def test_layouts_may_be_mixed_in_one_file(path: Path) -> None:
    networks = {f"{octet}.0.0.0/8": record for octet, record in enumerate(LAYOUTS.values(), start=1)}
    files = await opened(write_mmdb(path, networks))
    assert {files.find(f"{octet}.1.1.1") for octet in range(1, 5)} == {Geo("DE", "Germany", "AS15169", "Google LLC")}
    files.close()


async def test_an_ipv4_file_has_no_answer_for_ipv6_and_no_error(path: Path) -> None:
    write_mmdb(path, {"1.0.0.0/8": {"country_code": "DE"}}, ip_version=4)
    files = await opened(path)
    assert files.find("2a00::1") is None
    assert files.states()[0].lookup_errors == 0
    files.close()


CARRYING = ["64:ff9b::102:304", "2002:102:304::1", "2001:0:4136:e378:8000:63bf:fefd:fcfb"]  # 1.2.3.4 each


@pytest.mark.parametrize("ip", CARRYING)
async def test_the_ipv4_address_that_an_ipv6_one_carries_is_asked_about(path: Path, ip: str) -> None:
    write_mmdb(path, {"1.0.0.0/8": {"country_code": "DE"}}, ip_version=4)
    files = await opened(path)
    assert files.find(ip) == Geo("DE", "Germany")
    files.close()


@pytest.mark.parametrize("ip", CARRYING)
@pytest.mark.parametrize(("known", "geo"), [("1.0.0.0/8", Geo("DE", "Germany")), ("9.0.0.0/8", None)])
async def test_what_a_file_says_of_6to4_and_teredo_themselves_is_not_believed(
    path: Path, ip: str, known: str, geo: Geo | None
) -> None:
    us = {"country_code": "US"}  # in one record for each of these networks, as DB-IP's files have it
    write_mmdb(path, {known: {"country_code": "DE"}, "2002::/16": us, "2001::/32": us, "64:ff9b::/96": us})
    files = await opened(path)
    assert files.find(ip) == geo
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
    def get_with_prefix_len(self, ip: str) -> tuple[Any, int]:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, ip)

    def close(self) -> None:
        pass


class ConstantReader(RaisingReader):
    def __init__(self, record: object) -> None:
        self.record = record

    def get_with_prefix_len(self, ip: str) -> tuple[Any, int]:
        return self.record, 32


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


def test_where_a_lookup_raises_the_next_file_is_asked() -> None:
    files = MmdbFiles([])
    files._sources = source_on(RaisingReader()), source_on(ConstantReader({"country_code": "DE"}))
    with capture_logs():
        assert files.find("1.1.1.1") == Geo("DE", "Germany")


@pytest.mark.parametrize(
    "record",
    [None, "US", ["US"], {"country_code": ["US"]}, {"country_code": ["US"], "country": "DE"}, {"asn": "x" * 9999}],
)
def test_a_source_says_of_a_record_what_its_interpretation_says(record: object) -> None:
    source = source_on(ConstantReader(record))
    assert source.find("1.1.1.1") == layouts.interpret(record)
    assert source.find("1.1.1.1") == layouts.interpret(record)


def test_the_memo_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "_MAX_MEMO", 3)
    fake = ConstantReader(None)
    source = source_on(fake)
    for number in range(1, 20):
        fake.record = {"asn": number}
        assert source.find("1.1.1.1") == Geo(asn=f"AS{number}")
    assert len(source._by_essence) <= 3
    assert len(source._shared) <= 3
