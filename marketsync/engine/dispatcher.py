"""Sends what is due to one connection, by lane: reserve a budget, claim on disk, send, settle (D5, D6, A1-A3)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

import msgspec
from msgspec.structs import replace

from marketsync.domain.deliveries import Delivery, Kind, State, StepSpec, claim, end, park
from marketsync.domain.doubt import spacing_remaining
from marketsync.domain.gap import needs_look
from marketsync.domain.ids import ConnectionId
from marketsync.domain.sequence import NextMove, next_move, next_runnable
from marketsync.engine import effects
from marketsync.engine.batch import Batch
from marketsync.engine.context import BackOfficeLink, Core, MarketplaceLink, Network
from marketsync.engine.payloads import Built, Draft, Drafts, NotNow, NotPossible, NotWanted, decode
from marketsync.engine.settling import Answered, Move, Settling, cancel_behind
from marketsync.errors import MarketsyncError, PauseConnection, Retry
from marketsync.ports import Departure, Payload, StepDone, Writer
from marketsync.store import Broken, Unit, connections, deliveries, links

IDLE_SECONDS_MAX = 30.0
# Whoever makes work wakes the loop; this is for what nobody says.
QUIET_SECONDS = 300.0
REST_SECONDS = 15.0
LOOK_SECONDS = 300.0


class Claimed(msgspec.Struct, frozen=True):
    row: Delivery
    steps: tuple[StepSpec, ...]
    payload: Payload


class Outcome(msgspec.Struct, frozen=True):
    """What is to be settled; `goes_on`: the next step has its budget and may be claimed in the same transaction."""

    answer: Answered
    goes_on: bool = False


class Dispatcher:
    """The sender of one connection. At most `in_flight_max` requests of it are under way.

    `look_first` are ids that the prober must look at before anything is sent: a Link appeared first (A15), or, with
    the moment since when (unix seconds), another life may have sent it (`Gap`). `looked_at` are those that it is done
    with in this life.
    """

    def __init__(self, core: Core, network: Network, link: MarketplaceLink | BackOfficeLink) -> None:
        self._core = core
        self._network = network
        self._link = link
        self._drafts = Drafts(core, network, link)
        self.settling = Settling(core, link)
        self._claims: Batch[Delivery, Claimed | None] = Batch(self._claim_all, core.clock)
        self._outcomes: Batch[Outcome, Claimed | None] = Batch(self._settle_all, core.clock)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._resting: dict[int, float] = {}
        self.look_first: dict[int, float | None] = {}
        self.looked_at: dict[int, None] = {}

    @property
    def in_flight(self) -> frozenset[int]:
        """Ids of the deliveries that a task of ours may still send (A4, A10)."""
        return frozenset(self._tasks)

    async def drain(self, seconds: float) -> None:
        """Let what is under way finish, for `seconds` at most."""
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    async def turn(self, group: asyncio.TaskGroup) -> float:
        """Start tasks of `group` for due rows while there is room. Returns how long nothing else will be due."""
        gate, now = self._link.gate, self._core.clock.now().timestamp()
        if gate.paused:
            return IDLE_SECONDS_MAX
        room = self._link.settings.in_flight_max - len(self._tasks)
        if room <= 0:
            return IDLE_SECONDS_MAX
        rows, next_due = await self._core.store.read(lambda unit: self._due(unit, now, room))
        for row in rows:
            if row.id in self._tasks:
                continue
            if not gate.admit():
                return min(max(gate.wait_seconds(), 0.05), IDLE_SECONDS_MAX)
            task = group.create_task(self._guarded(row))
            self._tasks[row.id] = task
            task.add_done_callback(partial(self._finished, row.id))
        wait = QUIET_SECONDS if next_due is None else max(next_due - now, 0.05)
        return min(wait, REST_SECONDS if self._resting else QUIET_SECONDS)

    async def _due(self, unit: Unit, now: float, room: int) -> tuple[list[Delivery], float | None]:
        mono = self._core.clock.monotonic()
        self._resting = {key: until for key, until in self._resting.items() if until > mono}
        limit = room + len(self._tasks) + len(self._resting)
        rows, next_due = await deliveries.due(unit, self._core.merchant, self._link.name, now, limit)
        fresh = [row for row in rows if row.id not in self._tasks and row.id not in self._resting][:room]
        if len(fresh) == room:
            # Full: whoever finishes wakes us.
            return fresh, None
        return fresh, next_due

    def _finished(self, key: int, _: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)
        self._link.dispatch.set()

    async def _guarded(self, row: Delivery) -> None:
        try:
            await self._one(row)
        except Broken:
            raise
        except Exception as error:  # noqa: BLE001 - one delivery's fault: the watchdog puts it in doubt if it was sent
            self._resting[row.id] = self._core.clock.monotonic() + REST_SECONDS
            self._core.observer.event(
                "dispatch.failed", connection=self._link.name, kind=row.kind.value, error=type(error).__name__
            )

    async def _one(self, row: Delivery) -> None:
        """From the budget of one step to the outcome of it, and of the steps behind it as far as they go on."""
        writer = self._link.adapter.writers.get(row.kind)
        if writer is None:
            await self._core.store.write(lambda unit: self._no_power(unit, row))
            return
        try:
            await self._link.http.ready(writer.operation(row.step))
        except Retry as error:
            seconds = error.after_seconds or 1.0
            await self._core.store.write(lambda unit: self._defer(unit, row, seconds))
            return
        self._core.crash.reach("dispatch.before_claim")
        claimed = await self._claims.submit(row)
        while claimed is not None:
            claimed = await self._attempt(writer, claimed)

    async def _attempt(self, writer: Writer, claimed: Claimed) -> Claimed | None:
        """Send what is claimed and write what became of it. Returns the next step, if it is claimed with that."""
        row, goes_on = claimed.row, False
        self._core.crash.reach(f"send.before_{row.kind.value}.{row.step}")
        try:
            result = await writer.send(
                claimed.payload, row.step, row.checkpoint, Departure(row.attempt, row.send_by)
            )
        except MarketsyncError as error:
            answer = Answered(row, claimed.steps, error)
            await self._judge_gate(error)
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises, the write may have left: doubt
            answer = Answered(row, claimed.steps, error)
            self._core.observer.event(
                "adapter.failed", connection=self._link.name, kind=row.kind.value, error=type(error).__name__
            )
        else:
            answer = Answered(row, claimed.steps, result)
            self._link.gate.succeeded()
            goes_on = isinstance(result, StepDone) and await self._may_go_on(writer, claimed)
        self._core.crash.reach(f"send.after_{row.kind.value}.{row.step}")
        # What came back is written down, whatever becomes of this task.
        following = await asyncio.shield(self._outcomes.submit(Outcome(answer, goes_on)))
        self._core.crash.reach("dispatch.after_settle")
        return following

    async def _may_go_on(self, writer: Writer, claimed: Claimed) -> bool:
        """Whether the step behind this one may leave at once: its budget is not waited for while an answer is in hand."""
        step = claimed.row.step + 1
        if step >= len(claimed.steps) or self._link.gate.paused:
            return False
        try:
            await self._link.http.ready(writer.operation(step), within_seconds=0.0)
        except Retry:
            return False
        return True

    async def settle(self, answer: Answered) -> None:
        await self._outcomes.submit(Outcome(answer))

    def report_look_first(self) -> None:
        self._core.observer.gauge("marketsync_look_first", len(self.look_first), connection=self._link.name)

    def _report(self, rows: Sequence[Delivery]) -> None:
        for row in rows:
            self._core.observer.count(
                "marketsync_attempts_total",
                1,
                connection=self._link.name,
                kind=row.kind.value,
                outcome=row.state.value,
            )
        if isinstance(self._link, BackOfficeLink) and any(
            row.state in (State.DONE, State.CANCELLED) for row in rows
        ):
            self._link.stock.set()
            for marketplace in self._network.marketplaces.values():
                marketplace.publish.set()

    async def _judge_gate(self, error: MarketsyncError) -> None:
        if isinstance(error, PauseConnection):
            self._link.gate.pause(error)
            reason = str(error)
            await self._core.store.write(
                lambda unit: connections.pause(
                    unit, self._core.merchant, self._link.name, reason, "credentials"
                )
            )
        elif isinstance(error, Retry) and error.counted:
            self._link.gate.failed(str(error))

    # Claiming

    async def _claim_all(self, rows: Sequence[Delivery]) -> Sequence[Claimed | Exception | None]:
        return await self._core.store.write(lambda unit: self._claim(unit, rows))

    async def _claim(self, unit: Unit, rows: Sequence[Delivery]) -> list[Claimed | Exception | None]:
        """A1, A2: one transaction that marks what may leave as sent, with its frozen payload."""
        merchant, now = self._core.merchant, self._core.clock.now()
        refs = list(dict.fromkeys(row.order_ref for row in rows))
        queues = await deliveries.queues_of(unit, merchant, self._link.name, refs)
        known = await links.of_many(unit, merchant, self._link.name, [row.subject for row in rows])
        heads = {
            head.id: head for head in next_runnable([x for q in queues.values() for x in q], now.timestamp())
        }
        fresh = [heads[row.id] for row in rows if row.id in heads]
        drafts = await self._drafts.build(unit, [row for row in fresh if row.step == 0])
        claimed: dict[int, Claimed] = {}
        moves: list[Move] = []
        for row in fresh:
            if row.kind is Kind.CREATE and cancel_behind(queues.get(row.order_ref, ())):
                # Only another life can have sent it (else the cancel would have ended it): never sent, only looked for.
                self.looked_at.pop(row.id, None)
            ids = [link.remote_id for link in known.get(row.subject, ())]
            made = self._depart(unit, row, drafts.get(row.id), ids, now.timestamp())
            if isinstance(made, Claimed):
                claimed[row.id] = made
                moves.append(Move(row, made.row, "delivery.was_sent"))
            elif made is not None:
                moves.append(made)
        await self.settling.carry_out(unit, moves, queues)
        await self._departed(unit, list(claimed.values()))
        return [claimed.get(row.id) for row in rows]

    def _depart(
        self, unit: Unit, row: Delivery, draft: Draft | None, ids: Sequence[str], now: float
    ) -> Claimed | Move | None:
        writer = self._link.adapter.writers[row.kind]
        if row.step > 0:
            payload = decode(row)
            return self._unseen(row, writer.steps(payload), row.first_departure_at, now) or self._claimed(
                unit, row, writer, payload, row.payload, row.payload_hash, now
            )
        match draft:
            case None:
                return None
            case NotNow(reason, seconds):
                return Move(row, replace(row, due_at=now + seconds, error=reason), "")
            case NotWanted(reason, tell):
                ended = replace(end(row), error=reason)
                return Move(row, ended, "delivery.not_needed", conflict=reason if tell else "")
            case NotPossible(reason, causes):
                return Move(row, park(row, reason), "delivery.was_parked", causes=causes)
            case Built(payload, document, ordered_at, elsewhere):
                steps = writer.steps(payload)
                if next_move(row, steps, ids) is not NextMove.SEND:
                    self.look_first[row.id] = None
                    return Move(row, replace(row, due_at=now + IDLE_SECONDS_MAX, error=LOOK_FIRST), "")
                possible_since = None if ordered_at is None else ordered_at.timestamp()
                if unseen := self._unseen(row, steps, possible_since, now):
                    return unseen
                if elsewhere:
                    cause = f"shipped_elsewhere:{row.order_ref}"
                    return Move(row, park(row, SHIPPED_ELSEWHERE), "delivery.was_parked", causes=(cause,))
                spacing = spacing_remaining(row, steps, draft.hash, now=now)
                if spacing > 0:
                    return Move(row, replace(row, due_at=now + spacing), "")
                return self._claimed(unit, row, writer, payload, document, draft.hash, now)

    def _unseen(
        self, row: Delivery, steps: Sequence[StepSpec], possible_since: float | None, now: float
    ) -> Move | None:
        """What a life that this database knows nothing of may have sent is looked at before it leaves from here."""
        gap, step = self._core.store.gap, steps[row.step]
        if gap is None or possible_since is None or row.id in self.looked_at:
            return None
        if not gap.covers(datetime.fromtimestamp(possible_since, UTC)):
            return None
        wait = gap.wait_seconds(step, self._core.clock.now())
        if wait > 0:
            return Move(row, replace(row, due_at=now + wait, error=LANDS_YET), "")
        if not needs_look(step):
            return None
        self.look_first[row.id] = possible_since
        self.report_look_first()
        self._link.probe.set()
        return Move(row, replace(row, due_at=now + LOOK_SECONDS, error=OTHER_LIFE), "")

    def _claimed(
        self,
        unit: Unit,
        row: Delivery,
        writer: Writer,
        payload: Payload,
        document: bytes,
        digest: str,
        now: float,
    ) -> Claimed:
        steps = writer.steps(payload)
        sent = claim(
            row,
            steps,
            document,
            digest,
            row.wanted,
            now=now,
            mono=self._core.clock.monotonic(),
            seq=unit.seq(),
        )
        return Claimed(sent, steps, payload)

    async def _departed(self, unit: Unit, claimed: Sequence[Claimed]) -> None:
        pool = self._pool()
        await effects.departed(unit, self._core.merchant, pool, [(c.row, c.payload) for c in claimed])

    def _pool(self) -> ConnectionId:
        link = self._link
        return link.settings.back_office if isinstance(link, MarketplaceLink) else link.name

    # Small moves

    async def _settle_all(self, outcomes: Sequence[Outcome]) -> Sequence[Claimed | Exception | None]:
        async def unit_of_work(unit: Unit) -> tuple[Mapping[int, Delivery], Mapping[int, Claimed]]:
            moves, queues = await self.settling.judge(unit, [x.answer for x in outcomes])
            going = {x.answer.row.id for x in outcomes if x.goes_on}
            claimed = self._claim_next(
                unit, [m for m in moves if m.before.id in going and m.on_the_way], queues
            )
            await self.settling.carry_out(
                unit, [_sent_on(m, claimed.get(m.before.id)) for m in moves], queues
            )
            await self._departed(unit, list(claimed.values()))
            return {move.before.id: move.after for move in moves}, claimed

        after, claimed = await self._core.store.write(unit_of_work)
        rows = [after.get(x.answer.row.id, x.answer.row) for x in outcomes]
        self._report(rows)
        return [claimed.get(row.id) for row in rows]

    def _claim_next(
        self, unit: Unit, moves: Sequence[Move], queues: Mapping[str, Sequence[Delivery]]
    ) -> dict[int, Claimed]:
        """The step behind the one that was just done, if nothing is in its way: what is waits for its turn."""
        now, claimed = self._core.clock.now().timestamp(), {}
        for row in (move.after for move in moves):
            queue = [row if x.id == row.id else x for x in queues[row.order_ref]]
            if row in next_runnable(queue, now):
                made = self._depart(unit, row, None, (), now)
                if isinstance(made, Claimed):
                    claimed[row.id] = made
        return claimed

    async def _defer(self, unit: Unit, row: Delivery, seconds: float) -> None:
        rows = await deliveries.get_many(unit, [row.id])
        current = rows.get(row.id)
        if current is not None and current.state is State.QUEUED:
            due = self._core.clock.now().timestamp() + seconds
            await deliveries.move_many(
                unit, [(current, replace(current, due_at=due), "")], self._core.clock.now()
            )

    async def _no_power(self, unit: Unit, row: Delivery) -> None:
        text = f"{self._link.name} has no way to {row.kind.value}"
        move = Move(
            row, park(row, text), "delivery.was_parked", causes=(f"power:{row.kind.value}@{self._link.name}",)
        )
        await self.settling.carry_out(unit, [move], {})


def _sent_on(move: Move, claimed: Claimed | None) -> Move:
    """Done and sent again, to its next step, in one."""
    return move if claimed is None else replace(move, after=claimed.row)


LOOK_FIRST = "a record of it is already linked: it is looked at before anything is sent"
LANDS_YET = "what was sent before this database took over may still land"
OTHER_LIFE = "it may have been sent before this database took over: it is looked at first"
SHIPPED_ELSEWHERE = "it was shipped before it was first seen here"
