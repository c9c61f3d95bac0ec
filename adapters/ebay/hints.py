"""eBay's push notifications as hints: who really sent one, and which order it speaks of.

eBay signs the body with a key of its own (ECDSA); the header names the key, and the key is had by its name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from urllib.parse import quote

import msgspec

from adapters.ebay import wire
from adapters.ebay.api import PUBLIC_KEYS, Api
from marketsync.domain.ids import OrderId
from marketsync.errors import ConfigError, Malformed, Refused
from marketsync.http import decode
from marketsync.http.documents import document, is_id
from marketsync.ports import Clock

KEY_KEPT_SECONDS = 3600.0
UNKNOWN_KEY_SECONDS = 60.0
KEYS_MAX = 16
HEADER_BYTES_MAX = 4096
MESSAGE_BYTES_MAX = 1024 * 1024
_ARMOUR = re.compile(r"-----(BEGIN|END) PUBLIC KEY-----|\s")


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
    """Keeps the keys that eBay signs with: an hour each, and one that is not known is asked for once a minute at most."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._keys: dict[str, tuple[float, wire.PublicKey]] = {}
        self._asked_at = float("-inf")

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
        now = self._clock.monotonic()
        kept = self._keys.get(kid)
        if kept is not None and now - kept[0] < KEY_KEPT_SECONDS:
            return kept[1]
        if kept is None:
            # Anybody can invent names of keys: that must cost us no more than this.
            if now - self._asked_at < UNKNOWN_KEY_SECONDS:
                return None
            self._asked_at = now
        try:
            answer = await self._api.read("getPublicKey", f"{PUBLIC_KEYS}/{quote(kid, safe='')}")
        except Refused:
            return None
        key = decode(answer, wire.PublicKey, write=False)
        while len(self._keys) >= KEYS_MAX:
            del self._keys[next(iter(self._keys))]
        self._keys[kid] = now, key
        return key


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
        raise ConfigError(
            "notifications of eBay need the extra `hints`: pip install marketsync[hints]"
        ) from None
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
