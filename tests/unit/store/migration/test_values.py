"""What a value of SQLite's becomes on the server, as a table of cases and for any value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.store import time_forms, times
from bangeod.store.migration.values import CopiedColumn, Fitted, UnfitValueError, in_form
from bangeod.store.time_forms import TimeForm, TimeKind
from tests.unit.store.migration.columns import column

BROKEN = b"M\xfcnchen".decode("utf-8", "surrogateescape")
MICROS = 1_764_480_086_722_751  # 2025-11-30T05:21:26.722751Z
TEXT = "2025-11-30 05:21:26.722751"


@pytest.mark.parametrize(
    ("there", "value", "sent"),
    [
        (column("country_code"), "DE", "DE"),
        (column("country_code"), None, None),
        (column("asn"), 64500, "64500"),
        (column("asn", "int8"), "AS64500", "64500"),
        (column("asn", "int4"), "as64500", "64500"),
        (column("asn", "numeric"), "AS64500", "64500"),
        (column("hits", "int4"), 7.0, "7"),
        (column("note"), b"bytes that are text", "bytes that are text"),
        (column("note", "bytea"), b"\x00\xff", "\\x00ff"),
        (column("note", "bytea"), "ü", "\\xc3bc"),
        (column("ip", "inet", is_key=True), "2001:db8::1", "2001:db8::1"),
        (column("code", "bpchar", length=3), "DE ", "DE"),
        (column("org", "varchar", length=3), "Example", "Exa"),
        (column("country_name", not_null=True), None, ""),
        (column("hits", "int4", not_null=True), None, "0"),
        (column("hits", "int4", not_null=True, default="1"), None, None),
        (column("last_seen"), TEXT, TEXT),
        (column("last_seen"), "never", "never"),
        (column("last_seen"), 1764480086, "1764480086"),
        (column("last_seen", "timestamptz"), TEXT, f"{TEXT}+00:00"),
        (column("last_seen", "timestamptz"), "2025-11-30T07:21:26.722751+02:00", f"{TEXT}+00:00"),
        (column("last_seen", "timestamp"), 1764480086, "2025-11-30 05:21:26"),
        (column("last_seen", "int8"), TEXT, "1764480086"),
        (column("last_seen", "float8"), TEXT, "1764480086.722751"),
        (column("last_seen", "numeric"), TEXT, "1764480086.722751"),
        (column("last_seen", form=TimeForm()), TEXT, "2025-11-30T05:21:26.722751Z"),
        (column("last_seen", form=TimeForm(TimeKind.DATE, " ", 6, "")), 1764480086, "2025-11-30 05:21:26.000000"),
        (column("last_seen", form=TimeForm(TimeKind.DIGITS)), "2025-11-30T05:21:26Z", "1764480086"),
    ],
)
def test_a_value_becomes_what_the_column_has_for_it(there: CopiedColumn, value: object, sent: str | None) -> None:
    assert there.fit(value).sent == sent


@pytest.mark.parametrize(
    ("there", "value", "why"),
    [
        (column("org"), "a\0b", "a NUL in org"),
        (column("org"), BROKEN, "no UTF-8"),
        (column("org"), b"\xff", "bytes in org that are no text"),
        (column("asn", "varchar", length=3), "AS64500", "more characters in asn than the server's 3"),
        (column("ip", is_key=True, not_null=True), None, "NULL in ip"),
        (column("token", not_null=True, may_be_empty=False), None, "NULL in token"),
        (column("expires_at", "timestamptz", not_null=True), None, "NULL in expires_at"),
        (column("ip", "inet", is_key=True), "localhost", "no address in ip"),
        (column("ip", "inet", is_key=True), "fe80::1%eth0", "a zone"),
        (column("asn", "int4"), "none", "no whole number"),
        (column("asn", "int4"), "AS4294967295", "too large for the server's integer"),
        (column("hits", "int2"), 32768, "too large for the server's smallint"),
        (column("hits", "numeric"), "many", "no number"),
        (column("last_seen", "timestamptz"), "never", "no readable time"),
        (column("last_seen", "int8"), "1970-01-01T00:00:00Z", "not of 1990 to 2200"),
    ],
)
def test_what_a_column_cant_hold_is_named_and_not_changed(there: CopiedColumn, value: object, why: str) -> None:
    with pytest.raises(UnfitValueError, match=why):
        there.fit(value)


def test_a_name_that_is_cut_is_told() -> None:
    assert column("org", "varchar", length=3).fit("Example") == Fitted("Exa", "Exa", is_cut=True)
    assert not column("org", "varchar", length=3).fit("Exa").is_cut


@pytest.mark.parametrize("base", ["text", "timestamptz", "timestamp"])
@pytest.mark.parametrize("value", [TEXT, "2025-11-30T05:21:26.722751Z", "2025-11-30T06:21:26.722751+01:00"])
def test_times_are_compared_as_moments_whatever_their_form(base: str, value: str) -> None:
    assert column("cached_at", base).fit(value).told == str(MICROS)


def test_texts_that_are_no_times_never_compare_like_one() -> None:
    there = column("cached_at")
    assert there.of_server(str(MICROS)) != there.fit(TEXT).told
    assert there.micros(there.of_server("never")) is None


@given(
    micros=st.integers(times.EARLIEST * times.MICROSECONDS, times.END * times.MICROSECONDS - 1),
    form=st.sampled_from([*time_forms.USUAL, TimeForm(TimeKind.DIGITS, fraction=3)]),
)
def test_a_time_in_another_form_is_the_same_moment(micros: int, form: TimeForm) -> None:
    written = in_form(form, micros)
    assert written is None or times.read(written) == micros
    assert written is not None or form.kind is not TimeKind.DATE


@given(
    value=st.one_of(st.none(), st.text(), st.binary(), st.integers(), st.floats()),
    there=st.sampled_from(
        [
            *(column(name, base) for name in ("org", "last_seen", "asn", "ip") for base in ("text", "int8", "float8")),
            column("last_seen", "timestamptz"),
            column("org", "varchar", length=2),
            column("org", "bytea"),
            column("ip", "inet"),
            column("id", "uuid"),
        ]
    ),
)
def test_any_value_is_fitted_or_refused_with_a_reason(value: object, there: CopiedColumn) -> None:
    try:
        told = there.fit(value).sent or ""
    except UnfitValueError as unfit:
        told = str(unfit)
    assert "\0" not in told
    told.encode()  # is UTF-8
