"""Publishes one pool's stock on one marketplace: computed when it is sent, absolute, one write in flight (C15 to C20)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from math import inf
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
from marketsync.domain.ids import Sku
from marketsync.domain.publishing import (
    Listing,
    SendReason,
    WriteOutcome,
    after_doubt,
    after_write,
    begin_write,
)
from marketsync.engine.context import Core, MarketplaceLink, Network
from marketsync.engine.due import (
    SOON_SECONDS,
    Choice,
    CoverageUntil,
    Found,
    Way,
    after_trouble,
    count,
    first_to_go,
)
from marketsync.engine.looks import STILL_AT_IT, is_overdue
from marketsync.engine.payloads import built, decode
from marketsync.errors import InDoubt, MarketsyncError, Park, PauseConnection, Refused, Retry
from marketsync.ports import (
    BulkWriter,
    Departure,
    PollsReceipts,
    PublishStock,
    StepDone,
    StepWaiting,
    StockItem,
)
from marketsync.store import Unit, deliveries, listings, maps, parked
from marketsync.store.rows import Parked

DOUBTS_MAX = 50
NOTHING_SECONDS = 3600.0
QUIET_MAX = 50
UNFINISHED = (State.SENT, State.WAITING, State.IN_DOUBT)

Change = Callable[[Listing], Listing]


class Out(msgspec.Struct, frozen=True):
    """A batch that left: its row, its steps, what it says, and why each listing was due."""

    row: Delivery
    steps: tuple[StepSpec, ...]
    payload: PublishStock
    reasons: Sequence[SendReason]


class Publisher:
    """One per marketplace."""

    def __init__(
        self, core: Core, network: Network, link: MarketplaceLink, coverage_until: CoverageUntil
    ) -> None:
        self._core = core
        self._link = link
        self._choice = Choice(core, network, link, coverage_until)
        self._out: Sequence[Delivery] | None = None
        self._marked_at = -inf

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
        out = await self._unfinished() if self._out is None else self._out
        waits = {row.id: self._wait_seconds(row) for row in out}
        # Nobody else moves them: they are read again only where one of them was moved here, or another one leaves.
        self._out = out if all(wait > 0 for wait in waits.values()) else None
        turns = [-waits[row.id] if waits[row.id] > 0 else await self._finish(row) for row in out]
        wait = min(turns, key=abs, default=-self._link.settings.publish_seconds)
        # What is in doubt only waits: it holds back its own listings, and no other.
        doubts = sum(row.state is State.IN_DOUBT for row in out)
        busy = len(out) - doubts
        if doubts >= DOUBTS_MAX or busy >= self._writer.batch(1).at_once:
            return wait
        if (way := await self._way(busy)) is None:
            return wait
        self._core.crash.reach("publish.before_claim")
        self._out = None
        batch = await self._core.store.write(partial(self._claim, way=way))
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

    async def _way(self, out: int) -> Way | None:
        """How what is due may leave now, None if nothing is. Where the way for many is taken or spent, the way for one is
        left: what must go down must not wait behind it."""
        # Before a place in the budget is taken: a write may be allowed once a minute.
        after = ""
        while not (found := await self._slice(after)).due:
            if found.following is None:
                return None
            after = found.following
            # Of a hundred thousand listings that wait, none holds the other loops up.
            await self._core.clock.sleep(0.0)
        many, single = self._writer.batch(len(found.due)), self._writer.batch(1)
        if many != single and out < many.at_once and self._link.http.is_ready(many.operation):
            single = many
        await self._link.http.ready(single.operation)
        return Way(single, after)

    async def _slice(self, after: str) -> Found:
        """Few that need not be looked at again are marked so once in a while, or with the next write: each mark is a commit."""
        found = await self._core.store.read(partial(self._choice.look, after=after))
        mono, often = self._core.clock.monotonic(), self._link.settings.publish_seconds
        if found.due or not found.quiet or (len(found.quiet) < QUIET_MAX and mono < self._marked_at + often):
            return found
        self._marked_at = mono
        return await self._core.store.write(partial(self._choice.marked, after=after))

    async def _unfinished(self) -> list[Delivery]:
        merchant, name = self._core.merchant, self._link.name
        rows = await self._core.store.read(
            lambda unit: deliveries.in_state(unit, merchant, name, UNFINISHED, 1000)
        )
        return [row for row in rows if row.kind is Kind.STOCK]

    # Computing and claiming

    async def _claim(self, unit: Unit, way: Way) -> Out | None:
        """C15: the values are computed in the transaction that marks this very attempt as sent."""
        merchant, link = self._core.merchant, self._link
        due = (await self._choice.marked(unit, way.after)).due
        if not due:
            return None
        names = await maps.sources(unit, merchant, link.name, "sku", [x.row.sku for x in due])
        due = first_to_go(due, names, way.batch.items_max)
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

    def _wait_seconds(self, row: Delivery) -> float:
        """Until something is to be done about it."""
        clock = self._core.clock
        if row.state is State.IN_DOUBT:
            return doubt_remaining(row, clock.boot_id, clock.monotonic())
        return row.due_at - clock.now().timestamp() if row.state is State.WAITING else 0.0

    async def _finish(self, row: Delivery) -> float:
        steps = self._steps(row)
        if row.state is State.WAITING:
            return await self._poll(row, steps)
        if row.state is State.SENT:
            await self._failed(row, steps, InDoubt("its task ended without an outcome"))
            return -0.5
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
