"""eBay's push notifications as hints: who really sent one, and which order it speaks of.

eBay signs the body with a key of its own (ECDSA); the header names the key, and the key is had by its name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from importlib.util import find_spec
from urllib.parse import urlsplit

import msgspec

from adapters.ebay import wire
from adapters.ebay.api import PUBLIC_KEYS, Api
from marketsync.domain.ids import OrderId
from marketsync.errors import ConfigError, Malformed, Refused, Retry
from marketsync.http import decode, segment
from marketsync.http.documents import document, is_id
from marketsync.ports import Clock

KEY_KEPT_SECONDS = 3600.0
UNKNOWN_KEY_SECONDS = 60.0
KEYS_MAX = 16
HEADER_BYTES_MAX = 4096
MESSAGE_BYTES_MAX = 1024 * 1024
NEEDS_EXTRA = 'notifications of eBay need the extra `hints`: pip install "marketsync[hints]"'
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,80}")
_ARMOUR = re.compile(r"-----(BEGIN|END) PUBLIC KEY-----|\s")


Verify = Callable[[Mapping[str, str], bytes], Awaitable[bool]]


class _Signature(msgspec.Struct):
    kid: str
    signature: str
    alg: str = ""
    digest: str = ""


class _Named(msgspec.Struct, rename="camel"):
    order_id: str | None = None


class _Data(msgspec.Struct, rename="camel"):
    order_id: str | None = None
    order: _Named | None = None


class _Notification(msgspec.Struct):
    data: _Data | None = None


class _Message(msgspec.Struct):
    notification: _Notification


class Hints:
    """Keeps the keys that eBay signs with: an hour each, and longer while they can't be had anew."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._keys: dict[str, tuple[float, wire.PublicKey]] = {}
        self._asked_at = float("-inf")
        self._unknown = ""

    async def verify(self, header: str, body: bytes) -> bool:
        """False for whatever eBay has not signed. Raises Retry where the key can't be had just now: nobody knows yet."""
        stated = _signature(header)
        if stated is None or len(body) > MESSAGE_BYTES_MAX:
            return False
        key = await self._key(stated.kid)
        if key is None or key.algorithm.upper() not in {"ECDSA", ""}:
            return False
        return signed(key, _decoded(stated.signature), body)

    async def _key(self, kid: str) -> wire.PublicKey | None:
        """None for one that eBay does not know. Anybody can invent names of keys: none costs more than a call a minute."""
        now = self._clock.monotonic()
        kept = self._keys.get(kid)
        if kept is not None and now < kept[0]:
            return kept[1]
        if kept is not None:
            self._keys[kid] = now + UNKNOWN_KEY_SECONDS, kept[1]
        elif now - self._asked_at >= UNKNOWN_KEY_SECONDS:
            self._asked_at, self._unknown = now, ""
        elif kid == self._unknown:
            return None
        else:
            raise Retry("the key of a signature is not known yet", counted=False)
        return await self._fetched(kid)

    async def _fetched(self, kid: str) -> wire.PublicKey | None:
        try:
            answer = await self._api.read("getPublicKey", f"{PUBLIC_KEYS}/{segment(kid)}")
        except Refused:
            self._keys.pop(kid, None)
            self._unknown = kid
            return None
        key = decode(answer, wire.PublicKey, write=False)
        self._keys.pop(kid, None)
        while len(self._keys) >= KEYS_MAX:
            del self._keys[next(iter(self._keys))]
        self._keys[kid] = self._clock.monotonic() + KEY_KEPT_SECONDS, key
        return key


class Pushed:
    """The Pushes of one account: eBay is told by `token` and `endpoint` that an address is meant to hear of it."""

    def __init__(self, verify: Verify, token: str, endpoint: str) -> None:
        self._verify = verify
        self._token = token
        self._endpoint = endpoint

    def answer_challenge(self, query: Mapping[str, str]) -> bytes | None:
        code = query.get("challenge_code", "")
        if not code:
            return None
        return msgspec.json.encode({"challengeResponse": challenge_answer(code, self._token, self._endpoint)})

    async def verify_hint(self, headers: Mapping[str, str], body: bytes) -> bool:
        return await self._verify(headers, body)


def pushed(verify: Verify, token: str, endpoint: str, connection: str) -> Pushed | None:
    """None where neither is given. ConfigError for half of it, or where the extra `hints` is not installed."""
    if not token and not endpoint:
        return None
    if not token or not endpoint.startswith("https://"):
        raise ConfigError(
            "pushes need both: hints_endpoint, the https address that eBay calls, and hints_token, a secret"
        )
    if urlsplit(endpoint).path != f"/hints/{connection}":
        raise ConfigError(f"hints_endpoint: its path must be /hints/{connection}, or no message arrives here")
    if not _TOKEN.fullmatch(token):
        raise ConfigError("hints_token: 32 to 80 letters, digits, - or _, as eBay wants it")
    if find_spec("cryptography") is None:
        raise ConfigError(NEEDS_EXTRA)
    return Pushed(verify, token, endpoint)


def challenge_answer(code: str, verification_token: str, endpoint: str) -> str:
    """What eBay wants to be answered, as `challengeResponse`, before it sends anything to an endpoint."""
    return hashlib.sha256(f"{code}{verification_token}{endpoint}".encode()).hexdigest()


def read_hint(message: bytes) -> tuple[OrderId, ...]:
    """The order that a notification names, none for one about something else. Raises Malformed."""
    if len(message) > MESSAGE_BYTES_MAX:
        raise Malformed("$", f"larger than {MESSAGE_BYTES_MAX} bytes")
    data = document(message, _Message).notification.data or _Data()
    named = data.order_id or (data.order.order_id if data.order else None)
    if not named:
        return ()
    if not is_id(named):
        raise Malformed("$.notification.data.orderId", "not a usable id")
    return (OrderId(named),)


def signed(key: wire.PublicKey, signature: bytes, body: bytes) -> bool:
    """The one place that needs the extra `hints`."""
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_der_public_key
    except ImportError:
        raise ConfigError(NEEDS_EXTRA) from None
    digests = {"SHA1": hashes.SHA1, "SHA256": hashes.SHA256}
    digest = digests.get(key.digest.upper().replace("-", ""))
    try:
        public = load_der_public_key(_decoded(_ARMOUR.sub("", key.key)))
        if digest is None or not isinstance(public, ec.EllipticCurvePublicKey):
            return False
        public.verify(signature, body, ec.ECDSA(digest()))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _signature(header: str) -> _Signature | None:
    if not header or len(header) > HEADER_BYTES_MAX:
        return None
    try:
        stated = msgspec.json.decode(_decoded(header), type=_Signature)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return stated if is_id(stated.kid) else None


def _decoded(text: str) -> bytes:
    """Empty where it is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
