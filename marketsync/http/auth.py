"""Ways to sign a request. None of them shows its secret, in whatever way it is printed."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import ClassVar, Protocol
from urllib.parse import quote, urlencode

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


class InBody(msgspec.Struct, frozen=True):
    """The secret as an argument in the JSON body, in place of the first `mark` there; the mark is a JSON string of its own.

    Who writes the body puts the mark before everything that a stranger may have written.
    """

    mark: str
    secret: str

    bare_secret: ClassVar[bool] = True

    def sign(self, method: str, url: str, query: Pairs, body: bytes, *, now: datetime, nonce: str) -> Pairs:  # noqa: ARG002 - the Protocol's
        return ()

    def filled(self, body: bytes) -> bytes:
        return body.replace(msgspec.json.encode(self.mark), msgspec.json.encode(self.secret), 1)

    def __repr__(self) -> str:
        return f"InBody({self.mark})"


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


def _is_401(status: int, body: bytes) -> bool:  # noqa: ARG001 - others look into the body
    return status == 401


class OAuth2(msgspec.Struct, frozen=True):
    """A short-lived token, fetched with a refresh token (RFC 6749 section 6), as the value of one header.

    `operation` is the plan's operation, with its budget, for asking `token_url`. `client_in_body`: the client's secret goes
    into the form, else into HTTP Basic. `refused` knows the answer by which the far side says that the token is not valid.
    """

    token_url: str
    client_id: str
    client_secret: str
    refresh_token: str
    header: str = "Authorization"
    prefix: str = "Bearer "
    client_in_body: bool = False
    scope: str = ""
    operation: str = "token"
    refused: Callable[[int, bytes], bool] = _is_401

    bare_secret: ClassVar[bool] = True

    @property
    def account(self) -> str:
        """Names the grant without showing it: another consent is another account."""
        return hashlib.sha256(f"{self.token_url}\0{self.refresh_token}".encode()).hexdigest()[:32]

    def form(self, refresh_token: str) -> bytes:
        fields = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        if self.scope:
            fields["scope"] = self.scope
        if self.client_in_body:
            fields |= {"client_id": self.client_id, "client_secret": self.client_secret}
        return urlencode(fields).encode()

    def client_headers(self) -> Pairs:
        """Of the request for a token."""
        if self.client_in_body:
            return ()
        pair = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        return (("Authorization", f"Basic {pair}"),)

    def __repr__(self) -> str:
        return f"OAuth2({self.header})"


def base_string(method: str, url: str, parameters: Iterable[tuple[str, str]]) -> str:
    """RFC 5849 section 3.4.1. `url` is lower-case in scheme and host and has no default port."""
    pairs = sorted((_escape(name), _escape(value)) for name, value in parameters)
    joined = "&".join(f"{name}={value}" for name, value in pairs)
    return "&".join((method.upper(), _escape(url), _escape(joined)))


def _escape(text: str) -> str:
    return quote(text, safe="-._~")
