"""Parcels read back from a shop."""

from __future__ import annotations

from collections.abc import AsyncIterator

from marketsync.domain.shipments import Shipment
from marketsync.http import Role
from marketsync.kit.bench import Fresh
from marketsync.kit.people import an_order, created, open_order, ref_of
from marketsync.kit.registry import Checks

check = Checks("parcels", Role.BACK_OFFICE)


@check(failures=(21,), requirements=("R27",))
async def each(fresh: Fresh) -> AsyncIterator[str]:
    """Each parcel comes with its own number and our lines, under an id that stays."""
    bench = await fresh()
    order = an_order()
    await created(bench, order)
    wanted = [open_order(bench, order)]
    if await bench.patient(lambda: bench.shop.fetch_shipments(wanted)):
        yield "an order of which nothing was sent has a parcel"
    (held,) = bench.held(ref_of(order))
    first, second = held.lines
    parts = (("KITSENT1", [(first.key, 1)]), ("KITSENT2", [(first.key, 1), (second.key, 1)]))
    known: dict[str, str] = {}
    found: dict[str, Shipment] = {}
    for tracking, lines in parts:
        bench.shop_side.ship(bench.now, held.remote_id, lines, tracking)
        await bench.wait(60.0)
        found = {
            x.tracking_number: x for x in await bench.patient(lambda: bench.shop.fetch_shipments(wanted))
        }
        if tracking not in found:
            yield f"the parcel {tracking} is not read"
            return
        for number, shipment_id in known.items():
            if number not in found or found[number].shipment_id != shipment_id:
                yield f"the parcel {number} has another id when it is read again"
        known = {number: parcel.shipment_id for number, parcel in found.items()}
    if len(dict.fromkeys(known.values())) != len(known):
        yield "two parcels have one id"
    units = {number: [(x.line_id, x.quantity) for x in parcel.lines] for number, parcel in found.items()}
    if units != {"KITSENT1": [("1", 1)], "KITSENT2": [("1", 1), ("2", 1)]}:
        yield f"the parcels hold {units}"
    if any(parcel.ref != ref_of(order) for parcel in found.values()):
        yield "a parcel is not of our order"


@check()
async def of_many(fresh: Fresh) -> AsyncIterator[str]:
    """Of several open orders each has its own parcels."""
    bench = await fresh()
    orders = [an_order(order_id=f"KIT-ORDER-{number}") for number in range(5)]
    for order in orders:
        await created(bench, order)
    for number, order in enumerate(orders[:3]):
        (held,) = bench.held(ref_of(order))
        bench.shop_side.ship(
            bench.now, held.remote_id, [(x.key, x.quantity) for x in held.lines], f"KITSENT{number}"
        )
    await bench.wait(60.0)
    wanted = [open_order(bench, order) for order in orders]
    found = await bench.patient(lambda: bench.shop.fetch_shipments(wanted[: bench.shop.open_orders_max]))
    told = sorted((x.ref, x.tracking_number) for x in found)
    if told != sorted((ref_of(order), f"KITSENT{number}") for number, order in enumerate(orders[:3])):
        yield f"three of five orders were sent, and {len(told)} parcels are read"
