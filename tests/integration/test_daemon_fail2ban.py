"""The real daemon beside a fail2ban database that it can't read for a while."""

import os
import time
from contextlib import closing

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bangeod.store.sqlite.engine import engine
from tests.integration.conftest import NOBODY, READ_ALL, Start
from tests.support.daemon.installation import Installation, every, make_fail2ban, text
from tests.support.daemon.process import bangeod

GOOGLE, QUAD9 = "8.8.8.8", "9.9.9.9"


@pytest.mark.parametrize("closed", ["file", "directory"])
def test_one_that_belongs_to_root_is_told_once_with_the_access_list_and_taken_up_when_it_may_be_read(
    launch: Start, place_of_nobody: Installation, as_nobody: tuple[str, ...], closed: str
) -> None:
    place = place_of_nobody
    if not as_nobody or READ_ALL in as_nobody:
        pytest.skip("it takes root to make a file of somebody else's, and a checkout that everybody may read")
    directory = place.home / "fail2ban"
    directory.mkdir()
    jail = make_fail2ban(directory / "fail2ban.sqlite3", GOOGLE)
    shut = jail if closed == "file" else directory
    shut.chmod(0o700)
    place.insert(rows=[(QUAD9, None, text())])
    place.configure(every("100ms", "geo_re_resolve", "geo_cache_cleanup"), {"fail2ban.database": str(jail)})
    daemon = launch(place.config, through=as_nobody)
    warning = daemon.wait_for("fail2ban_unreadable", level="warning")
    assert warning["advice"].endswith(f":r {jail}")
    assert "setfacl -m u:" in warning["advice"]
    daemon.wait_for("geo_re_resolve_complete", resolved=1)  # the job goes on
    daemon.wait_for("fail2ban_unreadable", level="debug")
    os.chown(shut, NOBODY, NOBODY)
    daemon.wait_for("fail2ban_recovered", banned=1)
    daemon.wait_for("geo_re_resolve_complete", since=daemon.lines().index(warning) + 1, retried=1)
    assert daemon.stop() == 0
    assert len(daemon.lines("fail2ban_unreadable", level="warning")) == 1
    assert place.countries() == {QUAD9: "US", GOOGLE: "US"}


def test_the_stop_does_not_wait_for_a_lock_of_fail2bans(start: Start, place: Installation) -> None:
    jail = make_fail2ban(place.home / "fail2ban.sqlite3", GOOGLE)
    with closing(engine.connect(jail, isolation_level=None)) as fail2ban:
        fail2ban.execute("BEGIN EXCLUSIVE")
        waiting = {"fail2ban.database": str(jail), "database.busy_timeout": "60s"}
        daemon = start(every("100ms", "geo_re_resolve", "session_cleanup"), waiting)
        daemon.wait_for("session_cleanup_ran")  # the other job waits by then, or soon
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 20


def test_a_job_goes_on_in_time_however_long_fail2ban_keeps_its_lock(start: Start, place: Installation) -> None:
    jail = make_fail2ban(place.home / "fail2ban.sqlite3", GOOGLE)
    place.insert(rows=[(QUAD9, None, text())])
    with closing(engine.connect(jail, isolation_level=None)) as fail2ban:
        fail2ban.execute("BEGIN EXCLUSIVE")
        waiting = {"fail2ban.database": str(jail), "database.busy_timeout": "60s", "jobs.geo_re_resolve.timeout": "4s"}
        daemon = start(every("100ms", "geo_re_resolve"), waiting)
        daemon.wait_for("fail2ban_unreadable", level="warning")
        daemon.wait_for("geo_re_resolve_complete", resolved=1)
    daemon.wait_for("fail2ban_recovered")
    daemon.wait_for("geo_re_resolve_skip", reason="no_unresolved_ips")
    assert daemon.stop() == 0
    assert daemon.lines("job_timed_out") == []
    assert place.countries() == {GOOGLE: "US", QUAD9: "US"}


def test_while_fail2ban_keeps_its_lock_the_cleanup_deletes_nothing(start: Start, place: Installation) -> None:
    jail = make_fail2ban(place.home / "fail2ban.sqlite3", GOOGLE)
    place.insert(rows=[(GOOGLE, "US", "2001-01-01T00:00:00Z"), (QUAD9, "US", "2001-01-01T00:00:00Z")])
    with closing(engine.connect(jail, isolation_level=None)) as fail2ban:
        fail2ban.execute("BEGIN EXCLUSIVE")
        settings = {"fail2ban.database": str(jail), "database.busy_timeout": "100ms"}
        daemon = start(every("100ms", "geo_cache_cleanup"), settings)
        daemon.wait_for("fail2ban_unreadable", level="warning")
        daemon.wait_for("job_unfinished", skipped="bans_unread", deleted=0)
        assert place.countries().keys() == {GOOGLE, QUAD9}
    daemon.wait_for("fail2ban_recovered", banned=1)
    daemon.wait_for("geo_cache_cleanup_ran", deleted=1)
    assert daemon.stop() == 0
    assert len(daemon.lines("fail2ban_unreadable", level="warning")) == 1
    assert place.countries().keys() == {GOOGLE}


def test_what_is_banned_is_in_metrics_and_status_by_country_once_a_run_has_read_it(
    start: Start, place: Installation
) -> None:
    jail = make_fail2ban(place.home / "fail2ban.sqlite3", GOOGLE, "8.8.4.4", "1.0.0.1", "192.168.1.1", "9.9.9.0/24")
    start({"api.enabled": True, "fail2ban.database": str(jail)})
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(place.socket)), base_url="http://bangeod") as client:
        assert banned(client) == {}
        assert bangeod("job", "run", "geo_re_resolve", "--config", str(place.config)).returncode == 0
        assert banned(client) == {"US": 3, "none": 1, "networks": 1}
    assert "4 addresses and 1 network banned" in bangeod("status", "--config", str(place.config)).stdout


def banned(client: httpx.Client) -> dict[str, float]:
    """Return the figures of what is banned."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples if sample.name.startswith("bangeod_banned_")]
    return {sample.labels.get("country", "networks"): sample.value for sample in samples}
