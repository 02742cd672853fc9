"""Which addresses belong to the public internet, and which to a local network."""

from __future__ import annotations

import ipaddress

_DISGUISED = tuple(
    map(ipaddress.IPv6Network, ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "fec0::/10"))
)
"""IPv6 addresses with one of IPv4 inside, through which a gateway may lead anywhere (IPv4-compatible, NAT64, 6to4, Teredo),
and the old site-local ones. Python takes some of them to be global."""

# Loopback, the private networks of RFC 1918, the shared addresses of providers (RFC 6598); unique local addresses.
_LOCAL_4 = tuple(
    map(ipaddress.IPv4Network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
)
_LOCAL_6 = tuple(map(ipaddress.IPv6Network, ("::1/128", "fc00::/7")))


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet: one of a private network, or a way into one, is not.

    Raises:
        ValueError: it is no IP address.
    """
    parsed = _parsed(address)
    if parsed.version == 6 and any(parsed in network for network in _DISGUISED):
        return False
    return parsed.is_global and not parsed.is_multicast  # Python calls some groups global


def may_be_named(address: str) -> bool:
    """Whether a server that a person names may have this IP address: a public one, or one of an ordinary local network.

    The others are those of cloud machines' own metadata (link-local), of groups, and of gateways.
    """
    parsed = _parsed(address)
    local = _LOCAL_4 if parsed.version == 4 else _LOCAL_6
    return is_public(address) or any(parsed in network for network in local)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    parsed = ipaddress.ip_address(address.partition("%")[0])  # without the interface of a link-local address
    return getattr(parsed, "ipv4_mapped", None) or parsed
