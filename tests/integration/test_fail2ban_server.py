"""Who is banned now, read from the database of fail2ban's real server: what its jails write, and leave behind."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bangeod.banned import Reading
from bangeod.store.fail2ban import Fail2banReader
from bangeod.store.sqlite.engine import engine
from tests.support.fail2ban.server import Fail2banServer
from tests.support.feed import eventually

FOR_GOOD = {"filter": "by_address", "bantime": "-1"}
ALWAYS = {
    "kept": FOR_GOOD,
    "ids": {"filter": "by_id", "bantime": "1h"},
    "nets": {"filter": "by_network", "bantime": "1h"},
    "random": {
        "filter": "by_another",
        "bantime": "4",
        "bantime.increment": "true",
        "bantime.factor": "100",
        "bantime.rndtime": "600",
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, fail2bans_modules: Path) -> Iterator[Fail2banServer]:
    """Give a server that has banned in every way."""
    with Fail2banServer(tmp_path_factory.mktemp("fail2ban"), fail2bans_modules) as server:
        server.start(gone=FOR_GOOD, **ALWAYS)
        server.log("login root from 8.8.8.1", "login me@example.org from 2001:DB8:0:0::1", "swarm 8.8.4.77/24")
        server.log("swarm 2001:db8:1::77/48", "bad 9.9.9.9", "again 9.9.9.8")
        server.tell("set", "gone", "banip", "7.7.7.7")
        server.wait_for_bans("ids", ["root", "me@example.org"])
        server.wait_for_bans("nets", ["8.8.4.0/24", "2001:db8:1::/48"])
        for jail in ("kept", "gone"):
            server.wait_for_bans(jail, ["9.9.9.9"])
        eventually(lambda: bantimes(server, "random") == ["integer"], "a first ban", timeout=30)
        eventually(lambda: server.tell("get", "random", "banip") == "", "its end", timeout=30)
        server.log("again 9.9.9.8")
        eventually(lambda: "real" in bantimes(server, "random"), "a random ban time", timeout=30)
        yield server


def bantimes(server: Fail2banServer, jail: str) -> list[object]:
    return [kind for name, kind in rows(server, "SELECT jail, typeof(bantime) FROM bips") if name == jail]


def look(server: Fail2banServer, later: float = 0) -> Reading:
    return asyncio.run(Fail2banReader(server.database, busy_timeout=5).read(int(time.time() + later)))


def rows(server: Fail2banServer, statement: str) -> list[tuple[object, ...]]:
    connection = engine.connect(f"file:{server.database}?mode=ro", uri=True)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def test_ids_are_found_by_the_address_in_their_data(server: Fail2banServer) -> None:
    assert rows(server, "SELECT ip, typeof(data) FROM bips WHERE jail = 'ids' ORDER BY ip") == [
        ("me@example.org", "blob"),
        ("root", "blob"),
    ]
    assert {"8.8.8.1", "2001:db8::1"} <= look(server).banned.addresses


def test_networks_hold_their_addresses(server: Fail2banServer) -> None:
    banned = look(server).banned
    assert {str(network) for network in banned.networks} == {"8.8.4.0/24", "2001:db8:1::/48"}
    assert banned.holds("8.8.4.4")
    assert banned.holds("2001:DB8:1:0::4")


def test_a_random_ban_time_is_real_and_ends(server: Fail2banServer) -> None:
    assert "9.9.9.8" in look(server).banned.addresses
    assert "9.9.9.8" not in look(server, later=5_000).banned.addresses


def test_a_ban_for_good_goes_on(server: Fail2banServer) -> None:
    assert look(server, later=10**9).banned.addresses == {"9.9.9.9", "7.7.7.7"}


def test_bans_of_a_jail_that_is_gone_count_until_fail2ban_has_started_without_it(server: Fail2banServer) -> None:
    server.stop()
    stopped = look(server)
    assert (stopped.enabled, bool(stopped.of_gone_jails)) == (frozenset(), False)
    assert {"7.7.7.7", "9.9.9.9", "8.8.8.1"} <= stopped.banned.addresses
    server.start(**ALWAYS)
    started = look(server)
    assert started.enabled == ALWAYS.keys()
    assert started.of_gone_jails.addresses == {"7.7.7.7"}
    assert {"9.9.9.9", "8.8.8.1"} <= started.banned.addresses
    server.tell("unban", "--all")
    unbanned = look(server)
    assert not unbanned.banned
    assert unbanned.of_gone_jails.addresses == {"7.7.7.7", "9.9.9.9"}  # fail2ban leaves them there for ever
