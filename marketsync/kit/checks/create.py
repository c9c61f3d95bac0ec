"""Orders brought into a shop."""

from __future__ import annotations

from collections.abc import AsyncIterator

from marketsync.domain.deliveries import Kind
from marketsync.http import Role
from marketsync.kit.bench import Bench, Fresh
from marketsync.kit.drive import Scene, doubt
from marketsync.kit.people import to_create
from marketsync.kit.registry import Checks
from marketsync.kit.wire import READ_TROUBLES, WRITE_TROUBLES
from marketsync.ports import CancelOrder, CreateOrder, UpdateOrder

check = Checks("create", Role.BACK_OFFICE, Kind.CREATE)


@check(rules=("A3", "A8", "A11", "A12", "A14"), failures=(31, 32, 33, 43))
async def lost(fresh: Fresh) -> AsyncIterator[str]:
    """Whatever the network does, the order is in the shop once, whole, and what is said of it is true."""

    async def stage() -> Scene:
        bench = await fresh()
        return scene(bench, Kind.CREATE, await to_create(bench))

    for sentence in await doubt(stage, WRITE_TROUBLES, READ_TROUBLES):
        yield sentence


def scene(bench: Bench, kind: Kind, payload: CreateOrder | UpdateOrder | CancelOrder) -> Scene:
    """Of what the shop holds of an order its own ids are left out, but not how many there are."""

    def watch() -> object:
        held = [
            (
                x.released,
                x.cancelled,
                x.parcels,
                x.total,
                [(y.sku, y.quantity, y.left, y.taken) for y in x.lines],
            )
            for x in bench.held(payload.ref)
        ]
        return held, dict(bench.shop_side.stock())

    return Scene(bench, kind, payload, watch)
