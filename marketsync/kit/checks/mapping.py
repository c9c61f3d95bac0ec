"""One raw order in the one schema."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import OrderId
from marketsync.domain.money import DECIMALS_MAX
from marketsync.domain.orders import Fulfilment, Order, Phase, imbalance, phase
from marketsync.errors import Park
from marketsync.http import Role
from marketsync.kit.bench import Bench, Fresh
from marketsync.kit.drive import Drive, Scene
from marketsync.kit.mutations import leaves
from marketsync.kit.people import parcel_of, ready_order, yes_to
from marketsync.kit.registry import CannotShow, Checks
from marketsync.sandbox.roles import EditsOrders, Fulfils, Sale, Ware

check = Checks("mapping", Role.MARKETPLACE)

STRANGE = "TELEPORTED"
OPEN = (Phase.PENDING, Phase.TO_ACCEPT, Phase.ACCEPTED, Phase.READY)


@check(failures=(14,))
async def states(fresh: Fresh) -> AsyncIterator[str]:
    """A state that is new holds the order with a cause that names it; no other text of it can pass for something else."""
    bench = await fresh()
    order = await ready_order(bench)
    raw = (await bench.raw(order.key.order_id))[order.key.order_id]
    told = bench.marketplace.parse_order(raw)
    fields = bench.quality.kit.setup.state_fields
    if not fields:
        raise CannotShow("[kit.setup] state_fields is not said")
    if missing := [x for x in fields if x not in [path for path, _, _ in leaves(json.loads(raw))]]:
        yield f"a ready order has no {missing[0]}: [kit.setup] state_fields names what is not there"
    for path, changed in _replaced(raw):
        try:
            other = bench.marketplace.parse_order(changed)
        except Park as error:
            if path in fields and not any(cause.startswith("enum:") for cause in error.causes):
                yield f"a new value of {path} is held without a cause enum:..., so nothing can release it"
            continue
        if path in fields:
            yield f"a new value of {path} is read as if it were known"
        elif _facts(other) != _facts(told):
            yield f"{path} decides what an order is, and a value that nobody knows passes: name it in state_fields"


@check(failures=(18,), field=("pending_has_no_price_and_is_completed_later",))
async def phases(fresh: Fresh) -> AsyncIterator[str]:
    """An order reads as what it is, through its whole life; it is ready only when it may be shipped."""
    bench = await fresh()
    order_id = bench.place(("KIT-A", 2))
    reached: dict[Phase, None] = {}
    order, sale = await _seen(bench, order_id)
    for _ in range(60):
        now = phase(order)
        reached[now] = None
        if said := _wrong_phase(now, sale):
            yield said
        if now is Phase.READY:
            break
        if now is Phase.TO_ACCEPT:
            await Drive(Scene(bench, Kind.ACCEPT, yes_to(order), lambda: None)).to_end(watched=False)
        else:
            await bench.wait(10.0)
        order, sale = await _seen(bench, order_id)
    if Phase.READY not in reached:
        yield "an order that is accepted and paid never reads as ready"
        return
    if order.ship_to is None and not order.addressed:
        yield "an order is ready without an address"
    await Drive(Scene(bench, Kind.CONFIRM, parcel_of(bench, order), lambda: None)).to_end(watched=False)
    for sentence in await _ended(bench, order_id):
        yield sentence


@check(failures=(23, 24), field=("line_total_is_not_unit_price",))
async def money(fresh: Fresh) -> AsyncIterator[str]:
    """Amounts are as stated: of the line, not of the unit; exact, and adding up to the total."""
    wares = (Ware("KIT-A", 40, Decimal("19.99")), Ware("KIT-B", 40, Decimal("0.10")))
    bench = await fresh(wares=wares)
    order = await ready_order(bench, ("KIT-A", 3), ("KIT-B", 1))
    sale = bench.sale(order.key.order_id)
    if sale.total is None or not sale.amounts:
        raise CannotShow("the far side does not say the amounts of a sale")
    if order.currency != sale.currency:
        yield f"the currency is {order.currency} instead of {sale.currency}"
    if order.total != sale.total:
        yield f"the total is {_shown(order.total)} instead of {sale.total}"
    for line, amount in zip(order.lines, sale.amounts, strict=False):
        if line.line_total != amount:
            yield f"{line.quantity} units cost {_shown(line.line_total)} instead of {amount}"
        if line.unit_price is not None and line.unit_price * line.quantity != line.line_total:
            yield f"{line.quantity} units of {_shown(line.unit_price)} are said to cost {_shown(line.line_total)}"
    if len(order.lines) != len(sale.amounts):
        yield f"the order has {len(order.lines)} lines instead of {len(sale.amounts)}"
    if imbalance(order) != 0:
        yield f"its parts are {_shown(imbalance(order))} away from its total"
    yielded = [x for x in _amounts(order) if -int(x.as_tuple().exponent) > DECIMALS_MAX]
    if yielded:
        yield "an amount has the tail of a binary fraction"


@check(failures=(14,), field=("fulfilled_by_marketplace_touches_no_stock_and_has_no_address",))
async def fulfilled(fresh: Fresh) -> AsyncIterator[str]:
    """What the marketplace ships itself is said to be so."""
    bench = await fresh()
    if not isinstance(bench.side, Fulfils):
        raise CannotShow("the far side is no Fulfils")
    placed = bench.side.place_fulfilled(bench.now, (("KIT-A", 1),))
    if placed is None:
        raise CannotShow("the far side places no order that it ships itself")
    await bench.wait(3600.0)
    order = await bench.read(OrderId(placed))
    if order.fulfilment is not Fulfilment.MARKETPLACE:
        yield "an order that the marketplace ships reads as ours to ship"
    own = await ready_order(bench)
    if own.fulfilment is not Fulfilment.MERCHANT:
        yield "an order that we ship reads as the marketplace's"


async def _ended(bench: Bench, order_id: OrderId) -> list[str]:
    said = []
    await bench.wait(600.0)
    order, _ = await _seen(bench, order_id)
    if phase(order) not in (Phase.SHIPPED, Phase.CLOSED):
        said.append(f"shipped, it reads as {phase(order).value}")
    if isinstance(bench.side, EditsOrders):
        if bench.side.receive(bench.now, order_id, True):
            order, _ = await _seen(bench, order_id)
            if phase(order) not in (Phase.SHIPPED, Phase.CLOSED):
                said.append(f"received and closed, it reads as {phase(order).value}")
        if bench.side.refund_units(bench.now, order_id, "KIT-A", 2):
            order, _ = await _seen(bench, order_id)
            if [line.refunded for line in order.lines] != [2]:
                said.append("two units that were refunded are not read")
    gone = bench.place()
    if bench.market_side.cancel_order(bench.now, gone):
        order, _ = await _seen(bench, gone)
        if phase(order) is not Phase.CANCELLED:
            said.append(f"cancelled, it reads as {phase(order).value}")
    return said


async def _seen(bench: Bench, order_id: OrderId) -> tuple[Order, Sale]:
    """The order at its newest version, and the truth of the moment of the read."""
    for _ in range(20):
        order, sale = await bench.read(order_id), bench.sale(order_id)
        if sale.changed_at is None or order.updated_at >= sale.changed_at.replace(microsecond=0):
            return order, sale
        await bench.wait(15.0)
    raise CannotShow("the newest version of an order is never seen by its id")


def _wrong_phase(now: Phase, sale: Sale) -> str:
    if now not in OPEN:
        return f"a new order reads as {now.value}"
    if sale.pending and now is not Phase.PENDING:
        return f"an order that is not complete yet reads as {now.value}"
    if now is Phase.READY and not sale.payable:
        return "an order reads as ready before its payment is certain"
    if now is Phase.ACCEPTED and not sale.accepted:
        return "an order reads as accepted before it is"
    return ""


def _replaced(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """The document with one text of it replaced, each in turn."""
    count = sum(1 for _ in leaves(json.loads(raw)))
    for number in range(count):
        document = json.loads(raw)
        path, holder, key = list(leaves(document))[number]
        if isinstance(holder[key], str):
            holder[key] = STRANGE
            yield path, json.dumps(document).encode()


def _facts(order: Order) -> Any:
    lines = [(x.quantity, x.wanted, x.shipped, x.refunded, x.line_total, x.shipping) for x in order.lines]
    return phase(order), order.fulfilment, order.total, order.fees, order.currency, lines


def _amounts(order: Order) -> list[Decimal]:
    amounts = [order.total, order.fees]
    for line in order.lines:
        amounts += [
            line.line_total,
            line.shipping,
            *(tax.amount for tax in (*line.taxes, *line.shipping_taxes)),
        ]
    return amounts


def _shown(amount: Decimal) -> str:
    return str(amount)[:24]
