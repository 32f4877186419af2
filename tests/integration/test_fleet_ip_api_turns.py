"""Hosts of a fleet that settle on a real server, each as a role of its own, who asks ip-api.com and about what."""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from bangeod.fleet.ip_api_turns import AWAY, FRESH, PENDING, UNUSABLE, IpApiTurns, _key_of
from bangeod.fleet.statements import LOCK_EGRESS
from bangeod.geo.sources.ip_api.answer import Quota
from bangeod.geo.sources.ip_api.limit import Reason
from bangeod.geo.sources.ip_api.turns import Alone, Outcome, Turn, Turns
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.session import Session
from tests.support.manual_clock import ManualClock
from tests.support.servers import pgbouncer, postgres_fleet
from tests.support.servers.postgres_fleet import FleetTables

A, B, C, D = "8.8.8.8", "1.1.1.1", "2a00:1450:4001:80b::200e", "9.9.9.9"
MANY = [f"8.8.{number // 250}.{number % 250}" for number in range(500)]
NOWHERE = Conninfo("host=/nonexistent dbname=fleet", "postgresql:///fleet")

Join = Callable[..., IpApiTurns]


@pytest.fixture(scope="module")
def made() -> Iterator[FleetTables]:
    with postgres_fleet.made() as tables:
        yield tables


@pytest.fixture
def tables(made: FleetTables) -> FleetTables:
    made.empty()
    return made


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def join(clock: ManualClock) -> AsyncIterator[Join]:
    """Give a function that lets a host take part."""
    joined: list[IpApiTurns] = []

    def join(conninfo: Conninfo, *, host: str = "a", egress: str = "") -> IpApiTurns:
        session = Session(conninfo, clock, schema=None, lock_timeout=2.0)
        joined.append(IpApiTurns(session, clock, host=host, egress=egress))
        return joined[-1]

    yield join
    for turns in joined:
        await turns.close()


@pytest.fixture
def three(tables: FleetTables, join: Join) -> Sequence[IpApiTurns]:
    """Give three hosts with a public address of its own each."""
    return [join(tables.conninfo(number), host=f"host-{number}") for number in range(3)]


@pytest.fixture
def sharing(tables: FleetTables, join: Join) -> Sequence[IpApiTurns]:
    """Give three hosts that share a public address."""
    return [join(tables.conninfo(number), host=f"host-{number}", egress="office") for number in range(3)]


async def answered(turns: IpApiTurns, turn: Turn, *, left: int = 9, window: int = 50) -> None:
    """End a turn by an answer that knows all addresses."""
    await turns.finish(Outcome(frozenset(turn.ips), quota=Quota(left, window), is_counted=True))


def claims(tables: FleetTables) -> dict[str, float]:
    """Return for how many seconds each address is claimed still."""
    rows = tables.sql(
        "SELECT host(ip), CAST(EXTRACT(EPOCH FROM until - now()) AS double precision) FROM bangeod.claims"
    )
    return dict(rows)


async def until_somebody_waits(tables: FleetTables) -> None:
    """Wait until a statement waits for a lock."""
    async with asyncio.timeout(30):
        with closing(tables.server.connect(tables.database)) as watcher:
            while not watcher.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():  # noqa: ASYNC110 - the server does not tell
                await asyncio.sleep(0.01)


# --- claims -----------------------------------------------------------------------------------------------------------


async def test_what_one_host_asks_about_no_other_does(three: Sequence[IpApiTurns]) -> None:
    one, other, _ = three
    assert (await one.take([A, B], 100)).ips == [A, B]
    assert set(await other.claimed([D, C, B, A])) == {A, B}
    assert (await other.take([A, C, B, D], 100)).ips == [C, D]


async def test_the_first_addresses_that_are_free_are_claimed_and_no_more_than_a_batch(
    three: Sequence[IpApiTurns],
) -> None:
    await three[0].take(MANY[:150], 100)
    assert (await three[1].take(MANY, 100)).ips == MANY[100:200]
    assert await three[2].claimed(MANY[200:]) == set()


async def test_hosts_that_choose_at_the_same_time_get_different_addresses(three: Sequence[IpApiTurns]) -> None:
    one, other, _ = three
    for start in range(0, len(MANY), 50):
        part = MANY[start : start + 50]
        turns = await asyncio.gather(one.take(part, 100), other.take(part[::-1], 100))
        assert sorted(ip for turn in turns for ip in turn.ips) == sorted(part)


