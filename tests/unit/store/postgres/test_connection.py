"""What a connection is made from, and when a lost one is made anew."""

import pytest

from bangeod.store.postgres.connection import Backoff, Conninfo, wait_after

CONNINFO = Conninfo("host=db.example dbname=bangui", "postgresql://db.example/bangui", "s3cret")


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0.0), (1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (10_000, 30.0)])
def test_the_waits_for_the_next_try_double_up_to_half_a_minute(failures: int, seconds: float) -> None:
    assert wait_after(failures) == seconds


def test_after_a_failure_no_try_is_made_until_its_time_and_after_a_success_at_once() -> None:
    backoff = Backoff()
    assert backoff.may_try(100.0)
    backoff.failed(100.0)
    assert [backoff.may_try(now) for now in (100.0, 100.4, 100.5)] == [False, False, True]
    backoff.failed(100.5)
    assert [backoff.may_try(now) for now in (101.4, 101.5)] == [False, True]
    backoff.succeeded()
    assert backoff.may_try(101.5)


def test_a_password_is_in_what_is_connected_with_and_in_no_text_of_it() -> None:
    assert CONNINFO.parameters({"host": "db.example"})["password"] == "s3cret"
    assert "s3cret" not in repr(CONNINFO) + str(CONNINFO)


def test_without_a_password_none_is_given_so_that_libpq_looks_for_one() -> None:
    assert "password" not in Conninfo("", "postgresql:///").parameters({})


def test_what_the_url_says_goes_before_bangeods_own_words() -> None:
    parameters = CONNINFO.parameters(
        {"connect_timeout": "60", "application_name": "other", "client_encoding": "LATIN1"}
    )
    assert (parameters["connect_timeout"], parameters["application_name"]) == ("60", "other")
    assert parameters["keepalives_idle"] == 30
    assert parameters["client_encoding"] == "UTF8"  # else text would be read wrongly
