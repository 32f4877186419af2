"""What ``bangeod check`` says of the unit: from what systemctl shows to the command that mends it."""

import grp
import pwd
from collections.abc import Mapping
from pathlib import Path

import pytest

from bangeod.check import unit
from bangeod.check.finding import Finding, Level
from bangeod.check.identity import Identity, choose, current
from bangeod.check.unit import Unit
from bangeod.config.settings import (
    ApiSettings,
    DatabaseSettings,
    Fail2banSettings,
    FleetSettings,
    GeoSettings,
    IpApiSettings,
    Settings,
    StateSettings,
)
from bangeod.store.postgres.url import parse

# As systemd 252 shows contrib/systemd/bangeod.service; but with a user and a group that every machine has.
SHOWN: Mapping[str, str] = {
    "LoadState": "loaded",
    "NeedDaemonReload": "no",
    "User": "root",
    "Group": "root",
    "SupplementaryGroups": "0",
    "StateDirectory": "bangeod",
    "RuntimeDirectory": "bangeod",
    "CacheDirectory": "",
    "ProtectSystem": "strict",
    "ReadWritePaths": "-/var/lib/bangui",
    "BindPaths": "",
    "BindReadOnlyPaths": "",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateNetwork": "yes",
    "RestrictAddressFamilies": "AF_UNIX",
    "IPAddressDeny": "::/0 0.0.0.0/0",
    "IPAddressAllow": "",
    "MemoryMax": "308281344",
}
IP_API_DROP_IN = {
    "PrivateNetwork": "no",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "IPAddressDeny": "224.0.0.0/4 ff00::/8",
}
WITH_IP_API = Settings(geo=GeoSettings(ip_api=IpApiSettings(enabled=True)))


def read(**changes: str) -> Unit:
    told = "".join(f"{name}={value}\n" for name, value in {**SHOWN, **changes}.items())
    understood = unit.read(told)
    assert understood is not None
    return understood


def database(path: str) -> Settings:
    return Settings(database=DatabaseSettings(path=Path(path)))


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


def test_the_unit_as_it_is_shipped_lets_the_service_do_what_the_defaults_need() -> None:
    assert only(unit.judge(read(), Settings())).level is Level.OK


def test_without_such_a_unit_there_is_nothing_to_judge() -> None:
    assert unit.read("LoadState=not-found\nUser=\n") is None


@pytest.mark.parametrize(
    ("writable", "path"),
    [
        ("-/var/lib/bangui /srv/web", "/srv/web/bangui.db"),
        ('/srv/x "/srv/my web"', "/srv/my web/data/bangui.db"),
        ("/", "/opt/bangui/bangui.db"),
    ],
)
def test_what_a_drop_in_lets_the_service_write_is_no_fault(writable: str, path: str) -> None:
    assert only(unit.judge(read(ReadWritePaths=writable), database(path))).level is Level.OK


def test_a_database_where_the_unit_lets_nothing_be_written_is_a_fault() -> None:
    finding = only(unit.judge(read(), database("/srv/my 100%/bangui.db")))
    assert (finding.level, finding.where) == (Level.FAULT, "/srv/my 100%")
    assert "lets the service write nothing in the database's directory" in finding.problem
    assert finding.mend == (
        "printf '[Service]\\n%s\\n' 'ReadWritePaths=\"-/srv/my 100%%\"' | install -D -m 644 /dev/stdin "
        "/etc/systemd/system/bangeod.service.d/database.conf && systemctl daemon-reload"
    )


def test_a_path_that_only_begins_alike_is_not_taken_for_one_that_may_be_written() -> None:
    assert only(unit.judge(read(), database("/var/lib/bangui2/bangui.db"))).level is Level.FAULT


def test_state_and_socket_elsewhere_are_faults_of_their_own() -> None:
    settings = Settings(
        state=StateSettings(directory=Path("/srv/state")), api=ApiSettings(socket=Path("/srv/run/bangeod.sock"))
    )
    wrong = unit.judge(read(), settings)
    assert [finding.where for finding in wrong] == ["/srv/state", "/srv/run"]
    assert len({finding.mend for finding in wrong}) == 2
    closed = Settings(api=ApiSettings(enabled=False, socket=Path("/srv/run/bangeod.sock")))
    assert only(unit.judge(read(), closed)).level is Level.OK


def test_a_unit_that_protects_less_lets_everything_be_written() -> None:
    assert only(unit.judge(read(ProtectSystem="full"), database("/srv/web/bangui.db"))).level is Level.OK


