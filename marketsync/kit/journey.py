"""Everything that an adapter can be asked for, once at least: what its contract is held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from msgspec.structs import replace

from marketsync.domain.aftersales import CancelSale, RefundLine, RefundSale
from marketsync.domain.coverage import Axis, Paging
from marketsync.domain.deliveries import Kind, State
from marketsync.domain.ids import OrderId, Sku
from marketsync.domain.orders import Order
from marketsync.http import Role
from marketsync.kit.bench import Bench, Fresh
from marketsync.kit.drive import Drive, Scene
from marketsync.kit.people import (
    an_order,
    articles_of,
    created,
    line,
    open_order,
    parcel_of,
    ready_order,
    ref_of,
    to_cancel,
    to_create,
    to_update,
    yes_to,
)
from marketsync.kit.reading import Reading, everything
from marketsync.kit.registry import CannotShow
from marketsync.kit.wire import CLEAR, Trouble
from marketsync.ports import BulkWriter, ConfirmShipment, PublishStock, StockItem
from marketsync.sandbox.kinds import Fault
from marketsync.sandbox.roles import EditsOrders, Fulfils, Ware

DAY_SECONDS = 24 * 3600.0
LOST = Trouble(Fault.ANSWER_LOST)
MANY = tuple(Ware(f"KIT-{name}", 400) for name in ("A", "B", *(f"{number:03d}" for number in range(60))))


async def play(fresh: Fresh) -> Bench:
    """The bench on which it was played, with every exchange on its wire."""
    if fresh.spec.role is Role.BACK_OFFICE:
        return await _shop(fresh)
    bench = await fresh(wares=MANY)
    placed = await _orders(bench)
    for kind in bench.adapter.writers:
        drives = await _written(bench, kind)
        if not any(drive.row.state is State.DONE for drive in drives):
            raise CannotShow(f"no {kind.value} of the kit's is ever done: only refusals could be compared")
    await bench.wait(bench.quality.vendor.visibility_lag_seconds + 600.0)
    for axis in Axis:
        reading = Reading(bench)
        window = everything(bench, axis, DAY_SECONDS)
        await reading.window(window)
        if reading.traits(axis).paging is Paging.OFFSET:
            await bench.patient(lambda window=window: bench.marketplace.fetch_orders(window, 1))  # type: ignore[misc]
        placed += [OrderId(name) for name in reading.rows]
    stranger = OrderId("".join("9" if sign.isdigit() else sign for sign in placed[0]))
    await bench.raw(*dict.fromkeys((*placed, stranger)))
    return bench


async def _orders(bench: Bench) -> list[OrderId]:
    """New, pending, cancelled, shipped by the marketplace, partly taken back."""
    new, gone, less = bench.place(), bench.place(), bench.place(("KIT-A", 3))
    placed = [new, gone, less]
    await bench.raw(*placed)
    bench.market_side.cancel_order(bench.now, gone)
    if isinstance(bench.side, Fulfils):
        placed += [OrderId(x) for x in [bench.side.place_fulfilled(bench.now, (("KIT-A", 1),))] if x]
    if isinstance(bench.side, EditsOrders):
        bench.side.cancel_units(bench.now, less, "KIT-A", 1)
    return placed


async def _written(bench: Bench, kind: Kind) -> list[Drive]:
    """Of this kind without trouble, and others whose answers are lost, so that they are looked for."""
    match kind:
        case Kind.ACCEPT:
            one, other, part = [await bench.read(bench.place()) for _ in range(3)]
            partly = yes_to(part, part.lines[0].line_id)
            tried = ((yes_to(one), CLEAR), (yes_to(other), LOST), (partly, CLEAR))
            return [await _end(bench, kind, payload, trouble) for payload, trouble in tried]
        case Kind.CONFIRM:
            return await _told(bench)
        case Kind.STOCK:
            wanted = (("KIT-A",), ("KIT-NONE",), (*(ware.sku for ware in MANY), "KIT-NONE"))
            return [await _set(bench, names) for names in wanted]
        case Kind.CANCEL_SALE:
            return [
                await _end(bench, kind, _cancel(bench, await ready_order(bench)), x) for x in (CLEAR, LOST)
            ]
        case Kind.REFUND:
            return [await _end(bench, kind, _refund(await _shipped(bench)), x) for x in (CLEAR, LOST)]
        case Kind.CREATE | Kind.UPDATE | Kind.CANCEL | Kind.ADJUST:
            return []


async def _told(bench: Bench) -> list[Drive]:
    """With a number and without one, by a known carrier and by another, of a whole order and of a part."""
    setup = bench.quality.kit.setup
    drives = []
    for trouble in (CLEAR, LOST):
        order = await ready_order(bench, ("KIT-A", 2), ("KIT-B", 1))
        for mark, units in (("p1", (1, 0)), ("p2", (1, 1))):
            payload = _parcel(bench, order, mark, units=units, last=mark == "p2")
            drives.append(await _end(bench, Kind.CONFIRM, payload, trouble))
    await _end(bench, Kind.CONFIRM, _parcel(bench, await ready_order(bench), tracking=""))
    other = setup.unknown_carrier or setup.carrier
    await _end(bench, Kind.CONFIRM, _parcel(bench, await ready_order(bench), carrier=other))
    order = await _shipped(bench)
    if isinstance(bench.side, EditsOrders):
        bench.side.receive(bench.now, order.key.order_id, False)
        bench.side.refund_units(bench.now, order.key.order_id, "KIT-A", 1)
    return drives


async def _shipped(bench: Bench) -> Order:
    order = await ready_order(bench)
    await _end(bench, Kind.CONFIRM, _parcel(bench, order))
    await bench.wait(bench.quality.vendor.visibility_lag_seconds + 600.0)
    return await bench.read(order.key.order_id)


def _parcel(bench: Bench, order: Order, mark: str = "p1", **changes: Any) -> ConfirmShipment:
    """No two of them have one number: there are vendors that refuse it."""
    return parcel_of(bench, order, mark, **{"tracking": f"KIT1Z{len(bench.wire.log):04d}", **changes})


def _cancel(bench: Bench, order: Order) -> CancelSale:
    return CancelSale(order.key.order_id, (), bench.quality.kit.setup.cancel_reason, order.channel)


def _refund(order: Order) -> RefundSale:
    given = RefundLine(order.lines[0].line_id, order.lines[0].line_total)
    key = f"kit-{order.key.order_id}"
    return RefundSale(key, order.key.order_id, order.currency, (given,), channel=order.channel)


async def _set(bench: Bench, names: Sequence[str]) -> Drive:
    """As many of them as one write takes, and what became of each."""
    writer = cast("BulkWriter", bench.adapter.writers[Kind.STOCK])
    most = writer.batch(len(names)).items_max
    payload = PublishStock(tuple(StockItem(Sku(name), 300) for name in names[-most:]))
    drive = await _end(bench, Kind.STOCK, payload)
    if drive.row.state is State.DONE:
        await bench.patient(lambda: writer.results(payload, drive.row.checkpoint))
    return drive


async def _end(bench: Bench, kind: Kind, payload: Any, trouble: Trouble = CLEAR) -> Drive:
    drive = Drive(Scene(bench, kind, payload, lambda: None))
    await drive.to_end(trouble, watched=False)
    return drive


async def _shop(fresh: Fresh) -> Bench:
    bench = await fresh()
    more = an_order(line("1", "KIT-A", 3, "30.00", "5.00"))
    for number, trouble in enumerate((CLEAR, LOST)):
        order = an_order(order_id=f"KIT-ORDER-{number}")
        await _end(bench, Kind.CREATE, await to_create(bench, order), trouble)
        writers: Mapping[Kind, Any] = bench.adapter.writers
        if Kind.UPDATE in writers:
            await _end(bench, Kind.UPDATE, await to_update(bench, replace(more, key=order.key)), trouble)
        if Kind.CANCEL in writers:
            await _end(bench, Kind.CANCEL, to_cancel(bench, order), trouble)
    sent = an_order(order_id="KIT-ORDER-9")
    await created(bench, sent)
    (held,) = bench.held(ref_of(sent))
    bench.shop_side.ship(bench.now, held.remote_id, [(x.key, x.quantity) for x in held.lines], "KITSENT1")
    await bench.wait(60.0)
    await bench.patient(lambda: bench.shop.fetch_shipments([open_order(bench, sent)]))
    articles = await articles_of(bench, [x.sku for x in sent.lines])
    await bench.patient(lambda: bench.shop.read_stock(list(articles.values())))
    await bench.patient(lambda: bench.shop.sweep_stock(""))
    return bench
