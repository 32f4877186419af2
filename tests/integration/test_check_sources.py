"""``bangeod check`` over the sources of countries and fail2ban."""

import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bangeod.check import geodata
from bangeod.check.identity import Identity
from bangeod.store.sqlite.engine import engine
from tests.support.daemon.check_command import BAD, GOOD, IS_ROOT, as_nobody, check, only, run, wrong
from tests.support.daemon.installation import Installation, make_fail2ban
from tests.support.mmdb.files import GOOGLE, nested, write_mmdb

BOTH = {"8.8.8.0/24": nested("US"), "2a00::/16": nested("US")}


def of_geo(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [finding for finding in findings if finding["subject"] == "geo"]


def test_a_good_mmdb_is_named_with_its_date(place: Installation, tmp_path: Path) -> None:
    mmdb = write_mmdb(tmp_path / "country.mmdb", BOTH, database_type="Test-Country")
    place.configure({"geo.mmdb": [str(mmdb)]})
    findings = check(place, status=GOOD)
    finding = only(findings, "mmdb", "ok")
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    assert finding["where"] == str(mmdb)
    assert finding["problem"] == f"Test-Country of {today}, 1 distinct records: countries of IPv4 and IPv6"
    assert of_geo(findings) == []


EMBEDDED = "countries come from the embedded default (IPv4 only, right for some 94 of 100 addresses)"
NO_IPV4, NO_IPV6 = "IPv4 addresses get no country", "IPv6 addresses get no country"
LEFT_OUT = [
    pytest.param({"8.8.8.0/24": GOOGLE, "2a00::/16": GOOGLE}, f"no countries: {EMBEDDED}; {NO_IPV6}", id="AS alone"),
    pytest.param({"2a00::/16": nested("US")}, f"countries of IPv6 alone: {EMBEDDED}", id="IPv6 alone"),
    pytest.param({"8.8.8.0/24": nested("US")}, f"countries of IPv4 alone: {NO_IPV6}", id="IPv4 alone"),
]


@pytest.mark.parametrize(("networks", "problem"), LEFT_OUT)
def test_what_the_files_leave_out_is_a_warning_but_with_ip_api(
    place: Installation, tmp_path: Path, networks: dict[str, Any], problem: str
) -> None:
    mmdb = write_mmdb(tmp_path / "some.mmdb", networks)
    place.configure({"geo.mmdb": [str(mmdb)]})
    finding = only(check(place, status=GOOD), "geo", "warning")
    assert finding["problem"] == f"the geo databases have {problem}"
    place.configure({"geo.embedded": False})
    finding = only(check(place, status=GOOD), "geo", "warning")
    assert finding["problem"] == f"the geo databases have {problem.replace(EMBEDDED, NO_IPV4)}"
    place.configure({"geo.ip_api.enabled": True})
    assert of_geo(check(place, status=GOOD)) == []


def test_files_that_make_up_for_one_another_are_no_warning(place: Installation, tmp_path: Path) -> None:
    parts = [{"8.8.8.0/24": nested("US")}, {"2a00::/16": nested("US")}, {"8.8.8.0/24": GOOGLE}]
    files = [write_mmdb(tmp_path / f"{number}.mmdb", part) for number, part in enumerate(parts)]
    place.configure({"geo.mmdb": [str(path) for path in files]})
    findings = check(place, status=GOOD)
    assert of_geo(findings) == []
    said = [finding["problem"].rpartition(": ")[2] for finding in findings if finding["subject"] == "mmdb"]
    assert said == ["countries of IPv4", "countries of IPv6", "AS of IPv4, no countries"]


def test_a_fetched_as_file_alone_comes_with_what_mends_it(place: Installation) -> None:
    place.configure({"geo.update.source": ["dbip-asn-lite"]})
    write_mmdb(fetched(place, "dbip-asn-lite"), {"8.8.8.0/24": GOOGLE})
    assert only(check(place, status=GOOD), "geo", "warning")["mend"].endswith("and: bangeod geodb update")


def test_an_old_mmdb_is_a_warning(place: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mmdb = write_mmdb(tmp_path / "country.mmdb", {"8.8.8.0/24": nested("US")})
    place.configure({"geo.mmdb": [str(mmdb)]})
    monkeypatch.setattr(geodata, "MAX_AGE", -1)
    finding = only(check(place, status=GOOD), "mmdb", "warning")
    assert "0 days old" in finding["problem"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "there is no such file"), (b"", "is empty"), (b"no mmdb" * 1000, "is no MMDB, or not all of one")],
)
def test_an_mmdb_that_can_not_be_used_is_a_fault(
    place: Installation, tmp_path: Path, content: bytes | None, problem: str
) -> None:
    bad, good = tmp_path / "bad.mmdb", write_mmdb(tmp_path / "good.mmdb", {"8.8.8.0/24": nested("US")})
    if content is not None:
        bad.write_bytes(content)
    place.configure({"geo.mmdb": [str(bad), str(good)]})
    findings = check(place, status=BAD)
    assert problem in only(findings, "mmdb")["problem"]
    assert only(findings, "mmdb", "ok")["where"] == str(good)


