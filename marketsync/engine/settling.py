"""Outcomes of attempts, written in batches: rows, Links, claims and parked items in one transaction (A7-A9, D6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import backoff
import msgspec

from marketsync.domain import sequence
from marketsync.domain.deliveries import (
    Delivery,
    Kind,
    State,
    StepSpec,
    end,
    learn,
    refused,
    retry,
    settles,
    step_done,
    too_late,
    waiting,
)
from marketsync.domain.doubt import to_doubt
from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.engine import effects
from marketsync.engine.context import BackOfficeLink, Core, MarketplaceLink
from marketsync.errors import InDoubt, Park, PauseConnection, Refused, Retry, TooLate
from marketsync.ports import StepDone, StepResult, StepWaiting
from marketsync.store import Unit, deliveries, history, links, orders, parked
from marketsync.store.rows import TWIN, HistoryRow, Link, Parked

RETRY_SECONDS_MAX = 300.0
PAUSED_RETRY_SECONDS = 30.0


class Answered(msgspec.Struct, frozen=True):
    """What became of one attempt. `row` is the delivery as it was claimed or polled."""

    row: Delivery
    steps: tuple[StepSpec, ...]
    result: StepResult | Exception


class Move(msgspec.Struct, frozen=True):
    """One row's next state with all that belongs to it."""

    before: Delivery
    after: Delivery
    event: str
    link_ids: tuple[str, ...] = ()
    conflict: str = ""
    causes: tuple[str, ...] = ()
    was_applied: bool = False
    not_applied: bool = False

    @property
    def on_the_way(self) -> bool:
        return self.after.state is State.QUEUED and self.after.step > self.before.step


