"""What ``bangeod check`` says of a sandbox that is not in force: what the unit asks for, beside what is."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from bangeod.check.finding import Finding, Level
from bangeod.check.sandbox import Option, Process, can_be_made, judge_running, judge_stopped, judge_writing, look

ASKED: Mapping[str, str] = {
    "MainPID": "7",
    "PrivateNetwork": "yes",
    "PrivateMounts": "yes",
    "PrivateUsers": "yes",
    "PrivateIPC": "yes",
    "ProtectHostname": "yes",
    "ProtectSystem": "strict",
    "NoNewPrivileges": "yes",
    "SystemCallFilter": "read write",
}
ALL = {"net": True, "mnt": True, "user": True, "ipc": True, "uts": True, "pid": False}
READ_ONLY = "235 182 0:43 / / ro,relatime shared:31 - overlay overlay rw\n"
WRITABLE = READ_ONLY.replace("ro,", "rw,")
SAFE = Process(ALL, {"NoNewPrivs": "1", "Seccomp": "2"}, READ_ONLY)
DIRECTORY = Path("/srv/ban gui")


def names(findings: list[Finding]) -> list[str]:
    assert {finding.level for finding in findings} <= {Level.WARNING}
    return [finding.problem.split("=")[0] for finding in findings]


def test_what_is_as_the_unit_asks_is_no_finding() -> None:
    assert list(judge_running(ASKED, SAFE)) == []
    assert list(judge_stopped(ASKED, lambda _option: True)) == []


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"own": ALL | {"net": False}}, "PrivateNetwork"),
        ({"own": ALL | {"mnt": False}}, "PrivateMounts"),
        ({"own": ALL | {"user": False}}, "PrivateUsers"),
        ({"own": ALL | {"ipc": False}}, "PrivateIPC"),
        ({"own": ALL | {"uts": False}}, "ProtectHostname"),
        ({"status": {"NoNewPrivs": "0", "Seccomp": "2"}}, "NoNewPrivileges"),
        ({"status": {"NoNewPrivs": "1", "Seccomp": "0"}}, "SystemCallFilter"),
        ({"mountinfo": WRITABLE}, "ProtectSystem"),
    ],
)
def test_what_a_running_service_lacks_is_a_warning_that_names_the_option(
    changes: Mapping[str, object], option: str
) -> None:
    lacking = Process(**{**SAFE._asdict(), **changes})
    assert names(list(judge_running(ASKED, lacking))) == [option]
    off = dict.fromkeys(ASKED, "no") | {"SystemCallFilter": ""}
    assert list(judge_running(off, lacking)) == []


def test_what_can_not_be_told_is_no_finding() -> None:
    assert list(judge_running(ASKED, Process({}, {}, ""))) == []
    assert list(judge_stopped(ASKED, lambda _option: None)) == []


def test_of_a_service_that_does_not_run_it_is_said_what_it_will_lack() -> None:
    (finding,) = judge_stopped(ASKED, lambda option: option.namespace != "net")
    assert finding.problem == (
        "PrivateNetwork=yes is not in force: when it runs, the service has the network of the machine"
    )


def test_a_service_that_runs_since_before_the_databases_directory_was_there_has_to_be_restarted() -> None:
    (finding,) = judge_writing(DIRECTORY, SAFE, SAFE._replace(mountinfo=WRITABLE))
    assert finding.level is Level.FAULT
    assert f"can't write in {DIRECTORY}" in finding.problem
    assert finding.mend == "systemctl restart bangeod"


def test_a_directory_that_the_service_can_write_or_nobody_is_no_finding() -> None:
    own = SAFE._replace(mountinfo=WRITABLE)
    bound = SAFE._replace(mountinfo=READ_ONLY + "240 235 0:43 / /srv/ban\\040gui rw - overlay overlay rw\n")
    assert list(judge_writing(DIRECTORY, bound, own)) == []
    assert list(judge_writing(DIRECTORY, SAFE, SAFE)) == []
    assert list(judge_writing(DIRECTORY, SAFE._replace(mountinfo=""), own)) == []


# --- what the kernel says ---

MOUNTS = """\
235 182 0:43 / / ro,relatime shared:31 - overlay overlay rw
236 235 0:46 / /usr rw,nosuid - tmpfs tmpfs rw
240 235 0:47 / /usr/local ro - tmpfs tmpfs rw
"""


def process(proc: Path, pid: str, **namespaces: str) -> None:
    (proc / pid / "ns").mkdir(parents=True)
    for name, target in namespaces.items():
        (proc / pid / "ns" / name).symlink_to(target)
    (proc / pid / "status").write_text("Name:\tx\nNoNewPrivs:\t1\nSeccomp:\t2\n")
    (proc / pid / "mountinfo").write_text(MOUNTS)


def test_namespaces_are_compared_with_those_of_systemd(tmp_path: Path) -> None:
    process(tmp_path, "1", net="net:[1]", mnt="mnt:[1]", user="user:[1]")
    process(tmp_path, "7", net="net:[1]", mnt="mnt:[2]")
    found = look("7", tmp_path)
    assert found is not None
    assert (found.own["net"], found.own["mnt"]) == (False, True)
    assert found.own["uts"] is False  # this kernel has none
    assert (found.status["NoNewPrivs"], found.status["Seccomp"]) == ("1", "2")
    assert found.is_read_only(Path("/usr/bin")) is False  # the mount at /usr, and not the one that it lies on
    assert look("8", tmp_path) is None


def test_this_process_can_be_looked_at() -> None:
    found = look(str(os.getpid()))
    assert found is not None
    assert "NoNewPrivs" in found.status


def test_where_nothing_can_try_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    option = Option("PrivateNetwork", "net", ("--net",), "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert can_be_made(option) is None
    program = tmp_path / "unshare"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    assert can_be_made(option) is False
    program.write_text("#!/bin/sh\nexit 0\n")
    assert can_be_made(option) is True