@pytest.mark.parametrize(
    ("path", "switch"),
    [("/home/web/bangui.db", "ProtectHome="), ("/var/tmp/bangui.db", "PrivateTmp=")],  # noqa: S108 - only named
)
def test_what_the_unit_hides_is_a_fault(path: str, switch: str) -> None:
    finding = only(unit.judge(read(), database(path)))
    assert (finding.level, finding.where) == (Level.FAULT, path)
    assert switch in finding.problem
    assert f"{switch}no" in finding.mend


def test_it_is_the_folder_that_a_link_leads_to_that_the_unit_must_let_be_written(tmp_path: Path) -> None:
    link = tmp_path / "bangui.db"
    link.symlink_to("/srv/data/bangui.db")
    finding = only(unit.judge(read(PrivateTmp="no"), database(str(link))))
    assert (finding.level, finding.where) == (Level.FAULT, "/srv/data")
    assert "lets the service write nothing in the database's directory" in finding.problem
    assert only(unit.judge(read(PrivateTmp="no", ReadWritePaths="/srv/data"), database(str(link)))).level is Level.OK


def test_a_folder_that_the_unit_names_by_a_link_may_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "current").symlink_to("data")
    told = read(PrivateTmp="no", ReadWritePaths=f"-{tmp_path}/current")
    assert only(unit.judge(told, database(f"{tmp_path}/current/bangui.db"))).level is Level.OK
    assert only(unit.judge(told, database(f"{tmp_path}/data/bangui.db"))).level is Level.OK


def test_a_link_into_what_the_unit_hides_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "bangui.db").symlink_to("current")
    (tmp_path / "current").symlink_to("/home/web/bangui.db")
    finding = only(unit.judge(read(PrivateTmp="no", ReadWritePaths="/"), database(str(tmp_path / "bangui.db"))))
    assert (finding.level, finding.where) == (Level.FAULT, "/home/web/bangui.db")
    assert "ProtectHome=" in finding.problem


def test_a_geo_database_and_fail2bans_in_a_home_directory_are_faults() -> None:
    mmdb, bans = Path("/root/country.mmdb"), Path("/home/f2b/fail2ban.sqlite3")
    settings = Settings(geo=GeoSettings(mmdb=(mmdb,)), fail2ban=Fail2banSettings(database=bans))
    assert [finding.where for finding in unit.judge(read(), settings)] == [str(mmdb), str(bans)]


def test_what_is_bound_into_a_hidden_place_can_be_seen_and_written() -> None:
    bound = read(ProtectHome="tmpfs", BindPaths="/home/web:/home/web:rbind")
    assert only(unit.judge(bound, database("/home/web/bangui.db"))).level is Level.OK
    only_read = read(BindReadOnlyPaths="/home/geo:/home/geo:rbind")
    assert only(unit.judge(only_read, Settings(geo=GeoSettings(mmdb=(Path("/home/geo/c.mmdb"),))))).level is Level.OK


def test_ip_api_without_a_network_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(unit, "SHARED", tmp_path / "of a package that is not here")
    finding = only(unit.judge(read(), WITH_IP_API))
    assert finding.level is Level.FAULT
    assert "contrib/systemd/ip-api.conf" in finding.mend


def test_where_the_package_is_installed_its_own_drop_in_mends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(unit, "SHARED", tmp_path)
    (tmp_path / "ip-api.conf").touch()
    finding = only(unit.judge(read(), WITH_IP_API))
    assert finding.mend.startswith(f"install -D -m 644 {tmp_path}/ip-api.conf /etc/systemd/system/bangeod.service.d/")


def server(url: str) -> Settings:
    return Settings(database=DatabaseSettings(path=None, url=parse(url)))


def test_a_server_over_tcp_without_a_network_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(unit, "SHARED", tmp_path / "of a package that is not here")
    finding = only(unit.judge(read(), server("postgresql://u:s3kr3t@db.example/bangui")))
    assert (finding.level, finding.where) == (Level.FAULT, "postgresql://u@db.example/bangui")
    assert "reached over TCP" in finding.problem
    assert finding.mend == (
        "in a clone of bangeod: install -D -m 644 contrib/systemd/postgres.conf "
        "/etc/systemd/system/bangeod.service.d/postgres.conf && systemctl daemon-reload"
    )
    assert only(unit.judge(read(**IP_API_DROP_IN), server("postgresql://db.example/bangui"))).level is Level.OK


def test_a_fleet_over_tcp_without_a_network_is_a_fault() -> None:
    settings = Settings(fleet=FleetSettings(url=parse("postgresql://db.example/fleet")))
    finding = only(unit.judge(read(), settings))
    assert (finding.level, finding.where) == (Level.FAULT, "postgresql://db.example/fleet")
    assert "the fleet's server is reached over TCP" in finding.problem
    assert only(unit.judge(read(**IP_API_DROP_IN), settings)).level is Level.OK


