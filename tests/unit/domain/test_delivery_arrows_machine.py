"""Every arrow of a delivery's life: receipts, refusals and a person's word on top of what the network does."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from msgspec.structs import replace

from marketsync.domain import deliveries, doubt, sequence
from marketsync.domain.deliveries import Delivery, Found, IllegalTransition, Kind, State
from tests.unit.domain.model_runs import runs
from tests.unit.domain.test_delivery_machine import (
    DELAYS,
    FAULTS,
    LANDS,
    SEND_BY,
    SHAPES,
    VISIBLE,
    DeliveryMachine,
)

IN_FLIGHT = (State.SENT, State.WAITING, State.IN_DOUBT)
ARROWS = {
    (State.QUEUED, State.DONE),  # sent and settled in one turn of the model
    (State.QUEUED, State.SENT),
    (State.QUEUED, State.WAITING),
    (State.QUEUED, State.IN_DOUBT),
    (State.QUEUED, State.PARKED),
    (State.QUEUED, State.CANCELLED),
    (State.SENT, State.DONE),
    (State.SENT, State.IN_DOUBT),
    (State.WAITING, State.DONE),
    (State.WAITING, State.QUEUED),
    (State.WAITING, State.IN_DOUBT),
    (State.WAITING, State.PARKED),
    (State.IN_DOUBT, State.DONE),
    (State.IN_DOUBT, State.QUEUED),
    (State.IN_DOUBT, State.PARKED),
    (State.IN_DOUBT, State.CANCELLED),
    (State.PARKED, State.QUEUED),
    (State.PARKED, State.IN_DOUBT),
    (State.PARKED, State.DONE),
    (State.DONE, State.QUEUED),
}
walked: set[tuple[State, State]] = set()


class ArrowsMachine(DeliveryMachine):
    def __init__(self) -> None:
        super().__init__()
        self.receipts: dict[int, str] = {}
        self.before: dict[int, Delivery] = {}

    # What the far side does besides

    @precondition(lambda self: self._any(State.QUEUED))
    @rule(delay=DELAYS)
    def dispatch_for_a_receipt(self, delay: float) -> None:
        self.dispatch("waiting", delay)

    @precondition(lambda self: self._any(State.QUEUED))
    @rule()
    def dispatch_and_be_refused(self) -> None:
        self.dispatch("refused", 0.0)

    @precondition(lambda self: self._any(State.WAITING))
    @rule(answer=st.sampled_from(["as it is", "as it is", "not applied", "refused", "lost"]))
    def poll(self, answer: str) -> None:
        """Only what will never land may be called not applied."""
        for row in list(self.rows.values()):
            if row.state is not State.WAITING:
                continue
            if row.id in self.receipts:
                self._done(row, self.receipts.pop(row.id))
            elif answer == "lost":
                self.rows[row.id] = self._doubt(row)
            elif answer == "as it is":
                self.rows[row.id] = deliveries.waiting(row, "", self._now() + 15.0)
            else:
                self.far.landing.clear()
                after = (
                    deliveries.refused(row, "no")
                    if answer == "refused"
                    else deliveries.retry(row, "not applied", self._now(), counted=True)
                )
                self.rows[row.id] = after
        self._decide_cancel()

    # A person who looks for himself

    @precondition(lambda self: self._any(State.PARKED) and not self.far.landing)
    @rule()
    def a_person_says_what_is_there(self) -> None:
        for row in list(self.rows.values()):
            if row.state is not State.PARKED or not row.unsettled:
                continue
            self._advance(VISIBLE)
            seen = self.far.look(row, self.t, whole=True)
            record = seen.records[0] if isinstance(seen, Found) else None
            if record is not None and record.step > row.step and self._is_ours(row, record.content_hash):
                outcome = doubt.person_found(
                    row, self._steps(row), remote_id=record.remote_id, link_ids=self.links,
                    cancel_behind=self._cancel_behind(), now=self._now(), seq=self._seq(),
                )  # fmt: skip
                assert not outcome.conflict
                self.rows[row.id] = outcome.row
                self._link(outcome.links)
            elif record is None or record.step <= row.step:
                self.rows[row.id] = doubt.person_absent(row, self._now())
        self._decide_cancel()

    def _is_ours(self, row: Delivery, content: str | None) -> bool:
        return content is None or content == row.payload_hash

    # What must hold

    @invariant()
    def rules_hold(self) -> None:
        self.one_in_flight_per_order_and_target()
        self.generations_never_overtake()
        self.what_is_unsettled_is_looked_at_before_it_leaves()
        self.a_look_waits_for_what_may_still_land()
        self.what_is_done_has_its_link()

    def one_in_flight_per_order_and_target(self) -> None:
        """A1."""
        assert sum(row.state in IN_FLIGHT for row in getattr(self, "rows", {}).values()) <= 1

    def generations_never_overtake(self) -> None:
        """A9, A17: done is what was sent, sent is what was wanted; none goes back."""
        for number, row in getattr(self, "rows", {}).items():
            before = self.before.get(number, row)
            assert row.done <= row.sent <= row.wanted
            assert (row.done, row.sent, row.wanted) >= (before.done, before.sent, before.wanted)
            assert row.state is not State.DONE or row.done == row.wanted
            assert row.state is not State.WAITING or row.attempt > 0
            if before.state is not row.state:
                walked.add((before.state, row.state))
            self.before[number] = row

    def what_is_unsettled_is_looked_at_before_it_leaves(self) -> None:
        """A16: a queued row has no open attempt; a parked one with an open attempt wakes into doubt."""
        for row in getattr(self, "rows", {}).values():
            if row.state is State.QUEUED:
                assert not row.unsettled
            if row.state is State.PARKED:
                woken = doubt.wake(
                    row, self._steps(row), now=self._now(), mono=self._mono(), boot=self._boot()
                )
                assert woken.state is (State.IN_DOUBT if row.unsettled else State.QUEUED)

    def a_look_waits_for_what_may_still_land(self) -> None:
        """A4: what has not landed yet keeps its row in doubt, or on its way."""
        for row in getattr(self, "rows", {}).values():
            if row.state is State.IN_DOUBT and doubt.doubt_remaining(row, self._boot(), self._mono()) > 0:
                with pytest.raises(IllegalTransition):
                    doubt.after_probe(
                        row, self._steps(row), deliveries.Absent(), self.links, began_at=self._now(),
                        now=self._now(), mono=self._mono(), boot=self._boot(), seq=self.seq,
                    )  # fmt: skip

    def what_is_done_has_its_link(self) -> None:
        """A24."""
        create = getattr(self, "rows", {}).get(1)
        if create is not None and create.kind is Kind.CREATE and create.done:
            assert self.links

    def teardown(self) -> None:
        if not hasattr(self, "far"):
            return
        for _ in range(4):
            self._advance(SEND_BY + LANDS + VISIBLE)
            self.poll("as it is")
        super().teardown()

    # Helpers

    def _send(self, row: Delivery, fault: str, delay: float) -> None:
        if fault not in ("waiting", "refused"):
            super()._send(row, fault, delay)
            return
        if fault == "refused":
            self.rows[row.id] = deliveries.refused(row, "no")
        else:
            link = self.links[0] if self.links else ""
            self.rows[row.id] = deliveries.waiting(row, "", self._now() + 15.0)
            self.far.landing.append((self.t + delay, lambda: self._land(row, link)))
        self._decide_cancel()

    def _land(self, row: Delivery, link: str) -> str:
        remote_id = self.far.apply(row, link, self.t)
        if self.rows[row.id].state is State.WAITING:
            self.receipts[row.id] = remote_id
        return remote_id


TestArrows = pytest.mark.rule("A1")(pytest.mark.rule("A9")(pytest.mark.rule("A16")(ArrowsMachine.TestCase)))
TestArrows.settings = settings(
    max_examples=runs(60, 3000), stateful_step_count=20, deadline=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def walk(seed: int, steps: int) -> None:
    """The machine without the library: a hundred times as many steps in the same time, and nothing is shrunk."""
    rng, machine = Random(seed), ArrowsMachine()
    machine.begin(rng.choice(sorted(SHAPES)))
    for _ in range(steps):
        moves = [(call, draw(rng)) for call, may, draw in MOVES if may(machine)]
        call, argument = rng.choice(moves)
        call(machine, *argument)
        machine.rules_hold()
        machine.never_two_effects()
        machine.nothing_lives_after_an_effective_cancel()
    machine.teardown()


def walks(number: int) -> None:
    for seed in range(number):
        walk(seed, 30)


def has(state: State) -> Callable[[ArrowsMachine], bool]:
    return lambda machine: machine._any(state)


def delay(rng: Random) -> float:
    return rng.choice([1.0, 61.0, SEND_BY + LANDS])


MOVES: list[
    tuple[Callable[..., None], Callable[[ArrowsMachine], bool], Callable[[Random], tuple[Any, ...]]]
] = [
    (ArrowsMachine.edit, lambda m: not m.cancelled and m.newest < 5, lambda rng: ()),
    (ArrowsMachine.cancel, lambda m: not m.cancelled and m.t > 100, lambda rng: ()),
    (ArrowsMachine.time_passes, lambda m: True, lambda rng: (rng.choice([1.0, 60.0, 76.0]),)),
    (ArrowsMachine.restart, lambda m: True, lambda rng: (rng.random() < 0.5,)),
    (ArrowsMachine.dispatch, has(State.QUEUED), lambda rng: (rng.choice(FAULTS), delay(rng))),
    (ArrowsMachine.dispatch_for_a_receipt, has(State.QUEUED), lambda rng: (delay(rng),)),
    (ArrowsMachine.dispatch_and_be_refused, has(State.QUEUED), lambda rng: ()),
    (
        ArrowsMachine.resend,
        lambda m: m.far.upserts and m._any(State.IN_DOUBT),
        lambda rng: (rng.choice(["ok", "late", "throttled", "too_late", "crash"]), delay(rng)),
    ),
    (ArrowsMachine.slow_answer, lambda m: m.answer is not None, lambda rng: ()),
    (ArrowsMachine.watchdog, has(State.SENT), lambda rng: ()),
    (ArrowsMachine.probe, has(State.IN_DOUBT), lambda rng: (rng.random() < 0.75,)),
    (
        ArrowsMachine.poll,
        has(State.WAITING),
        lambda rng: (rng.choice(["as it is", "not applied", "refused", "lost"]),),
    ),
    (ArrowsMachine.wake, has(State.PARKED), lambda rng: ()),
    (
        ArrowsMachine.a_person_says_what_is_there,
        lambda m: m._any(State.PARKED) and not m.far.landing,
        lambda rng: (),
    ),
]


@pytest.mark.rule("A18")
@pytest.mark.rule("A19")
@pytest.mark.rule("A24")
def test_every_arrow_is_walked_and_none_breaks_a_rule() -> None:
    walked.clear()
    walks(runs(300, 30_000))
    assert sorted(f"{a.value} to {b.value}" for a, b in ARROWS - walked) == []


def blind_wake(row: Delivery, steps: Any, *, now: float, mono: float, boot: str) -> Delivery:
    return replace(row, state=State.QUEUED, unsettled=False, due_at=now)


def greedy_advance(row: Delivery, *args: Any, **kwargs: Any) -> Delivery:
    after = _advance(row, *args, **kwargs)
    return replace(after, done=after.wanted, state=State.DONE) if after.done > row.done else after


_advance = deliveries.advance


@pytest.mark.parametrize(
    ("module", "name", "defect"),
    [
        pytest.param(doubt, "wake", blind_wake, marks=pytest.mark.rule("A16")),
        pytest.param(doubt, "doubt_remaining", lambda *_: 0.0, marks=pytest.mark.rule("A4")),
        pytest.param(deliveries, "advance", greedy_advance, marks=pytest.mark.rule("A9")),
        pytest.param(sequence, "blocks", lambda *_: False, marks=pytest.mark.rule("A1")),
        pytest.param(sequence, "may_supersede", lambda *_: True, marks=pytest.mark.rule("A18")),
    ],
)
def test_a_rule_that_is_switched_off_is_seen(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, defect: Any
) -> None:
    monkeypatch.setattr(module, name, defect)
    with pytest.raises((AssertionError, IllegalTransition)):
        walks(300)
