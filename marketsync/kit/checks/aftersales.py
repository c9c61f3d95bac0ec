"""What a person asks of a marketplace after a sale: that it is cancelled, that money goes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

from marketsync.domain.aftersales import CancelSale, RefundSale
from marketsync.domain.deliveries import Kind, State
from marketsync.domain.money import smallest_unit
from marketsync.domain.orders import Order
from marketsync.http import Role
from marketsync.kit.bench import Bench, Fresh
from marketsync.kit.doubt import doubt
from marketsync.kit.drive import Drive, Scene
from marketsync.kit.people import ready_order, ship_at_once, shipped_order, to_cancel_sale, to_refund
from marketsync.kit.registry import CannotShow, Checks
from marketsync.kit.wire import READ_TROUBLES, WRITE_TROUBLES, Trouble
from marketsync.sandbox.kinds import Fault

cancel = Checks("cancel_sale", Role.MARKETPLACE, Kind.CANCEL_SALE)
refund = Checks("refund", Role.MARKETPLACE, Kind.REFUND)

VISIBLE_SECONDS = 600.0
LOST = Trouble(Fault.ANSWER_LOST)
# Far less than what was paid: a second one would not be refused for being too much.
SUM = Decimal(5)


@cancel(rules=("A3", "A8", "A11"), failures=(31, 32, 33, 43))
async def lost(fresh: Fresh) -> AsyncIterator[str]:
    """Whatever the network does, the sale is cancelled once, and what is said of it is true."""

    async def stage() -> Scene:
        bench = await fresh()
        return _cancel(bench, to_cancel_sale(bench, await ready_order(bench)))

    for sentence in await doubt(stage, WRITE_TROUBLES, READ_TROUBLES, READ_TROUBLES):
        yield sentence


@cancel(rules=("A3", "A8", "A11"), failures=(19,))
async def wished(fresh: Fresh) -> AsyncIterator[str]:
    """A buyer who asked for it, and waits for an answer, gets his yes by the same cancel, once."""

    async def stage() -> Scene:
        bench = await fresh()
        order = await ready_order(bench)
        if not bench.after_sales.wish_cancelled(bench.now, order.key.order_id):
            raise CannotShow("buyers can't ask the seller to cancel here")
        await bench.wait(VISIBLE_SECONDS)
        return _cancel(bench, to_cancel_sale(bench, order))

    for sentence in await doubt(stage, WRITE_TROUBLES, READ_TROUBLES, READ_TROUBLES):
        yield sentence


@cancel(failures=(19, 20))
async def decided_otherwise(fresh: Fresh) -> AsyncIterator[str]:
    """A sale that is shipped, before we ask or while the marketplace works on it, is never called cancelled: it is parked, and
    a person sees why."""
    steps = 1
    step = 0
    while step < steps:
        bench = await fresh()
        order = await ready_order(bench)
        drive = Drive(_cancel(bench, to_cancel_sale(bench, order)))
        steps = len(drive.steps)
        await drive.part(step)
        await ship_at_once(bench, order)
        row = await drive.to_end(watched=False)
        sale, when = bench.sale(order.key.order_id), f"shipped before step {drive.steps[step].name}"
        if sale.cancelled or bench.after_sale(order.key.order_id).cancels:
            yield f"{when}: the far side cancelled what was shipped"
        elif row.state is not State.PARKED:
            yield f"{when}: a cancel that was not done ends {row.state.value} instead of parked"
        elif not row.error.strip():
            yield f"{when}: it is parked without a reason"
        step += 1


@cancel(rules=("A13",))
async def twice(fresh: Fresh) -> AsyncIterator[str]:
    """A second cancel is the echo of the first: a success that does nothing, never a refusal."""
    bench = await fresh()
    payload = to_cancel_sale(bench, await ready_order(bench))
    for which in ("first", "second"):
        drive = Drive(_cancel(bench, payload))
        row = await drive.to_end(watched=False)
        if row.state is not State.DONE:
            yield f"the {which} of two cancels ends {row.state.value} ({row.error})"
        await bench.wait(drive.steps[-1].visible_within_seconds)
    sale, cancels = bench.sale(payload.order_id), bench.after_sale(payload.order_id).cancels
    if not sale.cancelled or cancels != 1:
        yield f"two cancels took effect {cancels} times"


@refund(rules=("A3", "A8", "A11", "A12"), failures=(31, 32, 33, 43))
async def lost_(fresh: Fresh) -> AsyncIterator[str]:
    """Whatever the network does, the money goes back once, exactly what was asked, and what is said of it is true."""

    async def stage() -> Scene:
        bench = await fresh()
        return _refund(bench, to_refund(bench, await shipped_order(bench), SUM))

    for sentence in await doubt(stage, WRITE_TROUBLES, READ_TROUBLES, READ_TROUBLES):
        yield sentence
    for amount in await _sums(fresh):
        bench = await fresh()
        payload = to_refund(bench, await shipped_order(bench), amount)
        row = await Drive(_refund(bench, payload)).to_end(watched=False)
        given = bench.after_sale(payload.order_id).refunds
        if row.state is not State.DONE or given != (amount,):
            yield f"{amount} is asked for, it ends {row.state.value} ({row.error}), and {given} is given back"


@refund(failures=(42,))
async def too_much(fresh: Fresh) -> AsyncIterator[str]:
    """More than was paid, at once or with what was given back before, is never called done: it is parked, and a person sees
    why."""
    for before in (Decimal(0), SUM):
        bench = await fresh()
        order = await shipped_order(bench)
        if before:
            await Drive(_refund(bench, to_refund(bench, order, before))).to_end(watched=False)
        left = _paid(order) - before
        payload = to_refund(bench, order, left + smallest_unit(order.currency), "kit/refund/2")
        row = await Drive(_refund(bench, payload)).to_end(watched=False)
        given = sum(bench.after_sale(payload.order_id).refunds)
        where = f"behind {before}, with {left} left" if before else f"of {left} that were paid"
        if given != before:
            yield f"{where}: too much is asked for, and {given - before} is given back"
        elif row.state is not State.PARKED:
            yield f"{where}: too much is asked for, and it ends {row.state.value} instead of parked"
        elif not row.error.strip():
            yield f"{where}: it is parked without a reason"


@refund(rules=("A8", "A11"), failures=(33,))
async def twice_(fresh: Fresh) -> AsyncIterator[str]:
    """One key is one refund, also for a daemon that has just begun; another key is another, also of the same sum and at the
    same moment."""
    for trouble in (LOST, Trouble(Fault.REQUEST_LOST)):
        bench = await fresh()
        order = await shipped_order(bench)
        first = Drive(_refund(bench, to_refund(bench, order, SUM)))
        await first.move(trouble)
        bench = await fresh(side=bench.side, clock=bench.clock, traits=False)
        first.bench, first.writer = bench, bench.adapter.writers[Kind.REFUND]
        for sentence in await _ended(order, 1, first):
            yield f"{trouble}, and a new start: {sentence}"
        second = Drive(_refund(bench, to_refund(bench, order, SUM, "kit/refund/2")))
        third = Drive(_refund(bench, to_refund(bench, order, SUM, "kit/refund/3")))
        await second.part(1)
        third.elsewhere = second.links
        await third.move(trouble)
        for sentence in await _ended(order, 3, second, third):
            yield f"{trouble}, while another is under way: {sentence}"
        if not {*second.links}.isdisjoint(third.links):
            yield f"{trouble}: what was made of one refund is taken for another's"


async def _ended(order: Order, count: int, *drives: Drive) -> list[str]:
    states = [(await drive.to_end(watched=False)).state.value for drive in drives]
    given = drives[0].bench.after_sale(order.key.order_id).refunds
    if given == (SUM,) * count and all(state == State.DONE.value for state in states):
        return []
    return [f"{', '.join(states)}, and {len(given)} sums are given back by then, {sum(given)} in all"]


def _cancel(bench: Bench, payload: CancelSale) -> Scene:
    def watch() -> object:
        sale = bench.sale(payload.order_id)
        return sale.cancelled, bench.after_sale(payload.order_id), sale.shipped, sale.lines

    return Scene(bench, Kind.CANCEL_SALE, payload, watch)


def _refund(bench: Bench, payload: RefundSale) -> Scene:
    return Scene(bench, Kind.REFUND, payload, lambda: bench.after_sale(payload.order_id))


def _paid(order: Order) -> Decimal:
    line = order.lines[0]
    return line.line_total + line.shipping


async def _sums(fresh: Fresh) -> list[Decimal]:
    """The smallest, and all that was paid."""
    order = await ready_order(await fresh())
    return [smallest_unit(order.currency), _paid(order)]
