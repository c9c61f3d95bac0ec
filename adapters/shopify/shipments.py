"""Parcels that the shop sent: an order's fulfilments, read by the order's id, for no list of them is stamped for sure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from adapters.shopify.api import Api
from adapters.shopify.operations import PARCEL, SHIPMENTS
from adapters.shopify.orders import line_of
from adapters.shopify.settings import Settings
from adapters.shopify.wire import (
    Parcel,
    ParcelData,
    ParcelLine,
    Reply,
    ShipmentsData,
    Tracking,
    gid,
    number_of,
    plain,
)
from marketsync.domain.ids import LineId, RemoteId
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.errors import ReadFailed
from marketsync.ports import OpenOrder

SENT = "SUCCESS"
TAKEN_BACK = ("CANCELLED", "ERROR", "FAILURE")
LINE_PAGES_MAX = 20
UNITS_MAX = 1_000_000


class Shipments:
    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings

    async def fetch(self, wanted: Sequence[OpenOrder]) -> list[Shipment]:
        by_id = {gid("Order", order.remote_id): order for order in wanted}
        found: list[Shipment] = []
        ids, size = list(by_id), self._settings.orders_per_call
        for start in range(0, len(ids), size):
            batch = ids[start : start + size]
            data = await self._api.read("shipments.read", SHIPMENTS, Reply[ShipmentsData], ids=batch)
            for held in data.nodes:
                if held is not None and held.id in by_id:
                    found += [x for y in held.fulfillments if (x := await self._parcel(by_id[held.id], y))]
        return found

    async def _parcel(self, wanted: OpenOrder, parcel: Parcel) -> Shipment | None:
        """None for what is not sent, or not numbered, yet. One that was cancelled stays so, whatever is written into it since."""
        voided = parcel.status in TAKEN_BACK
        if parcel.status != SENT and not voided:
            return None
        tracking = next((x for x in parcel.tracking_info if plain(x.number)), Tracking())
        number = plain(tracking.number)
        if not number and not voided and self._settings.wait_for_tracking:
            return None
        units = await self._units(wanted, parcel)
        if not units:
            return None
        if not number_of(parcel.id):
            raise ReadFailed("shipments.read: a parcel without a number of its own")
        return Shipment(
            ref=wanted.ref,
            shipment_id=RemoteId(f"{wanted.remote_id}:{number_of(parcel.id)}"),
            lines=tuple(ShippedLine(line_id, count) for line_id, count in units.items()),
            carrier=plain(tracking.company),
            tracking_number=number,
            tracking_url=plain(tracking.url),
            shipped_at=_time(parcel.created_at),
            voided=voided,
        )

    async def _units(self, wanted: OpenOrder, parcel: Parcel) -> dict[LineId, int]:
        units: dict[LineId, int] = {}
        for row in await self._lines(parcel):
            line_id = line_of(row.line_item)
            if row.quantity and 0 < row.quantity <= UNITS_MAX and wanted.order.line(line_id):
                units[line_id] = units.get(line_id, 0) + row.quantity
        return units

    async def _lines(self, parcel: Parcel) -> list[ParcelLine]:
        """A parcel of more lines than come along is read by itself, from its first line."""
        if not parcel.fulfillment_line_items.page_info.has_next_page:
            return parcel.fulfillment_line_items.nodes
        rows: list[ParcelLine] = []
        after: str | None = None
        for _ in range(LINE_PAGES_MAX):
            data = await self._api.read(
                "shipments.read", PARCEL, Reply[ParcelData], id=parcel.id, after=after
            )
            if data.fulfillment is None:
                return []
            page = data.fulfillment.fulfillment_line_items
            rows += page.nodes
            if not page.page_info.has_next_page:
                return rows
            after = page.page_info.end_cursor
        raise ReadFailed("shipments.read: a parcel has more lines than are read")


def _time(stated: str | None) -> datetime | None:
    """None where it is no time, or one of no zone."""
    try:
        at = datetime.fromisoformat(stated) if stated else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None
