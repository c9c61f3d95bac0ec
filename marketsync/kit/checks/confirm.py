"""Parcels told to a marketplace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from msgspec.structs import replace

from marketsync.domain.deliveries import Found, Kind, State
from marketsync.domain.orders import Phase, phase
from marketsync.http import Role
from marketsync.kit.bench import Bench, Fresh
from marketsync.kit.doubt import doubt
from marketsync.kit.drive import Drive, Scene
from marketsync.kit.people import parcel_of, ready_order
from marketsync.kit.registry import CannotShow, Checks
from marketsync.kit.wire import READ_TROUBLES, WRITE_TROUBLES, Trouble
from marketsync.ports import ConfirmShipment, ProbeSpan
from marketsync.sandbox.kinds import Fault
from marketsync.sandbox.roles import Sale

check = Checks("confirm", Role.MARKETPLACE, Kind.CONFIRM)


@check(rules=("A3", "A8", "A11"), failures=(31, 32, 33, 34, 43))
async def lost(fresh: Fresh) -> AsyncIterator[str]:
    """Whatever the network does, the parcel is told once, and what is said of it is true."""

    async def stage() -> Scene:
        bench = await fresh()
        return _scene(bench, parcel_of(bench, await ready_order(bench)))

    for sentence in await doubt(stage, WRITE_TROUBLES, READ_TROUBLES):
        yield sentence


@check(rules=("A11",), failures=(21,))
async def each_parcel(fresh: Fresh) -> AsyncIterator[str]:
    """Two parcels are told with two numbers, each with what is in it; the order is shipped with the second."""
    bench = await fresh()
    order = await ready_order(bench, ("KIT-A", 2), ("KIT-B", 1))
    first = parcel_of(bench, order, "p1", units=(1, 0), tracking="KIT1Z0001", last=False)
    second = parcel_of(bench, order, "p2", units=(1, 1), tracking="KIT1Z0002")
    for payload in (first, second):
        drive = Drive(_scene(bench, payload))
        row = await drive.to_end(watched=False)
        if row.state is not State.DONE:
            yield f"a parcel without any trouble ends {row.state.value} ({row.error})"
        if payload is first and bench.sale(order.key.order_id).shipped:
            yield "the order is shipped with the first of two parcels"
        await bench.wait(drive.steps[-1].visible_within_seconds)
    sale = bench.sale(order.key.order_id)
    for sentence in _two_told(sale, first, second):
        yield sentence
    if phase(await bench.read(order.key.order_id)) not in (Phase.SHIPPED, Phase.CLOSED):
        yield "an order whose last parcel was told does not read as shipped"


def _two_told(sale: Sale, first: ConfirmShipment, second: ConfirmShipment) -> list[str]:
    said = []
    if sale.shipped != 1:
        said.append(f"the order was shipped {sale.shipped} times by two parcels")
    for payload in (first, second):
        number = payload.shipment.tracking_number
        if not sale.told.count(number):
            said.append(f"the number {number} never reached the far side")
        if sale.exact and sale.told.count(number) > 1:
            said.append(f"the number {number} was told {sale.told.count(number)} times")
    counts = [sum(units for _, units in told.lines) for told in sale.parcels if told.lines]
    if sale.exact and counts and counts != [1, 2]:
        said.append(f"the parcels hold {counts} units instead of 1 and 2")
    return said


@check(failures=(42,), field=("ship_4xx_is_visible_and_retried",))
async def refused(fresh: Fresh) -> AsyncIterator[str]:
    """A parcel that the marketplace can't take is never called told: it is parked, and a person sees why."""
    bench = await fresh()
    order = await ready_order(bench)
    if not bench.market_side.cancel_order(bench.now, order.key.order_id):
        raise CannotShow("the far side lets no order be cancelled that may be shipped")
    drive = Drive(_scene(bench, parcel_of(bench, order)))
    row = await drive.to_end(watched=False)
    sale = bench.sale(order.key.order_id)
    if sale.shipped or sale.parcels:
        yield "a cancelled order was shipped"
    if row.state is not State.PARKED:
        yield f"the parcel of a cancelled order ends {row.state.value} instead of parked"
    elif not row.error.strip():
        yield "it is parked without a reason"
    bench = await fresh()
    order = await ready_order(bench)
    many = parcel_of(bench, order, units=[line.quantity + 7 for line in order.lines])
    drive = Drive(_scene(bench, many))
    row = await drive.to_end(watched=False)
    told = [units for parcel in bench.sale(order.key.order_id).parcels for _, units in parcel.lines]
    if row.state is State.DONE and bench.sale(order.key.order_id).exact and sum(told) == 0:
        yield "a parcel of more than was ordered is called told, and the far side has none"


