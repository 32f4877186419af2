"""Which addresses are tried for a geo database, and what answers mean: tables of cases."""

from datetime import date
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.config import Settings, settings
from bangeod.geo.update import answers
from bangeod.geo.update.answers import Advice
from bangeod.geo.update.releases import SOURCES, candidates


@pytest.mark.parametrize(
    ("today", "releases"),
    [
        (date(2026, 11, 1), ["2026-11", "2026-10"]),
        (date(2026, 11, 30), ["2026-11", "2026-10"]),
        (date(2027, 1, 31), ["2027-01", "2026-12"]),
        (date(2028, 3, 31), ["2028-03", "2028-02"]),
    ],
)
def test_db_ip_has_a_file_a_month_and_last_months_is_the_second_choice(today: date, releases: list[str]) -> None:
    found = candidates(SOURCES["dbip-asn-lite"], today)
    assert [candidate.release for candidate in found] == releases
    assert found[0].url == f"https://download.db-ip.com/free/dbip-asn-lite-{releases[0]}.mmdb.gz"


def test_maxmind_has_one_address_for_the_latest() -> None:
    (found,) = candidates(SOURCES["GeoLite2-ASN"], date(2026, 11, 1))
    assert found.url == "https://download.maxmind.com/geoip/databases/GeoLite2-ASN/download?suffix=tar.gz"


@pytest.mark.parametrize("name", SOURCES)
def test_each_source_that_can_be_fetched_may_stand_in_the_config(name: str) -> None:
    kind = settings.kinds(type(Settings().geo.update))["source"]
    assert kind is not None
    assert kind.read(name) == (name,)
    assert kind.expected.count('"') == 2 * len(SOURCES)


@pytest.mark.parametrize(
    ("status", "last_modified", "since", "verdict"),
    [
        (200, None, None, Advice.TAKE),
        (200, 5.0, None, Advice.TAKE),
        (200, None, 5.0, Advice.TAKE),
        (200, 6.0, 5.0, Advice.TAKE),
        (200, 5.0, 5.0, Advice.UNCHANGED),
        (200, 4.0, 5.0, Advice.UNCHANGED),
        (304, None, 5.0, Advice.UNCHANGED),
        (304, None, None, Advice.GIVE_UP),
        (302, None, None, Advice.FOLLOW),
        (308, None, 5.0, Advice.FOLLOW),
        (404, None, 5.0, Advice.NOT_THERE),
        (410, None, None, Advice.NOT_THERE),
        (206, None, None, Advice.GIVE_UP),
        (204, None, None, Advice.GIVE_UP),
        (300, None, None, Advice.GIVE_UP),
        (401, None, None, Advice.GIVE_UP),
        (500, None, None, Advice.GIVE_UP),
    ],
)
def test_a_status_is_judged(status: int, last_modified: float | None, since: float | None, verdict: Advice) -> None:
    assert answers.judge(status, last_modified, since) is verdict


@given(st.integers(100, 999), st.booleans())
def test_every_status_can_be_explained_with_what_to_do(status: int, to_account: bool) -> None:
    text = answers.explain(status, "host", to_account=to_account)
    assert text.startswith("host ")
    assert f"(status {status})" in text
    assert ": " in text


def test_an_account_is_spoken_of_only_where_one_was_named() -> None:
    assert "account_id" in answers.explain(401, "h", to_account=True)
    assert "account" not in answers.explain(401, "h", to_account=False)


@given(st.integers(1, (1 << 33) - 1))
def test_a_time_of_http_is_read_to_the_second(seconds: int) -> None:
    assert answers.parse_time(formatdate(seconds, usegmt=True)) == seconds


@given(st.text())
def test_a_time_that_is_none_is_none_and_no_exception(text: str) -> None:
    found = answers.parse_time(text)
    assert found is None or 0 < found < 1 << 33


@pytest.mark.parametrize("text", [None, "", "yesterday", "Tue, 03 Nov 1969 00:00:00 GMT", "Tue, 99 Nov 99999 99:99:99"])
def test_a_time_that_no_file_can_have_is_none(text: str | None) -> None:
    assert answers.parse_time(text) is None
