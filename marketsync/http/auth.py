"""Ways to sign a request. None of them shows its secret, in whatever way it is printed."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar, Protocol
from urllib.parse import quote

import msgspec

Pairs = tuple[tuple[str, str], ...]


class Auth(Protocol):
    """`bare_secret` says that the secret itself travels: such a way is refused on plain http.

    `sign` gives the headers to add. `url` has no query; each request gets a new `nonce`.
    """

    @property
    def bare_secret(self) -> bool: ...
    def sign(
        self, method: str, url: str, query: Pairs, body: bytes, *, now: datetime, nonce: str
    ) -> Pairs: ...


class ApiKey(msgspec.Struct, frozen=True):
    """The secret as the value of one header; `header` may be Authorization with a prefix in the secret."""

    header: str
    secret: str

    bare_secret: ClassVar[bool] = True

    def sign(self, method: str, url: str, query: Pairs, body: bytes, *, now: datetime, nonce: str) -> Pairs:  # noqa: ARG002 - the Protocol's
        return ((self.header, self.secret),)

    def __repr__(self) -> str:
        return f"ApiKey({self.header})"


class Basic(msgspec.Struct, frozen=True):
    key: str
    secret: str

    bare_secret: ClassVar[bool] = True

    def sign(self, method: str, url: str, query: Pairs, body: bytes, *, now: datetime, nonce: str) -> Pairs:  # noqa: ARG002 - the Protocol's
        pair = base64.b64encode(f"{self.key}:{self.secret}".encode()).decode()
        return (("Authorization", f"Basic {pair}"),)

    def __repr__(self) -> str:
        return "Basic()"


class OAuth1(msgspec.Struct, frozen=True):
    """One-legged OAuth 1.0a (RFC 5849) with HMAC-SHA256, in the Authorization header: safe on plain http."""

    key: str
    secret: str

    bare_secret: ClassVar[bool] = False

    def sign(self, method: str, url: str, query: Pairs, body: bytes, *, now: datetime, nonce: str) -> Pairs:  # noqa: ARG002 - the Protocol's
        oauth = (
            ("oauth_consumer_key", self.key),
            ("oauth_nonce", nonce),
            ("oauth_signature_method", "HMAC-SHA256"),
            ("oauth_timestamp", str(int(now.timestamp()))),
            ("oauth_version", "1.0"),
        )
        key = f"{_escape(self.secret)}&".encode()
        mac = hmac.new(key, base_string(method, url, (*query, *oauth)).encode(), hashlib.sha256)
        signature = base64.b64encode(mac.digest()).decode()
        fields = (*oauth, ("oauth_signature", signature))
        return (("Authorization", "OAuth " + ", ".join(f'{n}="{_escape(v)}"' for n, v in fields)),)

    def __repr__(self) -> str:
        return "OAuth1()"


def base_string(method: str, url: str, parameters: Iterable[tuple[str, str]]) -> str:
    """RFC 5849 section 3.4.1. `url` is lower-case in scheme and host and has no default port."""
    pairs = sorted((_escape(name), _escape(value)) for name, value in parameters)
    joined = "&".join(f"{name}={value}" for name, value in pairs)
    return "&".join((method.upper(), _escape(url), _escape(joined)))


def _escape(text: str) -> str:
    return quote(text, safe="-._~")
