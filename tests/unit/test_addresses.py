"""Addresses: what is routable, what is canonical, and how else a web app may have spelled it."""

import ipaddress
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.addresses import (
    AddressKind,
    carried_ipv4,
    is_global,
    octets,
    octets_of_all,
    read_address,
    spellings,
    text_of,
)

IPV4 = st.ip_addresses(v=4)
IPV6 = st.ip_addresses(v=6)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("0.0.0.0", "0.255.255.255"),  # noqa: S104 - nothing is bound
        ("10.0.0.0", "10.255.255.255"),
        ("100.64.0.0", "100.127.255.255"),
        ("127.0.0.0", "127.255.255.255"),
        ("169.254.0.0", "169.254.255.255"),
        ("172.16.0.0", "172.31.255.255"),
        ("192.0.0.0", "192.0.0.8"),
        ("192.0.0.11", "192.0.0.255"),
        ("192.0.2.0", "192.0.2.255"),
        ("192.88.99.2", "192.88.99.2"),
        ("192.168.0.0", "192.168.255.255"),
        ("198.18.0.0", "198.19.255.255"),
        ("198.51.100.0", "198.51.100.255"),
        ("203.0.113.0", "203.0.113.255"),
        ("224.0.0.0", "255.255.255.255"),
    ],
)
def test_a_special_ipv4_block_is_private_to_its_borders_and_no_further(first: str, last: str) -> None:
    assert read_address(first) == (AddressKind.PRIVATE, first)
    assert read_address(last) == (AddressKind.PRIVATE, last)
    before, after = int(ipaddress.IPv4Address(first)) - 1, int(ipaddress.IPv4Address(last)) + 1
    if before >= 0:
        assert read_address(str(ipaddress.IPv4Address(before)))[0] is AddressKind.GLOBAL
    if after < 2**32:
        assert read_address(str(ipaddress.IPv4Address(after)))[0] is AddressKind.GLOBAL


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("::", AddressKind.PRIVATE),
        ("::1", AddressKind.PRIVATE),
        ("::8.8.8.8", AddressKind.PRIVATE),
        ("64:ff9b:1::1", AddressKind.PRIVATE),
        ("100::1", AddressKind.PRIVATE),
        ("1fff:ffff::", AddressKind.PRIVATE),
        ("2000::", AddressKind.GLOBAL),
        ("2001:1::1", AddressKind.GLOBAL),
        ("2001:1::4", AddressKind.PRIVATE),
        ("2001:2::1", AddressKind.PRIVATE),
        ("2001:3::1", AddressKind.GLOBAL),
        ("2001:4:112::1", AddressKind.GLOBAL),
        ("2001:10::1", AddressKind.PRIVATE),
        ("2001:20::1", AddressKind.GLOBAL),
        ("2001:30::1", AddressKind.GLOBAL),
        ("2001:1ff:ffff::", AddressKind.PRIVATE),
        ("2001:200::", AddressKind.GLOBAL),
        ("2001:db8::1", AddressKind.PRIVATE),
        ("2001:db9::1", AddressKind.GLOBAL),
        ("2a00:1450:4001:80b::200e", AddressKind.GLOBAL),
        ("3ffe:ffff::1", AddressKind.GLOBAL),
        ("3fff::1", AddressKind.PRIVATE),
        ("3fff:1000::", AddressKind.GLOBAL),
        ("4000::", AddressKind.PRIVATE),
        ("5f00::1", AddressKind.PRIVATE),
        ("fc00::1", AddressKind.PRIVATE),
        ("fe80::1", AddressKind.PRIVATE),
        ("fec0::1", AddressKind.PRIVATE),
        ("ff02::1", AddressKind.PRIVATE),
        ("ff0e::1", AddressKind.PRIVATE),
    ],
)
def test_ipv6_blocks(text: str, kind: AddressKind) -> None:
    assert read_address(text)[0] is kind


@pytest.mark.parametrize(
    ("text", "carried", "kind"),
    [
        ("64:ff9b::808:808", "8.8.8.8", AddressKind.GLOBAL),
        ("64:ff9b::a00:1", "10.0.0.1", AddressKind.PRIVATE),
        ("2002:808:808::1", "8.8.8.8", AddressKind.GLOBAL),
        ("2002:c0a8:101::1", "192.168.1.1", AddressKind.PRIVATE),
        ("2001:0:4136:e378:8000:63bf:f7f7:f7f7", "8.8.8.8", AddressKind.GLOBAL),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.2.45", AddressKind.PRIVATE),
        ("2001::f7f7:f7f7", "8.8.8.8", AddressKind.GLOBAL),
        ("2001::1", "255.255.255.254", AddressKind.PRIVATE),
    ],
)
def test_an_address_that_carries_ipv4_is_as_routable_as_what_it_carries(
    text: str, carried: str, kind: AddressKind
) -> None:
    assert read_address(text) == (kind, text)
    assert carried_ipv4(text) == carried


@pytest.mark.parametrize("text", ["8.8.8.8", "2a00::1", "64:ff9b:1::1", "2001:2002::1", "2001:1::1", "2001:200::1"])
def test_other_addresses_carry_none(text: str) -> None:
    assert carried_ipv4(text) is None


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("::FFFF:0808:0808", "8.8.8.8"),
        ("0:0:0:0:0:ffff:8.8.8.8", "8.8.8.8"),
        ("2A00:1450:4001:080B:0000:0000:0000:200E", "2a00:1450:4001:80b::200e"),
        ("2a00:0:0:1::1", "2a00:0:0:1::1"),
        ("2a00:1:0:2:3:4:5:6", "2a00:1:0:2:3:4:5:6"),
    ],
)
def test_canonical_form(text: str, canonical: str) -> None:
    assert read_address(text) == (AddressKind.GLOBAL, canonical)


