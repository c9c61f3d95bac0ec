"""Names of things: one type for each kind of id, and our reference."""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode
from typing import NewType

import msgspec

MerchantId = NewType("MerchantId", str)
ConnectionId = NewType("ConnectionId", str)
OrderId = NewType("OrderId", str)
LineId = NewType("LineId", str)
Sku = NewType("Sku", str)
Reference = NewType("Reference", str)
RemoteId = NewType("RemoteId", str)
Seq = NewType("Seq", int)

DEFAULT_MERCHANT = MerchantId("main")
POOL = "pool"
REFERENCE_LENGTH_MAX = 32
INSTALLATION_LENGTH_MAX = 8

_FORM = re.compile(r"ms-([a-z0-9]{1,8})-[a-z2-7]{4}-[a-z2-7]{14}")


class OrderKey(msgspec.Struct, frozen=True, order=True):
    """Identity of a marketplace order: the same id on two marketplaces is two orders."""

    merchant: MerchantId
    connection: ConnectionId
    order_id: OrderId


def reference(installation: str, key: OrderKey) -> Reference:
    """Our immutable reference, `ms-<installation>-<connection>-<order>`, 32 characters at most.

    A foreign or cloned installation shows by its second part (design D6).
    """
    if not (1 <= len(installation) <= INSTALLATION_LENGTH_MAX) or not installation.isalnum():
        raise ValueError("an installation id is 1 to 8 letters and digits")
    connection = _digest(f"{key.merchant}/{key.connection}", 4)
    order = _digest(f"{key.merchant}/{key.connection}/{key.order_id}", 14)
    return Reference(f"ms-{installation}-{connection}-{order}")


def installation_of(text: str) -> str | None:
    """The installation that wrote this reference, or None where it is not one of marketsync's."""
    match = _FORM.fullmatch(text)
    return None if match is None else match[1]


def same_order_of_other_installation(text: str, ours: str) -> bool:
    """Whether `text` is what another installation calls the order that we call `ours` (failure 60)."""
    theirs = installation_of(text)
    mine = installation_of(ours)
    if theirs is None or mine is None or theirs == mine:
        return False
    return text.split("-", 2)[2] == ours.split("-", 2)[2]


def _digest(text: str, length: int) -> str:
    return b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:length]
