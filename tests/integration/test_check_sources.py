"""``bangeod check`` over the sources of countries and fail2ban."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bangeod.service.checkup import sources
from bangeod.service.checkup.identity import Identity
from tests.check_command import BAD, GOOD, IS_ROOT, as_nobody, check, only, run
from tests.installation import Installation, make_fail2ban
from tests.mmdb_files import nested, write_mmdb


def test_a_good_mmdb_is_named_with_its_date(place: Installation, tmp_path: Path) -> None:
    mmdb = write_mmdb(tmp_path / "country.mmdb", {"8.8.8.0/24": nested("US")}, database_type="Test-Country")
    place.configure({"geo.mmdb": [str(mmdb)]})
    finding = only(check(place, status=GOOD), "mmdb", "ok")
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    assert finding["where"] == str(mmdb)
    assert finding["problem"] == f"Test-Country of {today}, 1 distinct records"


def test_an_old_mmdb_is_a_warning(place: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mmdb = write_mmdb(tmp_path / "country.mmdb", {"8.8.8.0/24": nested("US")})
    place.configure({"geo.mmdb": [str(mmdb)]})
    monkeypatch.setattr(sources, "MAX_AGE", -1)
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
    finding = sources.program(Identity("web", 1, 1, frozenset({1})))
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
    assert only(check(place, status=GOOD), "fail2ban", "ok")["problem"] == "2 addresses are banned now"


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
