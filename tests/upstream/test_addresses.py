"""Which addresses are public, whichever way they are written."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.addresses import Allowed, plain, public

PUBLIC = (
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.0", "168.63.129.15", "172.15.255.255", "172.32.0.0", "192.0.1.0",
    "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.114.0",
    "223.255.255.255", "2606:4700::1111", "2001:4860:4860::8888", "2a00:1450::1", "2001:200::",
    "::ffff:8.8.8.8", "64:ff9b::808:808", "2a00::5efe:808:808",
)  # fmt: skip
CLOSED = (
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1",
    "127.255.255.254", "168.63.129.16", "169.254.169.254", "169.254.0.1", "172.16.0.1",
    "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1",
    "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1",
    "::ffff:0:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808", "100::1", "2001::1", "2001:2::1", "2001:10::1", "2001:db8::1",
    "2002:7f00:1::", "2002:808:808::", "2a00::5efe:7f00:1", "2a00::200:5efe:a00:1", "3fff::1",
    "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
)  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_anybody_reaches(address: str) -> None:
    assert public(plain(address))


@pytest.mark.parametrize("address", CLOSED)
def test_only_some_reach(address: str) -> None:
    assert not public(plain(address))


@given(st.ip_addresses())
def test_nothing_is_public_that_the_library_calls_private(
    address: IPv4Address | IPv6Address,
) -> None:
    if address.is_private or address.is_multicast or address.is_loopback or address.is_link_local:
        assert not public(plain(str(address))) or address in ip_network("64:ff9b::/96")


@given(st.ip_addresses(v=4))
def test_an_address_in_another_is_judged_by_itself(address: IPv4Address) -> None:
    value = int(address)
    assert plain(f"::ffff:{address}") == address
    assert public(IPv6Address(value | (0x64FF9B << 96))) == public(address)
    assert public(IPv6Address(value | (0x2A00 << 112) | (0x5EFE << 32))) == public(address)


@pytest.mark.parametrize("address", ["", "localhost", "1.2.3", "0x7f000001", "127.1", "1.2.3.4.5"])
def test_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="IPv4"):
        plain(address)


def test_what_an_operator_allows() -> None:
    allowed = Allowed(
        ["10.0.0.0/8", "fd00::/8", "192.168.1.7", "Files.Internal", "::1", "64:ff9b::/96"]
    )
    for host, address, has in (
        ("any", "10.1.2.3", True),
        ("any", "::ffff:10.1.2.3", True),
        ("any", "fd00::1", True),
        ("any", "::1", True),
        ("any", "192.168.1.7", True),
        ("any", "192.168.1.8", False),
        ("any", "127.0.0.1", False),
        ("files.internal", "192.168.1.8", True),
        ("FILES.internal.", "127.0.0.1", True),
        ("x.files.internal", "127.0.0.1", False),
        ("files.internal", "169.254.169.254", False),
        ("any", "fd00:ec2::254", False),
        ("any", "64:ff9b::10.0.0.1", True),
        ("any", "64:ff9b::169.254.169.254", False),
        ("files.internal", "fe80::5efe:169.254.169.254", False),
    ):
        assert allowed.has(host, plain(address)) is has, (host, address)
