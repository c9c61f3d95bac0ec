"""Which addresses a connection may talk to."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

from marketsync.errors import ConfigError

_PORTS = {"http": 80, "https": 443}
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


def checked_base(base_url: str, *, bare_secret: bool) -> SplitResult:
    """`bare_secret`: a secret travels with each request as it is."""
    try:
        parts = urlsplit(base_url.rstrip("/"))
        port = "" if parts.port in {None, _PORTS.get(parts.scheme)} else f":{parts.port}"
    except ValueError:
        raise ConfigError("the url is not a URL: say https://host[:port][/path]") from None
    if (
        parts.scheme not in _PORTS
        or not parts.hostname
        or "@" in parts.netloc
        or parts.query
        or parts.fragment
    ):
        raise ConfigError("the url must be http(s)://host[:port][/path], without user, query or fragment")
    if parts.scheme == "http" and bare_secret and not is_literal_loopback(parts.hostname):
        raise ConfigError("the url is plain http and the secret would travel bare: say https")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts._replace(netloc=host + port)


def origin(parts: SplitResult) -> tuple[str, str, int | None]:
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)


def may_visit(url: str, base: SplitResult, other_hosts: Iterable[str]) -> bool:
    """Whether an address that a far side gave us is well-formed, and of our own origin or by https of one of these hosts."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        link = urlsplit(url)
        ours = origin(link) == origin(base)
    except ValueError:
        return False
    host = link.hostname or ""
    known = link.scheme == "https" and any(host.endswith(f".{x}") for x in other_hosts)
    return (ours or known) and "@" not in link.netloc