async def test_a_claim_lasts_until_the_answer_is_in_everybodys_reach(
    three: Sequence[IpApiTurns], tables: FleetTables
) -> None:
    one, other, _ = three
    await answered(one, await one.take([A], 100))
    assert claims(tables)[A] == pytest.approx(FRESH, abs=5)
    tables.let_pass(FRESH - 5)
    assert await other.claimed([A]) == {A}
    tables.let_pass(5)
    assert await other.claimed([A]) == set()
    assert (await other.take([A], 100)).ips == [A]  # though it was another's role that claimed it


async def test_an_unknown_address_is_claimed_for_as_long_as_its_backoff(
    three: Sequence[IpApiTurns], tables: FleetTables
) -> None:
    await three[0].take([A, B], 100)
    await three[0].finish(Outcome(unknown={A: 600.0, B: 86_400.0}, is_counted=True))
    assert claims(tables) == {A: pytest.approx(600, abs=5), B: pytest.approx(86_400, abs=5)}


async def test_what_was_not_answered_may_be_asked_about_again_at_once(three: Sequence[IpApiTurns]) -> None:
    await three[0].take([A, B], 100)
    await three[0].finish(Outcome(frozenset([A]), is_counted=True))
    assert (await three[1].take([A, B], 100)).ips == [B]


async def test_nobody_asks_about_what_a_host_had_claimed_when_it_died_until_that_expires(
    three: Sequence[IpApiTurns], tables: FleetTables
) -> None:
    await three[0].take([A], 100)
    assert (await three[1].take([A, B], 100)).ips == [B]
    tables.let_pass(600)
    assert (await three[2].take([A, B], 100)).ips == [A, B]


async def test_what_nobody_waits_for_any_more_is_released(three: Sequence[IpApiTurns]) -> None:
    one, other, _ = three
    await one.take([A], 100)
    one.break_off()
    await one.settle()
    assert (await other.take([A], 100)).ips == [A]


async def test_an_answer_that_nobody_waited_for_is_lost_and_released_too(three: Sequence[IpApiTurns]) -> None:
    one, other, _ = three
    await answered(one, await one.take([A], 100))
    one.break_off()
    await one.settle()
    assert (await other.take([A], 100)).ips == [A]


async def test_no_host_can_end_anothers_claim(three: Sequence[IpApiTurns], tables: FleetTables, join: Join) -> None:
    await three[0].take([A], 100)
    impostor = join(tables.conninfo(1), host="host-0")
    impostor._asked = [A]
    impostor.break_off()
    await impostor.settle()
    assert claims(tables).keys() == {A}


@pytest.mark.parametrize("until", ["infinity", "now() + interval '26 hours'"])
async def test_a_claim_that_no_daemon_has_made_does_not_bind_and_is_named_once(
    three: Sequence[IpApiTurns], tables: FleetTables, until: str
) -> None:
    until = until if "(" in until else f"'{until}'"
    tables.admin.execute(f"INSERT INTO bangeod.claims (ip, host, until) VALUES ('{A}', 'x', {until})")
    assert await three[0].claimed([A]) == set()
    with capture_logs() as logs:
        for _ in range(3):
            assert (await three[0].take([A, B], 100)).ips[0] == A
    assert [(line["event"], line["rows"]) for line in logs if line["log_level"] == "warning"] == [
        ("ip_api_odd_claims", 1)
    ]


async def test_expired_claims_are_deleted_whoever_made_them(three: Sequence[IpApiTurns], tables: FleetTables) -> None:
    await three[0].take([A], 100)
    tables.let_pass(601)
    await three[1].take([B], 100)
    await three[2].settle()
    assert claims(tables).keys() == {B}