class Settling:
    """Carries moves of one target's deliveries out."""

    def __init__(self, core: Core, link: MarketplaceLink | BackOfficeLink) -> None:
        self._core = core
        self._link = link
        self._pool = link.settings.back_office if isinstance(link, MarketplaceLink) else link.name

    async def judge(
        self, unit: Unit, answers: Sequence[Answered]
    ) -> tuple[list[Move], Mapping[str, Sequence[Delivery]]]:
        """What becomes of these attempts, to be carried out, and the queues of their orders; a late answer of an older
        attempt changes no state (A7)."""
        refs = list(dict.fromkeys(answer.row.order_ref for answer in answers))
        subjects = list(dict.fromkeys(answer.row.subject for answer in answers))
        known = await links.of_many(unit, self._core.merchant, self._link.name, subjects)
        queues = await deliveries.queues_of(unit, self._core.merchant, self._link.name, refs)
        rows = {row.id: row for queue in queues.values() for row in queue}
        moves: list[Move] = []
        for answer in answers:
            row = rows.get(answer.row.id)
            ids = [link.remote_id for link in known[answer.row.subject]]
            if row is None or not (
                settles(row, answer.row.attempt) or settles(row, answer.row.attempt, State.WAITING)
            ):
                await self._late(unit, answer, ids)
                continue
            behind = cancel_behind(queues.get(row.order_ref, ()))
            moves.append(self._judge(unit, row, answer, ids, behind))
        return moves, queues

    async def carry_out(
        self, unit: Unit, moves: Sequence[Move], queues: Mapping[str, Sequence[Delivery]]
    ) -> None:
        """Write the moves, and decide a queued cancel again where a row in front of it came back (A19)."""
        now = self._core.clock.now()
        await deliveries.move_many(unit, [(m.before, m.after, m.event) for m in moves], now)
        for move in moves:
            self._tell(move)
            for remote_id in move.link_ids:
                await self._add_link(unit, move.after, remote_id)
            if move.conflict:
                await self.conflict(unit, move.after, move.conflict, now)
            if move.after.state is State.PARKED:
                await self._park(unit, move, now)
        await effects.applied(
            unit, [m.before for m in moves if m.was_applied], lag_seconds=self._lag_seconds()
        )
        await effects.not_applied(
            unit, self._core.merchant, self._pool, [m.before for m in moves if m.not_applied]
        )
        await self._pushed(unit, moves, now)
        for move in moves:
            queue = queues.get(move.after.order_ref, ())
            if _came_back(move) and cancel_behind(queue):
                await self._recancel(unit, move, queue, now)
            if move.after.state is State.CANCELLED and move.after.kind is Kind.CREATE:
                await self._void_cancel(unit, move, queue, now)

    def _tell(self, move: Move) -> None:
        """One line per outcome, none for a step on the way; our reference is the correlation id from poll to confirmation."""
        if move.event and move.after.state is not State.SENT and not move.on_the_way:
            self._core.observer.event(
                "delivery.was_moved",
                action=move.event,
                connection=self._link.name,
                kind=move.after.kind.value,
                state=move.after.state.value,
                attempt=move.after.attempt,
                correlation=move.after.order_ref,
            )

    def _judge(self, unit: Unit, row: Delivery, answer: Answered, ids: Sequence[str], behind: bool) -> Move:
        now, result, steps = self._core.clock.now().timestamp(), answer.result, answer.steps
        match result:
            case StepDone():
                outcome = step_done(
                    row, steps, remote_id=result.remote_id, checkpoint=result.checkpoint, link_ids=ids,
                    cancel_behind=behind, now=now, seq=unit.seq(),
                )  # fmt: skip
                conflict = outcome.conflict or result.conflict
                return Move(
                    row, outcome.row, "delivery.step_was_done", outcome.links, conflict, was_applied=True
                )
            case StepWaiting():
                after = waiting(row, result.receipt, now + result.poll_after_seconds)
                return Move(row, after, "delivery.is_waiting")
            case TooLate():
                return Move(row, too_late(row, now), "delivery.was_too_late", not_applied=not row.unsettled)
            case Retry() | PauseConnection():
                return self._again(row, result, now)
            case Refused() | Park():
                causes = result.causes if isinstance(result, Park) else ()
                after = refused(row, str(result))
                return Move(row, after, "delivery.was_refused", causes=causes, not_applied=not row.unsettled)
            case _:
                mono, boot = self._core.clock.monotonic(), self._core.clock.boot_id
                text = (
                    str(result)
                    if isinstance(result, InDoubt)
                    else f"the adapter failed with {type(result).__name__}"
                )
                return Move(row, to_doubt(row, steps, text, mono=mono, boot=boot), "delivery.is_in_doubt")

    def _again(self, row: Delivery, error: Retry | PauseConnection, now: float) -> Move:
        if isinstance(error, PauseConnection):
            after = retry(row, str(error), now + PAUSED_RETRY_SECONDS, counted=False)
        else:
            seconds = error.after_seconds
            if seconds is None:
                seconds = _backoff_seconds(row.failures) * self._core.random.uniform(0.8, 1.2)
            after = retry(row, error.reason, now + seconds, counted=error.counted)
        return Move(row, after, "delivery.will_be_retried", not_applied=not row.unsettled)

    async def _late(self, unit: Unit, answer: Answered, ids: Sequence[str]) -> None:
        """A7, A8: the row moved on, but an id is a fact."""
        if isinstance(answer.result, StepDone) and answer.result.remote_id:
            learned = learn(answer.row, ids, answer.result.remote_id)
            for remote_id in learned.links:
                await self._add_link(unit, answer.row, remote_id)
            if learned.conflict:
                await self.conflict(unit, answer.row, learned.conflict, self._core.clock.now())

    async def _add_link(self, unit: Unit, row: Delivery, remote_id: str) -> None:
        merchant, target, kind = MerchantId(row.merchant), ConnectionId(row.target), row.kind.value
        if row.kind is Kind.CREATE:
            known = await links.of(unit, merchant, target, row.subject)
            if any(x.kind == kind and x.remote_id not in (remote_id, row.order_ref) for x in known):
                kind = TWIN
        await links.add(unit, Link(merchant, target, kind, row.subject, remote_id))

    async def conflict(self, unit: Unit, row: Delivery, text: str, now: datetime) -> None:
        """What the promises can't mend by themselves: a person sees it, with all ids linked (A11, A21, A22)."""
        item = f"{row.kind.value}/{row.subject}"
        causes = (f"conflict:{row.target}/{row.subject}",)
        await parked.park(
            unit, Parked(self._core.merchant, "conflict", item, self._link.name, text, causes, now)
        )
        history.add(unit, HistoryRow(self._core.merchant, row.order_ref, now, "conflict.was_found", text))
        self._core.observer.count("marketsync_conflicts_total", 1, connection=self._link.name)
        self._core.observer.event("conflict.was_found", connection=self._link.name, kind=row.kind.value)

    async def _park(self, unit: Unit, move: Move, now: datetime) -> None:
        row = move.after
        causes = move.causes or (f"delivery:{row.id}",)
        item = Parked(self._core.merchant, "delivery", str(row.id), self._link.name, row.error, causes, now)
        await parked.park(unit, item)
        self._core.observer.event("delivery.was_parked", connection=self._link.name, kind=row.kind.value)

    async def _pushed(self, unit: Unit, moves: Sequence[Move], now: datetime) -> None:
        created = [m.after for m in moves if m.after.kind is Kind.CREATE and m.after.done > m.before.done]
        if created:
            await orders.mark_pushed(unit, self._core.merchant, [row.order_ref for row in created], now)

    async def _recancel(self, unit: Unit, move: Move, queue: Sequence[Delivery], now: datetime) -> None:
        row = move.after
        fresh = [row if x.id == row.id else x for x in queue]
        known = await links.of(unit, self._core.merchant, self._link.name, row.order_ref)
        elsewhere = await self._possible_elsewhere(unit, row.order_ref)
        if row.state is State.PARKED and elsewhere and row.attempt == 0:
            return  # Parked before it was looked for: another life's may be out.
        ids = [*(x.remote_id for x in known), *move.link_ids]
        decision = sequence.cancel(fresh, ids, sent_elsewhere=elsewhere)
        by_id = {x.id: x for x in fresh}
        moves = [(by_id[x.id], x, "delivery.superseded") for x in decision.ended]
        if not decision.send:
            moves += [(x, end(x), "cancel.not_needed") for x in fresh if _queued_cancel(x)]
        await deliveries.move_many(unit, moves, now)
        gone = [("delivery", str(x.id)) for x in decision.ended]
        await parked.release_many(unit, self._core.merchant, gone)

    async def _possible_elsewhere(self, unit: Unit, ref: str) -> bool:
        gap = self._core.store.gap
        if gap is None or not gap.lived:
            return False
        held = await orders.by_ref(unit, self._core.merchant, ref)
        return held is not None and gap.covers(held.order.created_at)

    async def _void_cancel(self, unit: Unit, move: Move, queue: Sequence[Delivery], now: datetime) -> None:
        """A19: the create certainly never was: there is nothing to cancel."""
        if move.link_ids or await links.of(unit, self._core.merchant, self._link.name, move.after.order_ref):
            return
        moves = [(x, end(x), "cancel.not_needed") for x in queue if _queued_cancel(x)]
        if moves:
            await deliveries.move_many(unit, moves, now)

    def _lag_seconds(self) -> float:
        return self._link.adapter.read_lag_seconds if isinstance(self._link, BackOfficeLink) else 0.0


def cancel_behind(queue: Sequence[Delivery]) -> bool:
    return any(_queued_cancel(row) for row in queue)


def _came_back(move: Move) -> bool:
    """Nothing of it is out any more, so that a cancel behind it can be decided again (A18, A19)."""
    row = move.after
    refused = row.state is State.PARKED and row.kind in (Kind.CREATE, Kind.UPDATE)
    return row.state is State.QUEUED or (refused and not row.unsettled and not move.conflict)


def _queued_cancel(row: Delivery) -> bool:
    return row.kind is Kind.CANCEL and row.state is State.QUEUED


def _backoff_seconds(failures: int) -> float:
    """The wait after so many counted failures, by the library's own schedule."""
    schedule = backoff.expo(base=2, factor=1, max_value=RETRY_SECONDS_MAX)
    next(schedule)
    seconds = 1.0
    for _ in range(min(failures, 10) + 1):
        seconds = float(next(schedule))
    return seconds
