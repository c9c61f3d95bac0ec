"""A parcel that the shop sent."""

from __future__ import annotations

from datetime import datetime

import msgspec

from marketsync.domain.ids import LineId, Reference, RemoteId


class ShippedLine(msgspec.Struct, frozen=True):
    line_id: LineId
    quantity: int


class Shipment(msgspec.Struct, frozen=True):
    """`shipment_id` is the shop's own id and never changes; the carrier is as the shop names it, before mapping.

    `voided` parcels were taken back by the shop: one that was not confirmed is dropped, else a person decides.
    """

    ref: Reference
    shipment_id: RemoteId
    lines: tuple[ShippedLine, ...]
    carrier: str = ""
    tracking_number: str = ""
    tracking_url: str = ""
    shipped_at: datetime | None = None
    voided: bool = False