async def test_in_any_order_all_that_is_free_is_asked_and_nothing_that_is_pending_or_fresh(
    three: Sequence[IpApiTurns], tables: FleetTables
) -> None:
    """Hosts that answer, fail, give up and die; the ledger says until when nobody may ask about an address."""
    chance = random.Random(19)
    ledger = dict.fromkeys(MANY[:40], 0.0)
    asking: dict[IpApiTurns, Sequence[str]] = {}
    now = 0.0
    for _ in range(150):
        turns = chance.choice(three)
        if chance.random() < 0.2:  # long enough that who asks has died
            now += (seconds := chance.choice([61.0, 301.0, 1801.0]))
            tables.let_pass(seconds)
            asking.clear()
        elif turns not in asking:
            offered = chance.sample(sorted(ledger), 40)
            turn = await turns.take(offered, 8)
            assert turn.ips == [ip for ip in offered if ledger[ip] <= now][:8]
            ledger |= dict.fromkeys(turn.ips, now + PENDING)
            asking[turns] = turn.ips
        else:
            asked = asking.pop(turns)
            outcome = Outcome(frozenset(asked[:4]), dict.fromkeys(asked[4:6], 1200.0), is_counted=True)
            if chance.random() < 0.7:
                await turns.finish(outcome)
                ledger |= {ip: now + outcome.unknown.get(ip, FRESH if ip in outcome.found else 0.0) for ip in asked}
            else:
                turns.break_off()
                await turns.settle()
                ledger |= dict.fromkeys(asked, now)
    assert now > 2 * FRESH


# --- an egress --------------------------------------------------------------------------------------------------------


async def test_hosts_of_an_egress_ask_one_after_another(sharing: Sequence[IpApiTurns]) -> None:
    one, other, _ = sharing
    turn = await one.take([A], 100)
    assert (turn.ips, turn.wait) == ([A], 0)
    waits = await other.take([B], 100)
    assert (waits.ips, waits.reason) == ((), Reason.SHARED)
    assert 0 < waits.wait < 5
    await answered(one, turn)
    assert (await other.take([B], 100)).ips == [B]


async def test_of_hosts_that_come_at_the_same_time_one_has_the_turn(sharing: Sequence[IpApiTurns]) -> None:
    for number in range(15):
        own = [[MANY[3 * number + place]] for place in range(3)]  # so that no claim keeps one from another
        taken = await asyncio.gather(*(turns.take(ips, 100) for turns, ips in zip(sharing, own, strict=True)))
        having = [place for place, turn in enumerate(taken) if turn.ips]
        assert len(having) == 1
        await answered(sharing[having[0]], taken[having[0]])


async def test_who_has_waited_for_the_egresss_lock_sees_what_was_said_meanwhile(
    sharing: Sequence[IpApiTurns], tables: FleetTables
) -> None:
    with closing(tables.server.connect(tables.database)) as other:
        with tables.admin.transaction():
            tables.admin.execute(LOCK_EGRESS, {"key": _key_of("office")})
            taking = asyncio.ensure_future(sharing[0].take([A], 100))
            await until_somebody_waits(tables)
            other.execute(
                "INSERT INTO bangeod.pauses (egress, host, until, said_at)"
                " VALUES ('office', 'x', now() + interval '1 minute', now())"
            )
        turn = await taking
    assert (turn.ips, turn.wait > 0) == ((), True)
    assert claims(tables) == {}


async def test_what_is_left_of_the_window_all_hosts_of_the_egress_know(
    sharing: Sequence[IpApiTurns], tables: FleetTables
) -> None:
    one, other, third = sharing
    await answered(one, await one.take([A], 100), left=1, window=50)
    await other.take([B], 100)
    other.break_off()  # it may have been counted
    await other.settle()
    wait = (await third.take([C], 100)).wait
    assert wait == pytest.approx(61, abs=5)
    tables.let_pass(62)
    assert (await third.take([C], 100)).ips == [C]


async def test_a_pause_that_ip_api_wants_is_all_the_egresss(sharing: Sequence[IpApiTurns], tables: FleetTables) -> None:
    one, other, _ = sharing
    await one.take([A], 100)
    await one.finish(Outcome(pause=3600.0))
    tables.let_pass(3000)
    assert (await other.take([A], 100)).wait == pytest.approx(600, abs=10)
    tables.let_pass(601)
    assert (await other.take([A], 100)).ips == [A]


async def test_a_host_that_dies_keeps_its_egress_waiting_for_a_window_and_no_longer(
    sharing: Sequence[IpApiTurns], tables: FleetTables
) -> None:
    one, other, _ = sharing
    await one.take([A], 100)
    tables.let_pass(59)
    assert (await other.take([B], 100)).wait > 0
    tables.let_pass(1)
    assert (await other.take([B], 100)).ips == [B]


async def test_hosts_of_another_egress_wait_for_nobody_but_their_own(tables: FleetTables, join: Join) -> None:
    office = join(tables.conninfo(0), host="a", egress="office")
    home = join(tables.conninfo(1), host="b", egress="home")
    await office.take([A], 100)
    assert (await home.take([A, B], 100)).ips == [B]


