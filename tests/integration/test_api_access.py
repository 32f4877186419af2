"""Who may ask a daemon: the members of the group that its socket has, and what Prometheus gets there."""

import json
from pathlib import Path

import httpx
import pytest

from tests.integration.conftest import NOBODY, Start
from tests.support import promtool
from tests.support.daemon.installation import Installation
from tests.support.daemon.process import bangeod
from tests.support.mmdb.published import NotToBeHadError, default_cache

SOMEBODY = 61_003  # a user and a group that nobody has
GOOGLE = "8.8.8.8"


@pytest.fixture
def asked(as_nobody: tuple[str, ...], launch: Start, place_of_nobody: Installation) -> Path:
    """Give the config of a daemon of nobody's, in places that everybody may enter."""
    if not as_nobody:
        pytest.skip("only root can ask as another user")
    place = place_of_nobody
    place.configure({"api.enabled": True, "api.mode": "0660"})
    for directory in (place.home, place.home.parent):
        directory.chmod(0o755)
    launch(place.config, through=as_nobody).wait_for("ready")
    return place.config


def somebody(as_nobody: tuple[str, ...], groups: str) -> tuple[str, ...]:
    """Return the words that start a program as another user than the daemon's, in these groups."""
    setpriv, *_, capabilities = as_nobody[:5]
    return (setpriv, f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", groups, capabilities, *as_nobody[5:])


def test_a_user_in_the_sockets_group_may_ask(asked: Path, as_nobody: tuple[str, ...]) -> None:
    member = somebody(as_nobody, f"--groups={NOBODY}")
    ran = bangeod("lookup", GOOGLE, "--json", "--config", str(asked), through=member)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)[0]["country_code"] == "US"
    ran = bangeod("status", "--json", "--config", str(asked), through=member)
    assert json.loads(ran.stdout)["api"]["lookups"] == {"embedded": 1}  # it was the daemon that looked


def test_a_user_who_is_not_in_it_may_not(asked: Path, as_nobody: tuple[str, ...]) -> None:
    stranger = somebody(as_nobody, "--clear-groups")
    for command in (("lookup", GOOGLE), ("status",), ("job", "run", "session_cleanup")):
        ran = bangeod(*command, "--config", str(asked), through=stranger)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert "may not open the socket" in ran.stderr


def test_prometheus_has_nothing_to_say_against_what_it_gets(start: Start, place: Installation) -> None:
    try:
        judge = promtool.find(default_cache())
    except NotToBeHadError as error:
        pytest.skip(str(error))
    start({"api.enabled": True})
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(place.home / "bangeod.sock"))) as client:
        text = client.get("http://localhost/metrics").text
    assert 'bangeod_job_interval_seconds{job_id="geo_cache_flush"} 60.0' in text
    verdict = judge("check", "metrics", text=text)
    assert (verdict.fine, verdict.said) == (True, "")