@check(failures=(42,))
async def carrier(fresh: Fresh) -> AsyncIterator[str]:
    """A carrier that the marketplace does not know waits for its mapping, by a cause that names it, or goes as another."""
    unknown = fresh.quality.kit.setup.unknown_carrier
    if not unknown:
        raise CannotShow("[kit.setup] unknown_carrier is not said: the marketplace takes any name")
    bench = await fresh()
    payload = parcel_of(bench, await ready_order(bench), carrier=unknown)
    drive = Drive(_scene(bench, payload))
    row = await drive.to_end(watched=False)
    if row.state is State.DONE:
        yield "a carrier that the marketplace does not know is called told"
    if not any(cause.startswith("carrier:") for cause in drive.causes):
        yield "no cause names the carrier, so its mapping can't wake it"


@check(rules=("A11",))
async def two_records(fresh: Fresh) -> AsyncIterator[str]:
    """A parcel that the path told twice is seen as two records, or the far side holds it once."""
    bench = await fresh()
    order = await ready_order(bench, ("KIT-A", 4))
    payload = parcel_of(bench, order, units=(1,), last=False)
    drive = Drive(_scene(bench, payload))
    await drive.to_end(Trouble(Fault.DUPLICATE), watched=False)
    await bench.wait(drive.steps[-1].lands_within_seconds + drive.steps[-1].visible_within_seconds)
    sale = bench.sale(order.key.order_id)
    times = len(sale.parcels)
    if not sale.exact:
        raise CannotShow("the far side keeps no parcels as records")
    answer = await bench.patient(
        lambda: drive.writer.probe(payload, 0, drive.row.checkpoint, ProbeSpan(bench.now, bench.now))
    )
    if not isinstance(answer, Found) or len(answer.records) != times:
        found = len(answer.records) if isinstance(answer, Found) else type(answer).__name__
        yield f"the far side holds {times} records, and a look finds {found}"


@check(rules=("A13", "A22"))
async def edited(fresh: Fresh) -> AsyncIterator[str]:
    """The number of a told parcel is corrected: no second parcel comes of it, and either the far side has the new number
    or a person is told."""
    bench = await fresh()
    order = await ready_order(bench, ("KIT-A", 4))
    payload = parcel_of(bench, order, units=(1,), last=False)
    first = Drive(_scene(bench, payload))
    await first.to_end(watched=False)
    await bench.wait(first.steps[-1].visible_within_seconds)
    shipment = replace(payload.shipment, tracking_number="KIT1Z0009")
    drive = Drive(_scene(bench, replace(payload, shipment=shipment)))
    drive.row = replace(drive.row, attempt=1)
    row = await drive.to_end(watched=False)
    sale = bench.sale(order.key.order_id)
    if sale.exact and len(sale.parcels) > 1:
        yield "a corrected number made a second parcel"
    has_it = any(told.tracking == "KIT1Z0009" for told in sale.parcels)
    if row.state is State.DONE and not has_it and not drive.conflicts:
        yield "a corrected number is called told, the far side has the old one, and nobody is told"


def _scene(bench: Bench, payload: ConfirmShipment) -> Scene:
    return Scene(bench, Kind.CONFIRM, payload, lambda: told(bench.sale(payload.order_id)))


def told(sale: Sale) -> Any:
    """What is told of an order. A marketplace with one tracking to an order has it once, however often it is told."""
    numbers = sale.told if sale.exact else tuple(dict.fromkeys(sale.told))
    return numbers, sale.parcels, sale.shipped, sale.cancelled