async def test_a_turn_without_addresses_keeps_nobody_waiting(
    sharing: Sequence[IpApiTurns], tables: FleetTables
) -> None:
    one, other, third = sharing
    await answered(one, await one.take([A], 100))
    assert await other.take([A], 100) == Turn([], 55.0)
    assert (await third.take([B], 100)).ips == [B]
    assert tables.sql("SELECT host FROM bangeod.pauses ORDER BY host") == [("host-0",), ("host-2",)]


async def test_nothing_is_locked_while_a_request_is_sent(sharing: Sequence[IpApiTurns], tables: FleetTables) -> None:
    await sharing[0].take([A], 100)
    assert tables.sql("SELECT mode FROM pg_locks WHERE locktype IN ('advisory', 'tuple')") == []
    query = "SELECT state FROM pg_stat_activity WHERE application_name = 'bangeod' AND datname = current_database()"
    assert {state for (state,) in tables.sql(query)} == {"idle"}


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ("'infinity', 3, 'infinity', now() - interval '25 hours'", 1),
        ("'infinity', 3, 'infinity', '-infinity'", 1),
        ("now() - interval '1 second', -7, now() - interval '1 second', now()", 1),
        ("'0044-03-15 BC', NULL, NULL, '0044-03-15 BC'", 0),  # is over
        ("'-infinity', 2000000000, '10000-01-01', now()", 1),
    ],
)
async def test_a_pause_that_no_daemon_has_written_is_bounded_and_named_once(
    sharing: Sequence[IpApiTurns], tables: FleetTables, columns: str, named: int
) -> None:
    tables.admin.execute(
        "INSERT INTO bangeod.pauses (egress, host, until, requests_left, window_end, said_at)"
        f" VALUES ('office', 'x', {columns})"
    )
    with capture_logs() as logs:
        for ip in (A, B):
            turn = await sharing[0].take([ip], 100)
            assert turn.ips == [ip]
            await answered(sharing[0], turn)
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["ip_api_odd_pauses"] * named


async def test_a_pause_without_end_holds_for_a_day(sharing: Sequence[IpApiTurns], tables: FleetTables) -> None:
    tables.admin.execute(
        "INSERT INTO bangeod.pauses (egress, host, until, said_at) VALUES ('office', 'x', 'infinity', now())"
    )
    assert (await sharing[0].take([A], 100)).wait > 0
    tables.admin.execute("UPDATE bangeod.pauses SET said_at = now() - interval '23 hours 59 minutes'")
    assert (await sharing[0].take([A], 100)).wait == pytest.approx(60, abs=5)


async def test_what_a_host_said_of_an_egress_that_it_has_left_is_deleted(tables: FleetTables, join: Join) -> None:
    office = join(tables.conninfo(0), host="a", egress="office")
    await answered(office, await office.take([A], 100))
    await join(tables.conninfo(0), host="a", egress="home").settle()
    assert tables.sql("SELECT egress FROM bangeod.pauses") == []


# --- a server that is away, or not set up -----------------------------------------------------------------------------


async def test_without_the_server_a_host_that_shares_its_address_does_not_ask(join: Join) -> None:
    with capture_logs() as logs:
        for _ in range(3):
            assert await join(NOWHERE, egress="office").take([A], 100) == Turn(wait=AWAY, reason=Reason.AWAY)
    assert {line["ip_api"] for line in logs} == {"not asked"}


async def test_without_the_server_a_host_by_itself_goes_on_and_says_so_once(join: Join) -> None:
    turns = join(NOWHERE)
    with capture_logs() as logs:
        for _ in range(3):
            assert await turns.claimed([A]) == set()
            assert await turns.take([A, B], 1) == Turn([A], math.inf)
            await turns.finish(Outcome(frozenset([A])))
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["ip_api_turns_unknown"]


@pytest.mark.parametrize("egress", ["", "office"])
async def test_without_the_tables_nobody_asks_and_it_is_said_once(tables: FleetTables, join: Join, egress: str) -> None:
    turns = join(replace(tables.server.conninfo("postgres"), is_fleets=True), egress=egress)
    with capture_logs() as logs:
        for _ in range(3):
            assert await turns.take([A], 100) == Turn(wait=UNUSABLE, reason=Reason.UNUSABLE)
    (line,) = [line for line in logs if line["log_level"] == "warning"]
    assert line["event"] == "ip_api_turns_unknown"
    assert "bangeod init --fleet URL" in line["advice"]


