"""Geo databases within the sandbox: probed, taken up, and fetched by a unit of their own."""

from pathlib import Path

from tests.support.mmdb.files import nested, write_mmdb
from tests.systemd.machine import Machine
from tests.systemd.service import STATE, Service

UPDATE = "bangeod-geodb-update.service"
UNRESOLVED = "INSERT INTO geo_cache (ip, last_seen) VALUES (?, strftime('%Y-%m-%dT%H:%M:%SZ'))"
COUNTRY = "SELECT country_code FROM geo_cache"


def test_an_mmdb_is_probed_and_taken_up(service: Service, tmp_path: Path) -> None:
    mmdb = write_mmdb(tmp_path / "test.mmdb", {"2001:db9::/32": nested("FR")})  # no source but this one knows it
    service.machine.write("/var/lib/GeoIP/test.mmdb", mmdb.read_bytes())
    service.configure({"geo.mmdb": ["/var/lib/GeoIP/test.mmdb"], "jobs.geo_re_resolve.interval": "1s"})
    service.execute(UNRESOLVED, ("2001:db9::1",))
    service.start()
    taken_up = service.wait_for("mmdb_loaded")
    assert (taken_up["PATH"], taken_up["RECORDS"]) == ("/var/lib/GeoIP/test.mmdb", "1")
    service.wait_for("geo_re_resolve_complete", resolved="1")
    service.stop()
    assert service.execute(COUNTRY) == [["FR"]]
    assert service.journal("--priority=warning") == []


def test_the_unit_that_fetches_databases_gets_as_far_as_the_network(machine: Machine, service: Service) -> None:
    assert machine.run("systemctl", "start", UPDATE, check=False).returncode != 0
    shown = machine.run("systemctl", "show", "--property=Result,ExecMainStatus", UPDATE).stdout.split()
    assert sorted(shown) == ["ExecMainStatus=1", "Result=exit-code"]
    told = machine.run("journalctl", f"--unit={UPDATE}", "--output=cat", "_COMM=bangeod").stdout
    assert "db-ip.com" in told
    assert "Traceback" not in told
    assert machine.run("stat", "--format=%U %a", STATE).stdout == "bangeod 700\n"
