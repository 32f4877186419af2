"""``bangeod check`` over wrong owners and modes, judged for a user whom they bind."""

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from tests.support.daemon.check_command import (
    BAD,
    BAD_CONFIG,
    GOOD,
    IS_ROOT,
    NOBODY,
    as_nobody,
    check,
    everything_in,
    only,
    run,
    wrong,
)
from tests.support.daemon.installation import Installation


def test_a_read_only_database_is_a_fault(place_of_nobody: Installation) -> None:
    place_of_nobody.database.chmod(0o440)
    finding = only(check(place_of_nobody, *as_nobody(), status=BAD), "permissions")
    assert finding["where"] == str(place_of_nobody.database)
    assert "may not write the database" in finding["problem"]
    assert finding["mend"] == f"chmod u+w {place_of_nobody.database}"


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_stale_side_file_that_can_not_be_written_is_a_fault(place_of_nobody: Installation, suffix: str) -> None:
    stale = Path(f"{place_of_nobody.database}{suffix}")
    stale.touch()
    stale.chmod(0o400)
    if IS_ROOT:
        os.chown(stale, NOBODY, NOBODY)
    finding = only(check(place_of_nobody, *as_nobody(), status=BAD), "permissions")
    assert (finding["where"], finding["mend"]) == (str(stale), f"chmod u+w {stale}")


def test_all_that_lacks_permission_is_named_at_once(place_of_nobody: Installation) -> None:
    place = place_of_nobody
    place.state.chmod(0o500)
    place.database.chmod(0)
    place.home.chmod(0o500)
    try:
        wheres = [finding["where"] for finding in check(place, *as_nobody()) if finding["subject"] == "permissions"]
    finally:
        place.home.chmod(0o700)
    assert wheres == [str(place.home), str(place.database), str(place.state)]


def test_a_closed_directory_on_the_way_hides_nothing_from_root(place_of_nobody: Installation) -> None:
    place_of_nobody.database.chmod(0o440)
    place_of_nobody.home.parent.chmod(0)
    try:
        result = run(place_of_nobody, *as_nobody())
    finally:
        place_of_nobody.home.parent.chmod(0o700)
    assert result.exit_code == (BAD if IS_ROOT else BAD_CONFIG)  # who isn't root can't read the config there
    if IS_ROOT:
        assert f"chmod u+x {place_of_nobody.home.parent}\n" in result.stdout
        assert f"chmod u+w {place_of_nobody.database}\n" in result.stdout


def test_following_the_advice_mends_it(place_of_nobody: Installation) -> None:
    place = place_of_nobody
    for path in (place.config, place.database, place.state, place.home):
        path.chmod(0o400 if path == place.config and not IS_ROOT else 0)
        if IS_ROOT:
            os.chown(path, 0, NOBODY)
    if not IS_ROOT:
        place.home.chmod(0o500)  # or the config itself is out of reach
    faults = [finding for finding in check(place, *as_nobody(), status=BAD) if finding["level"] == "fault"]
    assert len(faults) >= 2
    for finding in faults:
        subprocess.run(["sh", "-c", finding["mend"]], check=True)
    assert [finding for finding in check(place, *as_nobody(), status=GOOD) if finding["subject"] == "permissions"] == [
        {
            "level": "ok",
            "subject": "permissions",
            "where": "",
            "problem": f"user {pwd.getpwuid(NOBODY if IS_ROOT else os.geteuid()).pw_name} may do all that is needed",
            "mend": "",
        }
    ]


@pytest.mark.skipif(not IS_ROOT, reason="only root can judge for another user")
def test_check_by_root_leaves_no_file_of_roots(place_of_nobody: Installation) -> None:
    before = everything_in(place_of_nobody.home)
    findings = check(place_of_nobody, *as_nobody(), status=GOOD)
    assert {finding["subject"] for finding in wrong(findings)} <= {"program"}
    assert everything_in(place_of_nobody.home) == before


@pytest.mark.skipif(not IS_ROOT, reason="only root can give files to another user")
def test_files_that_the_web_apps_user_can_not_write_are_warned_about(place_of_nobody: Installation) -> None:
    web = next((user for user in pwd.getpwall() if user.pw_uid not in (0, NOBODY)), None)
    if web is None:
        pytest.skip("there is no third user on this machine")
    place = place_of_nobody
    place.home.chmod(0o777)
    os.chown(place.home, web.pw_uid, web.pw_gid)
    os.chown(place.database, web.pw_uid, web.pw_gid)
    place.database.chmod(0o666)
    stale = Path(f"{place.database}-shm")
    stale.touch()
    os.chown(stale, NOBODY, NOBODY)
    stale.chmod(0o644)
    findings = [f for f in check(place, "--user", pwd.getpwuid(NOBODY).pw_name) if f["level"] == "warning"]
    problems = {finding["where"]: finding["problem"] for finding in findings if finding["subject"] == "permissions"}
    assert f"user {web.pw_name} may not write the database's -shm file" in problems[str(stale)]
    assert "is not setgid" in problems[str(place.home)]


def test_a_user_that_is_none_is_wrong_usage(place: Installation) -> None:
    result = run(place, "--user", "no-such-user")
    assert result.exit_code == 2
    assert "there is no user 'no-such-user'" in result.stderr


@pytest.mark.skipif(IS_ROOT, reason="root may judge for anybody")
def test_another_user_is_roots_to_judge_for(place: Installation) -> None:
    result = run(place, "--user", "root")
    assert result.exit_code == 2
    assert "only root can find out" in result.stderr


def test_directories_that_can_not_be_made_are_faults(place: Installation) -> None:
    nowhere = place.home / "nowhere"
    place.configure({"state.directory": str(nowhere / "state")})
    place.configure({"api.enabled": True, "api.socket": str(nowhere / "run" / "bangeod.sock")})
    faults = [f for f in check(place, status=BAD) if f["level"] == "fault"]
    assert [finding["where"] for finding in faults] == [str(nowhere / "state"), str(nowhere / "run")]
    assert all(finding["mend"].startswith("install -d ") for finding in faults)


def test_a_state_directory_that_the_daemon_can_make_is_no_fault(place: Installation) -> None:
    place.configure({"state.directory": str(place.home / "new")})
    assert wrong(check(place, status=GOOD)) == []


def test_what_is_no_directory_is_named(place: Installation) -> None:
    place.state.rmdir()
    place.state.touch(mode=0o755)
    finding = only(check(place, status=BAD), "permissions")
    assert finding["problem"] == "the state directory is no directory"
