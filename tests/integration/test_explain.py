"""`bangeod lookup --explain`: what each source says of an address, by a daemon or without; nothing is changed."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, every, text
from tests.support.daemon.process import bangeod
from tests.support.mmdb.files import FRANCE, GERMANY, GOOGLE, write_mmdb

IP, OTHER = "8.8.8.8", "9.9.9.9"
BUILT = 1_790_000_000
LONG_AGO = "2001-01-01T00:00:00Z"
API = {"api.enabled": True}


@pytest.fixture
def files(place: Installation) -> list[Path]:
    """Have an installation with three files: MaxMind's countries, its networks, and somebody else's countries."""
    paths = [
        write_mmdb(
            place.home / "country.mmdb",
            {"8.8.8.0/24": {"country": GERMANY}},
            database_type="GeoLite2-Country",
            build_epoch=BUILT,
        ),
        write_mmdb(place.home / "asn.mmdb", {"8.8.0.0/16": GOOGLE}, database_type="GeoLite2-ASN"),
        write_mmdb(place.home / "other.mmdb", {"0.0.0.0/0": {"country_code": "FR", "key": b"\x00\xff"}}),
    ]
    place.configure({"geo.mmdb": [*map(str, paths), str(place.home / "missing.mmdb")]})
    return paths


def explained(place: Installation, *ips: str) -> list[Any]:
    ran = bangeod("lookup", "--explain", *ips, "--json", "--config", str(place.config))
    assert (ran.returncode, ran.stderr.count("Traceback")) == (0, 0), ran.stderr
    documents: list[Any] = json.loads(ran.stdout)
    return documents


def by_source(explanation: Any) -> dict[str, Any]:
    return {said["source"]: said for said in explanation["sources"] if said["source"] != "mmdb"}


def test_each_source_is_shown_in_the_order_in_which_they_are_asked(place: Installation, files: list[Path]) -> None:
    [explanation] = explained(place, IP)
    assert [said["source"] for said in explanation["sources"]] == [
        *("memory", "database"),
        *["mmdb"] * 4,
        *("embedded", "ip-api"),
    ]
    country, asn, other, missing = explanation["sources"][2:6]
    assert country["file"] | {"record": None, "model": None} == {
        "path": str(files[0]),
        "status": "loaded",
        "database_type": "GeoLite2-Country",
        "build_time": "2026-09-21T14:13:20Z",
        "network": "8.8.8.0/24",
        "asked": None,
        "record": None,
        "model": None,
    }
    assert country["file"]["record"] == {"country": GERMANY}
    assert country["file"]["model"]["name"] == "geoip2.models.Country"
    assert country["file"]["model"]["fields"]["country"] == GERMANY
    assert country["says"] == {"country_code": "DE", "country_name": "Germany", "asn": None, "org": None}
    assert asn["file"]["model"]["fields"]["autonomous_system_number"] == 15169
    assert (other["file"]["record"], other["file"]["model"]) == ({"country_code": "FR", "key": "00ff"}, None)
    assert (missing["file"]["status"], missing["says"]) == ("missing", None)
    assert "no such file" in missing["note"]


def test_who_decides_each_field_of_the_answer_is_said(place: Installation, files: list[Path]) -> None:
    [explanation] = explained(place, IP)
    assert explanation["answer"] == {
        "country_code": "DE",
        "country_name": "Germany",
        "asn": "AS15169",
        "org": "Google LLC",
    }
    country, asn, _ = map(str, files)
    decided = {"country_code": country, "country_name": country, "asn": asn, "org": asn}
    assert (explanation["origin"], explanation["decided_by"]) == ("mmdb", decided)


def test_a_name_that_no_source_has_is_the_one_of_the_table(place: Installation, files: list[Path]) -> None:
    place.insert(rows=[(OTHER, "DE", text())])
    place.execute("UPDATE geo_cache SET country_name = 'Deutschland'")
    bangeod("lookup", "8.8.8.9", "--config", str(place.config))
    [explanation] = explained(place, IP)
    assert explanation["answer"]["country_name"] == "Deutschland"
    assert explanation["decided_by"]["country_name"] == "country_names"


def test_what_the_database_has_is_the_answer(place: Installation, files: list[Path]) -> None:
    place.insert(rows=[(IP, "SE", LONG_AGO)])
    [explanation] = explained(place, IP)
    assert (explanation["answer"]["country_code"], explanation["origin"]) == ("SE", "database")
    assert explanation["decided_by"] == {"country_code": "database"}
    assert by_source(explanation)["database"]["note"] == f"last seen {LONG_AGO}"


@pytest.mark.parametrize("daemon", [True, False], ids=["with a daemon", "without"])
def test_the_answer_is_that_of_a_lookup_where_a_row_has_an_as_and_no_country(
    start: Start, place: Installation, daemon: bool
) -> None:
    file = str(write_mmdb(place.home / "country.mmdb", {"8.8.8.0/24": {"country_code": "DE"}}))
    place.configure({"geo.mmdb": [file], "geo.embedded": False})
    place.execute("INSERT INTO geo_cache (ip, asn, org) VALUES ('8.8.8.8', 'AS15169', 'Google')")
    place.execute("INSERT INTO geo_cache (ip, asn, org) VALUES ('9.9.9.9', 'AS19281', 'Quad9')")
    if daemon:
        start(API, every("1h"))
    found, partly = explained(place, IP, OTHER)
    row = "memory" if daemon else "database"
    assert (found["origin"], found["answer"]["country_code"]) == ("mmdb", "DE")
    assert found["decided_by"] == {"country_code": file, "country_name": file, "asn": row, "org": row}
    assert (partly["status"], partly["origin"], partly["decided_by"]) == ("unresolved", None, {"asn": row, "org": row})
    looked_up = json.loads(bangeod("lookup", IP, OTHER, "--json", "--config", str(place.config)).stdout)
    keys = ("country_code", "country_name", "asn", "org")
    assert [{key: entry[key] for key in keys} for entry in looked_up] == [found["answer"], partly["answer"]]


def test_what_is_no_routable_address_has_no_sources(place: Installation) -> None:
    answers = explained(place, "10.0.0.1", "no address")
    assert [(each["status"], each["sources"]) for each in answers] == [("private", []), ("invalid", [])]


def test_where_no_file_is_in_use_the_embedded_default_is_in_force(place: Installation) -> None:
    explanation, ipv6 = explained(place, IP, "2a00::1")
    assert by_source(explanation)["embedded"]["says"]["country_code"] == "US"
    assert by_source(explanation)["embedded"]["note"] == "in force"
    assert by_source(ipv6)["embedded"]["note"] == "in force, and knows IPv4 alone"
    assert explanation["decided_by"] == {"country_code": "embedded", "country_name": "embedded"}


def test_a_file_with_countries_of_ipv4_takes_the_embedded_default_out_of_force(
    place: Installation, files: list[Path]
) -> None:
    [explanation] = explained(place, IP)
    embedded = by_source(explanation)["embedded"]
    assert embedded == {
        "source": "embedded",
        "says": None,
        "note": "not in force: the MMDBs in use have countries of IPv4",
        "file": None,
    }


def test_beside_a_file_of_networks_the_embedded_default_has_the_countries(
    place: Installation, files: list[Path]
) -> None:
    place.configure({"geo.mmdb": [str(files[1])]})
    [explanation] = explained(place, IP)
    assert explanation["answer"] == {
        "country_code": "US",
        "country_name": "United States",
        "asn": "AS15169",
        "org": "Google LLC",
    }
    assert by_source(explanation)["embedded"]["note"] == "in force: no MMDB in use has countries of IPv4"
    network = str(files[1])
    assert explanation["decided_by"] == {
        "country_code": "embedded",
        "country_name": "embedded",
        "asn": network,
        "org": network,
    }


def test_an_answer_without_a_country_has_the_rest_and_no_origin(place: Installation, files: list[Path]) -> None:
    place.configure({"geo.mmdb": [str(files[1])], "geo.embedded": False})
    place.insert(rows=[(OTHER, None, LONG_AGO)])
    place.execute("UPDATE geo_cache SET asn = 'AS64500', org = 'Example'")
    by_file, by_row = explained(place, IP, OTHER)
    assert by_source(by_file)["embedded"]["note"] == "off"
    assert (by_file["status"], by_file["origin"], by_file["answer"]["asn"]) == ("unresolved", None, "AS15169")
    assert by_file["decided_by"] == {"asn": str(files[1]), "org": str(files[1])}
    assert (by_row["status"], by_row["origin"], by_row["answer"]["asn"]) == ("unresolved", None, "AS64500")
    assert by_row["decided_by"] == {"asn": "database", "org": "database"}


def test_what_a_row_without_a_country_knows_completes_what_the_sources_say(place: Installation) -> None:
    place.insert(rows=[(IP, None, LONG_AGO)])
    place.execute("UPDATE geo_cache SET asn = 'AS64500'")
    [explanation] = explained(place, IP)
    assert (explanation["answer"]["country_code"], explanation["answer"]["asn"]) == ("US", "AS64500")
    assert explanation["decided_by"] == {"country_code": "embedded", "country_name": "embedded", "asn": "database"}


def test_the_sources_are_asked_for_the_ipv4_address_that_another_carries(place: Installation) -> None:
    carriers = {
        "6to4": "2002:808:808::1",
        "Teredo": "2001:0:4136:e378:8000:63bf:f7f7:f7f7",
        "NAT64": "64:ff9b::808:808",
    }
    for explanation in explained(place, *carriers.values()):
        assert explanation["answer"]["country_code"] == "US"
        assert by_source(explanation)["embedded"]["note"] == "in force; asked for 8.8.8.8, which the address carries"


def test_a_file_that_is_not_there_was_asked_for_nothing(place: Installation, files: list[Path]) -> None:
    [explanation] = explained(place, "2002:808:808::1")
    assert explanation["sources"][5]["file"]["asked"] is None


def test_of_an_address_that_carries_another_that_one_is_asked_for(place: Installation, files: list[Path]) -> None:
    [explanation] = explained(place, "2002:808:808::1")
    file = explanation["sources"][2]["file"]
    assert (file["asked"], file["network"]) == (IP, "8.8.8.0/24")
    assert explanation["answer"]["country_code"] == "DE"


@pytest.mark.parametrize("daemon", [True, False], ids=["with a daemon", "without"])
def test_nothing_is_changed_by_it(start: Start, place: Installation, files: list[Path], daemon: bool) -> None:
    place.insert(rows=[("1.2.3.4", None, LONG_AGO), ("5.6.7.8", "DE", LONG_AGO)])
    if daemon:
        start(API, {"geo.mmdb": [str(files[0])]}, every("1h"))
        before = place.contents()
        explained(place, IP, "1.2.3.4", "5.6.7.8")
        assert json.loads(bangeod("status", "--json", "--config", str(place.config)).stdout)["cache"]["dirty"] == 0
    else:
        before = place.contents()
        explained(place, IP, "1.2.3.4", "5.6.7.8")
        assert not list(place.state.iterdir())
    assert place.contents() == before


def test_the_daemon_says_what_its_memory_has(start: Start, place: Installation) -> None:
    place.insert(rows=[(IP, "SE", text())])
    start(API)
    [explanation] = explained(place, IP)
    assert by_source(explanation)["memory"]["says"]["country_code"] == "SE"
    assert (explanation["origin"], explanation["decided_by"]) == ("memory", {"country_code": "memory"})


def test_ip_api_is_never_asked(place: Installation) -> None:
    place.configure({"geo.ip_api.enabled": True, "geo.ip_api.url": "http://127.0.0.1:9/batch"})
    [explanation] = explained(place, IP)
    assert by_source(explanation)["embedded"]["note"] == "not in force: ip-api is on"
    assert by_source(explanation)["ip-api"]["note"] == "on: a lookup would ask it"
    assert (explanation["status"], explanation["origin"]) == ("unresolved", None)
    assert not (place.state / "state.toml").exists()


def test_a_pause_of_ip_api_is_said(place: Installation) -> None:
    (place.state / "state.toml").write_text("[ip_api]\npaused_until = 2200-01-01T00:00:00Z\n")
    place.configure({"geo.ip_api.enabled": True})
    [explanation] = explained(place, IP)
    assert by_source(explanation)["ip-api"]["note"].startswith("paused until ")
    assert tomllib.loads((place.state / "state.toml").read_text())["ip_api"]


def test_for_a_person_it_is_a_block_of_lines_for_each_address(place: Installation, files: list[Path]) -> None:
    ran = bangeod("lookup", "--explain", IP, "10.0.0.1", "--config", str(place.config))
    assert (ran.returncode, "Traceback" in ran.stderr) == (0, False)
    block, private = ran.stdout.rstrip("\n").split("\n\n")
    lines = block.splitlines()
    assert lines[0] == f"{IP}: resolved"
    assert "          taken: DE Germany" in lines
    assert "            country.name  Germany" in lines
    assert "answer    DE Germany, AS15169 Google LLC" in lines
    assert max(len(line) for line in lines if str(place.home) not in line) <= 80
    assert private == "10.0.0.1: private"


def test_it_is_no_use_together_with_cached_only(place: Installation) -> None:
    ran = bangeod("lookup", "--explain", "--cached-only", IP, "--config", str(place.config))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--cached-only" in ran.stderr


def test_the_daemon_does_without_geoip2() -> None:
    program = "import sys, bangeod.cli, bangeod.service.daemon; sys.exit('geoip2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_file_whose_record_is_hostile_is_shown_all_the_same(place: Installation) -> None:
    deep: dict[str, Any] = {"country_code": "DE", "number": 2**127}
    for _ in range(100):
        deep = {"country": FRANCE, "deeper": deep}
    file = write_mmdb(place.home / "deep.mmdb", {"8.8.8.0/24": deep}, database_type="GeoLite2-Country")
    place.configure({"geo.mmdb": [str(file)]})
    [explanation] = explained(place, IP)
    assert explanation["answer"]["country_code"] == "FR"
