"""What a notice says: addresses, as many as a payload holds, and nothing that is none."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from bangeod.store.postgres.notices import LARGEST, payloads, read

ROUTABLE = st.integers(0, (1 << 20) - 1).map(lambda number: str(ipaddress.ip_address((0x2001_4860 << 96) + number)))


def test_a_few_addresses_are_one_notice() -> None:
    assert payloads(["8.8.8.8", "2001:4860::1"]) == ["8.8.8.8 2001:4860::1"]


def test_no_address_is_no_notice() -> None:
    assert payloads([]) == []


@given(st.lists(ROUTABLE, max_size=2_000))
def test_each_address_is_in_one_notice_that_the_server_takes(ips: list[str]) -> None:
    made = payloads(ips)
    assert all(0 < len(payload.encode()) <= LARGEST for payload in made)
    assert [ip for payload in made for ip in read(payload)] == ips


def test_a_payload_holds_as_much_as_it_may() -> None:
    assert [len(payload) for payload in payloads(["9.9.9.9"] * 2_000)] == [7_999, 7_999]


def test_what_is_no_routable_address_is_left_out_and_others_come_in_canonical_form() -> None:
    assert read("10.0.0.1 x 8.8.8.8  2001:4860:0:0::1 1.2.3.4/8 ' OR 1") == ["8.8.8.8", "2001:4860::1"]


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    read(text)
