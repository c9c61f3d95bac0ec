"""One delivery, moved by the very functions that move the engine's, with the far side's books open beside it.

The invariant of every write: what the adapter says of an attempt, or of a look, is what is true there; and at the end
the effect is there once (A3, A8, A11, A12, D6).
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from marketsync.domain.deliveries import (
    Absent,
    Delivery,
    Found,
    Kind,
    ProbeAnswer,
    State,
    StepSpec,
    Unknown,
    WriteClass,
    claim,
    new_delivery,
    park,
    refused,
    retry,
    step_done,
    too_late,
    waiting,
)
from marketsync.domain.doubt import after_probe, after_wait, doubt_remaining, to_doubt
from marketsync.domain.unmarked import Unmarked, told_apart
from marketsync.errors import InDoubt, MarketsyncError, Park, PauseConnection, Refused, Retry, TooLate
from marketsync.kit.bench import Bench
from marketsync.kit.wire import CLEAR, Trouble
from marketsync.ports import (
    BulkWriter,
    Departure,
    PollsReceipts,
    ProbeSpan,
    StepDone,
    StepResult,
    StepWaiting,
    Writer,
)

MOVES_MAX = 60
RETRY_SECONDS = 30.0
TICK_SECONDS = 0.01

Watch = Callable[[], object]
Listed = Mapping[str, int | None]


class Scene(msgspec.Struct, frozen=True):
    """A write that is about to leave. `watch` is all that it may change at the far side, and nothing that time changes."""

    bench: Bench
    kind: Kind
    payload: Any
    watch: Watch


class Drive:
    """`said` is what is wrong so far; `shows` are the views of a clean run: before it, and after each of its steps; `wrote` and
    `waited` say of each step whether it made a write request then, and whether it was polled."""

    def __init__(self, scene: Scene, shows: Sequence[object] = (), wrote: Sequence[bool] = ()) -> None:
        self.bench, self.payload, self.watch = scene.bench, scene.payload, scene.watch
        self.said: list[str] = []
        self.shows = list(shows)
        self.writer: Writer = scene.bench.adapter.writers[scene.kind]
        self.steps: tuple[StepSpec, ...] = self.writer.steps(scene.payload)
        self.links: list[str] = []
        self.elsewhere: list[str] = []
        """What is linked to other deliveries."""
        self.wrote = list(wrote)
        self.waited: list[bool] = []
        self.poll_meets = CLEAR
        self.doubts = self.polls = 0
        self.conflicts: list[str] = []
        self.causes: list[str] = []
        self.raised: list[Exception] = []
        self._seq = 1
        self.row: Delivery = new_delivery(
            delivery_id=1, merchant="main", kind=scene.kind, target="kit", subject="subject", order_ref="order",
            due_at=self._unix(), created_seq=1,
        )  # fmt: skip

    async def to_end(
        self, trouble: Trouble = CLEAR, at_step: int = 0, look: Trouble = CLEAR, *, watched: bool = True
    ) -> Delivery:
        """Until nothing moves it any more. `trouble` meets the first write of `at_step`, `look` the first look."""
        for _ in range(MOVES_MAX):
            if self.row.state not in (State.QUEUED, State.WAITING, State.IN_DOUBT):
                return self.row
            if self.row.state is State.IN_DOUBT:
                await self._look(look, watched=watched)
                look = CLEAR
            elif self.row.state is State.QUEUED and self.row.step == at_step:
                await self.move(trouble, watched=watched)
                trouble = CLEAR
            else:
                await self.move(watched=watched)
        self._wrong(f"it never ends: after {MOVES_MAX} moves it is {self.row.state.value}")
        return self.row

    async def part(self, steps: int) -> None:
        """So many of its steps, without trouble."""
        for _ in range(MOVES_MAX):
            if self.row.step >= steps or self.row.state not in (State.QUEUED, State.WAITING):
                return
            await self.move(watched=False)

    async def move(self, trouble: Trouble = CLEAR, *, watched: bool = False) -> None:
        """Sends what is queued, or asks about what is waited for."""
        await self.bench.wait(self.row.due_at - self._unix())
        if self.row.state is State.WAITING:
            self._settle(await self._polled())
        else:
            await self._send(trouble, watched=watched)

    async def clean(self) -> None:
        """Without trouble, and the far side's view kept after each step."""
        self.shows = [self.watch()]
        for step, spec in enumerate(self.steps):
            sent, polled = len(self.bench.wire.writes), self.polls
            await self.part(step + 1)
            self.wrote.append(len(self.bench.wire.writes) > sent)
            self.waited.append(self.polls > polled)
            if self.row.step <= step:
                self._wrong(
                    f"without any trouble step {spec.name} is {self.row.state.value} ({self.row.error})"
                )
                return
            await self.bench.wait(spec.applied_after_seconds)
            self.shows.append(self.watch())
        if self.row.state is not State.DONE:
            self._wrong(f"without any trouble it ends {self.row.state.value} ({self.row.error})")
        elif self.shows[0] == self.shows[-1]:
            self._wrong("it is done, and the far side shows no effect of it")

    async def again(self) -> None:
        """Each step once more behind its success, as a resend would be: its echo is no second effect and no refusal."""
        before = self.watch()
        for step, spec in enumerate(self.steps):
            if spec.write_class not in (WriteClass.UPSERT, WriteClass.LOOKUP):
                continue
            await self.bench.wait(spec.visible_within_seconds)
            await self.bench.ready(self._operation(step))
            departure = Departure(2, self.bench.clock.monotonic() + spec.send_by_seconds)
            result = await _outcome(self.writer.send(self.payload, step, self.row.checkpoint, departure))
            for _ in range(MOVES_MAX):
                if not isinstance(result, StepWaiting):
                    break
                await self.bench.wait(result.poll_after_seconds)
                result = await _outcome(self._poll(step, result.receipt))
            await self.bench.wait(spec.lands_within_seconds + spec.applied_after_seconds)
            if self.watch() != before:
                self._wrong(f"step {spec.name} sent again took effect again")
            if not isinstance(result, StepDone | InDoubt):
                self._wrong(f"step {spec.name} sent again behind its success: {_name(result)}")

    async def too_late(self) -> None:
        """A3: behind its deadline nothing leaves."""
        await self.bench.ready(self._operation(0))
        sent, departure = len(self.bench.wire.writes), Departure(1, self.bench.clock.monotonic() - 1.0)
        result = await _outcome(self.writer.send(self.payload, 0, "", departure))
        if len(self.bench.wire.writes) > sent:
            self._wrong("a request left behind its send-by deadline")
        elif not isinstance(result, Retry | StepDone):
            self._wrong(f"behind its send-by deadline nothing left, and it is no Retry but {_name(result)}")

    # One move

    async def _send(self, trouble: Trouble, *, watched: bool) -> None:
        step, spec = self.row.step, self.steps[self.row.step]
        bench = self.bench
        operation = self._operation(step)
        await bench.ready(operation)
        document = msgspec.json.encode(self.payload)
        self.row = claim(
            self.row, self.steps, document, hashlib.sha256(document).hexdigest()[:32], 1,
            now=self._unix(), mono=bench.clock.monotonic(), seq=self._next(),
        )  # fmt: skip
        bench.wire.lands_within_seconds = spec.lands_within_seconds
        bench.wire.next_writes(trouble)
        before, sent = self.watch(), len(bench.wire.writes)
        departure = Departure(self.row.attempt, self.row.send_by)
        result = await _outcome(self.writer.send(self.payload, step, self.row.checkpoint, departure))
        bench.wire.next_writes()
        leaving = bench.wire.writes[sent:]
        if len(leaving) > 1:
            self._wrong(f"one sending of step {spec.name} made {len(leaving)} write requests")
        if leaving and bench.budget_of(leaving[0].operation) != bench.budget_of(operation):
            self._wrong(f"step {spec.name} spends the budget of {operation} and calls {leaving[0].operation}")
        self._settle(result)
        if watched:
            await self._judge(result, spec, before)

    async def _judge(self, result: StepResult | Exception, spec: StepSpec, before: object) -> None:
        match result:
            case StepDone():
                await self.bench.wait(spec.applied_after_seconds)
                if not await self.shows_step(self.row.step):
                    self._wrong(f"step {spec.name} is called done, and the far side shows otherwise")
            case StepWaiting() | InDoubt():
                return
            case Park() | Refused() | Retry() | PauseConnection():
                await self.bench.wait(spec.lands_within_seconds)
                if self.watch() != before:
                    self._wrong(
                        f"step {spec.name} is called not applied ({_name(result)}), and it took effect"
                    )
            case _:
                self._wrong(f"step {spec.name} ended with no decision of ours: {_name(result)}")

    async def shows_step(self, step: int) -> bool:
        """Whether the far side is where a clean run is after so many steps. What a bulk write itself calls an error of one
        item is not called done."""
        now, clean = self.watch(), self.shows[step]
        if self.row.kind is not Kind.STOCK or now == clean:
            return now == clean
        writer = cast("BulkWriter", self.writer)
        results = await self.bench.patient(lambda: writer.results(self.payload, self.row.checkpoint))
        settled = [result.subject for result in results if not result.error]
        seen, wanted = cast("Listed", now), cast("Listed", clean)
        return all(seen.get(sku) == wanted.get(sku) for sku in settled)

    def _operation(self, step: int) -> str:
        """Whose budget the step spends; a bulk write's depends on how many items it has."""
        if self.row.kind is Kind.STOCK:
            return cast("BulkWriter", self.writer).batch(len(self.payload.items)).operation
        return self.writer.operation(step)

    async def _polled(self) -> StepResult | Exception:
        self.polls += 1
        self.bench.wire.next_reads(self.poll_meets)
        self.poll_meets = CLEAR
        for _ in range(MOVES_MAX):
            result = await _outcome(self._poll(self.row.step, self.row.checkpoint))
            if not isinstance(result, Retry):
                return result
            await self.bench.wait(result.after_seconds or RETRY_SECONDS)
        return InDoubt("nothing is told of the receipt")

    async def _poll(self, step: int, receipt: str) -> StepResult:
        return await cast("PollsReceipts", self.writer).poll(self.payload, step, receipt)

    def _settle(self, result: StepResult | Exception) -> None:
        now, row = self._unix(), self.row
        if isinstance(result, Exception):
            self.raised.append(result)
        match result:
            case StepDone():
                outcome = step_done(
                    row, self.steps, remote_id=result.remote_id, checkpoint=result.checkpoint, link_ids=self.links,
                    now=now, seq=self._next(),
                )  # fmt: skip
                self.row = outcome.row
                self._learn(outcome.links, outcome.conflict or result.conflict)
            case StepWaiting():
                self.row = waiting(row, result.receipt, now + result.poll_after_seconds)
            case TooLate():
                self.row = too_late(row, now)
            case Retry():
                due_at = now + (result.after_seconds or RETRY_SECONDS)
                self.row = retry(row, result.reason, due_at, counted=result.counted)
            case PauseConnection():
                self.row = retry(row, str(result), now + RETRY_SECONDS, counted=False)
            case Refused() | Park():
                self.row = refused(row, str(result))
                self.causes += result.causes if isinstance(result, Park) else ()
            case _:
                mono, boot = self.bench.clock.monotonic(), self.bench.clock.boot_id
                self.row = to_doubt(row, self.steps, _name(result), mono=mono, boot=boot)

    # One look

    async def _look(self, trouble: Trouble, *, watched: bool) -> None:
        self.doubts += 1
        clock = self.bench.clock
        await self.bench.wait(doubt_remaining(self.row, clock.boot_id, clock.monotonic()) + TICK_SECONDS)
        mono = clock.monotonic()
        if self.row.kind is Kind.STOCK:
            self.row = after_wait(self.row, self.steps, now=self._unix(), mono=mono, boot=clock.boot_id)
            return
        self.bench.wire.next_reads(trouble)
        for _ in range(MOVES_MAX):
            began_at = self._unix()
            since = datetime.fromtimestamp(self.row.first_departure_at or began_at, UTC)
            span = ProbeSpan(since, self.bench.now)
            try:
                seen = await self.writer.probe(self.payload, self.row.step, self.row.checkpoint, span)
                answer = self._own(seen)
            except Park as error:
                self.bench.wire.next_reads()
                self.row = park(self.row, str(error))
                return
            except (Retry, PauseConnection, Refused) as error:
                await self.bench.wait(getattr(error, "after_seconds", None) or RETRY_SECONDS)
                continue
            self.bench.wire.next_reads()
            break
        else:
            self._wrong("a look never succeeds")
            self.row = park(self.row, "a look never succeeds")
            return
        if watched:
            self._judge_look(answer, span)
        decision = after_probe(
            self.row, self.steps, answer, self.links, began_at=began_at, now=self._unix(), mono=clock.monotonic(),
            boot=clock.boot_id, seq=self._next(),
        )  # fmt: skip
        self.row = decision.row
        self._learn(decision.links, decision.conflict)

    def _own(self, seen: ProbeAnswer | Unmarked) -> ProbeAnswer:
        if not isinstance(seen, Unmarked):
            return seen
        return told_apart(seen, self.elsewhere, self.links, others_in_doubt=False, settled=False)

    def _judge_look(self, answer: ProbeAnswer, span: ProbeSpan) -> None:
        """A11, A12: Found as far as it is there, Absent where it is not, Unknown only where nothing can tell."""
        spec, view = self.steps[self.row.step], self.watch()
        stands = [step for step, shown in enumerate(self.shows) if shown == view]
        if not stands:
            self._wrong("the far side shows what no step of it leads to")
            return
        match answer:
            case Found():
                steps = [record.step for record in answer.records]
                if len(steps) != 1:
                    self._wrong(f"a look finds {len(steps)} records where there is one")
                elif not any(self._is_as_far(steps[0], stand) for stand in stands):
                    self._wrong(f"a look finds {steps[0]} steps done where the far side shows {stands[-1]}")
            case Absent():
                if 0 not in stands:
                    self._wrong(f"a look says Absent where the far side shows {stands[-1]} steps done")
                if spec.write_class is WriteClass.SCAN and not _whole(answer, span):
                    self._wrong("a scan says Absent of less than the span that it was asked for")
            case Unknown():
                if spec.write_class is not WriteClass.BLIND:
                    self._wrong(f"a look at step {spec.name} says Unknown although nothing was in its way")

    def _is_as_far(self, found: int, stand: int) -> bool:
        """What only waits for its outcome may have come to it behind what was found."""
        return found == stand or (found < stand and bool(self.wrote) and not any(self.wrote[found:stand]))

    def _learn(self, links: Sequence[str], conflict: str) -> None:
        self.links += links
        if conflict:
            self.conflicts.append(conflict)

    def _unix(self) -> float:
        return self.bench.now.timestamp()

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _wrong(self, sentence: str) -> None:
        self.said.append(sentence)


async def _outcome(sending: Awaitable[StepResult]) -> StepResult | Exception:
    try:
        return await sending
    except Exception as error:  # noqa: BLE001 - what escapes is a finding
        return error


def _name(result: object) -> str:
    """The class and where it came from; never the text of what is not ours, which may hold a buyer."""
    if isinstance(result, MarketsyncError) or not isinstance(result, Exception):
        return type(result).__name__
    frames = traceback.extract_tb(result.__traceback__)
    place = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return f"{type(result).__name__}{place}"


def _whole(answer: Absent, span: ProbeSpan) -> bool:
    if answer.read_from_at is None or answer.read_to_at is None:
        return False
    return answer.read_from_at <= span.since.timestamp() and answer.read_to_at >= span.now.timestamp()
