"""Resolves what is not known: doubt after its wait, receipts, second looks, and what a dead life left behind (A4 to A22)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import cast

from msgspec.structs import replace

from marketsync.domain.deliveries import (
    Delivery,
    Kind,
    ProbeAnswer,
    State,
    StepSpec,
    end,
    park,
)
from marketsync.domain.doubt import (
    doubt_remaining,
    rearm,
    to_doubt,
)
from marketsync.domain.unmarked import Unmarked
from marketsync.engine import effects
from marketsync.engine.context import BackOfficeLink, Core, MarketplaceLink, Network
from marketsync.engine.dispatcher import QUIET_SECONDS, Dispatcher
from marketsync.engine.looks import STILL_AT_IT, Look, amendment, is_overdue, judge, shared_span, tell_apart
from marketsync.engine.payloads import Built, Drafts, built, decode
from marketsync.engine.second import FAILED_SECONDS, SecondLook, Settled
from marketsync.engine.settling import Answered, Move, cancel_behind
from marketsync.errors import InDoubt, MarketsyncError, Park, PauseConnection, Retry
from marketsync.ports import Payload, PollsReceipts, ProbeSpan, StepWaiting, Writer
from marketsync.store import Broken, Unit, deliveries, links, orders

BATCH = 50
# In a round, which those in doubt wait for: a shop is read once for all of them, a marketplace once for each.
FIRST_LOOKS_SHOP = 500
FIRST_LOOKS_MARKETPLACE = 5
IDLE_SECONDS = 30.0
MORE_SECONDS = 1.0
FAILED_LOOKS_MAX = 2
AGAIN_SECONDS = 30.0
SETTLED = (State.DONE, State.CANCELLED)
UNFINISHED = (State.SENT, State.WAITING, State.IN_DOUBT)
DOUBTED = "delivery.is_in_doubt"


class Prober:
    """One per connection, beside its dispatcher."""

    def __init__(
        self, core: Core, network: Network, link: MarketplaceLink | BackOfficeLink, dispatcher: Dispatcher
    ) -> None:
        self._core = core
        self._link = link
        self._dispatcher = dispatcher
        self._drafts = Drafts(core, network, link)
        self._second = SecondLook(core, link, self._drafts, dispatcher.settling)
        self._again_at: dict[int, float] = {}
        self._shared: ProbeSpan | None = None
        self._quiet_until = float("-inf")
        self._quiet_mark = (-1, -1)

    async def recover(self) -> None:
        """At start, before anything is sent: what a dead life left sent is in doubt (A10), waits of another boot begin
        anew and are stored (A5)."""
        clock = self._core.clock
        await self._park_unreadable()
        while True:
            moves = []
            for row in await self._in_state(State.SENT, State.IN_DOUBT):
                if row.state is State.SENT:
                    moves.append((row, self._doubted(row, "the process ended while it was sent"), DOUBTED))
                elif row.doubt_boot != clock.boot_id:
                    moves.append((row, rearm(row, mono=clock.monotonic(), boot=clock.boot_id), ""))
            if not moves:
                return
            move = partial(deliveries.move_many, moves=moves[:BATCH], at=clock.now())
            await self._core.store.write(move)

    def _doubted(self, row: Delivery, text: str) -> Delivery:
        clock, steps = self._core.clock, self._writer(row).steps(decode(row))
        return to_doubt(row, steps, text, mono=clock.monotonic(), boot=clock.boot_id)

    async def _park_unreadable(self) -> None:
        """What another version or configuration left, and this one can't resolve, waits for a person, alone (A16)."""
        for row in await self._in_state(*UNFINISHED):
            reason = self._unreadable(row)
            if reason is not None:
                await self._core.store.write(partial(self._park, row=row, reason=reason))

    def _unreadable(self, row: Delivery) -> Park | None:
        if row.kind not in self._link.adapter.writers:
            cause = f"power:{row.kind.value}@{self._link.name}"
            return Park(f"{self._link.name} has no way to {row.kind.value} any more", (cause,))
        try:
            self._writer(row).steps(decode(row))
        except Exception as error:  # noqa: BLE001 - whatever it holds, it must not stop the others
            return Park(
                f"what was sent can't be read any more ({type(error).__name__}): look at the far side"
            )
        return None

    async def round(self) -> float:
        """Look at what may be looked at. Returns the seconds until something else may be, negative if no call was made."""
        mark, busy = self._mark(), self._busy()
        if not busy and mark == self._quiet_mark and self._core.clock.monotonic() < self._quiet_until:
            return -IDLE_SECONDS
        before = self._dispatcher.in_flight
        held, settled = await self._core.store.read(self._everything)
        moved = await self._watch([row for row in held if row.state is State.SENT], before)
        unfinished = [row for row in held if row.state is not State.SENT]
        calls = 0
        rows = await self._due(unfinished) + await self._second.due(settled)
        self._shared = shared_span(
            (self._dispatcher.look_first.get(row.id) for row in rows),
            self._skew_seconds(),
            self._core.clock.now(),
        )
        failed = 0
        for row in rows:
            looked = await self._guarded(row)
            calls, failed = calls + looked, failed + (1 - looked)
            if failed >= FAILED_LOOKS_MAX and self._link.gate.is_open:
                # The far side is down: the others look when the interval opens again.
                break
        self._dispatcher.report_look_first()
        if moved or rows:
            unfinished = await self._in_state(State.IN_DOUBT, State.WAITING)
        wait = self._next_seconds(unfinished)
        if not (busy or rows or unfinished):
            self._quiet_mark, self._quiet_until = mark, self._core.clock.monotonic() + QUIET_SECONDS
        if any(key not in self._again_at for key in self._dispatcher.look_first):
            wait = MORE_SECONDS
        return wait if calls else -wait

    def _mark(self) -> tuple[int, int]:
        """Moves when a delivery of this connection may have left or been moved since."""
        return self._link.dispatch.times, self._link.probe.times

    def _busy(self) -> bool:
        return bool(self._dispatcher.in_flight or self._dispatcher.look_first)

    async def _everything(self, unit: Unit) -> tuple[list[Delivery], Settled]:
        """What is out, and what is due a second look."""
        return await self._held(unit, UNFINISHED), await self._second.split(unit)

    async def _in_state(self, *states: State) -> list[Delivery]:
        return await self._core.store.read(lambda unit: self._held(unit, states))

    async def _held(self, unit: Unit, states: Sequence[State]) -> list[Delivery]:
        merchant, name = self._core.merchant, self._link.name
        rows = await deliveries.in_state(unit, merchant, name, states, BATCH * 20)
        return [row for row in rows if row.kind is not Kind.STOCK]

    async def _watch(self, sent: Sequence[Delivery], before: Collection[int]) -> int:
        """A10: sent, and no task of ours can still send it. `before`: those that were out when it was read: one of them may have
        come home since."""
        moves = []
        for row in sent:
            if row.id in before or row.id in self._dispatcher.in_flight:
                continue
            reason = self._unreadable(row)
            if reason is not None:
                await self._core.store.write(partial(self._park, row=row, reason=reason))
            else:
                moves.append((row, self._doubted(row, "its task ended without an outcome"), DOUBTED))
        if moves:
            now = self._core.clock.now()
            await self._core.store.write(lambda unit: deliveries.move_many(unit, moves, now))
        return len(moves)

    async def _due(self, unfinished: Sequence[Delivery]) -> list[Delivery]:
        """In doubt and waited for, waiting with a receipt that is due, or linked before it was sent."""
        now, mono = self._core.clock.now().timestamp(), self._core.clock.monotonic()
        rows = [row for row in unfinished if self._may_look(row, mono, now)]
        most = FIRST_LOOKS_SHOP if isinstance(self._link, BackOfficeLink) else FIRST_LOOKS_MARKETPLACE
        first = list(self._dispatcher.look_first)[:most]
        linked = await self._core.store.read(lambda unit: deliveries.get_many(unit, first)) if first else {}
        for row in linked.values():
            if row.state is State.QUEUED and self._rested(row, mono):
                rows.append(row)
            else:
                self._dispatcher.look_first.pop(row.id, None)
        return rows

    def _may_look(self, row: Delivery, mono: float, now: float) -> bool:
        if not self._rested(row, mono):
            return False
        if row.state is State.WAITING:
            return row.due_at <= now
        return self._doubt_remaining(row, mono, now) <= 0

    def _doubt_remaining(self, row: Delivery, mono: float, now: float) -> float:
        """A4: another life may have sent it again until the moment at which this database took over."""
        remaining = doubt_remaining(row, self._core.clock.boot_id, mono)
        gap = self._core.store.gap
        if gap is None or not gap.lived:
            return remaining
        whole = row.doubt_wait_seconds
        return max(remaining, min(whole, gap.until.timestamp() + whole - now))

    def _rested(self, row: Delivery, mono: float) -> bool:
        return self._again_at.get(row.id, mono) <= mono

    async def _guarded(self, row: Delivery) -> int:
        """One look; what fails is looked at again later, and never stops the others. Returns the calls made."""
        try:
            await self._look(row)
        except PauseConnection:
            raise
        except Retry as error:
            await self._again(row, error.after_seconds)
            if error.counted:
                self._link.gate.failed(str(error))
        except Broken:
            raise
        except MarketsyncError as error:
            await self._again(row)
            self._failed(row, str(error))
        except Exception as error:  # noqa: BLE001 - an adapter's fault is one delivery's, looked at again later
            await self._again(row)
            self._failed(row, type(error).__name__)
        else:
            self._again_at.pop(row.id, None)
            return 1
        return 0

    async def _again(self, row: Delivery, seconds: float | None = None) -> None:
        if row.state in SETTLED:
            await self._second.put_off(row, seconds or FAILED_SECONDS)
        else:
            self._again_at[row.id] = self._core.clock.monotonic() + (seconds or AGAIN_SECONDS)

    def _failed(self, row: Delivery, text: str) -> None:
        self._core.observer.event(
            "probe.failed", connection=self._link.name, kind=row.kind.value, reason=text
        )

    async def _look(self, row: Delivery) -> None:
        if row.state is State.WAITING:
            await self._poll(row)
        elif row.state in SETTLED:
            await self._second.look(row, self._span(row), self._probe)
        else:
            await self._first(row)
        self._link.dispatch.set()

    # The look

    async def _first(self, row: Delivery) -> None:
        since = self._dispatcher.look_first.get(row.id) if row.state is State.QUEUED else None
        frozen = bool(row.payload) and (row.step > 0 or since is None)
        draft = built(decode(row)) if frozen else await self._second.rebuilt(row)
        if draft is None:
            self._dispatcher.look_first.pop(row.id, None)
            return
        span = self._span(row) if since is None or self._shared is None else self._shared
        try:
            answer = await self._probe(row, draft.payload, row.step, span)
        except Park as error:
            reason = error
            await self._core.store.write(lambda unit: self._stopped(unit, row, reason))
            return
        look = Look(row, draft, answer, span.now.timestamp(), since)
        after = await self._core.store.write(lambda unit: self._decide(unit, look))
        if after is not None:
            # Only once it is committed: what was not written down is looked at again, never sent.
            if after is State.QUEUED:
                self._dispatcher.looked_at[row.id] = None
            self._dispatcher.look_first.pop(row.id, None)
        self._core.observer.count(
            "marketsync_probes_total", 1, connection=self._link.name, kind=row.kind.value,
            answer=type(answer).__name__.lower(),
        )  # fmt: skip
        if isinstance(self._link, BackOfficeLink):
            self._link.stock.set()

    async def _decide(self, unit: Unit, look: Look) -> State | None:
        """The state that the row comes to; None where it changed meanwhile, or what it would say did."""
        row, payload = look.row, look.draft.payload
        current = (await deliveries.get_many(unit, [row.id])).get(row.id)
        if current is None or current.state is not row.state or current.attempt != row.attempt:
            return None
        if current.state is State.QUEUED and current.step == 0:
            draft = (await self._drafts.build(unit, [current])).get(row.id)
            if not isinstance(draft, Built) or draft.hash != look.draft.hash:
                return None
        steps = self._writer(row).steps(payload)
        queue = await deliveries.queues_of(unit, self._core.merchant, self._link.name, [row.order_ref])
        known = await links.of(unit, self._core.merchant, self._link.name, row.subject)
        judged = judge(
            look, current, steps, [x.remote_id for x in known], self._core.clock, unit.seq(),
            cancel_behind=cancel_behind(queue[row.order_ref]), skew_seconds=self._skew_seconds(),
        )  # fmt: skip
        decision, after = judged.decision, judged.decision.row
        if after.state is State.PARKED and await self._is_decided(unit, row):
            after = end(current)
        moved = after.step > current.step or after.done > current.done
        if moved and current.state is State.QUEUED:
            await self._adopted(unit, current, payload, after, steps)
        move = Move(
            current, after, "delivery.was_probed", decision.links, decision.conflict, was_applied=moved,
            not_applied=not moved and after.state in (State.QUEUED, State.CANCELLED),
        )  # fmt: skip
        await self._dispatcher.settling.carry_out(unit, [move], queue)
        if judged.amend and not any(x.kind is Kind.UPDATE for x in queue[row.order_ref]):
            await deliveries.insert(unit, [amendment(unit, row, self._core.clock.now())])
        return after.state

    async def _is_decided(self, unit: Unit, row: Delivery) -> bool:
        """Somebody else answered, and otherwise: the order is what it is, and nobody need be asked about our answer."""
        if row.kind is not Kind.ACCEPT:
            return False
        held = await orders.by_ref(unit, self._core.merchant, row.order_ref)
        return held is not None and not held.order.awaits_acceptance

    async def _stopped(self, unit: Unit, row: Delivery, reason: Park) -> None:
        """The look itself found what only a person can judge, such as another installation at work (failure 60)."""
        if not await self._park(unit, row, reason):
            return
        self._core.observer.count("marketsync_conflicts_total", 1, connection=self._link.name)
        self._core.observer.event(
            "conflict.was_found", connection=self._link.name, kind=row.kind.value, correlation=row.order_ref
        )

    async def _park(self, unit: Unit, row: Delivery, reason: Park) -> bool:
        current = (await deliveries.get_many(unit, [row.id])).get(row.id)
        if current is None or current.state is not row.state or current.attempt != row.attempt:
            return False
        self._dispatcher.look_first.pop(row.id, None)
        move = Move(current, park(current, str(reason)), "delivery.was_parked", causes=reason.causes)
        await self._dispatcher.settling.carry_out(unit, [move], {})
        return True

    async def _adopted(
        self, unit: Unit, row: Delivery, payload: Payload, after: Delivery, steps: Sequence[StepSpec]
    ) -> None:
        """A record that was there before its row was ever settled: its steps are the claims' steps now."""
        completed = len(steps) if after.done > row.done else after.step
        pool = self._link.settings.back_office if isinstance(self._link, MarketplaceLink) else self._link.name
        for step in range(row.step, completed):
            sent = replace(row, step=step, sent_seq=unit.seq())
            await effects.departed(unit, self._core.merchant, pool, [(sent, payload)])

    def _span(self, row: Delivery) -> ProbeSpan:
        now = self._core.clock.now()
        first = row.first_departure_at
        since = now if first is None else datetime.fromtimestamp(first, UTC)
        return ProbeSpan(since - timedelta(seconds=self._skew_seconds()), now)

    async def _probe(self, row: Delivery, payload: Payload, step: int, span: ProbeSpan) -> ProbeAnswer:
        self._core.crash.reach("probe.before_look")
        answer = await self._writer(row).probe(payload, step, row.checkpoint, span)
        self._core.crash.reach("probe.after_look")
        if isinstance(answer, Unmarked):
            seen = answer
            return await self._core.store.read(lambda unit: tell_apart(unit, row, seen))
        return answer

    # Receipts

    async def _poll(self, row: Delivery) -> None:
        writer = cast("PollsReceipts", self._writer(row))
        payload = decode(row)
        steps = self._writer(row).steps(payload)
        try:
            result = await writer.poll(payload, row.step, row.checkpoint)
        except Retry as error:
            if not (error.counted and is_overdue(self._core, row, steps, failing=True)):
                raise
            await self._dispatcher.settle(Answered(row, steps, InDoubt(f"{STILL_AT_IT}: {error}")))
        except PauseConnection:
            raise
        except MarketsyncError as error:
            await self._dispatcher.settle(Answered(row, steps, error))
        else:
            late = isinstance(result, StepWaiting) and is_overdue(self._core, row, steps)
            await self._dispatcher.settle(Answered(row, steps, InDoubt(STILL_AT_IT) if late else result))

    # Times

    def _next_seconds(self, unfinished: Sequence[Delivery]) -> float:
        clock = self._core.clock
        now, mono = clock.now().timestamp(), clock.monotonic()
        waits = [IDLE_SECONDS]
        for row in unfinished:
            wait = row.due_at - now if row.state is State.WAITING else self._doubt_remaining(row, mono, now)
            waits.append(max(wait, self._again_at.get(row.id, mono) - mono))
        return max(0.05, min(waits))

    def _skew_seconds(self) -> float:
        return self._link.settings.skew_seconds if isinstance(self._link, BackOfficeLink) else 0.0

    def _writer(self, row: Delivery) -> Writer:
        return self._link.adapter.writers[row.kind]
