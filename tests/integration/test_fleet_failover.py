"""A fleet of three hosts, each with its own database and fail2ban, on a server that dies, and whose standby takes over.

Each host has the country of one network from a source of its own; those of the others it can only have from the fleet.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import pytest

from bangeod.client import Entry, GeoClient, Status
from tests.support.daemon.installation import Installation, every, make_fail2ban
from tests.support.daemon.process import DaemonProcess, bangeod
from tests.support.feed import DEADLINE, eventually
from tests.support.mmdb.files import nested, write_mmdb
from tests.support.servers import postgres, postgres_pair
from tests.support.servers.postgres_pair import Pair

HOSTS: Final = 3
COUNTRIES: Final = "SE", "NO", "DK"  # of the network of each host
ROLES: Final = tuple(f"host{number}" for number in range(HOSTS))
DATABASE: Final = "fleet"
TOLD: Final = 30  # addresses
KNOWN_WITHIN: Final = 1.0  # seconds
TIMEOUT: Final = 0.2  # seconds, of a lookup's question to the fleet
ALLOWANCE: Final = 2.0  # seconds: a lookup is more than that question, and the machine may be busy
OF_SERVERS: Final = {"wal_retrieve_retry_interval": "100ms", "max_wal_size": "64MB"}


class Lookup(NamedTuple):
    """A lookup that was answered."""

    ip: str
    seconds: float
    entry: Entry


class Host:
    """One host of the fleet: its daemon, and who asks that for new addresses of its own network all the time."""

    def __init__(self, number: int, place: Installation) -> None:
        self.number = number
        self.place = place
        self.lookups: list[Lookup] = []
        self._next = 0
        self._turn = threading.Lock()
        self._ended = threading.Event()
        self._visitors = threading.Thread(target=self._visit, name=f"visitors-{number}")
        self._running = ExitStack()

    def __enter__(self) -> Self:
        self.daemon = self._running.enter_context(DaemonProcess(self.place.config))
        self.client = self._running.enter_context(GeoClient(str(self.place.socket), timeout=DEADLINE, strict=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_no_more_ask()
        self._running.close()

    def begin(self) -> None:
        """Let the visitors come."""
        self._visitors.start()

    def let_no_more_ask(self) -> None:
        """Have the visitors go."""
        self._ended.set()
        with suppress(RuntimeError):  # none has come
            self._visitors.join()

    def new_address(self) -> str:
        """Return an address of its network that nobody has asked about."""
        with self._turn:
            self._next += 1
            return f"{20 + self.number}.0.{self._next >> 8}.{self._next & 0xFF}"

    def look_up(self, ip: str) -> Entry:
        """Ask its daemon."""
        began = time.monotonic()
        entry = self.client.lookup(ip)
        self.lookups.append(Lookup(ip, time.monotonic() - began, entry))
        return entry

    def knows(self, ip: str, country: str) -> bool:
        """Say whether it answers that the address is in this country; nothing else may it say but that it can't."""
        entry = self.look_up(ip)
        assert entry.country_code in (country, None)
        return entry.status == Status.RESOLVED

    @property
    def found(self) -> set[str]:
        """The addresses of its own network that it has answered."""
        own = f"{20 + self.number}."
        return {each.ip for each in self.lookups if each.ip.startswith(own) and each.entry.status == Status.RESOLVED}

    def _visit(self) -> None:
        while not self._ended.wait(0.05):
            assert self.knows(self.new_address(), COUNTRIES[self.number])


class Fleet:
    """All of them, and the servers."""

    def __init__(self, hosts: list[Host], servers: Pair) -> None:
        self.hosts = hosts
        self.servers = servers

    def sql(self, statement: str) -> set[tuple[object, ...]]:
        with closing(self.servers.connect(DATABASE)) as admin:
            return set(admin.execute(statement))

    def tell(self, number: int) -> float:
        """Have one host find where an address is; return after how many seconds all others know, too."""
        teller = self.hosts[number % HOSTS]
        ip, country = teller.new_address(), COUNTRIES[teller.number]
        assert teller.knows(ip, country)
        began = time.monotonic()
        for host in self.hosts:
            if host is not teller:
                eventually(partial(host.knows, ip, country), f"host {host.number} knows {ip}")
        return time.monotonic() - began


