"""What the simulated eBay pushes of its own accord: one message for each line that was bought, signed as eBay signs.

Signing needs the extra `hints`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from adapters.ebay.sandbox_http import JSON
from adapters.ebay.sandbox_world import SoldLine, SoldOrder, World
from marketsync.sandbox.books import Event

KID = "00000000-0000-4000-8000-000000000007"
OWN, FORGER = 7, 8


class Signer:
    """A key pair of its own, the same for the same `seed`; `publish` makes it one of eBay's."""

    def __init__(self, kid: str = KID, seed: int = OWN) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        self.kid = kid
        self._key = ec.derive_private_key(seed, ec.SECP256R1())

    @property
    def public_key(self) -> str:
        """As eBay gives it out: in armour, on one line."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        der = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"-----BEGIN PUBLIC KEY-----{base64.b64encode(der).decode()}-----END PUBLIC KEY-----"

    def publish(self, world: World) -> None:
        world.public_keys[self.kid] = self.public_key

    def header(self, body: bytes, **changes: str) -> str:
        """The value of X-EBAY-SIGNATURE; `changes` make it another than eBay's."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        made = self._key.sign(body, ec.ECDSA(hashes.SHA1(), deterministic_signing=True))  # noqa: S303 - as eBay does
        stated = {
            "alg": "ecdsa",
            "kid": self.kid,
            "signature": base64.b64encode(made).decode(),
            "digest": "SHA1",
        }
        return base64.b64encode(JSON.encode(stated | changes)).decode()


def pushes(world: World, known: int) -> Sequence[bytes]:
    """The messages about what came to pass after the first `known` entries of the log."""
    return [
        _confirmation(world.orders[event.subject], line, event, number)
        for number, event in enumerate(world.log[known:], known + 1)
        if event.what == "paid"
        for line in world.orders[event.subject].lines
    ]


def pushes_of(world: World, order_id: str) -> Sequence[bytes]:
    """Those about one order."""
    order = world.orders[order_id]
    return [
        _confirmation(order, line, event, number)
        for number, event in enumerate(world.log, 1)
        if event.what == "paid" and event.subject == order_id
        for line in order.lines
    ]


def others(at: datetime) -> Mapping[str, bytes]:
    """What eBay pushes to every application, and names no order."""
    person = {"username": "sandbox-buyer", "userId": "sandbox-id", "eiasToken": "sandbox-eias"}
    return {
        "of an account that was deleted": _message("MARKETPLACE_ACCOUNT_DELETION", "00000001", at, person),
        "a test": _message("ORDER_CONFIRMATION", "00000002", at, {}),
    }


def _confirmation(order: SoldOrder, line: SoldLine, event: Event, number: int) -> bytes:
    data = {"orderId": order.order_id, "lineItemId": line.line_id}
    return _message("ORDER_CONFIRMATION", f"{number:08d}-{line.line_id}", event.at, data)


def _message(topic: str, name: str, at: datetime, data: Mapping[str, str]) -> bytes:
    metadata = {"topic": topic, "schemaVersion": "1.0", "deprecated": False}
    notification: dict[str, Any] = {
        "notificationId": name,
        "eventDate": _time(at),
        "publishDate": _time(at),
        "publishAttemptCount": 1,
        "data": data,
    }
    return JSON.encode({"metadata": metadata, "notification": notification})


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
