"""``bangeod check`` beside the real unit and its drop-ins: what is said, and that what it advises mends it."""

import itertools
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from tests.support.feed import eventually
from tests.systemd.service import DATABASE, UNIT, Service
from tests.systemd.service import DROP_INS as RUNTIME_DROP_INS

ELSEWHERE = "/srv/ban gui/bangui.db"
DROP_INS = f"/etc/systemd/system/{UNIT}.d"


@pytest.fixture
def place(service: Service) -> Iterator[Service]:
    """Give the service; what was advised, and done, is taken back."""
    yield service
    ours = ("-name", "10-systemd-*.conf")
    service.machine.run("sh", "-ec", f"mkdir -p {DROP_INS}; rm -rf '{PurePosixPath(ELSEWHERE).parent}'")
    service.machine.run("find", DROP_INS, "-type", "f", "!", *ours, "-delete")
    service.machine.run("find", DROP_INS, "-type", "d", "-empty", "-delete")
    service.machine.run("systemctl", "daemon-reload")


def wrong(service: Service) -> list[tuple[str, str]]:
    """Return the faults and warnings, each with what mends it."""
    lines = service.machine.run("bangeod", "check", check=False).stdout.splitlines()
    return [
        (line, following.strip().removeprefix("mend: "))
        for line, following in itertools.pairwise(lines)
        if line.startswith(("FAULT", "warning"))
    ]


def test_a_database_that_the_unit_does_not_let_be_written_is_found_and_mended(place: Service) -> None:
    machine = place.machine
    machine.run("cp", "-a", str(PurePosixPath(DATABASE).parent), str(PurePosixPath(ELSEWHERE).parent))
    place.configure({"database.path": ELSEWHERE})
    [(problem, mend)] = wrong(place)
    assert "bangeod.service lets the service write nothing in the database's directory" in problem
    machine.run("sh", "-ec", mend)
    assert wrong(place) == []
    place.configure({"jobs.session_cleanup.interval": "1s"})
    place.start()
    place.wait_for("session_cleanup_ran")
    assert place.journal("--priority=warning") == []


def test_the_group_that_a_drop_in_gives_is_the_one_that_is_judged_for(place: Service) -> None:
    place.machine.run("sh", "-ec", f"chgrp www-data $(dirname {DATABASE}) {DATABASE}*")
    problems = [problem for problem, _ in wrong(place)]
    assert any("user bangeod may not" in problem for problem in problems), problems
    place.drop_in("Group=www-data")
    problems = [problem for problem, _ in wrong(place)]
    assert not any("user bangeod" in problem for problem in problems), problems


def test_ip_api_without_the_drop_in_is_found(place: Service) -> None:
    place.configure({"geo.ip_api.enabled": True})
    problems = [problem for problem, _ in wrong(place)]
    assert any("gives the service no network" in problem for problem in problems)
    place.drop_in("PrivateNetwork=no", "RestrictAddressFamilies=AF_INET AF_INET6", "IPAddressDeny=")
    problems = [problem for problem, _ in wrong(place)]
    assert not any("network" in problem for problem in problems), problems


def test_what_systemd_has_not_read_yet_is_told(place: Service) -> None:
    place.start()
    place.machine.run("touch", f"/etc/systemd/system/{UNIT}")
    [(problem, mend)] = wrong(place)
    assert "its files have changed since systemd read them" in problem
    place.machine.run("sh", "-ec", mend)
    assert wrong(place) == []


def test_a_credential_that_is_not_there_is_found_and_mended(place: Service) -> None:
    machine, path = place.machine, "/etc/bangeod/no_such_key"  # systemd 257 itself fails where there is a space in it
    place.drop_in(f"LoadCredential=ip_api_key:{path}")
    # Not by the unit: journald can't tell that of a process that is gone before it looks.
    since = machine.run("journalctl", "--lines=0", "--show-cursor").stdout.split("cursor:")[1].strip()
    assert machine.run("systemctl", "start", UNIT, check=False).returncode != 0
    told = ("journalctl", f"--after-cursor={since}", "--output=cat")
    eventually(lambda: "Protocol error" in machine.run(*told).stdout, "systemd's own line")
    [(problem, mend)] = wrong(place)
    assert problem.split()[:3] == ["FAULT", "credential", f"{path}:"]
    assert f"LoadCredential=ip_api_key in {RUNTIME_DROP_INS}/test.conf" in problem
    machine.run("sh", "-ec", mend, given="secret")
    assert wrong(place) == []
    place.start()
    machine.run("rm", path)


def test_an_encrypted_credential_that_is_another_ones_is_found_and_mended(place: Service) -> None:
    machine, path = place.machine, "/etc/bangeod/key.cred"
    machine.run("systemd-creds", "encrypt", "--name=license_key", "-", path, given="secret")
    place.drop_in(f"LoadCredentialEncrypted=ip_api_key:{path}")
    assert machine.run("systemctl", "start", UNIT, check=False).returncode != 0
    [(problem, mend)] = wrong(place)
    assert "can't be decrypted here" in problem
    machine.run("sh", "-ec", mend, given="secret")
    assert wrong(place) == []
    place.start()
    machine.run("rm", path)


def test_a_sandbox_that_is_not_in_force_is_found(place: Service) -> None:
    place.drop_in("PrivateNetwork=no", "PrivateIPC=no", "NoNewPrivileges=no", "ProtectSystem=no")
    place.start()
    place.machine.run("rm", f"{RUNTIME_DROP_INS}/test.conf")
    place.machine.run("systemctl", "daemon-reload")
    found = wrong(place)
    lacking = [problem.partition("bangeod.service: ")[2].partition("=")[0] for problem, _ in found]
    assert lacking == ["PrivateNetwork", "PrivateIPC", "ProtectSystem"]  # seccomp alone sets NoNewPrivileges
    place.machine.run("sh", "-ec", found[0][1])
    assert wrong(place) == []


def test_a_database_that_came_after_the_service_had_started_is_found_and_mended(place: Service) -> None:
    directory = PurePosixPath(DATABASE).parent
    place.machine.run("mv", str(directory), "/srv/later")
    place.start()
    place.machine.run("mv", "/srv/later", str(directory))
    [(problem, mend)] = wrong(place)
    assert problem.split()[:2] == ["FAULT", "sandbox"]
    place.machine.run("sh", "-ec", mend)
    assert wrong(place) == []
