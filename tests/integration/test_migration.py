"""Moving a web app's rows from a real file to a real server, beside those who write to either."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bangeod.errors import (
    BangeodError,
    SchemaError,
    StoreLockedError,
    StoreReadOnlyError,
    StoreReplacedError,
    StoreUnreachableError,
)
from bangeod.store import times
from bangeod.store.migration import geo_copy, sessions_copy
from bangeod.store.migration.journal import FILE, Journal
from bangeod.store.migration.migration import VERIFYING, Progress
from bangeod.store.migration.report import Report
from bangeod.store.migration.target import FittedRow, Found, TargetTable
from bangeod.store.postgres.connection import Conninfo
from tests.contract.harness import SERVER_TABLES, TABLES
from tests.support.servers import pgbouncer, postgres
from tests.support.servers.postgres_tables import GEO_CACHE, SESSIONS
from tests.support.web_app.moving import LATER, Moving, moving, of

SEEN = "2026-11-22T00:00:00Z"


class KilledError(Exception):
    """The process was killed."""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Moving]:
    with moving(tmp_path) as made:
        yield made


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bangeod.store.migration.source.AT_ONCE", 7)


def of_page(number: int, act: Callable[[], None]) -> Callable[[Progress], None]:
    """Return what acts once, when so many pages have been told."""
    pages = iter(range(1_000))

    def told(_progress: Progress) -> None:
        if next(pages) == number:
            act()

    return told


def killed() -> None:
    raise KilledError


def whole(report: Report) -> bool:
    assert report.verified == all(table.is_whole for table in report.tables)
    return report.verified


# --- what arrives ---


@pytest.mark.parametrize("there", SERVER_TABLES)
@pytest.mark.parametrize(
    "file", [pytest.param(each, marks=[] if each == "sqlite" else pytest.mark.slow) for each in TABLES]
)
async def test_rows_arrive_as_they_are_and_a_second_run_writes_nothing(tmp_path: Path, there: str, file: str) -> None:
    with moving(tmp_path, *SERVER_TABLES[there], file_tables=TABLES[file]) as app:
        app.put_addresses(
            30, country_name="Germany", asn="AS64500", org='Ex"am\\ple', cached_at="2026-11-22 00:00:00.25"
        )
        app.put("geo_cache", ip="2001:db8::1", country_code=None, last_seen="never")
        app.put_sessions(20)
        first = await app.migrate()
        assert whole(first)
        columns = "ip, country_code, country_name, asn, org, cached_at, last_seen"
        assert app.there(columns) == sorted(app.file.execute(f"SELECT {columns} FROM geo_cache").fetchall(), key=str)
        columns = "id, token, created_at, expires_at"
        assert app.there(columns, "sessions") == sorted(
            app.file.execute(f"SELECT {columns} FROM sessions").fetchall(), key=str
        )
        assert [(table.copied, table.compared, table.rows_on_server) for table in first.tables] == [
            (31, 31, 31),
            (20, 20, 20),
        ]
        versions = app.there("ip, xmin, ctid")
        second = await app.migrate()
        assert [(table.copied, table.changed, table.same) for table in second.tables] == [(0, 0, 31), (0, 0, 20)]
        assert [table.checksum for table in second.tables] == [table.checksum for table in first.tables]
        assert app.there("ip, xmin, ctid") == versions


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        ("timestamptz", "2026-11-22 00:00:00.25+00"),
        ("timestamp", "2026-11-22 00:00:00.25"),
        ("timestamptz(0)", "2026-11-22 00:00:00+00"),
        ("bigint", "1795305600"),
        ("double precision", "1795305600.25"),
        ("numeric", "1795305600.250000"),
        ("numeric(12, 1)", "1795305600.3"),
        ("text", "2026-11-22T01:00:00.25+01:00"),
        ("varchar(40)", "2026-11-22T01:00:00.25+01:00"),
    ],
)
async def test_a_time_is_the_same_moment_in_the_servers_type(tmp_path: Path, kind: str, stored: str) -> None:
    geo = GEO_CACHE.replace("last_seen TEXT", f"last_seen {kind}")
    with moving(tmp_path, geo, SESSIONS) as app:
        app.put_addresses(1, last_seen="2026-11-22T01:00:00.25+01:00")
        assert whole(await app.migrate())
        app.tables.web_app.execute("SET TimeZone = 'UTC'")
        assert app.there("CAST(last_seen AS text)") == [(stored,)]
        assert of(await app.migrate(), "geo_cache").same == 1


async def test_a_column_of_text_keeps_the_form_that_it_has_on_the_server(app: Moving) -> None:
    app.tables.web_app.execute("INSERT INTO geo_cache (ip, last_seen) VALUES ('a', '2026-11-23 00:00:00.000000')")
    app.put_addresses(1, last_seen="2026-11-22T00:00:00.25Z")
    assert whole(await app.migrate())
    assert app.there("last_seen") == [("2026-11-22 00:00:00.250000",), ("2026-11-23 00:00:00.000000",)]


async def test_columns_of_any_type_that_both_have_are_copied(tmp_path: Path) -> None:
    more = ", user_id {}, admin {}, data {}, raw {}, uid {}"
    file = (GEO_CACHE, SESSIONS.replace(")", more.format(*["INTEGER"] * 2, "TEXT", "BLOB", "TEXT, agent TEXT") + ")"))
    there = SESSIONS.replace(
        ")", more.format("BIGINT", "BOOLEAN NOT NULL DEFAULT false", "JSONB", "BYTEA", "UUID") + ")"
    )
    uid = "0E37DF36-F698-11E6-8DD4-CB9CED3DF976"
    with moving(tmp_path, GEO_CACHE, there, file_tables=file) as app:
        app.put("sessions", id=1, token="a", user_id=7, admin=1, data='{"b":1,  "a":2}', raw=b"\0\xff", uid=uid)
        app.put("sessions", id=2, token="b", admin=None)
        app.put("sessions", id=3, token="c", data="{no json")
        report = await app.migrate()
        assert app.there("id, user_id, admin, CAST(data AS text), raw, CAST(uid AS text)", "sessions") == [
            (1, 7, True, '{"a": 2, "b": 1}', b"\0\xff", uid.lower()),
            (2, None, False, None, None, None),
        ]
        sessions = of(report, "sessions")
        assert sessions.notes == ["column agent is only in the file"]
        assert [(reason.partition(" for ")[0], rows) for reason, rows in sessions.refused.rows.items()] == [
            ("invalid input syntax", 1)
        ]
        assert of(await app.migrate(), "sessions").same == 2


async def test_what_the_server_cant_hold_is_named_and_all_else_copied(tmp_path: Path) -> None:
    with moving(tmp_path, GEO_CACHE.replace("asn TEXT", "asn VARCHAR(8)"), SESSIONS) as app:
        app.put_addresses(3)
        app.put("geo_cache", ip="a\0b", country_code="DE")
        app.put("geo_cache", ip="b", org="with\0NUL")
        app.file.execute("INSERT INTO geo_cache (ip, org) VALUES ('c', CAST(x'4dfc' AS TEXT))")
        app.file.execute("INSERT INTO geo_cache (ip, org) VALUES (CAST(x'ff' AS TEXT), 'd')")
        app.put("geo_cache", ip="e", asn="AS64500 with a name")
        report = await app.migrate()
        geo = of(report, "geo_cache")
        assert whole(report)
        assert (geo.rows, geo.compared) == (8, 3)
        assert geo.unfit.rows == {
            "a NUL in ip, which PostgreSQL can't hold": 1,
            "a NUL in org, which PostgreSQL can't hold": 1,
            "text in org that is no UTF-8": 1,
            "text in ip that is no UTF-8": 1,
            "more characters in asn than the server's 8": 1,
        }
        assert geo.unfit.examples["a NUL in ip, which PostgreSQL can't hold"] == [r"'a\x00b'"]


async def test_keys_of_type_inet_take_addresses_alone_and_two_spellings_are_one_row(tmp_path: Path) -> None:
    with moving(tmp_path, GEO_CACHE.replace("ip TEXT", "ip INET"), SESSIONS) as app:
        app.put("geo_cache", ip="2001:DB8::1", country_code="DE", last_seen="2026-11-22T00:00:00Z")
        app.put("geo_cache", ip="2001:db8:0::1", country_code=None, last_seen="2026-11-23T00:00:00Z")
        app.put("geo_cache", ip="localhost", country_code="DE")
        report = await app.migrate()
        assert whole(report)
        assert app.there("CAST(ip AS text), country_code, last_seen") == [
            ("2001:db8::1/128", "DE", "2026-11-23T00:00:00Z")
        ]
        assert of(report, "geo_cache").unfit.examples == {"no address in ip, as the server's has to be": ["localhost"]}


# --- again, and beside others ---


async def test_a_second_run_takes_up_what_has_changed_since(app: Moving) -> None:
    app.put_addresses(5, cached_at="2026-11-22T00:00:00Z")
    await app.migrate()
    app.put("geo_cache", ip="192.0.0.0", country_code="FR", cached_at="2026-11-23T00:00:00Z", last_seen=SEEN)
    app.put("geo_cache", ip="192.0.0.1", country_code="DE", last_seen="2026-11-24T00:00:00Z")
    app.put("geo_cache", ip="new", country_code="AT", last_seen=SEEN)
    report = await app.migrate()
    assert whole(report)
    assert (of(report, "geo_cache").changed, of(report, "geo_cache").copied) == (2, 1)
    assert app.there("ip, country_code, last_seen")[:2] == [
        ("192.0.0.0", "FR", SEEN),
        ("192.0.0.1", "DE", "2026-11-24T00:00:00Z"),
    ]


async def test_what_the_web_app_has_written_on_the_server_stays(app: Moving) -> None:
    app.put_addresses(3, country_code=None, cached_at="2026-11-22T00:00:00Z")
    await app.migrate()
    app.tables.web_app.execute(
        "UPDATE geo_cache SET country_code = 'FR', cached_at = '2026-11-23T00:00:00Z',"
        " last_seen = '2026-11-24T00:00:00Z' WHERE ip = '192.0.0.1'"
    )
    app.put_addresses(3, country_code=None, cached_at="2026-11-25T00:00:00Z", last_seen="2026-11-23T00:00:00Z")
    report = await app.migrate()
    assert whole(report)
    assert app.there("ip, country_code, last_seen")[1] == ("192.0.0.1", "FR", "2026-11-24T00:00:00Z")
    assert of(report, "geo_cache").ahead == 1


async def test_rows_that_change_while_it_runs_are_taken_up_and_told(app: Moving, small_pages: None) -> None:
    app.put_addresses(30)
    app.put_sessions(10)

    def write() -> None:
        app.put("geo_cache", ip="192.0.0.0", country_code="FR", last_seen="2026-11-25T00:00:00Z")
        app.put("geo_cache", ip="new", country_code="FR", last_seen=SEEN)
        app.put_sessions(1, first=11)

    def told(progress: Progress) -> None:
        if (progress.step, progress.table, progress.done) == (VERIFYING, "geo_cache", 0):
            write()

    report = await app.migrate(told)
    assert whole(report)
    assert [(table.meanwhile, table.compared) for table in report.tables] == [(2, 31), (1, 11)]
    assert len(app.tokens()) == 11


async def test_a_row_that_is_deleted_just_when_it_is_compared_is_read_again_and_does_not_come_back(
    app: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.put_addresses(3)
    find = TargetTable.find
    to_delete: list[str] = []

    async def deleted_first(table: TargetTable, rows: Sequence[FittedRow]) -> list[Found]:
        while to_delete:
            ip = to_delete.pop()
            app.file.execute("DELETE FROM geo_cache WHERE ip = ?", (ip,))
            app.tables.web_app.execute("DELETE FROM geo_cache WHERE ip = %s", (ip,))
        return await find(table, rows)

    def told(progress: Progress) -> None:
        if (progress.step, progress.table, progress.done) == (VERIFYING, "geo_cache", 0):
            to_delete.append("192.0.0.1")

    monkeypatch.setattr(TargetTable, "find", deleted_first)
    report = await app.migrate(told)
    assert whole(report)
    assert app.there("ip") == [("192.0.0.0",), ("192.0.0.2",)]
    assert of(report, "geo_cache").compared == 2


async def test_between_two_pages_nothing_of_the_file_is_held(app: Moving, small_pages: None) -> None:
    app.put_addresses(30)
    busy = []

    def told(_progress: Progress) -> None:
        app.put("geo_cache", ip="other", country_code="FR", last_seen=SEEN)
        busy.append(app.file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])

    await app.migrate(told)
    assert len(busy) > 8
    assert set(busy) == {0}


async def test_a_row_that_others_keep_locked_ends_it_and_the_next_run_goes_on(app: Moving) -> None:
    app.put_addresses(3)
    await app.migrate()
    app.put_addresses(3, last_seen="2026-11-23T00:00:00Z")
    with app.tables.web_app.transaction():
        app.tables.web_app.execute("SELECT * FROM geo_cache WHERE ip = '192.0.0.1' FOR UPDATE")
        with pytest.raises(StoreLockedError):
            await app.migrate()
    assert whole(await app.migrate())


async def test_a_file_that_is_replaced_meanwhile_ends_it(app: Moving, tmp_path: Path) -> None:
    app.put_addresses(3)
    (tmp_path / "other").mkdir()

    def told(progress: Progress) -> None:
        if progress.table == "sessions" and not progress.done:
            app.path.rename(tmp_path / "other" / "old.db")
            app.path.write_bytes((tmp_path / "other" / "old.db").read_bytes())

    app.file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with pytest.raises(StoreReplacedError):
        await app.migrate(told)


@pytest.mark.parametrize("page", range(0, 17, 3))
async def test_killed_at_any_page_and_run_again_it_ends_as_if_run_once(
    app: Moving, small_pages: None, page: int
) -> None:
    app.put_addresses(30)
    app.put_sessions(20)
    with pytest.raises(KilledError):
        await app.migrate(of_page(page, killed))
    report = await app.migrate()
    assert whole(report)
    assert [table.compared for table in report.tables] == [30, 20]
    assert app.there("ip") == app.file.execute("SELECT ip FROM geo_cache ORDER BY ip").fetchall()
    assert len(app.tokens()) == 20


async def test_a_server_that_goes_away_ends_it_and_the_next_run_goes_on(tmp_path: Path, small_pages: None) -> None:
    postgres.shared_or_skip()
    with moving(tmp_path) as app:
        app.put_addresses(30)
        with postgres.running() as server:
            with server.connect() as admin:
                admin.execute(f"CREATE SCHEMA {app.tables.schema}")
                for statement in (GEO_CACHE, SESSIONS):
                    admin.execute(statement.replace("TABLE ", f"TABLE {app.tables.schema}."))
            with pytest.raises(StoreUnreachableError):
                await app.migrate(of_page(3, server.stop), conninfo=server.conninfo())
            server.start()
            report = await app.migrate(conninfo=server.conninfo())
        assert whole(report)
        assert of(report, "geo_cache").same >= 14


@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_behind_a_pooler_it_works_as_without(app: Moving, mode: str) -> None:
    app.put_addresses(30)
    app.put_sessions(3)
    with pgbouncer.running(app.tables.server, mode=mode, sessions=2) as keywords:
        conninfo = Conninfo(f"{keywords} dbname={app.tables.database}", "postgresql:///bangui")
        assert whole(await app.migrate(conninfo=conninfo))
        app.tables.web_app.execute("DELETE FROM sessions WHERE token = 'token-2'")
        report = await app.migrate(conninfo=conninfo)
    assert whole(report)
    assert (of(report, "geo_cache").same, of(report, "sessions").ended) == (30, 1)


# --- sessions ---


async def test_a_session_that_ended_on_the_server_does_not_come_back(app: Moving) -> None:
    app.put_sessions(3)
    await app.migrate()
    app.tables.web_app.execute("DELETE FROM sessions WHERE token = 'token-2'")
    report = await app.migrate()
    assert whole(report)
    assert app.tokens() == ["token-1", "token-3"]
    assert of(report, "sessions").ended == 1


async def test_nor_if_the_run_was_killed_just_after_the_commit(app: Moving, monkeypatch: pytest.MonkeyPatch) -> None:
    app.put_sessions(1)
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "settle", lambda *_arguments, **_more: killed())
        with pytest.raises(KilledError):
            await app.migrate()
    assert app.tokens() == ["token-1"]
    app.tables.web_app.execute("DELETE FROM sessions")
    assert whole(await app.migrate())
    assert app.tokens() == []


async def test_killed_just_before_the_commit_the_session_comes_with_the_next_run(
    app: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.put_sessions(1)
    announce = Journal.announce

    def then_killed(journal: Journal, transaction: str, sessions: Any) -> None:
        announce(journal, transaction, sessions)
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "announce", then_killed)
        with pytest.raises(KilledError):
            await app.migrate()
    assert app.tokens() == []
    assert whole(await app.migrate())
    assert app.tokens() == ["token-1"]


async def test_a_transaction_in_progress_is_waited_for_and_not_for_ever(
    app: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_copy, "LOOKS", 2)
    app.put_sessions(1)
    await app.migrate()
    with app.tables.web_app.transaction():
        ((transaction,),) = app.tables.rows("SELECT CAST(txid_current() AS text)")
        header, *_ = (app.state / FILE).read_text().splitlines()
        (app.state / FILE).write_text(f'{header}\n{{"transaction":"{transaction}","sessions":["aa"]}}\n')
        with pytest.raises(StoreLockedError, match="still in progress"):
            await app.migrate()
    assert whole(await app.migrate())


async def test_expired_sessions_need_not_come_and_one_that_is_there_stays_as_it_is(app: Moving) -> None:
    app.put("sessions", id=1, token="expired", expires_at="2020-01-01T00:00:00Z")
    app.put("sessions", id=2, token="there", expires_at=LATER)
    app.put("sessions", id=3, token="never", expires_at="never")
    app.tables.web_app.execute("INSERT INTO sessions (id, token, expires_at) VALUES (9, 'there', '2098-01-01')")
    report = await app.migrate()
    assert whole(report)
    assert app.there("id, token, expires_at", "sessions") == [(3, "never", "never"), (9, "there", "2098-01-01")]
    assert (of(report, "sessions").expired, of(report, "sessions").ahead) == (1, 1)


async def test_a_session_whose_number_is_taken_is_told(app: Moving) -> None:
    app.put_sessions(2)
    app.tables.web_app.execute("INSERT INTO sessions (id, token) VALUES (2, 'another')")
    report = await app.migrate()
    assert not whole(report)
    assert of(report, "sessions").refused.rows == {sessions_copy.TAKEN: 1}
    assert app.tokens() == ["another", "token-1"]
    app.tables.web_app.execute("DELETE FROM sessions WHERE token = 'another'")
    assert whole(await app.migrate())
    assert app.tokens() == ["token-1", "token-2"]


@pytest.mark.parametrize(
    "number", ["SERIAL", "BIGINT GENERATED BY DEFAULT AS IDENTITY", "BIGINT GENERATED ALWAYS AS IDENTITY"]
)
@pytest.mark.parametrize("highest", [3, 5_000])
async def test_the_servers_numbers_go_on_after_the_highest(tmp_path: Path, number: str, highest: int) -> None:
    with moving(tmp_path, GEO_CACHE, SESSIONS.replace("id BIGINT", f"id {number}")) as app:
        app.put_sessions(2, first=highest - 1)
        for _ in range(2):
            assert whole(await app.migrate())
            app.tables.web_app.execute("INSERT INTO sessions (token) VALUES (gen_random_uuid())")
        numbers = [each for (each,) in app.tables.rows("SELECT id FROM sessions ORDER BY id")]
        assert numbers == [highest - 1, highest, highest + 1, highest + 2]


async def test_a_sequence_that_the_role_may_not_set_is_named(tmp_path: Path) -> None:
    with moving(tmp_path, GEO_CACHE, SESSIONS.replace("id BIGINT", "id SERIAL")) as app:
        app.put_sessions(2)
        with app.tables.role("SELECT, INSERT, UPDATE ON geo_cache, sessions") as role:
            report = await app.migrate(user=role)
        assert whole(report)
        (note,) = of(report, "sessions").notes
        assert "sessions_id_seq has to go on after 2, and the role may not set it" in note


# --- what is in the way ---


@pytest.mark.parametrize(
    ("statements", "error", "told"),
    [
        (["ALTER TABLE sessions ADD user_id bigint NOT NULL"], SchemaError, "user_id is NOT NULL and has no default"),
        (["DROP TABLE sessions"], SchemaError, "there is no table sessions"),
        (["ALTER TABLE geo_cache ENABLE ROW LEVEL SECURITY"], SchemaError, "row-level security"),
        (["REVOKE INSERT ON sessions FROM {role}"], StoreReadOnlyError, "lacks INSERT on table"),
        (["ALTER TABLE geo_cache DROP CONSTRAINT geo_cache_pkey"], SchemaError, "neither a primary key"),
    ],
)
async def test_it_is_refused_before_anything_is_written(
    app: Moving, statements: list[str], error: type[BangeodError], told: str
) -> None:
    app.put_addresses(2)
    with app.tables.role("SELECT, INSERT, UPDATE ON geo_cache, sessions") as role:
        for statement in statements:
            app.tables.web_app.execute(statement.format(role=role))
        with pytest.raises(error, match=told):
            await app.migrate(user=role)
    assert app.there() == []
    assert not (app.state / FILE).exists()


async def test_rows_that_a_constraint_refuses_are_counted_and_all_others_come(app: Moving) -> None:
    app.tables.web_app.execute("ALTER TABLE geo_cache ADD CHECK (country_code <> 'XX')")
    app.tables.web_app.execute("CREATE TABLE users (name text PRIMARY KEY)")
    app.tables.web_app.execute("INSERT INTO users VALUES ('token-1'), ('token-3')")
    app.tables.web_app.execute(
        "ALTER TABLE sessions ADD FOREIGN KEY (token) REFERENCES users (name) DEFERRABLE INITIALLY DEFERRED"
    )
    app.put_addresses(5)
    app.put("geo_cache", ip="192.0.0.3", country_code="XX")
    app.put_sessions(3)
    report = await app.migrate()
    assert not whole(report)
    assert [table.compared for table in report.tables] == [4, 2]
    (reason,) = of(report, "geo_cache").refused.examples
    assert "check constraint" in reason
    assert of(report, "geo_cache").refused.examples[reason] == ["192.0.0.3"]
    assert of(report, "sessions").refused.total == 1
    app.tables.web_app.execute("INSERT INTO users VALUES ('token-2')")
    assert of(await app.migrate(), "sessions").is_whole


@pytest.mark.parametrize(
    ("body", "reason"), [("RETURN NULL", geo_copy.SPARED), ("NEW.org = 'changed'; RETURN NEW", geo_copy.NOT_NEWER)]
)
async def test_a_trigger_that_takes_no_row_or_changes_it_is_found_out(app: Moving, body: str, reason: str) -> None:
    app.tables.web_app.execute(
        f"CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; END $$;"
        "CREATE TRIGGER meddle BEFORE INSERT ON geo_cache FOR EACH ROW WHEN (NEW.ip = '192.0.0.1')"
        " EXECUTE FUNCTION meddle()"
    )
    app.put_addresses(3, org="Org")
    report = await app.migrate()
    assert not whole(report)
    geo = of(report, "geo_cache")
    assert geo.refused.rows + geo.differing.rows == {reason: 1}
    assert geo.compared == 2
    assert geo.is_other == (reason == geo_copy.NOT_NEWER)


async def test_a_dry_run_counts_and_changes_nothing(app: Moving) -> None:
    app.put_addresses(3)
    app.put_sessions(2)
    app.put("geo_cache", ip="a\0b")
    report = await app.migrate(is_dry=True)
    assert [(table.copied, table.unfit.total) for table in report.tables] == [(3, 1), (2, 0)]
    assert (app.there(), app.tokens(), (app.state / FILE).exists()) == ([], [], False)


async def test_two_runs_at_once_are_refused(app: Moving) -> None:
    app.put_addresses(1)
    with (
        closing(Journal.open(app.state, "any")),
        pytest.raises(BangeodError, match="another `bangeod migrate` runs now"),
    ):
        await app.migrate()
    assert app.there() == []


# --- any values ---

_TEXTS = st.one_of(
    st.none(),
    st.text(max_size=6),
    st.sampled_from(["DE", "AS64500", "", "NULL", "{}", '"', "\\", "a,b", "2026-11-22T00:00:00Z", "1795305600.5"]),
    st.binary(max_size=4),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
)
_ROWS = st.lists(
    st.fixed_dictionaries(
        dict.fromkeys(("ip", "country_code", "country_name", "asn", "org", "cached_at", "last_seen"), _TEXTS)
    ),
    max_size=8,
)


def _is_valid_text(rows: list[dict[str, object]]) -> bool:
    return not any(
        isinstance(v, str) and any("\ud800" <= c <= "\udfff" for c in v) for row in rows for v in row.values()
    )


@pytest.mark.parametrize("kind", ["TEXT", "TIMESTAMPTZ"])
@settings(max_examples=25, deadline=None)
@given(rows=_ROWS.filter(_is_valid_text))
def test_any_row_is_there_in_the_end_or_named(kind: str, rows: list[dict[str, object]]) -> None:
    there = (GEO_CACHE.replace("last_seen TEXT", f"last_seen {kind}"), SESSIONS)
    with (
        tempfile.TemporaryDirectory() as home,
        moving(Path(home), *there, file_tables=TABLES["sqlite-untyped"]) as app,
    ):
        for row in rows:
            app.put("geo_cache", **row)
        report = asyncio.run(app.migrate())
        geo = of(report, "geo_cache")
        assert geo.refused.total == geo.missing == 0
        assert geo.rows == geo.compared + geo.ahead + geo.unfit.total + geo.differing.total
        assert geo.compared == len(app.there())
        again = of(asyncio.run(app.migrate()), "geo_cache")
        assert (again.copied, again.changed) == (0, 0)
        if kind == "TEXT":
            readable = "SELECT ip, last_seen FROM geo_cache WHERE typeof(ip) = 'text' AND typeof(last_seen) = 'text'"
            seen = dict(app.there("ip, last_seen"))
            for ip, text in app.file.execute(readable).fetchall():
                assert ip not in seen or times.read(seen[ip]) == times.read(text)
