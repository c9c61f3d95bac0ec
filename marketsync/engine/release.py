"""Lets parked work go on: a cause went away, or a person said so (D7, A16)."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from marketsync.domain.deliveries import Delivery, Kind, State, StepSpec
from marketsync.domain.doubt import abandon, person_absent, person_found, wake
from marketsync.domain.ids import OrderId, Reference
from marketsync.domain.kinds import KEEPS_PAYLOAD
from marketsync.engine import planning
from marketsync.engine.context import BackOfficeLink, Core, MarketplaceLink, Network
from marketsync.engine.facts import Change
from marketsync.engine.intake import Intake
from marketsync.engine.payloads import decode
from marketsync.engine.settling import Move, Settling, cancel_behind
from marketsync.errors import ConfigError, Park
from marketsync.store import Unit, deliveries, history, links, orders, parked, private
from marketsync.store.rows import KEPT, HistoryRow, Link, Parked


class Release:
    def __init__(self, core: Core, network: Network, intake: Intake) -> None:
        self._core = core
        self._network = network
        self._intake = intake

    async def cause_went(self, unit: Unit, cause: str) -> int:
        """Drop a cause; what has no other one left goes on. Returns how many items did."""
        free = await parked.drop_cause(unit, self._core.merchant, cause)
        # What belongs to a connection that is not configured any more stays where a person sees it.
        free = [item for item in free if self._network.link(item.connection) is not None]
        gone = [(item.kind, item.item) for item in free if item.kind != "raw"]
        await parked.release_many(unit, self._core.merchant, gone)
        await self._go_on(unit, free)
        return len(free)

    async def retry(self, unit: Unit, item: Parked) -> str:
        """A person wants the item tried again, whatever its causes. Returns what is done now.

        What could not be read stays parked until a read of it succeeds: it is held nowhere else.
        """
        if item.kind != "raw":
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

    async def found(self, unit: Unit, item: Parked, remote_id: str) -> str:
        """A person looked: it is there, under this id where the far side gives one (A24)."""
        row, link, steps = await self._looked_at(unit, item)
        known = await links.of(unit, self._core.merchant, link.name, row.subject)
        if row.kind is Kind.CREATE and row.step + 1 < len(steps) and not (remote_id or known):
            raise Park("say the id that it has there: the next step is done with that record")
        queue = await deliveries.queues_of(unit, self._core.merchant, link.name, [row.order_ref])
        outcome = person_found(
            row, steps, remote_id=remote_id, link_ids=[x.remote_id for x in known],
            cancel_behind=cancel_behind(queue[row.order_ref]), now=self._core.clock.now().timestamp(), seq=unit.seq(),
        )  # fmt: skip
        move = Move(
            row, outcome.row, "delivery.was_found_by_hand", outcome.links, outcome.conflict, was_applied=True
        )
        await Settling(self._core, link).carry_out(unit, [move], queue)
        if remote_id:
            kept = Link(self._core.merchant, link.name, KEPT, row.subject, remote_id)
            await links.add(unit, kept)
        return "taken as done" if outcome.row.state is State.DONE else "goes on with its next step"

    async def absent(self, unit: Unit, item: Parked) -> str:
        """A person looked: it is not there. It is sent again, and looked for once more within a day (A21)."""
        row, link, _ = await self._looked_at(unit, item)
        after = person_absent(row, self._core.clock.now().timestamp())
        move = Move(row, after, "delivery.was_absent_by_hand", not_applied=True)
        await Settling(self._core, link).carry_out(unit, [move], {})
        return "queued again"

    async def _looked_at(
        self, unit: Unit, item: Parked
    ) -> tuple[Delivery, MarketplaceLink | BackOfficeLink, tuple[StepSpec, ...]]:
        rows = await deliveries.get_many(unit, [int(item.item)]) if item.kind == "delivery" else {}
        row = next(iter(rows.values()), None)
        link = None if row is None else self._network.link(row.target)
        if row is None or link is None or row.state is not State.PARKED or not row.unsettled:
            raise Park("nothing of it is in doubt: `parked retry` sends it, `parked skip` gives it up")
        await parked.release(unit, self._core.merchant, item.kind, item.item)
        return row, link, link.adapter.writers[row.kind].steps(decode(row))

    async def replan(self, unit: Unit, refs: Sequence[Reference]) -> None:
        """Decide anew what these orders ask for, as they are held."""
        held = await orders.by_refs(unit, self._core.merchant, refs)
        parties = await private.parties(unit, [row.key for row in held.values()])
        by_connection: dict[str, list[Change]] = {}
        for row in held.values():
            party = parties.get(row.key)
            by_connection.setdefault(row.key.connection, []).append(Change(row, row, party, party))
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
        if (
            row.step == 0
            and not row.unsettled
            and row.kind is not Kind.STOCK
            and row.kind not in KEEPS_PAYLOAD
        ):
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
