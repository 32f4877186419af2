"""Real daemons of two hosts, each with a file of SQLite's, and a fleet on a real PostgreSQL server between them."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Start
from tests.support.daemon.installation import Installation, every
from tests.support.daemon.process import DaemonProcess, bangeod
from tests.support.feed import eventually
from tests.support.mmdb.files import nested, write_mmdb
from tests.support.servers import postgres
from tests.support.servers.fleet import ROLES, FleetDatabase, fleet_database

GOOGLE, CLOUDFLARE = "8.8.8.8", "1.1.1.1"
INSERT = (
    "INSERT INTO bangeod.geo (ip, writer, country_code, country_name, asn, org, origin, resolved_at, last_seen)"
    " VALUES ('{ip}', 'web3', '{code}', 'Sweden', 'AS64500', 'Example', 'mmdb', now(), now())"
)


@pytest.fixture
def fleet() -> Iterator[FleetDatabase]:
    with fleet_database(postgres.shared_or_skip()) as database:
        database.make_tables()
        yield database


class Host:
    """A host of the fleet: an installation of its own, and a daemon on it."""

    def __init__(self, home: Path, fleet: FleetDatabase, role: str, launch: Start) -> None:
        self.place = Installation(home / role)
        self.place.make()
        self.place.configure({"fleet.url": fleet.url_of(role), "fleet.host": role, "api.enabled": True})
        self._launch = launch

    def start(self, *changes: dict[str, object]) -> DaemonProcess:
        """Start a daemon; it is ended with the test."""
        self.place.configure(*changes)
        daemon = self._launch(self.place.config)
        daemon.wait_until_loaded()
        return daemon

    def lookup(self, ip: str) -> dict[str, Any]:
        found = bangeod("lookup", "--json", ip, "--config", str(self.place.config))
        answer: dict[str, Any] = json.loads(found.stdout)[0]
        return answer

    def cached(self, ip: str) -> dict[str, Any]:
        found = bangeod("lookup", "--json", "--cached-only", ip, "--config", str(self.place.config))
        answer: dict[str, Any] = json.loads(found.stdout)[0]
        return answer

    def status(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(bangeod("status", "--json", "--config", str(self.place.config)).stdout)
        return state


@pytest.fixture
def hosts(tmp_path: Path, fleet: FleetDatabase, launch: Start) -> tuple[Host, Host]:
    first, second = (Host(tmp_path, fleet, role, launch) for role in ROLES)
    return first, second


def test_a_fresh_host_answers_from_the_fleet_and_keeps_that_in_its_own_table(
    hosts: tuple[Host, Host], fleet: FleetDatabase
) -> None:
    fleet.sql(INSERT.format(ip=GOOGLE, code="SE"))
    host, _ = hosts
    daemon = host.start(every("100ms", "geo_cache_flush"))
    answer = host.lookup(GOOGLE)
    assert (answer["country_code"], answer["org"], answer["origin"]) == ("SE", "Example", "fleet")
    assert host.lookup(GOOGLE)["origin"] == "memory"
    daemon.wait_for("geo_cache_flush_ran", flushed=1)
    assert host.place.countries() == {GOOGLE: "SE"}
    state = host.status()["fleet"]
    assert (state["host"], state["connected"], state["answered"], state["shared"]) == ("web1", True, 1, 0)
    assert state["url"] == fleet.url_of("web1")
    text = bangeod("status", "--config", str(host.place.config)).stdout
    assert f"{fleet.url_of('web1')} as web1: 1 answered, 0 shared" in text
    explained = bangeod("lookup", "--explain", CLOUDFLARE, GOOGLE, "--config", str(host.place.config)).stdout
    assert "fleet     no host has told of it" in explained
    assert "fleet     SE Sweden, AS64500 Example" in explained
    assert daemon.stop() == 0
    assert fleet.sql("SELECT writer FROM bangeod.geo") == [("web3",)]


def test_what_one_host_resolves_is_soon_in_the_others_memory(
    hosts: tuple[Host, Host], fleet: FleetDatabase, tmp_path: Path
) -> None:
    mmdb = write_mmdb(tmp_path / "country.mmdb", {"8.8.8.0/24": nested("SE"), "1.1.1.0/24": nested("NO")})
    first, second = hosts
    other = second.start({"geo.embedded": False})
    assert second.lookup(GOOGLE)["status"] == "unresolved"
    eventually(lambda: second.status()["fleet"]["listening"], "the second host listens")
    daemon = first.start({"geo.mmdb": [str(mmdb)]})  # whose next flush is a minute away
    assert first.lookup(CLOUDFLARE)["origin"] == "mmdb"
    assert first.lookup(GOOGLE)["origin"] == "mmdb"
    eventually(lambda: second.cached(GOOGLE)["country_code"] == "SE", "the second host is told")
    fleet.sql("REVOKE ALL ON bangeod.geo FROM web2")  # what nobody has asked about there is at hand all the same
    assert second.lookup(CLOUDFLARE)["origin"] == "fleet"
    assert fleet.sql("SELECT host(ip), writer, country_code, origin FROM bangeod.geo ORDER BY ip") == [
        (CLOUDFLARE, "web1", "NO", "mmdb"),
        (GOOGLE, "web1", "SE", "mmdb"),
    ]
    assert (daemon.stop(), other.stop()) == (0, 0)
    assert second.place.countries() == {GOOGLE: "SE", CLOUDFLARE: "NO"}


def test_what_was_found_is_shared_at_the_stop_at_the_latest(
    hosts: tuple[Host, Host], fleet: FleetDatabase, tmp_path: Path
) -> None:
    mmdb = write_mmdb(tmp_path / "country.mmdb", {"8.8.8.0/24": nested("SE")})
    host, _ = hosts
    daemon = host.start({"geo.mmdb": [str(mmdb)]})
    host.lookup(GOOGLE)
    assert daemon.stop() == 0
    assert fleet.sql("SELECT country_code FROM bangeod.geo") == [("SE",)]


def test_while_the_fleet_is_away_the_host_works_as_without_it(hosts: tuple[Host, Host], fleet: FleetDatabase) -> None:
    host, _ = hosts
    daemon = host.start({"fleet.url": f"postgresql://web1@/{fleet.name}?host=/nowhere"})
    began = time.monotonic()
    assert host.lookup(GOOGLE)["origin"] == "embedded"
    assert time.monotonic() - began < 5.0
    line = daemon.wait_for("fleet_lost")
    assert (line["level"], line["problem"][:17]) == ("warning", "no server answers")
    state = host.status()
    assert (state["healthy"], state["fleet"]["connected"]) == (True, False)
    assert state["fleet"]["problem"].startswith("no server answers")
    assert "away for" in bangeod("status", "--config", str(host.place.config)).stdout
    assert daemon.stop() == 0
    assert len([each for each in daemon.lines("fleet_lost") if each["level"] == "warning"]) == 1


def test_a_fleet_that_is_back_is_asked_about_what_is_without_a_country(
    hosts: tuple[Host, Host], fleet: FleetDatabase
) -> None:
    host, _ = hosts
    with closing(fleet.server.connect()) as admin:
        admin.execute(f"ALTER DATABASE {fleet.name} ALLOW_CONNECTIONS false")
        daemon = host.start({"geo.embedded": False}, every("100ms", "geo_cache_flush"))
        assert host.lookup(GOOGLE)["status"] == "unresolved"
        daemon.wait_for("fleet_lost")
        daemon.wait_for("listening_lost")
        daemon.wait_for("geo_cache_flush_ran", flushed=1)
        admin.execute(f"ALTER DATABASE {fleet.name} ALLOW_CONNECTIONS true")
    fleet.sql(INSERT.format(ip=GOOGLE, code="SE"))
    daemon.wait_for("listening_again")
    daemon.wait_for("geo_re_resolve_complete", resolved=1)
    assert host.cached(GOOGLE)["country_code"] == "SE"
    assert daemon.stop() == 0
