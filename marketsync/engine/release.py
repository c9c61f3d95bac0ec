"""Lets parked work go on: a cause went away, or a person said so (D7, A16)."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from marketsync.domain.deliveries import Kind, State
from marketsync.domain.doubt import abandon, wake
from marketsync.domain.ids import OrderId, Reference
from marketsync.engine import planning
from marketsync.engine.context import Core, MarketplaceLink, Network
from marketsync.engine.intake import Intake
from marketsync.engine.payloads import decode
from marketsync.errors import ConfigError
from marketsync.store import Unit, deliveries, history, orders, parked, private
from marketsync.store.rows import HistoryRow, Parked


class Release:
    def __init__(self, core: Core, network: Network, intake: Intake) -> None:
        self._core = core
        self._network = network
        self._intake = intake

    async def cause_went(self, unit: Unit, cause: str) -> int:
        """Drop a cause; what has no other one left goes on. Returns how many items did."""
        free = await parked.drop_cause(unit, self._core.merchant, cause)
        await parked.release_many(unit, self._core.merchant, [(item.kind, item.item) for item in free])
        await self._go_on(unit, free)
        return len(free)

    async def retry(self, unit: Unit, item: Parked) -> str:
        """A person wants the item tried again, whatever its causes. Returns what is done now."""
        await parked.release(unit, self._core.merchant, item.kind, item.item)
        return await self._go_on(unit, [item])

    async def skip(self, unit: Unit, item: Parked, reason: str) -> str:
        """A person gives the item up. It stays in the history; nothing is sent for it any more."""
        now = self._core.clock.now()
        await parked.release(unit, self._core.merchant, item.kind, item.item)
        subject = item.item
        if item.kind == "delivery":
            rows = await deliveries.get_many(unit, [int(item.item)])
            for row in rows.values():
                subject = row.order_ref
                if row.state is State.PARKED:
                    await deliveries.move_many(unit, [(row, abandon(row), "delivery.was_given_up")], now)
        history.add(unit, HistoryRow(self._core.merchant, subject, now, "parked.was_skipped", reason))
        return "given up"

    async def replan(self, unit: Unit, refs: Sequence[Reference]) -> None:
        """Decide anew what these orders ask for, as they are held."""
        held = await orders.by_refs(unit, self._core.merchant, refs)
        parties = await private.parties(unit, [row.key for row in held.values()])
        by_connection: dict[str, list[planning.Change]] = {}
        for row in held.values():
            party = parties.get(row.key)
            by_connection.setdefault(row.key.connection, []).append(planning.Change(row, row, party, party))
        for name, changes in by_connection.items():
            link = self._network.link(name)
            if isinstance(link, MarketplaceLink):
                await planning.plan(unit, self._intake.scene(link, None), changes)

    def wake_all(self) -> None:
        for marketplace in self._network.marketplaces.values():
            marketplace.dispatch.set()
            marketplace.publish.set()
        for back_office in self._network.back_offices.values():
            back_office.dispatch.set()
            back_office.stock.set()

    async def _go_on(self, unit: Unit, items: Sequence[Parked]) -> str:
        refs = [Reference(item.item) for item in items if item.kind == "order"]
        refs += await self._unsent(unit, items)
        if refs:
            await self.replan(unit, refs)
        done = "planned again" if refs else ""
        for item in items:
            if item.kind == "delivery":
                done = await self._wake(unit, int(item.item))
            elif item.kind == "raw":
                done = await self._parse_again(item)
        return done or "released"

    async def _unsent(self, unit: Unit, items: Sequence[Parked]) -> list[Reference]:
        """Orders whose claims may have to move with a late map: nothing of them has left yet."""
        ids = [int(item.item) for item in items if item.kind == "delivery"]
        rows = await deliveries.get_many(unit, ids) if ids else {}
        return [Reference(row.order_ref) for row in rows.values() if row.kind in (Kind.ACCEPT, Kind.CREATE)]

    async def _wake(self, unit: Unit, delivery_id: int) -> str:
        """A16: with an unsettled attempt it goes to doubt, never straight to the far side."""
        row = (await deliveries.get_many(unit, [delivery_id])).get(delivery_id)
        if row is None or row.state is not State.PARKED:
            return "nothing to do"
        link = self._network.link(row.target)
        if link is None:
            raise ConfigError(f"connection {row.target} is not configured")
        clock = self._core.clock
        steps = link.adapter.writers[row.kind].steps(decode(row)) if row.unsettled else ()
        now = clock.now()
        woken = wake(row, steps, now=now.timestamp(), mono=clock.monotonic(), boot=clock.boot_id)
        if row.step == 0 and not row.unsettled and row.kind is not Kind.STOCK:
            woken = replace(woken, payload=b"")
        await deliveries.move_many(unit, [(row, woken, "delivery.was_woken")], now)
        return "in doubt: it is looked at first" if woken.state is State.IN_DOUBT else "queued again"

    async def _parse_again(self, item: Parked) -> str:
        """Read from the marketplace again: the raw document may be old by now."""
        connection, _, order_id = item.item.partition("/")
        link = self._network.link(connection)
        if not isinstance(link, MarketplaceLink):
            raise ConfigError(f"connection {connection} is not configured")
        self._intake.asked.setdefault(connection, []).append(OrderId(order_id))
        link.sweep.set()
        return "asked for again"
