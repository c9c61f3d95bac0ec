"""What is in the shop brought to a newer revision, or taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec.structs import replace

from marketsync.domain.deliveries import Kind, State
from marketsync.domain.orders import Order, payable
from marketsync.http import Role
from marketsync.kit.bench import Bench, Fresh
from marketsync.kit.checks.create import scene
from marketsync.kit.doubt import doubt
from marketsync.kit.drive import Drive, Scene
from marketsync.kit.people import HOME, an_order, created, line, ref_of, to_cancel, to_update
from marketsync.kit.registry import Checks
from marketsync.kit.wire import READ_TROUBLES, WRITE_TROUBLES

update = Checks("update", Role.BACK_OFFICE, Kind.UPDATE)
cancel = Checks("cancel", Role.BACK_OFFICE, Kind.CANCEL)

B = line("2", "KIT-B", 1, "5.90", "0.98")


@update(rules=("A3", "A8", "A13", "A22"), failures=(31, 32, 33, 43))
async def lost(fresh: Fresh) -> AsyncIterator[str]:
    """Whatever the network does, the order comes to its revision once, and what is said of it is true."""

    async def stage() -> Scene:
        bench = await fresh()
        await created(bench)
        revised = an_order(line("1", "KIT-A", 1, "10.00", "1.67"), B)
        return scene(bench, Kind.UPDATE, await to_update(bench, revised))

    for sentence in await doubt(stage, WRITE_TROUBLES, READ_TROUBLES):
        yield sentence


@update(rules=("A22",), failures=(18,))
async def content(fresh: Fresh) -> AsyncIterator[str]:
    """Units raised, lowered and dropped, an address changed: the shop holds the revision, or a person is told."""
    for name, order in (
        ("a line raised", an_order(line("1", "KIT-A", 3, "30.00", "5.00"), B)),
        ("a line lowered", an_order(line("1", "KIT-A", 1, "10.00", "1.67"), B)),
        ("a line dropped", an_order(line("1", "KIT-A", 2, "20.00", "3.33"), replace(B, cancelled=1))),
        ("another address", an_order(ship_to=replace(HOME, city="Lyon"))),
        ("a line more", an_order(*an_order().lines, line("3", "KIT-A", 1, "9.00"))),
    ):
        bench = await fresh()
        await created(bench)
        drive = Drive(scene(bench, Kind.UPDATE, await to_update(bench, order)))
        row = await drive.to_end(watched=False)
        (held,) = bench.held(ref_of(order))
        wanted = sorted((x.sku, x.wanted) for x in order.lines if x.wanted)
        found = sorted((x.sku, x.quantity) for x in held.lines)
        if row.state is State.DONE and not drive.conflicts:
            if found != wanted:
                yield f"{name}: the shop holds {found} instead of {wanted}"
            total = payable(replace(order, lines=tuple(x for x in order.lines if x.wanted)))
            if held.total not in (None, total):
                yield f"{name}: the shop's total is {held.total} instead of {total}"
        elif row.state is not State.PARKED and not drive.conflicts:
            yield f"{name}: it ends {row.state.value}"


@update(failures=(20,))
async def shipped(fresh: Fresh) -> AsyncIterator[str]:
    """What has left is not changed in silence."""
    bench = await fresh()
    await created(bench)
    ship(bench, an_order())
    payload = await to_update(bench, an_order(line("1", "KIT-A", 1, "10.00", "1.67"), B))
    for sentence in await _left_alone(Drive(scene(bench, Kind.UPDATE, payload)), "changed"):
        yield sentence


@cancel(rules=("A3", "A8", "A18"), failures=(31, 32, 33, 43))
async def lost_(fresh: Fresh) -> AsyncIterator[str]:
    """Whatever the network does, the order is taken back once, and what is said of it is true."""

    async def stage() -> Scene:
        bench = await fresh()
        await created(bench)
        return scene(bench, Kind.CANCEL, to_cancel(bench, an_order()))

    for sentence in await doubt(stage, WRITE_TROUBLES, READ_TROUBLES):
        yield sentence


@cancel(failures=(20,), field=("cancel_before_during_after_push",))
async def shipped_(fresh: Fresh) -> AsyncIterator[str]:
    """What has left, in whole or in part, is not taken back: a person is told."""
    for part in (True, False):
        bench = await fresh()
        await created(bench)
        ship(bench, an_order(), whole=not part)
        drive = Drive(scene(bench, Kind.CANCEL, to_cancel(bench, an_order())))
        for sentence in await _left_alone(drive, "taken back"):
            yield f"{'partly' if part else 'wholly'} sent: {sentence}"


@cancel(rules=("A18",), failures=(19,))
async def half_built(fresh: Fresh) -> AsyncIterator[str]:
    """An order that is not released yet is taken back without a unit moved."""
    bench = await fresh()
    before = dict(bench.shop_side.stock())
    await created(bench, steps=1)
    drive = Drive(scene(bench, Kind.CANCEL, to_cancel(bench, an_order())))
    row = await drive.to_end(watched=False)
    held = bench.held(ref_of(an_order()))
    if row.state is not State.DONE or any(order.released for order in held):
        yield f"it ends {row.state.value}"
    if len(drive.steps) > 1 and dict(bench.shop_side.stock()) != before:
        yield "the figures moved"
    if any(not order.cancelled for order in held):
        yield "the order is not cancelled in the shop"


def ship(bench: Bench, order: Order, *, whole: bool = True) -> None:
    """By the shop's people: one parcel, of everything or of one unit."""
    (held,) = bench.held(ref_of(order))
    lines = [(x.key, x.quantity) for x in held.lines] if whole else [(held.lines[0].key, 1)]
    bench.shop_side.ship(bench.now, held.remote_id, lines, "KITSENT1")


async def _left_alone(drive: Drive, verb: str) -> list[str]:
    before = drive.watch()
    row = await drive.to_end(watched=False)
    said = []
    if drive.watch() != before:
        said.append(f"what has left was {verb}")
    if row.state is not State.PARKED and not drive.conflicts:
        said.append(f"it ends {row.state.value}, and nobody is told that it was not {verb}")
    return said
