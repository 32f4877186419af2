"""What the service can't do, and what a drop-in lets it: tried from within, by what the unit starts before it."""

import json
from typing import Any

import pytest

from tests.systemd.service import CONFIG, DROP_INS, PYTHON, SOURCE, STATE, UNIT, WEB_USER, Service
from tests.systemd.systems import DEBIAN_13, HERE

on_each = pytest.mark.systems(HERE, DEBIAN_13)

OPEN = "/srv/open"
ATTEMPTS = f"""
import errno, json, os, pathlib, socket, subprocess

def tried(attempt, *arguments):
    try:
        attempt(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

program = pathlib.Path("{STATE}/program")
program.write_text("#!/bin/sh\\n")
program.chmod(0o700)
print(json.dumps({{
    "network": os.readlink("/proc/self/ns/net"),
    "internet socket": tried(socket.socket, socket.AF_INET),
    "run what it wrote": tried(subprocess.run, [program]),
    "run a program of the system's": tried(subprocess.run, ["/bin/sh", "-c", ""]),
    "write where all may": tried(pathlib.Path("{OPEN}/mark").write_text, ""),
    "see a home": tried(os.listdir, "/root"),
    "give a file away": tried(os.chown, program, 0, 0),
    "go before all others": tried(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1)),
}}))
"""
CREDENTIAL = "/etc/bangeod/ip_api_key"


def attempts(service: Service, *lines: str) -> dict[str, Any]:
    """Start the service with these lines in a drop-in; return what came of each attempt."""
    service.machine.write("/srv/attempts.py", ATTEMPTS)
    service.machine.run("install", "-d", "-m", "777", OPEN)
    service.drop_in(f"ExecStartPre={PYTHON} /srv/attempts.py", *lines)
    service.start()
    [*_, found] = [
        str(entry["MESSAGE"]) for entry in service.journal() if str(entry["MESSAGE"]).startswith('{"network"')
    ]
    outcome: dict[str, Any] = json.loads(found)
    return outcome


@on_each
def test_there_is_no_network(service: Service) -> None:
    outcome = attempts(service)
    assert outcome["internet socket"] == "EAFNOSUPPORT"
    assert outcome["network"] != service.machine.run("readlink", "/proc/1/ns/net").stdout.strip()


@on_each
@pytest.mark.parametrize("drop_in", ["ip-api.conf", "postgres.conf"])
def test_the_drop_in_opens_the_network_and_nothing_else(service: Service, drop_in: str) -> None:
    closed = attempts(service)
    service.stop()
    service.machine.run("cp", f"{SOURCE}/contrib/systemd/{drop_in}", DROP_INS)
    opened = attempts(service)
    assert {key for key in opened if opened[key] != closed[key]} == {"network", "internet socket"}
    assert opened["internet socket"] == "done"
    assert opened["network"] == service.machine.run("readlink", "/proc/1/ns/net").stdout.strip()


@on_each
def test_what_a_daemon_never_needs_is_refused(service: Service) -> None:
    answers = {
        "run what it wrote": "EACCES",
        "run a program of the system's": "EACCES",
        "write where all may": "EROFS",
        "see a home": "EACCES",
        "give a file away": "EPERM",
        "go before all others": "EPERM",
    }
    outcome = attempts(service)
    assert {attempt: outcome[attempt] for attempt in answers} == answers


def test_a_credential_is_the_key_and_nobody_else_can_read_it(service: Service) -> None:
    service.machine.write(CREDENTIAL, "a-key-of-mine\n")
    service.machine.run("chmod", "600", CREDENTIAL)
    service.drop_in(
        f"LoadCredential=ip_api_key:{CREDENTIAL}",
        f"ExecStartPre=/opt/bangeod/bin/bangeod config show --config {CONFIG}",
    )
    service.start()
    told = [str(entry["MESSAGE"]) for entry in service.journal()]
    assert 'key = "********"' in told, told
    assert not any("a-key-of-mine" in line for line in told)
    for path, user in ((CREDENTIAL, "bangeod"), (f"/run/credentials/{UNIT}/ip_api_key", WEB_USER)):
        assert service.machine.exists(path)
        assert "Permission denied" in service.machine.run("cat", path, user=user, check=False).stderr
