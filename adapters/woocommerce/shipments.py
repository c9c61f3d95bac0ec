"""Parcels that the shop sent, from whichever of its three places the merchant uses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from adapters.woocommerce.api import PAGE, V3, Api
from adapters.woocommerce.orders import line_of
from adapters.woocommerce.settings import NOT_RELEASED, Settings
from adapters.woocommerce.wire import (
    FulfilledItem,
    Fulfillment,
    MetaData,
    Tracking,
    WireOrder,
    error_code,
    meta,
    meta_text,
)
from marketsync.domain.ids import RemoteId
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.errors import ReadFailed, Refused
from marketsync.ports import OpenOrder

T = TypeVar("T")
TEXT_MAX = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Shipments:
    """An order's stamp does not move when a parcel is added, so open orders are read one by one, by id."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings

    async def fetch(self, wanted: Sequence[OpenOrder]) -> list[Shipment]:
        found: list[Shipment] = []
        for start in range(0, len(wanted), PAGE):
            batch = {order.remote_id: order for order in wanted[start : start + PAGE]}
            for held in await self._orders(list(batch)):
                if held.status not in (*NOT_RELEASED, "refunded"):
                    found += await self._of(batch[RemoteId(str(held.id))], held)
        return [x for x in found if x.lines and (x.tracking_number or not self._settings.wait_for_tracking)]

    async def any_sent(self, remote_id: str) -> bool:
        """Whether the shop has marked a part of the order as sent, as far as the chosen place tells parts."""
        if self._settings.shipments != "fulfillments":
            return False
        return any(_sent(x) for x in await self._fulfillments(remote_id))

    async def _orders(self, remote_ids: Sequence[str]) -> list[WireOrder]:
        listed = await self._api.get(
            "shipments.read", f"{V3}/orders", list[WireOrder], include=",".join(remote_ids), status="any",
            per_page=str(PAGE), _fields="id,status,date_completed_gmt,line_items,meta_data",
        )  # fmt: skip
        return [order for order in listed if str(order.id) in remote_ids]

    async def _of(self, wanted: OpenOrder, held: WireOrder) -> list[Shipment]:
        match self._settings.shipments:
            case "fulfillments":
                fulfillments = await self._fulfillments(wanted.remote_id)
                return [_parcel(wanted, held, x) for x in fulfillments if _sent(x)]
            case "tracking" if held.status == "completed":
                return [_whole(wanted, held, await self._tracking(wanted.remote_id))]
            case "status" if held.status == "completed":
                number = meta_text(held.meta_data, self._settings.tracking_meta)
                carrier = meta_text(held.meta_data, self._settings.carrier_meta)
                return [_whole(wanted, held, Tracking(tracking_number=number, tracking_provider=carrier))]
        return []

    async def _fulfillments(self, remote_id: str) -> list[Fulfillment]:
        return await self._rows(f"{V3}/orders/{remote_id}/fulfillments", list[Fulfillment])

    async def _tracking(self, remote_id: str) -> Tracking:
        """The first one that has a number: this extension does not say which lines are in which parcel."""
        path = f"/wc-shipment-tracking/v3/orders/{remote_id}/shipment-trackings"
        rows = await self._rows(path, list[Tracking])
        return next((row for row in rows if row.tracking_number), Tracking())

    async def _rows(self, path: str, type_: type[list[T]]) -> list[T]:
        try:
            return await self._api.get("shipments.read", path, type_)
        except Refused as refused:
            if refused.status != 404:
                raise
            if error_code(refused.body) == "rest_no_route":
                raise ReadFailed(
                    "the shop has no such list of parcels any more: see `shipments`"
                ) from refused
            return []  # the order was deleted meanwhile


def _parcel(wanted: OpenOrder, held: WireOrder, parcel: Fulfillment) -> Shipment:
    lines = {item.id: line_of(item) for item in held.line_items if wanted.order.line(line_of(item))}
    shipped = [
        ShippedLine(lines[item.item_id], item.qty)
        for item in _items(parcel.meta_data)
        if item.qty > 0 and lines.get(item.item_id)
    ]
    sent_at = meta_text(parcel.meta_data, "_date_fulfilled") or parcel.date_updated
    return Shipment(
        ref=wanted.ref,
        shipment_id=RemoteId(f"{held.id}:{parcel.id}"),
        lines=tuple(shipped),
        carrier=_text(meta_text(parcel.meta_data, "_shipment_provider")),
        tracking_number=_text(meta_text(parcel.meta_data, "_tracking_number")),
        tracking_url=_text(meta_text(parcel.meta_data, "_tracking_url")),
        shipped_at=_utc(sent_at),
    )


def _whole(wanted: OpenOrder, held: WireOrder, tracking: Tracking) -> Shipment:
    """The whole order as one parcel, under an id that does not change when its tracking is edited."""
    return Shipment(
        ref=wanted.ref,
        shipment_id=RemoteId(f"{held.id}:all"),
        lines=tuple(ShippedLine(line.line_id, line.wanted) for line in wanted.order.lines if line.wanted),
        carrier=_text(tracking.tracking_provider or tracking.custom_tracking_provider),
        tracking_number=_text(tracking.tracking_number),
        tracking_url=_text(tracking.tracking_link or tracking.custom_tracking_link),
        shipped_at=_utc(held.date_completed_gmt),
    )


def _sent(parcel: Fulfillment) -> bool:
    return parcel.is_fulfilled in (True, "1", 1, "true")


def _items(data: MetaData) -> list[FulfilledItem]:
    try:
        return msgspec.convert(meta(data, "_items") or [], list[FulfilledItem], strict=False)
    except msgspec.ValidationError:
        return []


def _text(stated: str) -> str:
    """A carrier becomes a cause and is looked up by its name: no store takes a NUL, none a megabyte."""
    return _CONTROL.sub("", stated)[:TEXT_MAX].strip()


def _utc(text: str | None) -> datetime | None:
    """WordPress writes GMT without saying so, with a blank or a T."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
    except ValueError:
        return None
