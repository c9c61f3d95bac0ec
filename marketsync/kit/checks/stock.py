"""Stock published on a marketplace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import cast

from marketsync.domain.deliveries import Kind, State
from marketsync.domain.ids import Sku
from marketsync.http import Role
from marketsync.kit.bench import Bench, Fresh
from marketsync.kit.doubt import doubt
from marketsync.kit.drive import Drive, Scene
from marketsync.kit.registry import Checks
from marketsync.kit.wire import WRITE_TROUBLES
from marketsync.ports import BulkWriter, ItemResult, PublishStock, StockItem
from marketsync.sandbox.roles import Ware

check = Checks("stock", Role.MARKETPLACE, Kind.STOCK)

DUE = (1, 3, 60)
MANY = tuple(Ware(f"KIT-{number:03d}", 40) for number in range(60))


@check(rules=("A25", "C15", "C16"), failures=(31, 32, 33, 43))
async def lost(fresh: Fresh) -> AsyncIterator[str]:
    """Whatever the network does, the listing comes to what was sent, and is not called set before it is."""
    for due in DUE:

        async def stage(due: int = due) -> Scene:
            bench = await fresh(wares=MANY)
            return _scene(bench, [(ware.sku, 7) for ware in MANY[: _items(bench, due)]])

        for sentence in await doubt(stage, WRITE_TROUBLES, ()):
            yield f"{due} due: {sentence}"


@check(field=("one_bundle_does_not_fail_the_batch", "one_warehouse_fails_other_succeeds"))
async def items(fresh: Fresh) -> AsyncIterator[str]:
    """Each item of a write is settled by itself, in order: one that the marketplace does not know is an error, and the
    others take effect."""
    for due in DUE:
        bench = await fresh(wares=MANY)
        count = _items(bench, due)
        known = [(ware.sku, 3) for ware in MANY[: max(count - 1, 0)]]
        wanted = [*known[:1], ("KIT-NONE", 3), *known[1:]] if known else [("KIT-NONE", 3)]
        drive = Drive(_scene(bench, wanted))
        row = await drive.to_end(watched=False)
        if row.state is not State.DONE:
            if known or row.state is not State.PARKED:
                yield f"{due} due: with an unknown SKU among {count} items it ends {row.state.value} ({row.error})"
            continue
        results = await _results(drive)
        if [result.subject for result in results] != [sku for sku, _ in wanted]:
            yield f"{due} due: {len(wanted)} items have {len(results)} results, or in another order"
        wrong = [x.subject for x in results if bool(x.error) != (x.subject == "KIT-NONE")]
        if wrong:
            yield f"{due} due: {len(wrong)} results are not what became of their items"
        await bench.wait(drive.steps[-1].applied_after_seconds)
        listed = bench.market_side.listed(bench.now)
        if not_set := [sku for sku, units in known if listed.get(sku) != units]:
            yield f"{due} due: {len(not_set)} items beside an unknown one did not take effect"


@check(
    rules=("A13", "C15"), field=("five_four_five_is_three_pushes", "sale_between_read_and_stamp_is_pushed")
)
async def absolute(fresh: Fresh) -> AsyncIterator[str]:
    """5, then 4, then 5 are three writes; nothing is a quantity; a sale in between does not change what is set."""
    bench = await fresh()
    writes = 0
    for units in (5, 4, 5, 0):
        if units == 4:
            bench.place(("KIT-A", 1))
        drive = Drive(_scene(bench, [("KIT-A", units)]))
        row = await drive.to_end(watched=False)
        await bench.wait(drive.steps[-1].applied_after_seconds)
        listed = bench.market_side.listed(bench.now).get("KIT-A")
        if row.state is not State.DONE or listed != units:
            yield f"{units} is set, it ends {row.state.value}, and {listed} is listed"
        writes += 1
        if len(bench.wire.writes) < writes:
            yield f"{units} is called set, and nothing was sent"
            writes = len(bench.wire.writes)
    bodies = []
    for _ in range(2):
        bench = await fresh()
        await Drive(_scene(bench, [("KIT-A", 5), ("KIT-B", 6)][: _items(bench, 2)])).to_end(watched=False)
        bodies.append(bench.wire.writes[0].body)
    if bodies[0] != bodies[1]:
        yield "the same quantities at the same time make different requests"


def _items(bench: Bench, due: int) -> int:
    writer = cast("BulkWriter", bench.adapter.writers[Kind.STOCK])
    return min(due, writer.batch(due).items_max)


async def _results(drive: Drive) -> Sequence[ItemResult]:
    writer = cast("BulkWriter", drive.writer)
    return await drive.bench.patient(lambda: writer.results(drive.payload, drive.row.checkpoint))


def _scene(bench: Bench, wanted: Sequence[tuple[str, int]]) -> Scene:
    payload = PublishStock(tuple(StockItem(Sku(sku), units) for sku, units in wanted))
    names = [sku for sku, _ in wanted]

    def watch() -> object:
        bench.wire.catch_up(bench.now)
        listed = bench.market_side.listed(bench.now)
        return {name: listed.get(name) for name in names}

    return Scene(bench, Kind.STOCK, payload, watch)
