"""One order at one far side that loses, delays and throttles, driven through the pure functions alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from marketsync.domain import deliveries, doubt, sequence
from marketsync.domain.deliveries import (
    Absent,
    Delivery,
    Found,
    Kind,
    ProbeAnswer,
    Record,
    State,
    StepSpec,
    Unknown,
    WriteClass,
)
from marketsync.domain.sequence import NextMove
from tests.unit.domain.model_runs import runs

SEND_BY, LANDS, VISIBLE = 10.0, 60.0, 5.0
EPOCH = 1_000_000.0
CREATE, UPDATE, CANCEL = 1, 2, 3
ABSOLUTE = (StepSpec("put", WriteClass.UPSERT, LANDS),)
SHAPES = {
    "lookup": (StepSpec("create", WriteClass.LOOKUP, LANDS, VISIBLE),),
    "scan": (StepSpec("create", WriteClass.SCAN, LANDS, VISIBLE),),
    "two": (
        StepSpec("create", WriteClass.LOOKUP, LANDS, VISIBLE),
        StepSpec("release", WriteClass.LOOKUP, LANDS, VISIBLE, carries_content=False),
    ),
    "upsert": ABSOLUTE,
    "upsert_two": (*ABSOLUTE, StepSpec("release", WriteClass.UPSERT, LANDS, carries_content=False)),
}
DELAYS = st.sampled_from([1.0, 61.0, SEND_BY + LANDS])
FAULTS = [
    "ok",
    "late",
    "twin",
    "slow",
    "lost",
    "answer_lost",
    "throttled",
    "too_late",
    "crash",
    "late",
    "twin",
    "late",
    "ok",
]


@dataclass
class Remote:
    content: int
    born: float
    released: bool = False
    live: bool = True


@dataclass
class FarSide:
    """Creates a second record whenever it is asked to, unless the write is an UPSERT."""

    upserts: bool
    steps: int
    records: dict[str, Remote] = field(default_factory=dict)
    landing: list[tuple[float, Callable[[], str]]] = field(default_factory=list)

    def apply(self, row: Delivery, link: str, t: float) -> str:
        content = int(row.payload or b"0")
        if row.kind is Kind.CREATE and row.step == 0:
            if not (self.upserts and self.records):
                self.records[str(len(self.records) + 70)] = Remote(content, t, released=self.steps == 1)
                return list(self.records)[-1]
            link = next(iter(self.records))
        if row.kind is Kind.CREATE and row.step == 1:
            self.records[link].released = True
        elif row.kind is Kind.CANCEL:
            self.records[link].live = False
        else:
            self.records[link].content = content
        return link

    def look(self, row: Delivery, t: float, *, whole: bool) -> ProbeAnswer:
        seen = [(name, r) for name, r in self.records.items() if r.born + VISIBLE <= t]
        if not seen:
            return Absent(0.0, EPOCH + t) if whole else Absent(EPOCH + t - 1.0, EPOCH + t)
        return Found(tuple(Record(name, self._step(row, r), self._content(row, r)) for name, r in seen))

    def _step(self, row: Delivery, record: Remote) -> int:
        match row.kind:
            case Kind.CREATE:
                return self.steps if record.released else 1
            case Kind.CANCEL:
                return int(not record.live)
            case _:
                return int(record.content == int(row.payload_hash))

    def _content(self, row: Delivery, record: Remote) -> str | None:
        return None if row.kind is Kind.CANCEL else str(record.content)


class DeliveryMachine(RuleBasedStateMachine):
    @initialize(shape=st.sampled_from(sorted(SHAPES)))
    def begin(self, shape: str) -> None:
        self.steps = SHAPES[shape]
        self.far = FarSide(upserts=shape.startswith("upsert"), steps=len(self.steps))
        self.rows: dict[int, Delivery] = {}
        self.links: tuple[str, ...] = ()
        self.newest, self.seq, self.t = 1, 0, 0.0
        self.boot, self.booted_at = 1, 0.0
        self.answer: tuple[int, int, str] | None = None
        self.cancelled = False
        self._add(CREATE, Kind.CREATE)

    # What happens outside

    @precondition(lambda self: not self.cancelled and self.newest < 5)
    @rule()
    def edit(self) -> None:
        self.newest += 1
        create = self.rows[CREATE]
        takes = sequence.takes_edit(create, self.steps, self.links)
        if takes:
            self.rows[CREATE] = deliveries.raise_wanted(create, self.newest, self._now()).row
        if UPDATE in self.rows:
            self.rows[UPDATE] = deliveries.raise_wanted(self.rows[UPDATE], self.newest, self._now()).row
        elif not takes:
            self._add(UPDATE, Kind.UPDATE)

    @precondition(lambda self: not self.cancelled)
    @rule()
    def cancel(self) -> None:
        self.cancelled = True
        self._add(CANCEL, Kind.CANCEL)
        self._decide_cancel()

    @rule(seconds=st.sampled_from([1.0, 60.0, 76.0]))
    def time_passes(self, seconds: float) -> None:
        self._advance(seconds)

    @rule(reboot=st.booleans())
    def restart(self, reboot: bool) -> None:
        if reboot:
            self.boot, self.booted_at = self.boot + 1, self.t
        self.answer = None
        for number, row in self.rows.items():
            if row.state is State.SENT:
                self.rows[number] = self._doubt(row)
            elif row.state is State.IN_DOUBT:
                self.rows[number] = doubt.rearm(row, mono=self._mono(), boot=self._boot())

    # What the engine does

    @precondition(lambda self: self._any(State.QUEUED))
    @rule(fault=st.sampled_from(FAULTS), delay=DELAYS)
    def dispatch(self, fault: str, delay: float) -> None:
        for row in sequence.next_runnable(self.rows.values(), self._now()):
            steps = self._steps(row)
            if sequence.next_move(row, steps, self.links) is NextMove.PROBE:
                self._probe(row, whole=True)
                continue
            if row.step == 0 and doubt.spacing_remaining(row, steps, str(row.wanted), now=self._now()) > 0:
                continue
            payload = str(row.wanted)
            claimed = deliveries.claim(
                row, steps, payload.encode(), payload, row.wanted, now=self._now(), mono=self._mono(), seq=self._seq()
            )  # fmt: skip
            self._send(claimed, fault, delay)

    @precondition(lambda self: self.far.upserts and self._any(State.IN_DOUBT))
    @rule(
        fault=st.sampled_from(["ok", "late", "throttled", "too_late", "crash"]),
        delay=DELAYS,
    )
    def resend(self, fault: str, delay: float) -> None:
        for row in list(self.rows.values()):
            steps = self._steps(row)
            if row.step < len(steps) and doubt.resend_same_bytes_allowed(row, steps):
                again = doubt.resend(row, steps, now=self._now(), mono=self._mono(), seq=self._seq())
                self._send(again, fault, delay)

    @precondition(lambda self: self.answer is not None)
    @rule()
    def slow_answer(self) -> None:
        assert self.answer is not None
        number, attempt, remote_id = self.answer
        self.answer = None
        if deliveries.settles(self.rows[number], attempt):
            self._done(self.rows[number], remote_id)

    @precondition(lambda self: self._any(State.SENT))
    @rule()
    def watchdog(self) -> None:
        alive = self.answer[0] if self.answer else 0
        for number, row in self.rows.items():
            self.rows[number] = doubt.watchdog(
                row, self._steps(row), task_alive=number == alive, mono=self._mono(), boot=self._boot()
            )

    @precondition(lambda self: self._any(State.IN_DOUBT))
    @rule(whole=st.sampled_from([True, True, True, False]))
    def probe(self, whole: bool) -> None:
        for row in list(self.rows.values()):
            if row.state is State.IN_DOUBT and doubt.doubt_remaining(row, self._boot(), self._mono()) == 0:
                self._probe(row, whole=whole)

    @precondition(lambda self: self._any(State.PARKED))
    @rule()
    def wake(self) -> None:
        for number, row in self.rows.items():
            if row.state is State.PARKED:
                self.rows[number] = doubt.wake(
                    row, self._steps(row), now=self._now(), mono=self._mono(), boot=self._boot()
                )

    # What must hold

    @invariant()
    def never_two_effects(self) -> None:
        if hasattr(self, "far"):
            assert len(self.far.records) <= 1

    @invariant()
    def nothing_lives_after_an_effective_cancel(self) -> None:
        if hasattr(self, "far") and self.cancelled and self._settled(self.rows[CANCEL]):
            assert not any(record.live for record in self.far.records.values())

    def teardown(self) -> None:
        if not hasattr(self, "far"):
            return
        for _ in range(40):
            self._advance(SEND_BY + LANDS + VISIBLE)
            self.answer = None
            self.watchdog()
            self.wake()
            self.probe(whole=True)
            self.dispatch("ok", 0.0)
            self.nothing_lives_after_an_effective_cancel()
        assert all(self._settled(row) for row in self.rows.values()), self.rows
        self.never_two_effects()
        self._second_probe()
        if not self.cancelled:
            (record,) = self.far.records.values()
            assert (record.content, record.released, record.live) == (self.newest, True, True)

    def _second_probe(self) -> None:
        row = self.rows[CREATE]
        expected = None if self.cancelled else str(self.newest)
        look = self.far.look(row, self.t, whole=True)
        found = doubt.after_second_probe(
            row, look, self.links, expected_hash=expected, cancelled=self.cancelled, now=self._now()
        )
        assert found.conflicts == ()

    # Helpers

    def _send(self, row: Delivery, fault: str, delay: float) -> None:
        self.rows[row.id] = row
        link = self.links[0] if self.links else ""
        match fault:
            case "ok":
                self._done(row, self.far.apply(row, link, self.t))
            case "twin" | "slow":
                remote_id = self.far.apply(row, link, self.t)
                if fault == "slow":
                    self.answer = (row.id, row.attempt, remote_id)
                    return
                if self._steps(row)[row.step].write_class is WriteClass.UPSERT:
                    self._later(row, remote_id, delay)
                self._done(row, remote_id)
            case "throttled":
                self.rows[row.id] = deliveries.retry(row, "throttled", self._now(), counted=False)
            case "too_late":
                self.rows[row.id] = deliveries.too_late(row, self._now())
            case "crash":
                self._later(row, link, delay)
            case "late" | "lost" | "answer_lost":
                if fault == "late":
                    self._later(row, link, delay)
                elif fault == "answer_lost":
                    self.far.apply(row, link, self.t)
                self.rows[row.id] = self._doubt(row)
            case _:
                raise AssertionError(fault)
        self._decide_cancel()

    def _later(self, row: Delivery, link: str, delay: float) -> None:
        self.far.landing.append((self.t + delay, lambda: self.far.apply(row, link, self.t)))

    def _done(self, row: Delivery, remote_id: str) -> None:
        outcome = deliveries.step_done(
            row, self._steps(row), remote_id=remote_id, link_ids=self.links, cancel_behind=self._cancel_behind(),
            now=self._now(), seq=self._seq(),
        )  # fmt: skip
        assert not outcome.conflict
        self.rows[row.id] = outcome.row
        self._link(outcome.links)
        self._decide_cancel()

    def _probe(self, row: Delivery, *, whole: bool) -> None:
        answer: ProbeAnswer = self.far.look(row, self.t, whole=whole)
        if not whole and self.steps[0].write_class is not WriteClass.SCAN:
            answer = Unknown()
        decision = doubt.after_probe(
            row, self._steps(row), answer, self.links, cancel_behind=self._cancel_behind(), began_at=self._now(),
            now=self._now(), mono=self._mono(), boot=self._boot(), seq=self._seq(),
        )  # fmt: skip
        assert not decision.conflict
        self.rows[row.id] = decision.row
        self._link(decision.links)
        if decision.cancel_void:
            self._void_cancel()
        self._decide_cancel()

    def _decide_cancel(self) -> None:
        if not self._cancel_behind():
            return
        decision = sequence.cancel([row for row in self.rows.values() if row.id != CANCEL], self.links)
        self.rows.update({row.id: row for row in decision.ended})
        if not decision.send:
            self._void_cancel()

    def _void_cancel(self) -> None:
        for number, row in self.rows.items():
            if number != CREATE and not self._settled(row):
                self.rows[number] = replace(row, state=State.CANCELLED)

    def _cancel_behind(self) -> bool:
        return CANCEL in self.rows and self.rows[CANCEL].state is State.QUEUED

    def _doubt(self, row: Delivery) -> Delivery:
        return doubt.to_doubt(row, self._steps(row), "cut", mono=self._mono(), boot=self._boot())

    def _link(self, links: tuple[str, ...]) -> None:
        self.links = tuple(dict.fromkeys((*self.links, *links)))

    def _add(self, number: int, kind: Kind) -> None:
        self.rows[number] = deliveries.new_delivery(
            delivery_id=number, merchant="main", kind=kind, target="shop", subject="ref", order_ref="ref",
            due_at=self._now(), created_seq=number, wanted=self.newest,
        )  # fmt: skip

    def _advance(self, seconds: float) -> None:
        until = self.t + seconds
        for at, land in sorted(self.far.landing, key=lambda item: item[0]):
            if at <= until:
                self.t = at
                land()
        self.far.landing = [item for item in self.far.landing if item[0] > until]
        self.t = until

    def _any(self, state: State) -> bool:
        return any(row.state is state for row in self.rows.values())

    def _settled(self, row: Delivery) -> bool:
        return row.state in (State.DONE, State.CANCELLED)

    def _steps(self, row: Delivery) -> tuple[StepSpec, ...]:
        return self.steps if row.kind is Kind.CREATE else ABSOLUTE

    def _seq(self) -> int:
        self.seq += 1
        return self.seq

    def _now(self) -> float:
        return EPOCH + self.t

    def _mono(self) -> float:
        return self.t - self.booted_at

    def _boot(self) -> str:
        return f"boot-{self.boot}"


TestDeliveryMachine = pytest.mark.rule("A25")(DeliveryMachine.TestCase)
TestDeliveryMachine.settings = settings(
    max_examples=runs(250, 5000),
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
