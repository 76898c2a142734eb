"""Which addresses a URL that a caller wrote may lead to: public ones, and what the operator allows.

The public ones are told by what is left of IANA's special-purpose registries (RFC 6890 and its
updates); an IPv6 address in which an IPv4 address is hidden is judged by that. Addresses at which
clouds hand out a machine's own credentials are refused, whoever allows them.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

_CLOSED_4: Final = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' own
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's own services for each machine
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_OPEN_6: Final = IPv6Network("2000::/3")  # all that is assigned for unicast
_CLOSED_6: Final = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3ffe::/16",
        "3fff::/20",  # documentation
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_ISATAP: Final = (0x00005EFE, 0x02005EFE)  # in the upper half of an interface's identifier
_NEVER: Final = frozenset(
    ip_address(one)
    for one in (
        "169.254.169.254",  # nearly everybody's
        "169.254.170.2",  # Amazon's containers
        "169.254.170.23",
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "168.63.129.16",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",  # Google
    )
)


def plain(address: str) -> Address:
    """An address as it is used: of an IPv4 address written as IPv6 the IPv4 address, and without
    a zone.

    Raises ValueError where it is none.
    """
    found = ip_address(address.partition("%")[0])
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def public(address: Address) -> bool:
    """Whether anybody on the Internet could reach it as well."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _CLOSED_4)
    hidden = _hidden(address)
    if hidden is not None and not public(hidden):
        return False
    assigned = address in _OPEN_6 and not any(address in block for block in _CLOSED_6)
    return assigned or address in _NAT64


def _hidden(address: Address) -> IPv4Address | None:
    """The IPv4 address to which an IPv6 address leads by its form."""
    value = int(address)
    if address in _NAT64 or (address.version == 6 and (value >> 32) & 0xFFFFFFFF in _ISATAP):
        return IPv4Address(value & 0xFFFFFFFF)
    return None


class Allowed:
    """What the operator lets callers reach beyond the public addresses: networks, and hosts by
    their name, wherever that leads.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._networks: list[IPv4Network | IPv6Network] = []
        for entry in entries:
            try:
                self._networks.append(ip_network(entry))
            except ValueError:
                self._names.add(_name(entry))

    def has(self, host: str, address: Address) -> bool:
        """Whether `address`, to which the name `host` leads, is among it."""
        if address in _NEVER or _hidden(address) in _NEVER:
            return False
        return _name(host) in self._names or any(address in one for one in self._networks)


def _name(host: str) -> str:
    return host.lower().rstrip(".")
