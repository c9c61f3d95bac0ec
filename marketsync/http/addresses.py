"""Which addresses a connection may talk to."""

from __future__ import annotations

import functools
import ipaddress

_CGNAT = ipaddress.ip_network("100.64.0.0/10")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@functools.lru_cache(maxsize=1024)
def is_public(address: str) -> bool:
    """False for loopback, private, link-local (cloud metadata among them), shared, reserved and multicast addresses.

    An IPv6 address that carries an IPv4 one is judged by that.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if inner is None and parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    elif parsed in _CGNAT:
        return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


@functools.lru_cache(maxsize=1024)
def is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@functools.lru_cache(maxsize=1024)
def is_literal_loopback(host: str) -> bool:
    return is_literal(host) and ipaddress.ip_address(host).is_loopback
