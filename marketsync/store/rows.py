"""What the store hands out and takes in: one struct per kind of row."""

from __future__ import annotations

from datetime import datetime

import msgspec

from marketsync.domain.deliveries import Delivery
from marketsync.domain.ids import ConnectionId, MerchantId, OrderKey, Reference
from marketsync.domain.orders import Address, Order, Party
from marketsync.domain.publishing import Listing
from marketsync.domain.stock import Event


class Private(msgspec.Struct, frozen=True):
    """A buyer's data of one order; None where the marketplace has not told it yet."""

    buyer: Party | None
    ship_to: Address | None
    bill_to: Address | None


class HeldOrder(msgspec.Struct, frozen=True):
    """An order as we hold it. `order` has no private data; `read_*_seq` are of the read that brought this version (B13).

    `external` orders are recorded and never pushed (B18). `open` ones may still change, ship or be confirmed.
    """

    key: OrderKey
    ref: Reference
    back_office: ConnectionId
    order: Order
    content_hash: str
    read_begin_seq: int
    read_end_seq: int
    arrival_seq: int
    revision: int
    external: bool
    open: bool
    imported_at: datetime
    pushed_at: datetime | None = None
    read_at: datetime | None = None


KEPT = "kept"
"""The kind of a Link by which a person says which of several records counts."""
TWIN = "twin"
"""The kind of a Link to a further record of what is linked already: it counts only where a person says so."""


class Link(msgspec.Struct, frozen=True):
    """Our subject <-> the far side's id: a fact, insert-only, never pruned (A8, A24). `kind` is a Kind's value."""

    merchant: MerchantId
    target: ConnectionId
    kind: str
    subject: str
    remote_id: str


class Parked(msgspec.Struct, frozen=True):
    """An item that waits for a person or for its causes. `item` is an order's reference, a delivery's id as text,
    or `<connection>/<order id or hash>` for an order that could not be read."""

    merchant: MerchantId
    kind: str
    item: str
    connection: ConnectionId
    reason: str
    causes: tuple[str, ...]
    at: datetime


class HistoryRow(msgspec.Struct, frozen=True):
    """One thing that happened. `subject` is an order's reference, or what else it is about. Never private data."""

    merchant: MerchantId
    subject: str
    at: datetime
    event: str
    detail: str = ""


class ClaimStepRow(msgspec.Struct, frozen=True):
    """One shop write's effect on one claim (rules C). `delivery` and `event` name it; seqs as in ClaimStep."""

    merchant: MerchantId
    ref: Reference
    line_id: str
    sku: str
    location: str
    delivery: int
    event: Event
    taken_before: int
    taken_after: int
    held_after: int
    sent_seq: int | None
    done_seq: int | None = None
    mature_seq: int | None = None
    in_doubt: bool = False


class ListingRow(msgspec.Struct, frozen=True):
    """What we last published of one SKU on one marketplace (C15-C18), all columns of the Listing beside the key.

    `sku` is the shop's. `delivery` is the id of the STOCK delivery that carries its last write, 0 if none yet.
    `dirty` rows are looked at by the publisher. `error` is why the marketplace did not take it, "" if it did.
    """

    merchant: MerchantId
    connection: ConnectionId
    sku: str
    listing: Listing
    delivery: int
    dirty: bool
    error: str = ""


class Resync(msgspec.Struct, frozen=True):
    """A window that a person asked to have read again. `done_to` is how far it was read."""

    id: int
    merchant: MerchantId
    connection: ConnectionId
    axis: str
    lo: datetime
    hi: datetime
    done_to: datetime | None
    finished_at: datetime | None


class Hole(msgspec.Struct, frozen=True):
    """A stretch of time that could not be read, and why (B9, B10): shown, retried, never covered by assumption."""

    merchant: MerchantId
    connection: ConnectionId
    axis: str
    lo: datetime
    hi: datetime
    cause: str


class ConnectionRow(msgspec.Struct, frozen=True):
    """What is remembered of a connection between lives. `paused` is the reason, "" if it runs."""

    merchant: MerchantId
    connection: ConnectionId
    role: str
    paused: str
    paused_by: str
    traits: str


class DeliveryView(msgspec.Struct, frozen=True):
    """A delivery with its causes, for people."""

    delivery: Delivery
    causes: tuple[str, ...]
