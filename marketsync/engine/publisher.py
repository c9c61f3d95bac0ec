"""Publishes one pool's stock on one marketplace: computed when it is sent, absolute, one write in flight (C15 to C20)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

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
from marketsync.engine.due import (
    SOON_SECONDS,
    Due,
    affordable,
    after_trouble,
    count,
    first_to_go,
    others_fresh,
)
from marketsync.engine.levels import Picture, picture
from marketsync.engine.looks import STILL_AT_IT, is_overdue
from marketsync.engine.payloads import built, decode
from marketsync.errors import InDoubt, MarketsyncError, Park, PauseConnection, Refused, Retry
from marketsync.ports import (
    Batch,
    BulkWriter,
    Departure,
    PollsReceipts,
    PublishStock,
    StepDone,
    StepWaiting,
    StockItem,
)
from marketsync.store import Unit, deliveries, listings, maps, parked
from marketsync.store.rows import ListingRow, Parked

BATCH_MAX = 500
DOUBTS_MAX = 50
NOTHING_SECONDS = 3600.0
UNFINISHED = (State.SENT, State.WAITING, State.IN_DOUBT)

Change = Callable[[Listing], Listing]


class Out(msgspec.Struct, frozen=True):
    """A batch that left: its row, its steps, what it says, and why each listing was due."""

    row: Delivery
    steps: tuple[StepSpec, ...]
    payload: PublishStock
    reasons: Sequence[SendReason]


class Publisher:
    """One per marketplace. `freshness` says up to when each marketplace of the pool was read (C18)."""

    def __init__(
        self, core: Core, network: Network, link: MarketplaceLink,
        coverage_until: Callable[[ConnectionId], datetime | None],
    ) -> None:  # fmt: skip
        self._core = core
        self._network = network
        self._link = link
        self._coverage_until = coverage_until
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
        out = await self._unfinished() if self._maybe_out else []
        self._maybe_out = bool(out)
        waits = [await self._finish(row) for row in out]
        wait = min(waits, key=abs, default=-self._link.settings.publish_seconds)
        # What is in doubt only waits: it holds back its own listings, and no other.
        doubts = sum(row.state is State.IN_DOUBT for row in out)
        busy = len(out) - doubts
        if doubts >= DOUBTS_MAX or busy >= self._writer.batch(1).at_once:
            return wait
        if (way := await self._way(busy)) is None:
            return wait
        self._core.crash.reach("publish.before_claim")
        self._maybe_out = True
        batch = await self._core.store.write(partial(self._claim, items_max=way.items_max))
        if batch is None:
            return wait
        name, observer = self._link.name, self._core.observer
        for reason in batch.reasons:
            observer.count("marketsync_stock_writes_total", 1, connection=name, reason=reason.value)
        self._core.crash.reach("publish.after_claim")
        return await self._send(batch)

    @property
    def _writer(self) -> BulkWriter:
        return cast("BulkWriter", self._link.adapter.writers[Kind.STOCK])

    async def _way(self, out: int) -> Batch | None:
        """How what is due may leave now, None if nothing is. Where the way for many is taken or spent, the way for one is
        left: what must go down must not wait behind it."""
        # Before a place in the budget is taken: a write may be allowed once a minute.
        due, quiet = await self._core.store.read(self._look)
        if not due and quiet:
            due = await self._core.store.write(self._due)
        if not due:
            return None
        many, single = self._writer.batch(len(due)), self._writer.batch(1)
        if many != single and out < many.at_once and self._link.http.is_ready(many.operation):
            single = many
        await self._link.http.ready(single.operation)
        return single

    async def _unfinished(self) -> list[Delivery]:
        merchant, name = self._core.merchant, self._link.name
        rows = await self._core.store.read(
            lambda unit: deliveries.in_state(unit, merchant, name, UNFINISHED, 1000)
        )
        return [row for row in rows if row.kind is Kind.STOCK]

    # Computing and claiming

    async def _due(self, unit: Unit) -> list[Due]:
        """What is to be sent now; what need not be looked at again before something changes is marked so."""
        due, quiet = await self._look(unit)
        await listings.put(unit, quiet)
        return due

    async def _look(self, unit: Unit) -> tuple[list[Due], list[ListingRow]]:
        """What is to be sent now, and what need not be looked at again."""
        merchant, link, after = self._core.merchant, self._link, ""
        quiet: list[ListingRow] = []
        while True:
            dirty = await listings.dirty(unit, merchant, link.name, BATCH_MAX, after)
            # Of what is under way nothing can be said before its answer.
            rows = [row for row in dirty if not row.listing.may_land]
            due: list[Due] = []
            if rows:
                scene = await picture(unit, merchant, link.settings.back_office, [row.sku for row in rows])
                due, still = self._choose(rows, scene)
                due = await affordable(unit, self._core, link, due)
                quiet += still
            if due or len(dirty) < BATCH_MAX:
                return due, quiet
            # A whole slice that has to wait, such as raises without fresh coverage, holds no zero behind it back (C18).
            after = dirty[-1].sku

    async def _claim(self, unit: Unit, items_max: int) -> Out | None:
        """C15: the values are computed in the transaction that marks this very attempt as sent."""
        merchant, link = self._core.merchant, self._link
        due = await self._due(unit)
        if not due:
            return None
        names = await maps.sources(unit, merchant, link.name, "sku", [x.row.sku for x in due])
        due = first_to_go(due, names, items_max)
        number, seq, now, policy = unit.seq(), unit.seq(), self._core.clock.now(), link.settings.stock
        begun = [
            replace(
                x.row, listing=begin_write(x.row.listing, x.low, policy, seq), delivery=number, dirty=False
            )
            for x in due
        ]
        items = [
            StockItem(Sku(name), row.listing.value or 0)
            for row in begun
            for name in names.get(row.sku, [row.sku])
        ]
        draft = built(PublishStock(tuple(items)))
        steps = link.adapter.writers[Kind.STOCK].steps(draft.payload)
        queued = new_delivery(
            delivery_id=number, merchant=merchant, kind=Kind.STOCK, target=link.name,
            subject=f"batch:{number}", order_ref=f"stock:{number}", due_at=now.timestamp(), created_seq=seq,
        )  # fmt: skip
        row = claim(
            queued, steps, draft.document, draft.hash, 1, now=now.timestamp(),
            mono=self._core.clock.monotonic(), seq=seq,
        )  # fmt: skip
        await deliveries.insert(unit, [row])
        await deliveries.put_items(unit, number, [(x.sku, x.listing.value or 0) for x in begun])
        await listings.put(unit, begun)
        await count(unit, self._core, link, begun)
        return Out(row, steps, cast("PublishStock", draft.payload), [x.reason for x in due])

    def _choose(self, rows: Sequence[ListingRow], scene: Picture) -> tuple[list[Due], list[ListingRow]]:
        """C18: what is due now, and what need not be looked at again before something changes."""
        due: list[Due] = []
        quiet: list[ListingRow] = []
        policy, until = self._link.settings.stock, self._coverage_until(self._link.name)
        fresh = others_fresh(self._network, self._link, self._coverage_until, self._core.clock.now())
        for row in rows:
            low = self._low(row.sku, scene)
            reason = should_send(row.listing, low, until, policy, others_fresh=fresh)
            if reason is not None and low is not None:
                due.append(Due(row, low, policy.publishes(low), reason))
            elif low is None or row.listing.presumed == policy.publishes(low):
                quiet.append(replace(row, dirty=False))
        return due, quiet

    def _low(self, sku: str, scene: Picture) -> int | None:
        level: Level | None = scene.levels.get(sku)
        if level is None or not may_publish(scene.facts(sku), scene.claims.get(sku, ())):
            return None
        return level.low

    # Sending and settling

    async def _send(self, out: Out) -> float:
        """Seconds to the next round; negative where the marketplace did not say that it is well."""
        writer = self._link.adapter.writers[Kind.STOCK]
        try:
            result = await writer.send(out.payload, 0, "", Departure(out.row.attempt, out.row.send_by))
        except MarketsyncError as error:
            await self._failed(out.row, out.steps, error)
            if isinstance(error, PauseConnection):
                raise
            return after_trouble(error, self._link.settings.publish_seconds)
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises, the write may have left: doubt
            await self._failed(out.row, out.steps, InDoubt(f"the adapter failed with {type(error).__name__}"))
            return -SOON_SECONDS
        self._core.crash.reach("publish.after_send")
        await self._answered(out.row, out.steps, result)
        return SOON_SECONDS

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
            result = await self._asked(payload, row)
            if isinstance(result, Park):
                await self._failed(row, steps, result)
            elif isinstance(result, StepWaiting) and is_overdue(self._core, row, steps):
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

    async def _asked(self, payload: Any, row: Delivery) -> StepDone | StepWaiting | Park:
        """Park: it ended and has certainly done nothing; the listings are due as they were."""
        poller = cast("PollsReceipts", self._link.adapter.writers[Kind.STOCK])
        try:
            return await poller.poll(payload, row.step, row.checkpoint)
        except Park as error:
            return error

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
        results = await self._writer.results(payload, result.checkpoint)
        errors = {item.subject: item.error for item in results if item.error and not item.unsure}
        unsure = {item.subject: item.error for item in results if item.unsure}
        seq = self._core.store.next_seq()
        done = step_done(
            row, steps, remote_id=result.remote_id, checkpoint=result.checkpoint, now=now, seq=seq
        )
        landed = self._landed_at() + timedelta(seconds=steps[row.step].applied_after_seconds)
        change = lambda listing: after_write(listing, WriteOutcome.DONE, landed)  # noqa: E731 - bound to this very outcome
        await self._settle(
            row, done.row, "stock.was_published", change, errors=errors, unsure=frozenset(unsure),
            unknown=lambda listing: after_doubt(listing, landed), problem=next(iter(unsure.values()), ""),
        )  # fmt: skip

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
        errors: Mapping[str, str] | None = None, problem: str = "", unsure: frozenset[str] = frozenset(),
        unknown: Change | None = None,
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
                over = unknown if unknown and not unsure.isdisjoint(names.get(sku, [sku])) else change
                listing = self._after(row.listing, WriteOutcome.NOT_APPLIED) if error else over(row.listing)
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