async def test_a_role_without_grants_does_not_ask_either(tables: FleetTables, join: Join) -> None:
    role = tables.roles[2]
    tables.admin.execute(f"REVOKE ALL ON bangeod.claims FROM {role}")
    try:
        assert await join(tables.conninfo(2)).take([A], 100) == Turn(wait=UNUSABLE, reason=Reason.UNUSABLE)
    finally:
        tables.admin.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON bangeod.claims TO {role}")


async def test_what_could_not_be_told_is_told_later(
    sharing: Sequence[IpApiTurns], tables: FleetTables, clock: ManualClock
) -> None:
    one, other, _ = sharing
    await one.take([A, B], 100)
    role = tables.roles[0]
    tables.admin.execute(f"REVOKE UPDATE ON bangeod.claims, bangeod.pauses FROM {role}")
    await one.finish(Outcome(frozenset([A]), pause=3600.0, quota=Quota(0, 30), is_counted=True))
    tables.admin.execute(f"GRANT UPDATE ON bangeod.claims, bangeod.pauses TO {role}")
    assert claims(tables)[A] < 601
    clock.advance(100)
    await one.settle()
    assert claims(tables) == {A: pytest.approx(3500, abs=5)}
    tables.let_pass(3400)
    assert (await other.take([C], 100)).wait == pytest.approx(100, abs=5)


async def test_a_turn_of_which_nobody_knows_whether_it_was_committed_is_ended_later(
    sharing: Sequence[IpApiTurns], tables: FleetTables
) -> None:
    one, other, _ = sharing
    await answered(one, await one.take([D], 100))
    with tables.admin.transaction():
        tables.admin.execute("LOCK TABLE bangeod.pauses IN SHARE MODE")
        taking = asyncio.ensure_future(one.take([A], 100))
        await until_somebody_waits(tables)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
    one.break_off()
    await one.settle()
    assert (await other.take([A], 100)).ips == [A]


async def test_behind_a_pooler_it_is_the_same(tables: FleetTables, clock: ManualClock) -> None:
    with pgbouncer.running(tables.server, mode="transaction", sessions=2) as keywords:
        hosts = []
        for number in range(2):
            conninfo = Conninfo(f"{keywords} dbname={tables.database}", "postgresql:///fleet")
            session = Session(conninfo, clock, schema=None, lock_timeout=2.0)
            hosts.append(IpApiTurns(session, clock, host=f"host-{number}", egress="office"))
        for number in range(10):
            own = [[MANY[2 * number + place]] for place in range(2)]
            taken = await asyncio.gather(*(turns.take(ips, 100) for turns, ips in zip(hosts, own, strict=True)))
            having = [place for place, turn in enumerate(taken) if turn.ips]
            assert len(having) == 1
            await answered(hosts[having[0]], taken[having[0]])
        for turns in hosts:
            await turns.close()


# --- alone and in a fleet, the same -----------------------------------------------------------------------------------


@pytest.fixture(params=["alone", "by itself", "in an egress", "without the server"])
async def any_turns(request: pytest.FixtureRequest, join: Join) -> Turns:
    if request.param == "alone":
        return Alone()
    if request.param == "without the server":
        return join(NOWHERE)
    tables: FleetTables = request.getfixturevalue("tables")
    return join(tables.conninfo(), egress="office" if request.param == "in an egress" else "")


async def test_a_host_without_others_has_the_turn_each_time_and_gets_what_it_asks_for(any_turns: Turns) -> None:
    for start in range(0, 400, 100):
        assert await any_turns.claimed(MANY[start:]) in ((), set())
        turn = await any_turns.take(MANY[start : start + 150], 100)
        assert (list(turn.ips), turn.wait) == (MANY[start : start + 100], 0)
        await any_turns.finish(Outcome(frozenset(turn.ips), quota=Quota(9, 50), is_counted=True))


async def test_a_turn_that_is_broken_off_leaves_the_next_one_free(any_turns: Turns) -> None:
    turn = await any_turns.take([B], 100)
    await any_turns.finish(Outcome(frozenset(turn.ips), quota=Quota(9, 50), is_counted=True))
    for _ in range(3):
        assert list((await any_turns.take([A], 100)).ips) == [A]
        any_turns.break_off()
        await any_turns.settle()
    any_turns.break_off()
    await any_turns.close()
