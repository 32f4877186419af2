"""What is banned holds: addresses in any spelling, and all that is within a banned network."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.addresses import spellings
from bangeod.banned import Banned, Network, Reading, read_banned, sort_out


def banned(*texts: str) -> Banned:
    return sort_out(((what, "sshd") for what in map(read_banned, texts) if what), frozenset()).banned


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("8.8.8.8/32", "8.8.8.8"),
        ("2001:DB8::1/128", "2001:db8::1"),
        ("::ffff:8.8.8.8/128", "8.8.8.8"),
        ("8.8.4.0/24", IPv4Network("8.8.4.0/24")),
        ("8.8.4.77/24", IPv4Network("8.8.4.0/24")),
        ("8.8.4.0/255.255.255.0", IPv4Network("8.8.4.0/24")),
        ("2001:db8::1/32", IPv6Network("2001:db8::/32")),
        ("::ffff:8.8.4.0/120", IPv4Network("8.8.4.0/24")),
        ("0.0.0.0/0", IPv4Network("0.0.0.0/0")),
        ("root", None),
        ("010.2.3.4", None),
        ("8.8.4.0/33", None),
        ("8.8.4.0/", None),
        ("/24", None),
        ("a/b/c", None),
        ("fe80::1%eth0/64", None),
        ("8.8.4.0/" + "0" * 100 + "24", None),
        ("", None),
        (None, None),
        (8, None),
        (["8.8.8.8"], None),
    ],
)
def test_what_a_text_bans(text: object, what: str | Network | None) -> None:
    assert read_banned(text) == what


@pytest.mark.parametrize(
    ("network", "within", "outside"),
    [
        ("8.8.4.0/24", ["8.8.4.0", "8.8.4.255", "8.8.4.7/24", "8.8.4.0/25", "8.8.4.4/32"], ["8.8.3.255", "8.8.5.0"]),
        ("2001:db8::/32", ["2001:DB8::1", "2001:db8:0:0:0:0:0:1", "2001:db8::/48"], ["2001:db9::", "2001:db8::/31"]),
        ("fe80::/10", ["fe80::1", "fe80::1%eth0"], ["fec0::1"]),
        ("::/0", ["2001:db8::1"], ["8.8.8.8"]),
        ("0.0.0.0/0", ["8.8.8.8", "::ffff:8.8.8.8"], ["2001:db8::1"]),
    ],
)
def test_a_network_holds_what_is_within_it(network: str, within: list[str], outside: list[str]) -> None:
    found = banned(network)
    assert found.holds(network)
    assert [text for text in within if not found.holds(text)] == []
    assert [
        text for text in [*outside, "root", "", "\0", "8.8.8.8 ", "é/24", "\ud800", "<int>"] if found.holds(text)
    ] == []


def test_networks_within_and_beside_each_other_are_one() -> None:
    found = banned("8.0.0.0/8", "8.8.4.0/24", "9.0.0.0/8", "8.8.8.8")
    assert found.holds("8.255.255.255")
    assert found.holds("9.0.0.0")
    assert not found.holds("10.0.0.0")
    assert found.holds("8.0.0.0/7")


def test_nobody_banned_holds_nothing() -> None:
    assert not Banned().holds("8.8.8.8")
    assert not Banned()


ADDRESSES = (
    st.ip_addresses(v=4) | st.ip_addresses(v=6) | st.integers(0, 2**16).map(lambda n: IPv4Address(0x08080000 + n))
)
NETWORKS = st.tuples(ADDRESSES, st.integers(0, 128)).map(
    lambda pair: ip_network(f"{pair[0]}/{min(pair[1], pair[0].max_prefixlen)}", strict=False)
)


@given(networks=st.lists(NETWORKS, max_size=8), singles=st.lists(ADDRESSES, max_size=4), asked=ADDRESSES)
def test_an_address_is_held_where_an_address_or_a_network_says_so(
    networks: list[Network], singles: list[IPv4Address | IPv6Address], asked: IPv4Address | IPv6Address
) -> None:
    found = banned(*map(str, networks), *map(str, singles))
    canonical = read_banned(str(asked))
    assert isinstance(canonical, str)
    meant = ip_address(canonical)
    expected = canonical in map(read_banned, map(str, singles)) or any(
        meant in network for network in (as_meant(network) for network in networks) if network.version == meant.version
    )
    assert {found.holds(text) for text in (str(asked), *spellings(canonical))} == {expected}


def as_meant(network: Network) -> Network:
    what = read_banned(str(network))
    return ip_network(what) if isinstance(what, str) else what or network


def test_of_a_jail_that_is_disabled_while_another_is_enabled_nobody_is_banned_for_sure() -> None:
    net = IPv4Network("8.8.4.0/24")
    bans: list[tuple[str | Network, str]] = [
        ("8.8.8.1", "on"),
        ("8.8.8.2", "off"),
        ("8.8.8.3", "on"),
        ("8.8.8.3", "off"),
        (net, "off"),
        ("8.8.8.4", "not in the table"),
    ]
    assert sort_out(bans, frozenset({"on"})) == Reading(
        Banned({"8.8.8.1", "8.8.8.3"}), Banned({"8.8.8.2", "8.8.8.4"}, {net}), frozenset({"on"})
    )


def test_while_no_jail_is_enabled_all_bans_count() -> None:
    assert sort_out([("8.8.8.1", "off")], frozenset()).banned == Banned({"8.8.8.1"})
