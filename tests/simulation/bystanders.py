"""People of the focused scenarios: those of the world, and those who stand beside the daemon."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from marketsync.bootstrap import Assembly
from marketsync.commands.desk import Desk
from marketsync.commands.resync import ResyncArgs, resync
from marketsync.domain.ids import ConnectionId, OrderId
from marketsync.errors import Fenced, StoreError, StoreLocked
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.world import World
from marketsync.store import Unit, parked, upkeep
from marketsync.store.unit import NoSpace
from tests.simulation.hostile import PAGE, Noted, market_of, shop_of
from tests.simulation.scenario import START

Again = Callable[[], Awaitable[Assembly]]
"""Starts the daemon once more, on the same directory."""


def takes_units_off(world: World, chance: Chance) -> None:
    """The operator cancels units of orders that are paid and wait to be packed, one and then another one."""

    def once_more(chosen: tuple[str, str], now: datetime) -> None:
        order = market_of(world).sandbox.world.orders[chosen[0]]
        line = next(x for x in order.lines if x.line_id == chosen[1])
        if order.state == "SHIPPING" and line.wanted > 1 and not line.shipped:
            market_of(world).sandbox.cancel_units(now, *chosen, 1)

    def look(now: datetime) -> None:
        if world._quiet:
            return
        world._after(chance.uniform(5.0, 40.0), look)
        lines = [
            (order.order_id, line.line_id)
            for order in market_of(world).sandbox.world.orders.values()
            if order.state == "SHIPPING" and not any(line.shipped for line in order.lines)
            for line in order.lines
            if line.wanted > 2 and (now - world_time(world, order.created)).total_seconds() < 600
        ]
        if lines:
            chosen = chance.pick(lines)
            market_of(world).sandbox.cancel_units(now, *chosen, 1)
            world._after(chance.uniform(60.0, 110.0), partial(once_more, chosen))

    world._after(30.0, look)


def sells_two(world: World, chance: Chance) -> None:
    """One is sold, a minute later another one, and then nothing more. A stock file is taken whenever one comes."""
    market_of(world).sandbox.set_behaviour(stock_import_seconds=0.0)
    first = chance.uniform(100.0, 160.0)
    for seconds in (first, first + chance.uniform(40.0, 80.0)):
        world._after(seconds, lambda now: _buys_one(world, now))


def _buys_one(world: World, now: datetime) -> None:
    world.buy("alpha", (("SKU-1", 1),), now)


def sells_while_a_file_lands(world: World, chance: Chance) -> None:
    """The file is of a sale in the shop. What is sold meanwhile is touched until that file's time is read; then nothing more."""

    def sale(now: datetime) -> None:
        shop_of(world).web_sale(now, "SKU-1", 1)
        world.books.web_sold["SKU-1"] = 1

    def look(now: datetime) -> None:
        imports = market_of(world).sandbox.world.imports.values()
        if not any("SKU-1" in dict(x.rows) and not x.applied for x in imports):
            world._after(1.0, look)
            return
        order_id = str(world.buy("alpha", (("SKU-1", 1),), now))
        for n in range(1, 9):
            world._after(15.0 * n, lambda at: market_of(world).touch(at, order_id, 0.0))

    first = chance.uniform(100.0, 160.0)
    world._after(first, sale)
    world._after(first + 1.0, look)


def sells_in_bursts(world: World, chance: Chance) -> None:
    """Many buy in the same second. Who is accepted leaves the window while it is paged."""

    def burst(now: datetime) -> None:
        for _ in range(8 * PAGE):
            _buys_one(world, now)

    world._after(chance.uniform(20.0, 300.0), burst)


def sells_at_the_first_moment(world: World, chance: Chance) -> None:
    """On the lower end of the very first window."""
    for _ in range(3):
        _buys_one(world, world.now)


def changes_at_once(world: World, chance: Chance) -> None:
    """Whoever buys, and cancels in the same second. The list may be read as often as one likes."""
    market_of(world).sandbox.set_behaviour(order_list_seconds=0.0)

    def buy(now: datetime) -> None:
        if world._quiet:
            return
        world._after(chance.uniform(20.0, 60.0), buy)
        now = now.replace(microsecond=100_000)
        order_id = world.buy("alpha", (("SKU-1", 1),), now)
        if order_id is not None:
            world._at(now + timedelta(seconds=0.7), partial(cancels, world, order_id))

    world._at((world.now + timedelta(seconds=5)).replace(microsecond=100_000), buy)


def renames_parcels(world: World, chance: Chance) -> None:
    """The shop's people correct the number of a parcel soon after it left."""
    seen: list[int] = []

    def look(now: datetime) -> None:
        world._after(5.0, look)
        shop = shop_of(world).shop
        for parcel in [x for order in shop.orders.values() for x in order.fulfillments if x.id not in seen]:
            seen.append(parcel.id)
            renamed = partial(shop.set_tracking, parcel, f"CORRECTED{parcel.id}")
            world._after(chance.uniform(20.0, 300.0), renamed)

    look(world.now)