@pytest.fixture
def servers() -> Iterator[Pair]:
    """Give a primary with the fleet's tables, a role for each host, and a standby."""
    with postgres.skipping(), postgres_pair.running(synchronous=True, **OF_SERVERS) as servers:
        with closing(servers.connect()) as admin:
            admin.execute(f"CREATE DATABASE {DATABASE} STRATEGY file_copy")
            for role in ROLES:
                admin.execute(f"CREATE ROLE {role} LOGIN")
        made = bangeod("init", "--fleet", servers.url(DATABASE), *(f"--role={role}" for role in ROLES))
        assert (made.returncode, made.stderr) == (0, "")
        yield servers


@pytest.fixture
def fleet(tmp_path: Path, servers: Pair) -> Iterator[Fleet]:
    """Give the daemons of all hosts, ready."""
    hosts = []
    with ExitStack() as running:
        for number, role in enumerate(ROLES):
            place = Installation(tmp_path / role)
            place.make()
            mmdb = write_mmdb(place.home / "own.mmdb", {f"{20 + number}.0.0.0/8": nested(COUNTRIES[number])})
            fail2ban = make_fail2ban(place.home / "fail2ban.sqlite3", banned(number))
            place.configure(
                every("200ms", "geo_cache_flush"),
                {"api.enabled": True, "geo.embedded": False, "geo.mmdb": [str(mmdb)]},
                {"fail2ban.database": str(fail2ban)},
                {"fleet.url": servers.url(DATABASE, role), "fleet.host": role, "fleet.timeout": f"{TIMEOUT:g}s"},
            )
            hosts.append(running.enter_context(Host(number, place)))
        for host in hosts:
            host.daemon.wait_until_loaded()
        yield Fleet(hosts, servers)


def banned(number: int) -> str:
    """Return the address that a host has banned for good."""
    return f"30.0.0.{number + 1}"


OWN_BANS: Final = {(role, banned(number)) for number, role in enumerate(ROLES)}


def bans(fleet: Fleet) -> set[tuple[object, ...]]:
    """Return who is banned, by host, as the fleet has it."""
    return fleet.sql("SELECT host, host(ip) FROM bangeod.bans")


def test_what_one_host_finds_all_know_within_a_second_and_a_failover_takes_nothing_from_them(fleet: Fleet) -> None:
    eventually(lambda: bans(fleet) == OWN_BANS, "each host's bans are told")
    took = sorted(fleet.tell(number) for number in range(TOLD))
    assert took[TOLD // 2] <= KNOWN_WITHIN, took
    assert took[-1] <= KNOWN_WITHIN + ALLOWANCE, took
    for host in fleet.hosts:
        host.begin()
    fleet.servers.kill_primary()
    threading.Event().wait(1.0)  # lookups go on all the while
    fleet.servers.promote()
    fleet.servers.rejoin()
    again = [fleet.tell(number) for number in range(HOSTS)]
    for host in fleet.hosts:
        host.let_no_more_ask()
    found = {(ip,) for host in fleet.hosts for ip in host.found}
    eventually(lambda: found <= fleet.sql("SELECT host(ip) FROM bangeod.geo"), "all that was found is told")
    assert bans(fleet) == OWN_BANS
    for host in fleet.hosts:
        assert host.daemon.stop() == 0
        assert not host.place.unwritten.exists()
        countries = host.place.countries()
        answered = {each.ip: each.entry.country_code for each in host.lookups if each.entry.status == Status.RESOLVED}
        assert answered.items() <= countries.items()
        slowest = max(host.lookups, key=lambda lookup: lookup.seconds)
        assert slowest.seconds <= TIMEOUT + ALLOWANCE, slowest
        said = {line["event"] for line in host.daemon.lines() if line.get("level") not in ("debug", "info")}
        assert said <= {"fleet_lost", "fleet_slow", "listening_lost"}
    slowest_of_all = max(each.seconds for host in fleet.hosts for each in host.lookups)
    print(f"known to all after {took[len(took) // 2]:.2f} s, at most {took[-1]:.2f} s; at last {again[-1]:.2f} s")
    print(f"{len(found)} addresses, the slowest lookup {slowest_of_all * 1000:.0f} ms")
