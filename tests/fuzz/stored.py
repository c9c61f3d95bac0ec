"""A spoilt page into a real store, as the engine takes it: each order is held or parked with a reason, and none is lost."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.domain.orders import Order
from marketsync.engine.context import Core, MarketplaceLink, MarketplaceSettings, Network, Wake
from marketsync.engine.gate import Gate
from marketsync.engine.intake import Intake, ReadMark
from marketsync.ops.crash import NoCrash
from marketsync.ports import OrderPage, RawOrder
from marketsync.store import Store, Unit, open_store
from tests.fuzz.rig import START, Chance, Clock, Ear, Read, Side
from tests.simulation.inline import Inline

MERCHANT = MerchantId("main")


class Shelf:
    """One store for a run, made when the first page needs it; each document is a connection of its own in it."""

    def __init__(self) -> None:
        self._memory = Path("/dev/shm")
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._store: Store | None = None
        self._clock, self._inline = Clock(), Inline()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._store is not None:
            await self._store.close()
        self._inline.cut()
        if self._directory is not None:
            self._directory.cleanup()

    async def judge(self, side: Side, connection: str, read: Read, good: Sequence[RawOrder]) -> list[str]:
        """Take the spoilt page, then the good one: what was parked of it goes on."""
        store = await self._open()
        core = Core(MERCHANT, store, self._clock, Chance(), side.ear, NoCrash())
        intake = Intake(core, Network({}, {}))
        link = self._link(side, connection)
        await self._take(intake, store, link, OrderPage(read.raws, len(read.raws)))
        found = list(await self._lost(store, connection, read))
        await self._take(intake, store, link, OrderPage(tuple(good), len(good)))
        return found + list(await self._still_missing(store, connection, [raw.order_id for raw in good]))

    async def _take(self, intake: Intake, store: Store, link: MarketplaceLink, page: OrderPage) -> None:
        begin = store.next_seq()
        self._clock.time += 60.0
        await intake.take(link, page, ReadMark(begin, store.next_seq(), self._clock.now()), None)

    async def _lost(self, store: Store, connection: str, read: Read) -> Iterator[str]:
        held, reasons, raws = await store.read(lambda unit: _contents(unit, connection))
        found = []
        for raw, parsed in zip(read.raws, read.orders, strict=True):
            if not isinstance(parsed, Exception):
                if parsed.key.order_id not in held:
                    found.append("lost: a good order is not in the store")
            elif raw.raw not in raws:
                found.append("lost: the document of a bad order was not kept")
        if any(not reason.strip() for reason in reasons.values()):
            found.append("a parked order without a reason")
        bad = {
            raw.raw
            for raw, parsed in zip(read.raws, read.orders, strict=True)
            if isinstance(parsed, Exception)
        }
        if bad and not reasons:
            found.append("lost: a bad order is not parked")
        shown = " ".join(reasons.values())
        # The merchant's own number of an article, whatever it says, is what the person has to look for.
        for line in (x for order in read.orders if isinstance(order, Order) for x in order.lines):
            shown = shown.replace(line.sku, "")
        if "canary" in shown.lower():
            found.append("leak: a parked order's reason shows what a buyer said")
        return iter(found)

    async def _still_missing(self, store: Store, connection: str, wanted: list[str]) -> Iterator[str]:
        held, reasons, _ = await store.read(lambda unit: _contents(unit, connection))
        return iter(
            f"lost: {order_id} did not come through once its page was good again"
            for order_id in wanted
            if order_id not in held or f"{connection}/{order_id}" in reasons
        )

    async def _open(self) -> Store:
        if self._store is None:
            place = self._memory if self._memory.is_dir() else None
            self._directory = tempfile.TemporaryDirectory(prefix="marketsync-fuzz-", dir=place)
            self._store = await open_store(
                self._directory.name, self._clock, Chance(), NoCrash(), sqlite_connect=self._inline.connect
            )
        return self._store

    def _link(self, side: Side, connection: str) -> MarketplaceLink:
        gate = Gate(connection, self._clock, Chance(), Ear())
        settings = MarketplaceSettings(ConnectionId("shop"), START.replace(year=2000))
        wakes = (Wake(), Wake(), Wake(), Wake())
        return MarketplaceLink(ConnectionId(connection), side.adapter, side.http, gate, settings, *wakes)


async def _contents(unit: Unit, connection: str) -> tuple[set[str], dict[str, str], set[bytes]]:
    """Held order ids, reasons by item, documents that were kept."""
    rows: list[Any] = await unit.fetch(
        "SELECT order_id FROM orders WHERE merchant = ? AND connection = ?", MERCHANT, connection
    )
    waiting = await unit.fetch(
        "SELECT item, reason FROM parked WHERE merchant = ? AND connection = ?", MERCHANT, connection
    )
    kept = await unit.fetch(
        "SELECT body FROM raws WHERE merchant = ? AND connection = ?", MERCHANT, connection
    )
    return {row[0] for row in rows}, {row[0]: row[1] for row in waiting}, {bytes(row[0]) for row in kept}
