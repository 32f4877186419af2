"""What a host tells of its bans: exactly the difference, as a role of its own, and nothing of what others wrote."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bangeod.ban_spans import BanKey, BansInForce, BanSpan, Jails, in_force
from bangeod.banned import read_banned
from bangeod.errors import StoreError, StoreReadOnlyError
from bangeod.fleet import own_bans
from bangeod.fleet.own_bans import COMPARED_EVERY, Difference, HeldBan, OwnBans, Told, spelled
from bangeod.store.postgres.session import Session
from tests.support.manual_clock import ManualClock
from tests.support.servers import postgres_fleet
from tests.support.servers.postgres_fleet import FleetTables

NOW = 1_795_305_600
Row = tuple[str, str, int, int | None]


def bans(*rows: Row, enabled: tuple[str, ...] = ()) -> BansInForce:
    """Return bans in force: of each jail, address, beginning and end."""
    found = []
    for jail, ip, since, until in rows:
        what = read_banned(ip)
        assert what is not None
        found.append((what, jail, since, -1 if until is None else until - since))
    return in_force(found, enabled)


def looked(*looks: tuple[str, ...]) -> Jails:
    jails = Jails()
    for enabled in looks:
        jails.look(frozenset(enabled))
    return jails


# --- the difference, without a server ---

KEYS = st.builds(
    BanKey, st.sampled_from(["sshd", "web", "old"]), st.sampled_from(["8.8.8.8", "2001:db8::1", "9.0.0.0/8"])
)
SPANS = st.builds(BanSpan, st.integers(0, 3), st.none() | st.integers(4, 6))
HELD = st.dictionaries(KEYS, SPANS)


def carried_out(held: dict[BanKey, BanSpan], current: BansInForce, jails: Jails, page: int) -> set[BanKey]:
    """Carry a difference out on what is held, page by page; return what was written."""
    difference = Difference(current, jails)
    rows = [HeldBan(*key, span.since, -1 if span.until is None else span.until) for key, span in held.items()]
    written: set[BanKey] = set()
    for start in range(0, len(rows), page):
        gone, changed = difference.page(rows[start : start + page])
        for row in gone:
            del held[BanKey(row.jail, row.ip)]
        written.update(changed)
    written.update(difference.missing(current.bans))
    held |= {key: current.bans[key] for key in written}
    return written


@given(HELD, HELD, st.integers(1, 4))
def test_afterwards_the_server_has_what_is_banned_and_nothing_unchanged_was_written(
    held: dict[BanKey, BanSpan], wanted: dict[BanKey, BanSpan], page: int
) -> None:
    before = dict(held)
    written = carried_out(held, BansInForce(wanted), looked(()), page)
    assert held == wanted
    assert all(before.get(key) != wanted[key] for key in written)


@given(HELD, HELD, st.booleans())
def test_rows_of_a_disabled_jail_stay_until_two_looks_agree(
    held: dict[BanKey, BanSpan], wanted: dict[BanKey, BanSpan], settled: bool
) -> None:
    before = dict(held)
    jails = looked(("sshd", "web"), ("sshd", "web")) if settled else looked(("sshd", "web", "old"), ("sshd", "web"))
    carried_out(held, BansInForce(wanted), jails, page=3)
    old = {} if settled else {key: span for key, span in before.items() if key.jail == "old"}
    assert held == {key: span for key, span in wanted.items() if key.jail != "old"} | old


@pytest.mark.parametrize(
    ("inet", "key"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2001:db8::1", "2001:db8::1"),
        ("::1.2.3.4", "::102:304"),
        ("2001:db8::/32", "2001:db8::/32"),
    ],
)
def test_an_address_of_the_server_is_one_of_bangeods_keys(inet: str, key: str) -> None:
    assert spelled(inet) == str(read_banned(key)) == key


@pytest.mark.parametrize("inet", ["::ffff:8.8.8.8", "2001:db8::1/32", "10.0.0.1/8", "::ffff:8.8.8.0/120"])
def test_what_no_daemon_writes_is_none_of_its_keys(inet: str) -> None:
    assert spelled(inet) != str(read_banned(inet))


# --- on a server, as roles with row-level security ---


@pytest.fixture(scope="module")
def database() -> Iterator[FleetTables]:
    with postgres_fleet.made(2) as tables:
        yield tables


@pytest.fixture
def tables(database: FleetTables) -> FleetTables:
    database.empty()
    return database


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def ours(tables: FleetTables, clock: ManualClock) -> AsyncIterator[OwnBans]:
    session = tables.session(0, clock)
    yield OwnBans(session, "web1", clock)
    await session.close()


@pytest.fixture
async def theirs(tables: FleetTables, clock: ManualClock) -> AsyncIterator[OwnBans]:
    session = tables.session(1, clock)
    yield OwnBans(session, "web2", clock)
    await session.close()


def held(tables: FleetTables, host: str = "web1") -> set[Row]:
    statement = (
        "SELECT jail, abbrev(ip), extract(epoch FROM since)::bigint, extract(epoch FROM until)::bigint"
        " FROM bangeod.bans WHERE host = %s"
    )
    return set(tables.sql(statement, host))


def versions(tables: FleetTables) -> set[object]:
    """Return what tells each row from a newer version of it."""
    return set(tables.sql("SELECT xmin, ctid FROM bangeod.bans"))


FIRST: list[Row] = [
    ("sshd", "8.8.8.8", NOW, NOW + 600),
    ("sshd", "9.9.9.0/24", NOW, None),
    ("web", "8.8.8.8", NOW - 5, NOW + 60),
    ("web", "2001:db8::/32", 0, None),
    ("web", "::1.2.3.4", NOW, NOW + 1),
]


async def test_what_is_banned_is_told_with_its_times(tables: FleetTables, ours: OwnBans) -> None:
    assert await ours.tell(bans(*FIRST)) == Told(written=5)
    assert held(tables) == {*FIRST}
    assert tables.sql("SELECT DISTINCT host, writer FROM bangeod.bans") == [("web1", tables.roles[0])]


async def test_what_has_not_changed_is_not_written_again(
    tables: FleetTables, ours: OwnBans, clock: ManualClock
) -> None:
    await ours.tell(bans(*FIRST))
    before = versions(tables)
    clock.advance(COMPARED_EVERY)
    assert await ours.tell(bans(*FIRST)) == Told()
    assert versions(tables) == before


async def test_what_has_ended_goes_and_what_was_prolonged_is_written(tables: FleetTables, ours: OwnBans) -> None:
    await ours.tell(bans(*FIRST))
    later: list[Row] = [("sshd", "8.8.8.8", NOW + 700, None), *FIRST[1:3], ("sshd", "7.7.7.7", NOW, None)]
    assert await ours.tell(bans(*later)) == Told(written=2, deleted=2)
    assert held(tables) == {*later}


async def test_hosts_change_their_own_rows_alone(tables: FleetTables, ours: OwnBans, theirs: OwnBans) -> None:
    await ours.tell(bans(*FIRST))
    await theirs.tell(bans(FIRST[0]))
    await theirs.tell(bans())
    assert held(tables) == {*FIRST}
    assert held(tables, "web2") == set()


async def test_another_role_can_neither_change_nor_remove_nor_forge(tables: FleetTables, ours: OwnBans) -> None:
    await ours.tell(bans(*FIRST))
    with closing(tables.connect(1)) as other:
        assert other.execute("DELETE FROM bangeod.bans").rowcount == 0
        assert other.execute("UPDATE bangeod.bans SET until = now()").rowcount == 0
        with pytest.raises(Exception, match="row-level security"):
            other.execute(
                "INSERT INTO bangeod.bans (host, writer, ip, jail, since) VALUES ('web1', %s, '1.1.1.1', 'x', now())",
                (tables.roles[0],),
            )
    assert held(tables) == {*FIRST}


async def test_many_bans_are_told_in_pages(tables: FleetTables, ours: OwnBans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_bans, "PAGE", 3)
    many: list[Row] = [(f"jail{n % 4}", f"8.8.{n}.8", NOW, None) for n in range(20)]
    assert await ours.tell(bans(*many)) == Told(written=20)
    assert await ours.tell(bans(*many[5:], ("jail1", "1.1.1.1", NOW, None))) == Told(written=1, deleted=5)
    assert held(tables) == {*many[5:], ("jail1", "1.1.1.1", NOW, None)}


@given(st.lists(HELD, min_size=1, max_size=4), st.integers(1, 3))
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_follows_what_the_server_has_is_what_was_told_last(
    tables: FleetTables, states: list[dict[BanKey, BanSpan]], page: int
) -> None:
    tables.empty()
    session = tables.session()
    ours = OwnBans(session, "web1", ManualClock())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_bans, "PAGE", page)
        for state in states:
            await ours.tell(bans(*((*key, *span) for key, span in state.items())))
            assert held(tables) == {(*key, *span) for key, span in state.items()}


async def test_rows_that_somebody_else_removed_or_added_are_mended_within_an_hour(
    tables: FleetTables, ours: OwnBans, clock: ManualClock
) -> None:
    await ours.tell(bans(*FIRST))
    tables.sql("DELETE FROM bangeod.bans WHERE jail = 'sshd'")
    for ip in ("::ffff:8.8.8.8", "9.9.9.9/24"):
        statement = "INSERT INTO bangeod.bans VALUES ('web1', %s, %s, 'web', '-infinity', 'infinity')"
        tables.sql(statement, tables.roles[0], ip)
    tables.sql("UPDATE bangeod.bans SET until = 'infinity', since = '0044-03-15 BC' WHERE ip = '8.8.8.8'")
    clock.advance(COMPARED_EVERY)
    await ours.tell(bans(*FIRST))
    assert held(tables) == {*FIRST}


async def test_while_the_server_is_away_nothing_is_lost(tables: FleetTables, ours: OwnBans) -> None:
    await ours.tell(bans(*FIRST))
    tables.sql("ALTER TABLE bangeod.bans RENAME TO away")
    with pytest.raises(StoreError):
        await ours.tell(bans(FIRST[0]))
    tables.sql("ALTER TABLE bangeod.away RENAME TO bans")
    await ours.tell(bans(FIRST[0], FIRST[1]))
    assert held(tables) == {*FIRST[:2]}


async def test_what_was_told_in_part_is_not_taken_for_told(tables: FleetTables, ours: OwnBans) -> None:
    await ours.tell(bans(*FIRST))
    tables.sql(f"REVOKE INSERT ON bangeod.bans FROM {tables.roles[0]}")
    try:
        with pytest.raises(StoreError):
            await ours.tell(bans(("sshd", "7.7.7.7", NOW, None)))
    finally:
        tables.sql(f"GRANT INSERT ON bangeod.bans TO {tables.roles[0]}")
    assert held(tables) == set()
    await ours.tell(bans(*FIRST))
    assert held(tables) == {*FIRST}


async def test_a_role_that_the_server_lets_change_all_rows_changes_its_own(
    tables: FleetTables, theirs: OwnBans
) -> None:
    await theirs.tell(bans(*FIRST))
    tables.sql("DELETE FROM bangeod.state")
    clock = ManualClock()
    session = Session(tables.server.conninfo(tables.database), clock, schema=None, lock_timeout=1.0)
    await OwnBans(session, "web3", clock).tell(bans())
    of_superuser = OwnBans(session, "web2", clock)
    await of_superuser.tell(bans(FIRST[0]))
    await of_superuser.tell(bans())
    assert held(tables, "web2") == {*FIRST}


async def test_a_role_that_may_not_write_is_an_error_with_the_servers_words(tables: FleetTables, ours: OwnBans) -> None:
    tables.sql(f"REVOKE INSERT ON bangeod.bans FROM {tables.roles[0]}")
    try:
        with pytest.raises(StoreReadOnlyError, match="permission denied for table bans"):
            await ours.tell(bans(*FIRST))
    finally:
        tables.sql(f"GRANT INSERT ON bangeod.bans TO {tables.roles[0]}")


async def test_a_ban_that_the_server_refuses_keeps_no_other_from_being_told(tables: FleetTables, ours: OwnBans) -> None:
    tables.sql("ALTER TABLE bangeod.bans ADD CONSTRAINT picky CHECK (jail <> 'web')")
    try:
        assert await ours.tell(bans(*FIRST)) == Told(written=2, refused=3)
    finally:
        tables.sql("ALTER TABLE bangeod.bans DROP CONSTRAINT picky")
    assert held(tables) == {*FIRST[:2]}


async def test_a_jails_odd_name_is_told_so_that_it_can_be_shown(tables: FleetTables, ours: OwnBans) -> None:
    await ours.tell(bans(('a "b"\\{,}\n\0\ud800', "8.8.8.8", NOW, None), ("x" * 300, "8.8.8.8", NOW, None)))
    assert {jail for jail, *_ in held(tables)} == {'a "b"\\{,}???', "x" * 255}


async def test_the_host_says_that_it_tells_and_not_each_minute(
    tables: FleetTables, ours: OwnBans, clock: ManualClock
) -> None:
    said = "SELECT at FROM bangeod.state WHERE host = 'web1' AND name = 'bans'"
    await ours.tell(bans())
    first = tables.sql(said)
    assert len(first) == 1
    clock.advance(60)
    await ours.tell(bans())
    assert tables.sql(said) == first
    clock.advance(own_bans.SAID_EVERY)
    await ours.tell(bans())
    assert tables.sql(said) > first


async def test_what_this_role_wrote_under_another_name_goes_once_that_is_not_heard_of(
    tables: FleetTables, ours: OwnBans, theirs: OwnBans
) -> None:
    await theirs.tell(bans(*FIRST))
    tables.sql("DELETE FROM bangeod.state")  # others' rows stay, however long
    session = tables.session()
    for name in ("before", "sister"):
        await OwnBans(session, name, ManualClock()).tell(bans(FIRST[0]))
    tables.sql("UPDATE bangeod.state SET at = now() - interval '31 days' WHERE host = 'before'")
    await ours.tell(bans(*FIRST))
    hosts = "SELECT host, count(*) FROM bangeod.bans GROUP BY host ORDER BY host"
    assert tables.sql(hosts) == [("sister", 1), ("web1", 5), ("web2", 5)]


async def test_the_connection_is_given_back_each_time(tables: FleetTables, ours: OwnBans) -> None:
    await ours.tell(bans(*FIRST))
    ends = time.monotonic() + 10
    while tables.sql("SELECT FROM pg_stat_activity WHERE usename = %s", tables.roles[0]):  # it takes a moment to go
        assert time.monotonic() < ends
