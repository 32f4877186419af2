"""``bangeod check`` over what the time columns hold, and over those that can't take a time."""

import contextlib
import time
from collections.abc import Iterable
from datetime import timedelta

import pytest

from bangeod.store.sqlite import inspection, schema
from bangeod.store.sqlite.engine import engine
from tests.support.daemon.check_command import BAD, GOOD, Finding, check, everything_in, only, wrong
from tests.support.daemon.installation import Installation, text

NOW = int(time.time())
EXPIRY = "column expires_at of table sessions"
UNTYPED = (schema.GEO_CACHE.replace(" TEXT", ""), schema.SESSIONS.replace(" TEXT", ""))


def make_anew(place: Installation, *tables: str, encoding: str = "UTF-8", mode: str = "WAL") -> None:
    """Put other tables into a new file."""
    place.database.unlink()
    with contextlib.closing(engine.connect(place.database, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA encoding = '{encoding}'")
        connection.execute(f"PRAGMA journal_mode = {mode}")
        for statement in tables:
            connection.execute(statement)


def expiring(place: Installation, values: Iterable[object]) -> None:
    with place.connection() as web_app:
        web_app.executemany("INSERT INTO sessions (expires_at) VALUES (?)", [(value,) for value in values])


def seen(place: Installation, values: Iterable[object]) -> None:
    rows = [(f"8.8.{number // 256}.{number % 256}", value) for number, value in enumerate(values)]
    with place.connection() as web_app:
        web_app.executemany("INSERT INTO geo_cache (ip, last_seen) VALUES (?, ?)", rows)


def of_schema(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding["subject"] == "schema"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (NOW * 1_000, "which looks like milliseconds"),
        (NOW * 1_000_000, "which looks like microseconds"),
        (NOW / 86_400 + 2_440_587.5, "which looks like a Julian day"),
        (str(NOW * 1_000), "which looks like milliseconds"),
        ("30.11.2026 12:00", "for example '30.11.2026 12:00'"),
        (0, "for example 0"),
        (b"2026-11-30 12:00:00", "for example b'2026"),
    ],
)
def test_a_column_that_holds_no_time_at_all_is_a_fault(place: Installation, value: object, said: str) -> None:
    make_anew(place, *UNTYPED)
    expiring(place, [value, value])
    before = everything_in(place.home)
    finding = only(check(place, status=BAD), "schema")
    assert f"{EXPIRY} holds nothing that is a time, " in finding["problem"]
    assert said in finding["problem"]
    assert "YYYY-MM-DDTHH:MM:SSZ" in finding["mend"]
    assert everything_in(place.home) == before


def test_times_of_addresses_are_judged_as_well(place: Installation) -> None:
    seen(place, ["yesterday"])
    finding = only(check(place, status=BAD), "schema")
    assert "column last_seen of table geo_cache holds nothing that is a time" in finding["problem"]


def test_a_time_that_no_age_depends_on_is_judged_where_none_of_it_can_be_read(place: Installation) -> None:
    seen(place, [text(), text()])
    with place.connection() as web_app:
        web_app.execute("UPDATE geo_cache SET cached_at = '1795305600000'")
    finding = only(check(place, status=BAD), "schema")
    assert "column cached_at of table geo_cache holds nothing that is a time" in finding["problem"]
    assert "milliseconds: what bangeod writes there compares with none of it" in finding["problem"]
    with place.connection() as web_app:
        web_app.execute("UPDATE geo_cache SET cached_at = ? WHERE ip = '8.8.0.1'", (text(),))
    assert of_schema(wrong(check(place, status=GOOD))) == []


def test_some_values_that_are_no_times_are_a_warning_with_their_number(place: Installation) -> None:
    expiring(place, [text(timedelta(days=1)), "never", "", text(timedelta(days=2))])
    finding = only(check(place, status=GOOD), "schema", "warning")
    assert f"{EXPIRY} holds 2 of 4 values that are no times, for example 'never'" in finding["problem"]


def test_a_time_that_is_not_set_is_none_that_can_not_be_read(place: Installation) -> None:
    expiring(place, [None, text(timedelta(days=1))])
    seen(place, [None, None])
    assert of_schema(wrong(check(place, status=GOOD))) == []


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_times_in_utf_16_are_read(place: Installation, encoding: str) -> None:
    make_anew(place, schema.GEO_CACHE, schema.SESSIONS, encoding=encoding)
    expiring(place, [text(timedelta(days=-1)), text(timedelta(days=1))])
    seen(place, [text()])
    findings = check(place, status=GOOD)
    assert of_schema(wrong(findings)) == []
    assert "table sessions: 2 rows, 1 expired" in [finding["problem"] for finding in findings]


def test_text_that_is_no_unicode_is_shown_all_the_same(place: Installation) -> None:
    with place.connection() as web_app:
        web_app.execute("INSERT INTO sessions (expires_at) VALUES (CAST(x'ff20' AS TEXT))")
    assert "holds nothing that is a time" in only(check(place, status=BAD), "schema")["problem"]


def test_the_last_rows_are_judged_where_counting_would_keep_the_web_app_waiting(place: Installation) -> None:
    make_anew(place, *UNTYPED, mode="DELETE")
    expiring(place, [NOW * 1_000])
    finding = only(check(place, status=BAD), "schema")
    assert f"{EXPIRY}, in its last {inspection.SAMPLE:,} rows, holds nothing that is a time" in finding["problem"]


def test_the_last_rows_are_judged_where_there_are_too_many(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    expiring(place, [text(), *["never"] * inspection.SAMPLE])
    monkeypatch.setattr(inspection, "STEPS", 1)
    look = inspection.inspect(place.database, now=NOW, busy_timeout=1, census_seconds=-1)
    (times,) = [times for times in look.times if times.table == "sessions"]
    assert (times.values, times.unreadable, times.of_all) == (inspection.SAMPLE, inspection.SAMPLE, False)
    assert (look.sessions, look.expired) == (None, None)


def test_the_newest_is_the_latest_time_whatever_its_form(place: Installation) -> None:
    make_anew(place, *UNTYPED)
    seen(place, [text(timedelta(days=-1)), NOW, "2020-01-01 00:00:00"])
    assert inspection.inspect(place.database, now=NOW, busy_timeout=1).newest == NOW


@pytest.mark.parametrize("rows", [[], ["1795305600000"]])
@pytest.mark.parametrize("column", ["cached_at", "last_seen"])
def test_a_constraint_that_refuses_the_times_that_are_written_is_a_fault(
    place: Installation, column: str, rows: list[str]
) -> None:
    milliseconds = f"{column} TEXT CHECK (length({column}) = 13)"
    make_anew(place, schema.GEO_CACHE.replace(f"{column} TEXT", milliseconds), schema.SESSIONS)
    with place.connection() as web_app:
        web_app.executemany(f"INSERT INTO geo_cache (ip, {column}) VALUES ('8.8.8.8', ?)", [(row,) for row in rows])
    before = everything_in(place.home)
    findings = [finding for finding in check(place, status=BAD) if "does not take" in finding["problem"]]
    assert [finding["level"] for finding in findings] == ["fault"]
    assert f"in column {column}: CHECK constraint failed" in findings[0]["problem"]
    assert everything_in(place.home) == before


def test_a_strict_column_of_a_type_that_holds_no_time_is_a_fault(place: Installation) -> None:
    make_anew(place, schema.GEO_CACHE.replace("last_seen TEXT", "last_seen BLOB") + " STRICT", schema.SESSIONS)
    finding = only(check(place, status=BAD), "schema")
    assert "in column last_seen: cannot store TEXT value in BLOB column" in finding["problem"]


@pytest.mark.parametrize("kind", ["VIRTUAL", "STORED"])
def test_a_time_that_sqlite_works_out_is_not_tried(place: Installation, kind: str) -> None:
    worked_out = schema.GEO_CACHE.replace("last_seen TEXT", f"last_seen TEXT AS (cached_at) {kind}")
    make_anew(place, worked_out, schema.SESSIONS)
    with place.connection() as web_app:
        web_app.execute("INSERT INTO geo_cache (ip, cached_at) VALUES ('8.8.8.8', ?)", (text(),))
    assert not wrong(check(place, status=GOOD))


def test_such_a_column_is_a_fault_where_others_may_not_be_null(place: Installation) -> None:
    table = schema.GEO_CACHE.replace("last_seen TEXT", "last_seen BLOB").replace("org TEXT", "org TEXT NOT NULL")
    make_anew(place, table + " STRICT", schema.SESSIONS)
    finding = only(check(place, status=BAD), "schema")
    assert "cannot store TEXT value in BLOB column geo_cache.last_seen" in finding["problem"]


@pytest.mark.parametrize(
    ("declared", "rows"),
    [
        ("last_seen TEXT CHECK (length(last_seen) = 26)", ["2026-11-30 05:21:26.722751"]),
        ("last_seen TEXT NOT NULL CHECK (last_seen GLOB '*Z')", []),
        ("last_seen INTEGER CHECK (last_seen > 0)", []),
        ("last_seen TEXT, region TEXT NOT NULL CHECK (length(region) = 2)", []),
    ],
)
def test_a_constraint_that_the_times_fulfil_is_no_fault(place: Installation, declared: str, rows: list[str]) -> None:
    make_anew(place, schema.GEO_CACHE.replace("last_seen TEXT", declared), schema.SESSIONS)
    seen(place, rows)
    assert not [finding for finding in check(place) if "does not take" in finding["problem"]]
