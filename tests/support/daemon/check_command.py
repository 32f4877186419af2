"""``bangeod check`` as a test runs it: in this process, its findings as JSON."""

import json
import os
import pwd
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bangeod.cli import cli
from bangeod.service.log import setup
from tests.support.daemon.installation import Installation

NOBODY = 65_534
IS_ROOT = os.geteuid() == 0
GOOD, BAD, BAD_CONFIG = 0, 1, 78  # exit statuses

Finding = dict[str, str]


def as_nobody() -> tuple[str, ...]:
    """Return the options by which the check is for a user whom file modes bind: none, but for root."""
    if not IS_ROOT:
        return ()
    try:
        return ("--user", pwd.getpwuid(NOBODY).pw_name)
    except KeyError:
        pytest.skip("there is no user of the number 65534 on this machine")


def run(place: Installation, *arguments: str, **environ: str) -> Result:
    blank = dict.fromkeys(("BANGEOD_CONFIG", "BANGEOD_IP_API_KEY", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"))
    user = [] if "--user" in arguments else ["--user", pwd.getpwuid(os.geteuid()).pw_name]
    words = ["check", "--config", str(place.config), *user, *arguments]
    try:
        return CliRunner().invoke(cli, words, env={**blank, **environ})
    finally:
        setup.reset()


def check(place: Installation, *arguments: str, status: int | None = None) -> list[Finding]:
    result = run(place, "--json", *arguments)
    assert result.stderr == ""
    findings: list[Finding] = json.loads(result.stdout)
    is_bad = any(finding["level"] == "fault" for finding in findings)
    assert result.exit_code == (int(is_bad) if status is None else status), result.stdout
    for finding in findings:
        assert bool(finding["mend"]) == (finding["level"] != "ok"), finding
        assert "fault of bangeod" not in finding["mend"], finding
    return findings


def wrong(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding["level"] != "ok"]


def only(findings: list[Finding], subject: str, level: str = "fault") -> Finding:
    found = [finding for finding in findings if finding["subject"] == subject and finding["level"] == level]
    assert len(found) == 1, findings
    return found[0]


def everything_in(directory: Path) -> dict[str, tuple[int, ...]]:
    """Return each file with all that would show that somebody wrote it, replaced it or made it."""
    found: dict[str, tuple[int, ...]] = {}
    for path in directory.rglob("*"):
        status = path.lstat()
        found[str(path)] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode, status.st_uid)
    return found