def test_a_zone_belongs_to_a_link_local_address() -> None:
    assert read_address("FE80::1%eth0") == (AddressKind.PRIVATE, "fe80::1%eth0")
    assert read_address("fe80::1%eth0") == (AddressKind.PRIVATE, "fe80::1%eth0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "8.8.8.8 ",
        " 8.8.8.8",
        "8.8.8.8\n",
        "8.8.8.8\0",
        "8.8.8",
        "8.8.8.8.8",
        "8.8.8.256",
        "08.8.8.8",
        "0x8.8.8.8",
        "134744072",
        "8.8.8.8/32",
        "8.8.8.8:22",
        "[2a00::1]",
        "[2a00::1]:22",
        "2a00::1/64",
        "2a00::1::2",
        "2a00:::1",
        "1:2:3:4:5:6:7:8:9",
        "12345::",
        "2a00::1%eth0",
        "::ffff:8.8.8.8%eth0",
        "fe80::1%",
        "fe80::1%eth0%eth1",
        "fe80::1%a/b",
        "fe80::1%sixteen-letters!",
        "localhost",
        "٨.٨.٨.٨",
        "\ud800",
        ":\ud800",
        pytest.param("1" * 1_000_000, id="long"),
        pytest.param(":" * 1_000_000, id="long with colons"),
        "2a00::" + "0" * 100 + "1",
    ],
)
def test_no_address(text: str) -> None:
    assert read_address(text) == (AddressKind.INVALID, text)


@pytest.mark.parametrize(
    "value", [None, b"8.8.8.8", 134744072, pytest.param(10**6000, id="huge"), 8.8, [":"], memoryview(b"")]
)
def test_what_is_no_text_is_invalid_and_named_by_its_type(value: object) -> None:
    assert read_address(value) == (AddressKind.INVALID, f"<{type(value).__name__}>")


def test_rows_of_sqlite_hold_such_values() -> None:
    with sqlite3.connect(":memory:") as connection:
        values = [value for (value,) in connection.execute("VALUES (NULL), (x'00'), (1), (1.5)")]
    connection.close()
    assert [read_address(value)[0] for value in values] == [AddressKind.INVALID] * 4


@given(st.text() | st.text(alphabet="0123456789abcdef:.%/ ", max_size=70))
def test_any_text_is_read_as_ipaddress_reads_it(text: str) -> None:
    kind, canonical = read_address(text)
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        assert (kind, canonical) == (AddressKind.INVALID, text)
        return
    if "%" in text:  # ipaddress takes a zone on any address, of any length
        return
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    assert kind is not AddressKind.INVALID
    assert canonical == str(mapped or address)


@given(IPV4 | IPV6, st.sampled_from([str, str.upper, lambda text: ipaddress.ip_address(text).exploded]))
def test_canonical_is_a_fixed_point_of_every_spelling(address: ipaddress.IPv4Address, spell: object) -> None:
    assert callable(spell)
    kind, canonical = read_address(spell(str(address)))
    assert kind is not AddressKind.INVALID
    assert read_address(canonical) == (kind, canonical)


@given(IPV4 | IPV6)
def test_no_address_that_python_calls_private_or_multicast_is_global(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    text = str(address)
    carries = carried_ipv4(text) is not None  # releases of Python differ on these
    exceptions = ("192.0.0.", "2001:")  # and on the exceptions within these
    if (address.is_private or address.is_multicast) and not carries and not text.startswith(exceptions):
        assert read_address(text)[0] is AddressKind.PRIVATE


def test_spellings_of_ipv4() -> None:
    assert spellings("192.0.2.1") == (
        "192.0.2.1",
        "::ffff:192.0.2.1",
        "::FFFF:192.0.2.1",
        "::ffff:c000:201",
        "::FFFF:C000:201",
    )


def test_spellings_of_ipv6() -> None:
    assert spellings("2a00::b") == (
        "2a00::b",
        "2A00::B",
        "2a00:0000:0000:0000:0000:0000:0000:000b",
        "2A00:0000:0000:0000:0000:0000:0000:000B",
    )


@pytest.mark.parametrize("text", ["", "nonsense", "fe80::1%eth0", "2A00::B"])
def test_what_is_no_canonical_address_is_its_only_spelling(text: str) -> None:
    assert spellings(text) == (text,)


@given(IPV4 | IPV6)
def test_every_spelling_is_read_as_the_canonical_and_none_comes_twice(address: ipaddress.IPv4Address) -> None:
    _, canonical = read_address(str(address))
    texts = spellings(canonical)
    assert texts[0] == canonical
    assert len(set(texts)) == len(texts)
    assert {read_address(text)[1] for text in texts} == {canonical}


@given(IPV4 | IPV6)
def test_every_spelling_has_the_octets_of_the_canonical(address: ipaddress.IPv4Address) -> None:
    kind, canonical = read_address(str(address))
    known = octets(canonical)
    assert len(known) == (16 if ":" in canonical else 4)
    assert text_of(known) == canonical
    assert is_global(known) == (kind is AddressKind.GLOBAL)
    assert {octets(text) for text in spellings(canonical)} == {known}


@given(st.lists(st.text() | st.text(alphabet="0123456789abcdef:.%/ ", max_size=70) | (IPV4 | IPV6).map(str)))
def test_what_is_no_address_or_has_a_zone_has_no_octets(texts: list[str]) -> None:
    for text in texts:
        kind, canonical = read_address(text)
        assert bool(octets(text)) == (kind is not AddressKind.INVALID and "%" not in canonical)
    assert octets_of_all(texts) == [octets(text) for text in texts]
