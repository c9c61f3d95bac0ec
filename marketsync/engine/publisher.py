"""Publishes one pool's stock on one marketplace: computed when it is sent, absolute, one write in flight (C15 to C20)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import cast

import msgspec
from msgspec.structs import replace

from marketsync.domain.deliveries import (
    Delivery,
    Kind,
    State,
    StepSpec,
    claim,
    end,
    new_delivery,
    step_done,
    waiting,
)
from marketsync.domain.doubt import doubt_remaining, rearm, to_doubt
from marketsync.domain.ids import ConnectionId, Sku
from marketsync.domain.publishing import (
    Listing,
    SendReason,
    WriteOutcome,
    after_doubt,
    after_write,
    begin_write,
    should_send,
)
from marketsync.domain.stock import Level, may_publish
from marketsync.engine.context import Core, MarketplaceLink, Network
from marketsync.engine.levels import Picture, picture
from marketsync.engine.looks import STILL_AT_IT, is_overdue
from marketsync.engine.payloads import built, decode
from marketsync.errors import InDoubt, MarketsyncError, PauseConnection, Refused, Retry
from marketsync.ports import (
    BulkWriter,
    Departure,
    ItemResult,
    PollsReceipts,
    PublishStock,
    StepDone,
    StepWaiting,
    StockItem,
)
from marketsync.store import Unit, deliveries, listings, maps, parked
from marketsync.store.rows import ListingRow, Parked

BATCH_MAX = 500
NOTHING_SECONDS = 3600.0
UNFINISHED = (State.SENT, State.WAITING, State.IN_DOUBT)

Change = Callable[[Listing], Listing]


class Out(msgspec.Struct, frozen=True):
    """A batch that left: its row, its steps, and what it says."""

    row: Delivery
    steps: tuple[StepSpec, ...]
    payload: PublishStock


class Publisher:
    """One per marketplace. `freshness` says up to when each marketplace of the pool was read (C18)."""

    def __init__(
        self,
        core: Core,
        network: Network,
        link: MarketplaceLink,
        coverage_until: Callable[[ConnectionId], datetime | None],
    ) -> None:
        self._core = core
        self._network = network
        self._link = link
        self._coverage_until = coverage_until
        self._reasons: dict[str, SendReason] = {}
        self._maybe_out = True

    async def recover(self) -> None:
        """At start: a batch that a dead life left sent may still land (A10, C16)."""
        clock = self._core.clock
        if Kind.STOCK not in self._link.adapter.writers:
            return
        for row in await self._unfinished():
            if row.state is State.SENT:
                text = "the process ended while it was sent"
                after = to_doubt(row, self._steps(row), text, mono=clock.monotonic(), boot=clock.boot_id)
                await self._settle(
                    row, after, "delivery.is_in_doubt", lambda x: self._after(x, WriteOutcome.IN_DOUBT)
                )
            elif row.state is State.IN_DOUBT and row.doubt_boot != clock.boot_id:
                after = rearm(row, mono=clock.monotonic(), boot=clock.boot_id)
                await self._core.store.write(
                    partial(deliveries.move, before=row, after=after, event="", at=clock.now())
                )

    async def round(self) -> float:
        """Finish what is out, then send what is due. Returns the seconds to wait, negative where no call was made."""
        if Kind.STOCK not in self._link.adapter.writers:
            return -NOTHING_SECONDS
        if self._maybe_out:
            out = await self._unfinished()
            if out:
                return await self._finish(out[0])
            self._maybe_out = False
        if not await self._core.store.read(
            lambda unit: listings.dirty(unit, self._core.merchant, self._link.name, 1)
        ):
            return -self._link.settings.publish_seconds
        if not await self._core.store.write(self._anything_due):
            return -self._link.settings.publish_seconds
        writer = self._link.adapter.writers[Kind.STOCK]
        await self._link.http.ready(writer.operation(0))
        self._core.crash.reach("publish.before_claim")
        self._maybe_out = True
        batch = await self._core.store.write(self._claim)
        if batch is None:
            return -self._link.settings.publish_seconds
        for reason in self._reasons.values():
            self._core.observer.count(
                "marketsync_stock_writes_total", 1, connection=self._link.name, reason=reason.value
            )
        self._core.crash.reach("publish.after_claim")
        await self._send(batch)
        return 0.5

    async def _unfinished(self) -> list[Delivery]:
        merchant, name = self._core.merchant, self._link.name
        rows = await self._core.store.read(
            lambda unit: deliveries.in_state(unit, merchant, name, UNFINISHED, 1000)
        )
        return [row for row in rows if row.kind is Kind.STOCK]

    # Computing and claiming

    async def _anything_due(self, unit: Unit) -> bool:
        """Before a place in the budget is taken: a write may be allowed once a minute."""
        return bool(await self._due(unit))

    async def _due(self, unit: Unit) -> list[tuple[ListingRow, int]]:
        """What is to be sent now; what need not be looked at again before something changes is marked so."""
        merchant, link, after = self._core.merchant, self._link, ""
        while True:
            rows = await listings.dirty(unit, merchant, link.name, BATCH_MAX, after)
            scene = await picture(unit, merchant, link.settings.back_office, [row.sku for row in rows])
            due, quiet = self._choose(rows, scene)
            await listings.put(unit, quiet)
            if due or len(rows) < BATCH_MAX:
                return due
            # A whole slice that has to wait, such as raises without fresh coverage, holds no zero behind it back (C18).
            after = rows[-1].sku

    async def _claim(self, unit: Unit) -> Out | None:
        """C15: the values are computed in the transaction that marks this very attempt as sent."""
        merchant, link = self._core.merchant, self._link
        due = await self._due(unit)
        if not due:
            return None
        names = await maps.sources(unit, merchant, link.name, "sku", [row.sku for row, _ in due])
        delivery_id, seq, now = unit.seq(), unit.seq(), self._core.clock.now()
        begun = [
            replace(
                row,
                listing=begin_write(row.listing, low, link.settings.stock, seq),
                delivery=delivery_id,
                dirty=False,
            )
            for row, low in due
        ]
        items = [
            StockItem(Sku(name), row.listing.value or 0)
            for row in begun
            for name in names.get(row.sku, [row.sku])
        ]
        draft = built(PublishStock(tuple(items)))
        steps = link.adapter.writers[Kind.STOCK].steps(draft.payload)
        queued = new_delivery(
            delivery_id=delivery_id, merchant=merchant, kind=Kind.STOCK, target=link.name,
            subject=f"batch:{delivery_id}", order_ref=f"stock:{link.name}", due_at=now.timestamp(), created_seq=seq,
        )  # fmt: skip
        row = claim(
            queued, steps, draft.document, draft.hash, 1, now=now.timestamp(),
            mono=self._core.clock.monotonic(), seq=seq,
        )  # fmt: skip
        await deliveries.insert(unit, [row])
        await deliveries.put_items(unit, delivery_id, [(x.sku, x.listing.value or 0) for x in begun])
        await listings.put(unit, begun)
        return Out(row, steps, cast("PublishStock", draft.payload))

    def _choose(
        self, rows: Sequence[ListingRow], scene: Picture
    ) -> tuple[list[tuple[ListingRow, int]], list[ListingRow]]:
        """C18: what is due now, and what need not be looked at again before something changes."""
        due: list[tuple[ListingRow, int]] = []
        quiet: list[ListingRow] = []
        self._reasons = {}
        until, fresh = self._coverage_until(self._link.name), self._others_fresh()
        for row in rows:
            low = self._low(row.sku, scene)
            reason = should_send(row.listing, low, until, self._link.settings.stock, others_fresh=fresh)
            if reason is not None and low is not None:
                due.append((row, low))
                self._reasons[row.sku] = reason
            elif low is None or row.listing.presumed == self._link.settings.stock.publishes(low):
                quiet.append(replace(row, dirty=False))
        return due, quiet

    def _low(self, sku: str, scene: Picture) -> int | None:
        level: Level | None = scene.levels.get(sku)
        if level is None or not may_publish(scene.facts(sku), scene.claims.get(sku, ())):
            return None
        return level.low

    def _others_fresh(self) -> bool:
        """C18: a raise waits until the pool's other sellers were read within two of their turns."""
        now = self._core.clock.now()
        for other in self._network.marketplaces.values():
            if other.name == self._link.name or other.settings.back_office != self._link.settings.back_office:
                continue
            if other.gate.paused or other.gate.is_open:
                continue
            traits = other.adapter.updated
            allowed = 2 * other.settings.poll_seconds + traits.lag_seconds + 60
            until = self._coverage_until(other.name)
            clock = other.http.server_now() or now
            if until is None or clock - until > timedelta(seconds=allowed):
                return False
        return True

    # Sending and settling

    async def _send(self, out: Out) -> None:
        writer = self._link.adapter.writers[Kind.STOCK]
        try:
            result = await writer.send(out.payload, 0, "", Departure(out.row.attempt, out.row.send_by))
        except MarketsyncError as error:
            await self._failed(out.row, out.steps, error)
            if isinstance(error, PauseConnection):
                raise
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises, the write may have left: doubt
            await self._failed(out.row, out.steps, InDoubt(f"the adapter failed with {type(error).__name__}"))
        else:
            self._core.crash.reach("publish.after_send")
            await self._answered(out.row, out.steps, result)

    async def _finish(self, row: Delivery) -> float:
        clock, steps = self._core.clock, self._steps(row)
        if row.state is State.WAITING:
            wait = row.due_at - clock.now().timestamp()
            return -wait if wait > 0 else await self._poll(row, steps)
        if row.state is State.SENT:
            await self._failed(row, steps, InDoubt("its task ended without an outcome"))
            return -0.5
        wait = doubt_remaining(row, clock.boot_id, clock.monotonic())
        if wait > 0:
            return -wait
        at = self._landed_at()
        await self._settle(row, end(row), "stock.is_unknown", lambda listing: after_doubt(listing, at))
        return -0.5

    async def _poll(self, row: Delivery, steps: tuple[StepSpec, ...]) -> float:
        """What no answer can be had of any more is unknown: the listings are set anew (C16)."""
        poller = cast("PollsReceipts", self._link.adapter.writers[Kind.STOCK])
        self._core.crash.reach("publish.before_poll")
        try:
            payload = decode(row)
        except msgspec.MsgspecError as error:
            await self._failed(
                row, steps, InDoubt(f"its items can't be read any more: {type(error).__name__}")
            )
            return -0.5
        trouble = ""
        try:
            result = await poller.poll(payload, row.step, row.checkpoint)
            if isinstance(result, StepWaiting) and is_overdue(self._core, row, steps):
                trouble = STILL_AT_IT
            else:
                await self._answered(row, steps, result)
        except (InDoubt, Refused) as error:
            # Also where the list of what was not taken is gone for good.
            trouble = str(error)
        except Retry as error:
            if not (error.counted and is_overdue(self._core, row, steps, failing=True)):
                raise
            self._link.gate.failed(str(error))
            await self._failed(row, steps, InDoubt(f"{STILL_AT_IT}: {error}"))
            return -0.5
        if trouble:
            await self._failed(row, steps, InDoubt(trouble))
        return 0.5

    def _steps(self, row: Delivery) -> tuple[StepSpec, ...]:
        """Of a batch that another version left and this one can't read: those of any batch, for its wait."""
        writer = self._link.adapter.writers[Kind.STOCK]
        try:
            return writer.steps(decode(row))
        except Exception:  # noqa: BLE001 - one batch must not stop the connection; its listings are set anew
            return writer.steps(PublishStock(()))

    async def _answered(
        self, row: Delivery, steps: tuple[StepSpec, ...], result: StepDone | StepWaiting
    ) -> None:
        now = self._core.clock.now().timestamp()
        if isinstance(result, StepWaiting):
            after = waiting(row, result.receipt, now + result.poll_after_seconds)
            await self._core.store.write(
                lambda unit: deliveries.move(unit, row, after, "delivery.is_waiting", self._core.clock.now())
            )
            return
        payload = decode(row)
        writer = self._link.adapter.writers[Kind.STOCK]
        results: tuple[ItemResult, ...] = ()
        if hasattr(writer, "results"):
            results = await cast("BulkWriter", writer).results(payload, result.checkpoint)
        errors = {item.subject: item.error for item in results if item.error}
        seq = self._core.store.next_seq()
        done = step_done(
            row, steps, remote_id=result.remote_id, checkpoint=result.checkpoint, now=now, seq=seq
        )
        change = lambda listing: self._after(listing, WriteOutcome.DONE)  # noqa: E731 - bound to this very outcome
        await self._settle(row, done.row, "stock.was_published", change, errors=errors)

    async def _failed(self, row: Delivery, steps: tuple[StepSpec, ...], error: MarketsyncError) -> None:
        clock = self._core.clock
        if isinstance(error, Retry | PauseConnection | Refused) or not isinstance(error, InDoubt):
            known = replace(row, error=str(error))
            await self._settle(
                row, end(known), "stock.was_not_applied", lambda x: self._after(x, WriteOutcome.NOT_APPLIED), again=True,
                problem="" if isinstance(error, Retry) else str(error),
            )  # fmt: skip
            if isinstance(error, Retry) and error.counted:
                self._link.gate.failed(str(error))
            return
        after = to_doubt(row, steps, str(error), mono=clock.monotonic(), boot=clock.boot_id)
        await self._settle(
            row, after, "delivery.is_in_doubt", lambda x: self._after(x, WriteOutcome.IN_DOUBT)
        )

    def _after(self, listing: Listing, outcome: WriteOutcome) -> Listing:
        return after_write(listing, outcome, self._landed_at())

    def _landed_at(self) -> datetime:
        """An upper bound of when the write landed, in the marketplace's own time."""
        return self._link.http.server_now() or self._core.clock.now()

    async def _settle(
        self, before: Delivery, after: Delivery, event: str, change: Change, *, again: bool = False,
        errors: Mapping[str, str] | None = None, problem: str = "",
    ) -> None:  # fmt: skip
        """The row and every listing it carried, in one transaction."""
        merchant, name, now = self._core.merchant, self._link.name, self._core.clock.now()
        failed = errors or {}

        async def unit_of_work(unit: Unit) -> None:
            await deliveries.move(unit, before, after, event, now)
            skus = [sku for sku, _ in await deliveries.items(unit, before.id)]
            names = await maps.sources(unit, merchant, name, "sku", skus)
            rows = await listings.get(unit, merchant, name, skus)
            moved = []
            for sku, row in rows.items():
                if row.delivery != before.id:
                    continue
                error = next((failed[x] for x in names.get(sku, [sku]) if x in failed), "")
                listing = self._after(row.listing, WriteOutcome.NOT_APPLIED) if error else change(row.listing)
                dirty = (row.dirty or again or listing.presumed is None) and not error
                moved.append(replace(row, listing=listing, dirty=dirty, error=error))
            await listings.put(unit, moved)
            if problem:
                item = Parked(merchant, "stock", name, name, problem, (f"stock:{name}",), now)
                await parked.park(unit, item)
            elif after.state is State.DONE:
                await parked.release_many(unit, merchant, [("stock", name)])

        await self._core.store.write(unit_of_work)
        self._core.crash.reach("publish.after_settle")
