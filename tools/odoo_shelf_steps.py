"""Steps on what leaves the shelves and what comes back to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import RemoteId, reference
from marketsync.ports import CancelOrder, OpenOrder
from tools.odoo_grounds import send_parcel
from tools.odoo_stage import Shown, Stage, deliveries, line, said


async def shipped(stage: Stage) -> Shown:
    """One unit first, without its number; then the number; then the rest."""
    order = stage.order("s")
    remote_id = await stage.created(order)
    opened = [OpenOrder(reference("steps", order.key), RemoteId(remote_id), order)]
    shown: list[Any] = [await stage.figures()]
    first = send_parcel(stage.ground, remote_id, {"MUG": 1}, "")
    shown += [await _parcels(stage, opened), await stage.figures(), deliveries(stage, remote_id)]
    stage.raw("stock.picking", "write", ids=[first], vals={"carrier_tracking_ref": "LATE1"})
    shown.append(await _parcels(stage, opened))
    send_parcel(stage.ground, remote_id, {"MUG": 1, "TEE": 1}, "T2")
    shown += [await _parcels(stage, opened), await stage.figures(), deliveries(stage, remote_id)]
    cancel = CancelOrder(opened[0].ref, RemoteId(remote_id), order.key.order_id)
    shown += [await said(stage.send(Kind.CANCEL, cancel)), await said(stage.update(order, remote_id))]
    return shown


async def picked_first(stage: Stage) -> Shown:
    """Picking is a delivery of its own, and no parcel; one unit is picked and sent before the rest."""
    stage.ground.deliver_in(2)
    order = stage.order("p")
    remote_id = await stage.created(order)
    opened = [OpenOrder(reference("steps", order.key), RemoteId(remote_id), order)]
    shown: list[Any] = [await stage.figures(), deliveries(stage, remote_id)]
    for units, number in (
        ({"MUG": 1}, ""),
        ({"MUG": 1}, "P1"),
        ({"MUG": 1, "TEE": 1}, ""),
        ({"MUG": 1, "TEE": 1}, "P2"),
    ):
        send_parcel(stage.ground, remote_id, units, number, outgoing=bool(number))
        shown += [await _parcels(stage, opened), await stage.figures(), deliveries(stage, remote_id)]
    stage.ground.deliver_in(1)
    return shown


async def taken_back(stage: Stage) -> Shown:
    """A return is no parcel, and what it brings is there to be sold again."""
    order = stage.order("r")
    remote_id = await stage.created(order)
    opened = [OpenOrder(reference("steps", order.key), RemoteId(remote_id), order)]
    delivery = send_parcel(stage.ground, remote_id, {"MUG": 2, "TEE": 1}, "R1")
    shown: list[Any] = [await stage.figures()]
    stage.ground.take_back(delivery, {"MUG": 1})
    shown += [await _parcels(stage, opened), await stage.figures(), deliveries(stage, remote_id)]
    cancel = CancelOrder(opened[0].ref, RemoteId(remote_id), order.key.order_id)
    return [*shown, await said(stage.send(Kind.CANCEL, cancel))]


async def oversold(stage: Stage) -> Shown:
    order = stage.order("o", line("1", "TEE", 500, "500.00"))
    remote_id = await stage.created(order)
    shown = [await stage.figures()]
    await stage.send(
        Kind.CANCEL, CancelOrder(reference("steps", order.key), RemoteId(remote_id), order.key.order_id)
    )
    return [*shown, await stage.figures()]


async def _parcels(stage: Stage, opened: Sequence[OpenOrder]) -> Shown:
    found = await stage.adapter.fetch_shipments(opened)
    return [[x.tracking_number, [[y.line_id, y.quantity] for y in x.lines]] for x in found]