def test_a_server_by_its_socket_needs_no_network_and_no_place_to_write() -> None:
    assert only(unit.judge(read(ReadWritePaths=""), server("postgresql:///bangui"))).level is Level.OK


def test_a_servers_socket_that_the_unit_hides_is_a_fault() -> None:
    finding = only(unit.judge(read(), server("postgresql:///bangui?host=/tmp")))
    assert (finding.level, finding.where) == (Level.FAULT, "/tmp")  # noqa: S108 - only named
    assert "PrivateTmp=" in finding.problem


@pytest.mark.parametrize(
    ("changes", "open_"),
    [
        ({}, True),
        ({"PrivateNetwork": "yes"}, False),
        ({"RestrictAddressFamilies": "AF_UNIX AF_NETLINK"}, False),
        ({"RestrictAddressFamilies": ""}, True),
        ({"RestrictAddressFamilies": "~AF_PACKET"}, True),
        ({"IPAddressDeny": "::/0 0.0.0.0/0"}, False),
        ({"IPAddressDeny": "::/0 0.0.0.0/0", "IPAddressAllow": "208.95.112.0/24"}, True),
    ],
)
def test_each_way_to_close_the_network_counts(changes: dict[str, str], open_: bool) -> None:
    found = unit.judge(read(**(IP_API_DROP_IN | changes)), WITH_IP_API)
    assert (only(found).level is Level.OK) == open_


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"User": "no-such-user"}, "user no-such-user"),
        ({"Group": "no-such-group"}, "group no-such-group"),
        ({"SupplementaryGroups": "0 no-such-group"}, "group no-such-group"),
    ],
)
def test_a_user_or_group_that_there_is_not_is_a_fault(changes: dict[str, str], missing: str) -> None:
    finding = only(unit.judge(read(**changes), Settings()))
    assert finding.level is Level.FAULT
    assert f"there is no {missing} on this machine" in finding.problem


def test_a_web_app_that_can_not_use_the_socket_is_warned_about() -> None:
    inside = Identity("web", 33, 33, frozenset({33, 0}))
    outside = Identity("web", 33, 33, frozenset({33}))
    assert only(unit.judge(read(), Settings(), [inside])).level is Level.OK
    finding = only(unit.judge(read(), Settings(), [outside]))
    assert finding.level is Level.WARNING
    assert "user web, whom the database belongs to, can't ask bangeod" in finding.problem
    assert "Group=" in finding.mend
    closed = Settings(api=ApiSettings(enabled=False))
    assert only(unit.judge(read(), closed, [outside])).level is Level.OK


def test_a_socket_below_run_gets_a_directory_that_systemd_makes_at_each_start() -> None:
    finding = only(unit.judge(read(), Settings(api=ApiSettings(socket=Path("/run/web/geo/bangeod.sock")))))
    assert "RuntimeDirectory=web/geo" in finding.mend


def test_files_that_systemd_has_not_read_yet_are_warned_about() -> None:
    finding = only(unit.judge(read(NeedDaemonReload="yes"), Settings()))
    assert finding.level is Level.WARNING
    assert finding.mend.startswith("systemctl daemon-reload")


def test_the_service_is_judged_with_the_group_that_the_unit_gives_it() -> None:
    entry, group = pwd.getpwall()[-1], grp.getgrall()[-1]
    service = read(User=entry.pw_name, Group=group.gr_name, SupplementaryGroups="0").identity()
    assert service is not None
    assert (service.uid, service.gid) == (entry.pw_uid, group.gr_gid)
    assert {0, group.gr_gid} <= service.groups


def test_numbers_do_for_names_and_an_unknown_user_is_nobody() -> None:
    by_number = read(User="0", Group="0", SupplementaryGroups="").identity()
    assert by_number is not None
    assert (by_number.name, by_number.gid) == ("root", 0)
    assert read(User="no-such-user").identity() is None


@pytest.mark.skipif(current().uid != 0, reason="for others than root the service is not judged")
def test_root_judges_for_the_service_and_for_whom_it_names() -> None:
    service = read(User="0", Group="0", SupplementaryGroups="12").identity()
    assert choose(None, service) == service
    assert choose("root", service) == current()


@pytest.mark.parametrize(
    ("shown", "limit"), [("308281344", 308_281_344), ("infinity", None), ("", None)], ids=["60%", "none", "unknown"]
)
def test_the_memory_that_it_may_have_is_known(shown: str, limit: int | None) -> None:
    assert read(MemoryMax=shown).memory == limit