def fetched(place: Installation, name: str = "dbip-country-lite") -> Path:
    return place.state / f"{name}.mmdb"


def test_without_a_fetched_mmdb_the_embedded_default_comes_with_the_command(place: Installation) -> None:
    finding = only(check(place, status=GOOD), "geo", "ok")
    assert finding["problem"].endswith("good for a first run, bangeod geodb update fetches better")


def test_a_fetched_mmdb_is_looked_at_and_takes_the_place_of_the_embedded_default(place: Installation) -> None:
    write_mmdb(fetched(place), BOTH)
    findings = check(place, status=GOOD)
    assert only(findings, "mmdb", "ok")["where"] == str(fetched(place))
    assert of_geo(findings) == []


def test_a_fetched_mmdb_that_is_damaged_or_old_or_not_there_yet_comes_with_the_command(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.configure({"geo.update.source": ["dbip-country-lite", "dbip-asn-lite"]})
    fetched(place).write_bytes(b"no mmdb" * 1000)
    findings = check(place, status=BAD)
    assert only(findings, "mmdb")["mend"] == "bangeod geodb update"
    assert "was not fetched yet" in only(findings, "mmdb", "warning")["problem"]
    write_mmdb(fetched(place), {"8.8.8.0/24": nested("US")})
    write_mmdb(fetched(place, "dbip-asn-lite"), {"8.8.8.0/24": GOOGLE})
    monkeypatch.setattr(geodata, "MAX_AGE", -1)
    for finding in check(place, status=GOOD):
        if finding["subject"] == "mmdb":
            assert finding["mend"].startswith("bangeod geodb update   # each month: systemctl enable --now ")


def test_a_licence_key_of_the_environment_is_not_said_to_lie_in_the_config(place: Installation) -> None:
    place.config.chmod(0o644)
    assert "holds a key" not in run(place, BANGEOD_LICENSE_KEY="sesame").stdout
    place.configure({"geo.update.license_key": "sesame"})
    assert "holds a key, and every user may read it" in run(place).stdout


def test_an_mmdb_that_may_not_be_read_is_one_fault(place_of_nobody: Installation) -> None:
    mmdb = write_mmdb(place_of_nobody.home / "country.mmdb", {"8.8.8.0/24": nested("US")})
    mmdb.chmod(0)
    place_of_nobody.configure({"geo.mmdb": [str(mmdb)]})
    finding, *others = (f for f in check(place_of_nobody, *as_nobody(), status=BAD) if f["level"] == "fault")
    assert others == []
    assert finding["mend"] == f"chmod {'a' if IS_ROOT else 'u'}+r {mmdb}"


def test_without_any_source_there_is_a_warning(place: Installation) -> None:
    place.configure({"geo.embedded": False})
    assert "no address gets a country" in only(check(place, status=GOOD), "geo", "warning")["problem"]


def test_a_python_out_of_the_users_reach_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    finding = geodata.program(Identity("web", 1, 1, frozenset({1})))
    assert finding is not None
    assert "user web can't run this bangeod" in finding.problem


def test_ip_api_is_said_to_be_asked_in_clear_text_and_the_key_is_never_shown(place: Installation) -> None:
    place.configure({"geo.ip_api.enabled": True})
    finding = only(check(place, status=GOOD), "ip-api", "warning")
    assert "in clear text, without a key" in finding["problem"]
    assert "non-commercial" in finding["problem"]
    place.configure({"geo.ip_api.key": "sesame-open"})
    place.config.chmod(0o600)
    result = run(place)
    assert "https://pro.ip-api.com/batch: addresses of visitors are sent there, with a key" in result.stdout
    assert "sesame" not in result.output


def test_a_pause_of_ip_api_is_named(place: Installation) -> None:
    place.configure({"geo.ip_api.enabled": True})
    place.history.write_text("[ip_api]\npaused_until = 2100-01-01T00:00:00Z\n")
    problems = [finding["problem"] for finding in check(place) if finding["subject"] == "ip-api"]
    assert any("it is not asked before 2100-01-01T00:00:00Z" in problem for problem in problems)


def test_fail2bans_bans_are_counted(place: Installation, tmp_path: Path) -> None:
    path = make_fail2ban(tmp_path / "fail2ban.sqlite3", "192.0.2.1", "192.0.2.2")
    place.configure({"fail2ban.database": str(path)})
    assert only(check(place, status=GOOD), "fail2ban", "ok")["problem"] == "2 addresses banned now"


def test_networks_are_counted_and_bans_of_gone_jails_are_named_and_not_counted(
    place: Installation, tmp_path: Path
) -> None:
    path = make_fail2ban(tmp_path / "fail2ban.sqlite3", "192.0.2.1", "203.0.113.0/24")
    with closing(engine.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE jails (name TEXT, enabled INTEGER)")
        connection.execute("INSERT INTO jails VALUES ('sshd', 1), ('gone', 0)")
        connection.execute("INSERT INTO bips VALUES ('192.0.2.7', 'gone', 1700000000, -1)")
    place.configure({"fail2ban.database": str(path)})
    assert only(check(place, status=GOOD), "fail2ban", "ok")["problem"] == (
        "1 address and 1 network banned now; 1 ban left of jails that are no longer in force, which don't count"
    )


def test_bans_of_an_old_fail2ban_are_said_to_have_no_known_end(place: Installation, tmp_path: Path) -> None:
    path = tmp_path / "fail2ban.sqlite3"
    with closing(engine.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE bans (jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, data JSON)")
        connection.execute("INSERT INTO bans VALUES ('sshd', '8.8.8.8', unixepoch(), '{}')")
    place.configure({"fail2ban.database": str(path)})
    problem = only(check(place, status=GOOD), "fail2ban", "ok")["problem"]
    assert problem.startswith("1 address banned in the last 30 days")


@pytest.mark.parametrize(
    ("content", "problem", "mend"),
    [
        (b"", "is empty: it has no table bans", "systemctl restart fail2ban"),
        (b"no database" * 1_000, "is no SQLite database", "fail2ban-client get dbfile"),
    ],
)
def test_a_file_that_is_no_database_of_fail2bans_is_a_fault(
    place: Installation, content: bytes, problem: str, mend: str
) -> None:
    path = place.home / "fail2ban.sqlite3"
    path.write_bytes(content)
    place.configure({"fail2ban.database": str(path)})
    finding = only(check(place, status=BAD), "fail2ban")
    assert problem in finding["problem"]
    assert mend in finding["mend"]


def test_a_missing_fail2ban_database_is_a_fault(place: Installation) -> None:
    place.configure({"fail2ban.database": str(place.home / "none.sqlite3")})
    finding = only(check(place, status=BAD), "fail2ban")
    assert "fail2ban-client get dbfile" in finding["mend"]


def test_a_fail2ban_database_that_may_not_be_read_comes_with_the_access_list(place_of_nobody: Installation) -> None:
    if not IS_ROOT:
        pytest.skip("only root can make a file that is somebody else's")
    path = make_fail2ban(place_of_nobody.home / "fail2ban.sqlite3", "192.0.2.1")
    path.chmod(0o600)
    place_of_nobody.configure({"fail2ban.database": str(path)})
    finding = only(check(place_of_nobody, *as_nobody(), status=BAD), "permissions")
    assert finding["mend"] == f"setfacl -m u:{as_nobody()[1]}:r {path}"


def test_a_directory_of_fail2bans_that_may_not_be_entered_comes_with_all_access_lists(
    place_of_nobody: Installation,
) -> None:
    if not IS_ROOT:
        pytest.skip("only root can make a file that is somebody else's")
    directory = place_of_nobody.home / "fail2ban"
    directory.mkdir(mode=0o700)
    path = make_fail2ban(directory / "fail2ban.sqlite3", "192.0.2.1")
    path.chmod(0o600)
    place_of_nobody.configure({"fail2ban.database": str(path)})
    user = as_nobody()[1]
    found = [
        finding for finding in wrong(check(place_of_nobody, *as_nobody(), status=BAD)) if "fail2ban" in finding["where"]
    ]
    assert [finding["mend"] for finding in found] == [
        f"setfacl -m u:{user}:x {directory}",
        f"setfacl -m u:{user}:r {path}",
    ]


def test_a_fail2ban_database_that_is_locked_is_a_fault(place: Installation) -> None:
    path = make_fail2ban(place.home / "fail2ban.sqlite3", "192.0.2.1")
    place.configure({"fail2ban.database": str(path), "database.busy_timeout": "100ms"})
    with closing(engine.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        assert "is locked" in only(check(place, status=BAD), "fail2ban")["problem"]
