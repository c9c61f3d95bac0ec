"""Parcels that Odoo sent: validated deliveries of our orders, each with the units that it moved."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from adapters.odoo.api import Api
from adapters.odoo.books import Library
from adapters.odoo.orders import key_in
from adapters.odoo.settings import Settings
from adapters.odoo.wire import LineName, Move, Picking, Text, id_of, label_of, text
from marketsync.domain.ids import LineId, RemoteId
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.ports import OpenOrder

ROWS_MAX = 2000
TEXT_MAX = 500
UNITS_MAX = 1_000_000
OUTGOING = ("outgoing", "dropship")
READ = "parcels.read"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Shipments:
    """Read by the ids of open orders: neither a stamp nor the moment at which a row becomes visible is relied on."""

    def __init__(self, api: Api, library: Library, settings: Settings) -> None:
        self._api, self._library, self._settings = api, library, settings

    async def fetch(self, wanted: Sequence[OpenOrder]) -> list[Shipment]:
        by_id = {int(order.remote_id): order for order in wanted}
        moves = await self._moves(list(by_id))
        if not moves:
            return []
        lines = await self._lines([id_of(move.sale_line_id) for move in moves])
        pickings = await self._pickings(list(dict.fromkeys(id_of(move.picking_id) for move in moves)))
        found = []
        for picking in pickings:
            own = [move for move in moves if id_of(move.picking_id) == picking.id]
            for number in dict.fromkeys(
                lines[id_of(x.sale_line_id)][0] for x in own if id_of(x.sale_line_id) in lines
            ):
                if number in by_id:
                    shipped = _units(
                        [x for x in own if lines.get(id_of(x.sale_line_id), (0, ""))[0] == number], lines
                    )
                    found.append(_parcel(by_id[number], picking, shipped))
        return [x for x in found if x.lines and (x.tracking_number or not self._settings.wait_for_tracking)]

    async def any_sent(self, remote_id: str) -> bool:
        return bool(await self._moves([int(remote_id)]))

    async def _moves(self, order_ids: Sequence[int]) -> list[Move]:
        books = await self._library.books()
        domain = [
            ["sale_line_id.order_id", "in", list(order_ids)],
            ["state", "=", "done"],
            ["picking_id.picking_type_id.code", "in", list(OUTGOING)],
        ]
        fields = ["picking_id", "sale_line_id", books.done_field]
        return await self._api.search(READ, "stock.move", domain, fields, Move, limit=ROWS_MAX, order="id")

    async def _pickings(self, numbers: Sequence[int]) -> list[Picking]:
        books = await self._library.books()
        fields = ["carrier_id", "carrier_tracking_ref", "date_done"]
        if books.tracking_url:
            fields.append("carrier_tracking_url")
        domain = [["id", "in", list(numbers)], ["state", "=", "done"]]
        return await self._api.search(
            READ, "stock.picking", domain, fields, Picking, limit=ROWS_MAX, order="id"
        )

    async def _lines(self, numbers: Sequence[int]) -> dict[int, tuple[int, LineId]]:
        """By Odoo's line id: its order, and our line's id."""
        domain = [["id", "in", list(dict.fromkeys(numbers))]]
        rows = await self._api.search(
            READ, "sale.order.line", domain, ["name", "order_id"], LineName, limit=ROWS_MAX
        )
        return {row.id: (id_of(row.order_id), LineId(key_in(text(row.name)))) for row in rows}


def _units(moves: Sequence[Move], lines: dict[int, tuple[int, LineId]]) -> dict[LineId, int]:
    units: dict[LineId, int] = {}
    for move in moves:
        key = lines[id_of(move.sale_line_id)][1]
        moved = move.quantity if move.quantity is not None else move.quantity_done
        if key and moved and moved.is_finite() and 0 < moved <= UNITS_MAX:
            units[key] = units.get(key, 0) + int(moved)
    return units


def _parcel(wanted: OpenOrder, picking: Picking, units: dict[LineId, int]) -> Shipment:
    lines = (line.line_id for line in wanted.order.lines)
    shipped = tuple(ShippedLine(key, units[key]) for key in lines if units.get(key))
    return Shipment(
        ref=wanted.ref,
        shipment_id=RemoteId(f"{wanted.remote_id}:{picking.id}"),
        lines=shipped,
        carrier=_clean(label_of(picking.carrier_id)),
        tracking_number=_clean(text(picking.carrier_tracking_ref)),
        tracking_url=_url(picking.carrier_tracking_url),
        shipped_at=_utc(picking.date_done),
    )


def _clean(stated: str) -> str:
    """A carrier becomes a cause and is looked up by its name: no store takes a NUL, none a megabyte."""
    return _CONTROL.sub("", stated)[:TEXT_MAX].strip()


def _url(stated: Text) -> str:
    """Several parcels of one delivery come as a list of pairs: then there is no one address."""
    url = _clean(text(stated))
    return url if url.startswith(("https://", "http://")) else ""


def _utc(stated: Text) -> datetime | None:
    """Odoo writes UTC without saying so."""
    try:
        return datetime.fromisoformat(text(stated)).replace(tzinfo=UTC) if text(stated) else None
    except ValueError:
        return None
