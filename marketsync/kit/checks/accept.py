"""Our yes or no to an order."""

from __future__ import annotations

from collections.abc import AsyncIterator

from marketsync.domain.deliveries import Kind, State
from marketsync.http import Role
from marketsync.kit.bench import Bench, Fresh
from marketsync.kit.doubt import doubt
from marketsync.kit.drive import Drive, Scene
from marketsync.kit.people import yes_to
from marketsync.kit.registry import Checks
from marketsync.kit.wire import READ_TROUBLES, WRITE_TROUBLES
from marketsync.ports import AcceptOrder

check = Checks("accept", Role.MARKETPLACE, Kind.ACCEPT)


@check(rules=("A3", "A8", "A11"), failures=(31, 32, 33, 43))
async def lost(fresh: Fresh) -> AsyncIterator[str]:
    """Whatever the network does, the order is accepted once, and what is said of it is true."""

    async def stage() -> Scene:
        bench = await fresh()
        return _scene(bench, yes_to(await bench.read(bench.place())))

    for sentence in await doubt(stage, WRITE_TROUBLES, READ_TROUBLES):
        yield sentence


@check(failures=(19,))
async def decided_otherwise(fresh: Fresh) -> AsyncIterator[str]:
    """An order that its buyer cancelled is not accepted any more, and nobody says that it was."""
    bench = await fresh()
    payload = yes_to(await bench.read(bench.place()))
    if not bench.market_side.cancel_order(bench.now, payload.order_id):
        yield "the far side does not let a new order be cancelled"
    drive = Drive(_scene(bench, payload))
    row = await drive.to_end(watched=False)
    if bench.sale(payload.order_id).accepted:
        yield "a cancelled order was accepted"
    if row.state not in (State.DONE, State.PARKED):
        yield f"the accept of a cancelled order ends {row.state.value}"


@check()
async def partial(fresh: Fresh) -> AsyncIterator[str]:
    """A no to one line reaches that line alone, or it is refused with a reason; it is never a yes to all."""
    bench = await fresh()
    order = await bench.read(bench.place())
    drive = Drive(_scene(bench, yes_to(order, order.lines[1].line_id)))
    row = await drive.to_end(watched=False)
    sale = bench.sale(order.key.order_id)
    wanted = (order.lines[0].quantity, 0)
    if row.state is State.DONE and sale.accepted_units != wanted:
        yield f"the far side accepted {sale.accepted_units} units of the lines instead of {wanted}"
    if row.state is State.PARKED and any(sale.accepted_units):
        yield "it is parked, and a part of it was accepted"


@check(rules=("A13",))
async def twice(fresh: Fresh) -> AsyncIterator[str]:
    """A second accept is the echo of the first: a doubt or a success, never a refusal."""
    bench = await fresh()
    payload = yes_to(await bench.read(bench.place()))
    first = Drive(_scene(bench, payload))
    await first.to_end(watched=False)
    second = Drive(_scene(bench, payload))
    row = await second.to_end(watched=False)
    if row.state is not State.DONE:
        yield f"an accept repeated in another delivery ends {row.state.value} ({row.error})"


def _scene(bench: Bench, payload: AcceptOrder) -> Scene:
    def watch() -> object:
        sale = bench.sale(payload.order_id)
        return sale.accepted, sale.accepted_units, sale.refused, sale.cancelled

    return Scene(bench, Kind.ACCEPT, payload, watch)
