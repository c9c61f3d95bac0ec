"""Parcels that the shop sent: of an order that is new to us by its reference, of all others as news since the last look."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from adapters.rest import wire
from adapters.rest.api import Api, Query, shown
from adapters.rest.shop.settings import Settings
from marketsync.domain.ids import LineId, Reference, RemoteId
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.errors import ReadFailed
from marketsync.ports import Clock, OpenOrder

REFS_MAX = 50
PAGES_MAX = 200
WHOLE_SECONDS = 6 * 3600.0
"""So often everything is read anew: a stamp that went wrong hides a parcel no longer than this."""
IDLE_SECONDS = 3600.0


class _Known(msgspec.Struct):
    """An order whose parcels are held here, all of them; `asked_at` is monotonic."""

    asked_at: float
    parcels: dict[str, wire.Shipment]


class Shipments:
    """What is held is told each time, as nobody says whether it was kept; what is lost with the process is read again."""

    def __init__(self, api: Api, settings: Settings, clock: Clock) -> None:
        self._api, self._settings, self._clock = api, settings, clock
        self._known: dict[str, _Known] = {}
        self._until: datetime | None = None
        self._whole_at = clock.monotonic()

    async def fetch(self, orders: Sequence[OpenOrder]) -> list[Shipment]:
        self._forget()
        if self._until is not None and any(order.ref in self._known for order in orders):
            await self._news(self._until)
        fresh = [order.ref for order in orders if order.ref not in self._known]
        for start in range(0, len(fresh), REFS_MAX):
            await self._meet(fresh[start : start + REFS_MAX])
        found: list[Shipment] = []
        for order in orders:
            known = self._known[order.ref]
            known.asked_at = self._clock.monotonic()
            found += [_parcel(order, stated) for stated in known.parcels.values()]
        wait = self._settings.wait_for_tracking
        return [x for x in found if x.lines and (x.tracking_number or x.voided or not wait)]

    async def _news(self, until: datetime) -> None:
        """Where the shop's clock went back, what was stamped meanwhile may lie before `since`: all is read anew."""
        since = until - timedelta(seconds=self._settings.overlap_seconds)
        stamp = since.astimezone(UTC).isoformat().replace("+00:00", "Z")
        parcels, as_of = await self._pages((("since", stamp),))
        if as_of < until:
            self._start_anew()
            return
        self._until = as_of
        for stated in parcels:
            if (known := self._known.get(stated.ref)) is not None:
                known.parcels[stated.id] = stated

    async def _meet(self, refs: Sequence[Reference]) -> None:
        parcels, as_of = await self._pages(tuple(("refs", ref) for ref in refs))
        self._until = self._until or as_of
        now = self._clock.monotonic()
        met = {str(ref): _Known(now, {}) for ref in refs}
        for stated in parcels:
            if stated.ref in met:
                met[stated.ref].parcels[stated.id] = stated
        self._known |= met

    async def _pages(self, asked: Query) -> tuple[list[wire.Shipment], datetime]:
        """To the last page; `as_of` of the first."""
        rows: list[wire.Shipment] = []
        as_of, cursor = None, ""
        for _ in range(PAGES_MAX):
            query = (*asked, ("cursor", cursor)) if cursor else asked
            page = await self._api.get("shipments.list", "/shop/shipments", wire.ShipmentPage, query)
            rows += page.shipments
            as_of = as_of or page.as_of
            if page.next is None:
                return rows, as_of
            if page.next == cursor:
                raise ReadFailed("shipments.list: a page leads to itself")
            cursor = page.next
        raise ReadFailed(f"shipments.list has no end after {PAGES_MAX} pages")

    def _forget(self) -> None:
        now = self._clock.monotonic()
        if now - self._whole_at > WHOLE_SECONDS:
            self._start_anew()
        self._known = {ref: x for ref, x in self._known.items() if now - x.asked_at < IDLE_SECONDS}

    def _start_anew(self) -> None:
        self._known, self._until, self._whole_at = {}, None, self._clock.monotonic()


def _parcel(order: OpenOrder, stated: wire.Shipment) -> Shipment:
    """A line that is none of the order's is left out: the shop's people may have packed something of theirs."""
    lines = [ShippedLine(LineId(x.id), x.quantity) for x in stated.lines if order.order.line(LineId(x.id))]
    return Shipment(
        ref=order.ref,
        shipment_id=RemoteId(stated.id),
        lines=tuple(lines),
        carrier=shown(stated.carrier),
        tracking_number=shown(stated.tracking_number),
        tracking_url=shown(stated.tracking_url, wire.URL_MAX),
        shipped_at=None if stated.shipped_at is None else _utc(stated.shipped_at),
        voided=stated.voided,
    )


def _utc(stamp: datetime) -> datetime | None:
    try:
        return stamp.astimezone(UTC)
    except OverflowError:
        return None