def wants_what_is_gone(world: World, chance: Chance) -> None:
    """Somebody orders both articles, the second of which was just sold in the shop; the next one wants the first alone."""

    def sale(now: datetime) -> None:
        shop_of(world).web_sale(now, "SKU-2", 1)
        world.books.web_sold["SKU-2"] = 1

    def look(now: datetime) -> None:
        books = market_of(world).sandbox.world
        on_its_way = any(("SKU-2", "0") in x.rows and not x.applied for x in books.imports.values())
        if on_its_way:
            world.buy("alpha", (("SKU-1", 1), ("SKU-2", 1)), now)
            books.offers["SKU-1"] = 1  # by a person, who sees it in the shelf
            world.buy("alpha", (("SKU-1", 1),), now)
        else:
            world._after(1.0, look)

    world._after(90.0, sale)
    world._after(91.0, look)


def cancels(world: World, order_id: str, now: datetime) -> None:
    if market_of(world).cancel_order(now, order_id):
        world.books.cancelled.append(("alpha", order_id))


def world_time(world: World, stamp: datetime) -> datetime:
    return stamp - timedelta(seconds=market_of(world).sandbox.behaviour.clock_skew_seconds)


def operator(assembly: Assembly, again: Again, world: World) -> None:
    """Has everything that is parked tried again, every few minutes."""

    async def work() -> None:
        with contextlib.suppress(StoreError):
            while True:
                await assembly.core.clock.sleep(200.0)
                with contextlib.suppress(Fenced):
                    await assembly.core.store.write(retried)
                assembly.daemon.release.wake_all()

    async def retried(unit: Unit) -> None:
        for item in await parked.page(unit, assembly.core.merchant, 100):
            await assembly.daemon.release.retry(unit, item)

    _keep(work())


def hinted(assembly: Assembly, again: Again, world: World) -> None:
    """Orders are asked for by their ids as soon as they are placed."""

    async def work() -> None:
        known: list[str] = []
        while True:
            await assembly.core.clock.sleep(0.1)
            for order_id in [x for x in market_of(world).sandbox.world.orders if x not in known]:
                known.append(order_id)
                assembly.daemon.sweepers[ConnectionId("alpha")].ask(OrderId(order_id))

    _keep(work())


def full_disk(assembly: Assembly, again: Again, world: World) -> None:
    """Now and then there is no room for what is to be written."""
    store, chance = assembly.core.store, Chance(len(assembly.core.store.installation)).fork("disk")
    write, until = store.write, assembly.core.clock.monotonic() + 1000.0

    async def refuses(work: Any) -> Any:
        if assembly.core.clock.monotonic() < until and chance.happens(0.08):
            raise NoSpace("the disk is full")
        return await write(work)

    store.write = refuses  # type: ignore[method-assign,assignment]


def slow_reads(assembly: Assembly, again: Again, world: World) -> None:
    """What was read comes from its thread a moment later: it is of before, as every snapshot is."""
    store, clock, chance = assembly.core.store, assembly.core.clock, Chance(1).fork("reads")
    read = store.read

    async def late(query: Any) -> Any:
        found = await read(query)
        if chance.happens(0.3):
            await clock.sleep(chance.uniform(0.0, 2.0))
        return found

    store.read = late  # type: ignore[method-assign]


def keeper(assembly: Assembly, again: Again, world: World) -> None:
    """Prunes what is over at once, and has all orders read again, as if another release had held them until now. What was
    pruned is planned by nobody again."""
    core = assembly.core
    desk = Desk(core, assembly.network, assembly.daemon.release, lambda *_: None)
    everything = ResyncArgs(axis="created", since=START - timedelta(hours=1), wait=True)
    gone: dict[tuple[Any, ...], None] = {}

    async def work() -> None:
        while True:
            await core.clock.sleep(40.0)
            held = await core.store.read(written)
            Noted.again.setdefault(world, []).extend(f"planned {x}" for x in held if x in gone)
            await upkeep.prune(core.store, core.clock.now() - timedelta(seconds=30))
            left = await core.store.read(written)
            gone.update((x, None) for x in held if x not in left)
            await core.store.write(
                lambda unit: unit.execute("UPDATE orders SET content_hash = ?", "of another release")
            )
            await resync(desk, everything, silent)

    async def written(unit: Unit) -> list[tuple[Any, ...]]:
        rows = await unit.fetch("SELECT kind, target, subject FROM deliveries WHERE kind <> 'stock'")
        return [tuple(row) for row in rows]

    async def silent(text: str) -> None:
        return None

    _keep(work())


def intruder(assembly: Assembly, again: Again, world: World) -> None:
    """Somebody starts the daemon a second time."""

    async def work() -> None:
        await assembly.core.clock.sleep(200.0)
        with contextlib.suppress(StoreLocked):
            second = await again()
            await second.daemon.run()

    _keep(work())


def _keep(work: Coroutine[Any, Any, None]) -> None:
    """As long as its life: the loop throws it away with the rest."""
    asyncio.ensure_future(work)  # noqa: RUF006 - the loop holds it
