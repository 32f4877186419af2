"""``bangeod geodb update`` as a person runs it: what it prints and where, its exit status, the progress bar."""

import asyncio
import io
import json
import threading
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner, Result

from bangeod.cli import cli, geodb
from bangeod.errors import OutputError
from bangeod.service.log import setup
from tests.support.daemon.installation import Installation
from tests.support.daemon.process import DaemonProcess, bangeod
from tests.support.mmdb.files import US, by_hand, encoded
from tests.support.servers.geodb import ACCOUNT, KEY, NOVEMBER, GeodbServer, packed, tarred

GOOD = by_hand(US, US)
NETWORK = encoded({"asn": "AS15169"})
MAXMIND = {"geo.update.source": "GeoLite2-Country", "geo.update.account_id": ACCOUNT}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GeodbServer]:
    """Give the server, on a thread of its own: the command has an event loop for itself."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("bangeod.clock.time.time", lambda: NOVEMBER + 86_400)
    server, ready, loop = GeodbServer(), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with server:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(30)
    monkeypatch.setattr(geodb, "BASE", server.base)
    yield server
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()
    assert server.offences == []


def update(place: Installation, *arguments: str, **environ: str) -> Result:
    blank = dict.fromkeys(("BANGEOD_CONFIG", "BANGEOD_LICENSE_KEY", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"))
    try:
        words = ["geodb", "update", "--config", str(place.config), *arguments]
        return CliRunner().invoke(cli, words, env={**blank, **environ})
    finally:
        setup.reset()


def test_what_was_fetched_is_named_with_its_attribution_and_nothing_else_is_said(
    server: GeodbServer, place: Installation
) -> None:
    server.give_dbip(packed(GOOD))
    result = update(place)
    path = place.state / "dbip-country-lite.mmdb"
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"{path} is new: By-Hand of 2023-11-14, 2 distinct records\n"
        "IP Geolocation by DB-IP (https://db-ip.com), licensed under CC BY 4.0\n"
    )
    assert update(place).stdout.startswith(f"{path} has not changed: By-Hand")
    assert update(place, "--force").stdout.startswith(f"{path} is new: By-Hand")


def test_a_result_that_can_not_be_written_keeps_nothing_from_being_fetched(
    server: GeodbServer, place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.configure({"geo.update.source": ["dbip-asn-lite", "dbip-country-lite"]})
    server.give_dbip(packed(GOOD))
    server.give_dbip(packed(by_hand(NETWORK, NETWORK)), name="dbip-asn-lite")
    problem = OutputError("No space left on device")
    failures, echo = [problem], click.echo

    def full(text: str, *, err: bool = False) -> None:
        if not err and failures:
            raise failures.pop()
        echo(text, err=err)

    monkeypatch.setattr(click, "echo", full)
    result = update(place)
    assert (result.exit_code, result.stderr) == (1, f"{problem}\n")
    assert {path.name for path in place.state.glob("*.mmdb")} == {"dbip-asn-lite.mmdb", "dbip-country-lite.mmdb"}


def test_what_can_not_be_fetched_is_an_error_and_the_others_are_fetched(
    server: GeodbServer, place: Installation
) -> None:
    place.configure({"geo.update.source": ["dbip-asn-lite", "dbip-country-lite"]})
    server.give_dbip(packed(GOOD))
    result = update(place)
    assert result.exit_code == 1
    assert result.stderr.startswith("dbip-asn-lite: 127.0.0.1 has no file for 2026-11 nor for 2026-10: ")
    assert "dbip-country-lite.mmdb is new" in result.stdout


def test_an_attribution_is_printed_once(server: GeodbServer, place: Installation) -> None:
    place.configure({"geo.update.source": ["dbip-asn-lite", "dbip-country-lite"]})
    server.give_dbip(packed(GOOD))
    server.give_dbip(packed(by_hand(NETWORK, NETWORK)), name="dbip-asn-lite")
    assert update(place).stdout.count("IP Geolocation by DB-IP") == 1


def test_maxmind_is_asked_with_the_account(server: GeodbServer, place: Installation) -> None:
    place.configure(MAXMIND)
    server.give_maxmind(tarred({"d/GeoLite2-Country.mmdb": GOOD}))
    result = update(place, BANGEOD_LICENSE_KEY=KEY)
    assert result.exit_code == 0
    assert "GeoLite data created by MaxMind" in result.stdout


def test_an_account_that_is_not_there_is_a_bad_config_and_nobody_is_asked(
    server: GeodbServer, place: Installation
) -> None:
    place.configure({"geo.update.source": "GeoLite2-Country"})
    result = update(place)
    assert (result.exit_code, result.stdout) == (78, "")
    account, key = result.stderr.splitlines()
    assert account.startswith(f"{place.config}: geo.update.account_id: expected the number of an account at MaxMind")
    assert "in $BANGEOD_LICENSE_KEY or in the systemd credential license_key; found none" in key
    assert server.requests == []


def test_the_key_is_shown_by_no_output_whatever_happens(server: GeodbServer, place: Installation) -> None:
    place.configure(MAXMIND, {"geo.update.license_key": "wr0ng_key", "log.level": "debug"})
    result = update(place)
    assert result.exit_code == 1
    assert "refused account_id or license_key" in result.stderr
    assert "wr0ng_key" not in result.output + repr(result.exception)


def test_what_is_fetched_and_not_used_is_said(server: GeodbServer, place: Installation) -> None:
    place.configure({"geo.mmdb": ["/var/lib/GeoIP/x.mmdb"]})
    server.give_dbip(packed(GOOD))
    result = update(place)
    assert result.exit_code == 0
    assert f"not used, as [geo] mmdb in {place.config} names other files" in result.stderr


def test_an_update_that_is_not_there_is_wrong_usage(place: Installation) -> None:
    result = CliRunner().invoke(cli, ["geodb", "upgrade"])
    assert result.exit_code == 2


class Terminal(io.StringIO):
    """A text file that takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_progress_bar() -> None:
    terminal = Terminal()
    with geodb.Bar("dbip-country-lite", terminal) as bar:
        for done in (0, 50, 100):
            bar.show(done, 100)
    assert "dbip-country-lite" in terminal.getvalue()
    assert "100%" in terminal.getvalue()


@pytest.mark.parametrize(("stream", "total"), [(io.StringIO(), 100), (Terminal(), None)])
def test_nothing_is_drawn_elsewhere_or_where_nobody_knows_the_size(stream: io.StringIO, total: int | None) -> None:
    with geodb.Bar("dbip-country-lite", stream) as bar:
        bar.show(50, total)
    assert stream.getvalue() == ""


def test_lookup_and_the_daemon_use_what_was_fetched(server: GeodbServer, place: Installation) -> None:
    server.give_dbip(packed(GOOD))
    update(place)
    ran = bangeod("lookup", "2.2.2.2", "--json", "--config", str(place.config))
    (answer,) = json.loads(ran.stdout)
    assert (answer["country_code"], answer["origin"]) == ("US", "mmdb")
    assert "warning" not in ran.stderr
    with DaemonProcess(place.config) as daemon:
        daemon.wait_for("ready")
        assert daemon.lines("mmdb_loaded", path=str(place.state / "dbip-country-lite.mmdb"))
        assert daemon.stop() == 0
