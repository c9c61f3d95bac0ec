"""The arithmetic against a world that knows the truth: a shop, orders that land late, reads that overlap them."""

from __future__ import annotations

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from marketsync.domain.stock import (
    Claim,
    ClaimStep,
    Effect,
    Event,
    Level,
    Parcel,
    Report,
    StockFacts,
    adjustment_due,
    availability,
    due_by_name,
    matures,
    newer_report,
    plan_step,
)
from tests.unit.domain.model_runs import runs

TAKES, GIVES_BACK = Effect.TAKES, Effect.GIVES_BACK
AT_CREATE = {
    Event.CREATE: TAKES,
    Event.RAISE: TAKES,
    Event.LOWER: GIVES_BACK,
    Event.CANCEL: GIVES_BACK,
}
SHOPS = {
    "takes at create": AT_CREATE,
    "gives nothing back": {Event.CREATE: TAKES, Event.RAISE: TAKES},
    "ignores a raise": {**AT_CREATE, Event.RAISE: Effect.NOTHING},
    "on hand, falls with the parcel": {Event.PARCEL: TAKES},
    "never, we adjust": {Event.ADJUSTMENT: TAKES},
}
MAX_ORDERS = 3


class ShopOrder:
    """One order: our claim, and what the shop really did with it."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.created = False
        self.held = self.taken = self.shipped = 0
        self.landed = self.refused = False
        self.refused_target: int | None = None
        self.unread_parcels = 0
        self.waiting: list[tuple[str, int, float]] = []  # what matures: kind, index, committed at


class World:
    def __init__(self, effects: dict[Event, Effect], *, floors: bool, lag: int, stock: int) -> None:
        self.facts = StockFacts(effects=effects, read_lag_seconds=lag, floors_at_zero=floors)
        self.figure = stock
        self.outflow = self.seq = self.mono = 0
        self.history = [(0, stock, 0)]
        self.orders: list[ShopOrder] = []
        self.reading: tuple[int, int] | None = None
        self.lowered = False
        self.snapshot_outflow = 0
        self.report = Report(
            sku="A", location="pool", value=max(0, stock) if floors else stock, begin_seq=0, end_seq=0
        )

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def move(self, units: int, *, web: bool = False) -> None:
        self.figure -= units
        self.outflow += units if web else 0
        self.history.append((self.mono, self.figure, self.outflow))

    def level(self) -> Level:
        level = availability([self.report], [order.claim for order in self.orders], self.facts)
        assert level is not None
        return level

    def act(self, op: int, arg: int) -> None:
        order = self.orders[arg % len(self.orders)] if self.orders else None
        if op == 0 and len(self.orders) < MAX_ORDERS:
            seq = self.next_seq()
            claim = Claim("main", f"o{seq}", "1", "A", "pool", "m", seq, target=1 + arg % 2)
            self.orders.append(ShopOrder(claim))
        elif op == 1:
            self.move(-1 if arg == 0 else 1, web=True)
        elif op == 2:
            self.tick()
        elif op == 3 and self.reading is None:
            first = max(i for i, entry in enumerate(self.history) if entry[0] <= max(0, self.mono - self.lag))
            self.reading = (self.next_seq(), first)
        elif op == 4 and self.reading is not None:
            self.end_read(arg)
        elif order is not None:
            self.act_on(order, op, arg)

    @property
    def lag(self) -> float:
        return self.facts.read_lag_seconds

    def act_on(self, order: ShopOrder, op: int, arg: int) -> None:
        if op == 5:
            self.lowered |= arg // MAX_ORDERS < order.claim.target
            order.claim = replace(order.claim, target=arg // MAX_ORDERS % 3)
        elif op == 6:
            self.send(order)
        elif op == 7:
            self.land(order)
        elif op == 8:
            self.answer(order)
        elif op == 9 and _in_flight(order) and not order.landed:
            # The answer is lost and the probe, after its wait, sees nothing: the write can no longer land.
            order.claim = replace(order.claim, steps=order.claim.steps[:-1])
        elif op == 10 and order.held > order.shipped:
            order.shipped += 1
            order.unread_parcels += 1
            if self.facts.takes(Event.PARCEL):
                order.taken += 1
                self.move(1)
        elif op == 11 and order.unread_parcels:
            seq = self.next_seq()
            order.waiting.append(("parcel", len(order.claim.parcels), self.mono))
            parcels = (*order.claim.parcels, Parcel(order.unread_parcels, seq))
            order.claim, order.unread_parcels = replace(order.claim, parcels=parcels), 0
        self.mature()

    def tick(self) -> None:
        self.mono += 1
        self.mature()

    def mature(self) -> None:
        for order in self.orders:
            for kind, index, committed in list(order.waiting):
                if not matures(committed, self.lag, self.mono):
                    continue
                order.waiting.remove((kind, index, committed))
                claim = order.claim
                if kind == "step":
                    steps = list(claim.steps)
                    steps[index] = replace(steps[index], mature_seq=self.next_seq())
                    order.claim = replace(claim, steps=tuple(steps))
                else:
                    parcels = list(claim.parcels)
                    parcels[index] = replace(parcels[index], mature_seq=self.next_seq())
                    order.claim = replace(claim, parcels=tuple(parcels))

    def end_read(self, arg: int) -> None:
        assert self.reading is not None
        begin, first = self.reading
        _, value, outflow = self.history[first + arg % (len(self.history) - first)]
        shown = max(0, value) if self.facts.floors_at_zero else value
        read = Report(sku="A", location="pool", value=shown, begin_seq=begin, end_seq=self.next_seq())
        self.reading = None
        if newer_report(self.report, read) is read:
            self.report, self.snapshot_outflow = read, outflow

    def send(self, order: ShopOrder) -> None:
        claim = order.claim
        if _in_flight(order):
            return
        adjust = adjustment_due(claim, self.facts) if order.created else 0
        if adjust:
            kind, held = Event.ADJUSTMENT, claim.held
        elif not order.created and claim.target:
            kind, held = Event.CREATE, claim.target
        elif order.created and claim.target not in (claim.held, order.refused_target):
            kind = Event.RAISE if claim.target > claim.held else Event.LOWER if claim.target else Event.CANCEL
            held = claim.target
        else:
            return
        step = replace(plan_step(claim, kind, held, self.facts), sent_seq=self.next_seq())
        order.claim = replace(claim, steps=(*claim.steps, step))
        order.landed = order.refused = False

    def land(self, order: ShopOrder) -> None:
        """The shop's own doing, without the arithmetic under test."""
        if not _in_flight(order) or order.landed:
            return
        order.landed = True
        step = order.claim.steps[-1]
        held = step.held_after
        assert held is not None
        if step.event is Event.ADJUSTMENT:
            units = held - order.taken
        elif held < order.shipped:
            order.refused = True
            return
        else:
            units = self.effect_of(step, held - order.held, order.taken)
        order.held = held
        order.taken += units
        self.move(units)

    def effect_of(self, step: ClaimStep, change: int, taken: int) -> int:
        effect = self.facts.effects.get(step.event, Effect.NOTHING)
        if effect is TAKES:
            return change
        return max(change, -taken) if effect is GIVES_BACK else 0

    def answer(self, order: ShopOrder) -> None:
        if not (_in_flight(order) and order.landed):
            return
        claim, step = order.claim, order.claim.steps[-1]
        if order.refused:
            order.refused_target = claim.target if step.held_after == claim.target else None
            order.claim = replace(claim, steps=claim.steps[:-1])
            return
        order.created = True
        done = replace(step, done_seq=self.next_seq())
        assert step.held_after is not None
        order.claim = replace(claim, steps=(*claim.steps[:-1], done), held=step.held_after)
        order.waiting.append(("step", len(claim.steps) - 1, self.mono))

    def truly_free(self) -> int:
        return self.figure - sum(max(0, order.claim.target - order.taken) for order in self.orders)

    def check(self) -> None:
        level, outflow = self.level(), self.outflow - self.snapshot_outflow
        assert level.low <= level.high
        truth = self.truly_free() + outflow
        if self.facts.floors_at_zero:
            assert max(0, level.low) <= max(0, truth)
            return
        assert level.low <= truth
        if not self.lowered and not self.facts.takes(Event.PARCEL):
            assert level.high >= truth - sum(max(0, o.held - o.claim.target) for o in self.orders)

    def drain(self) -> None:
        """Everything arrives, everything is answered; then the SKU is read by name for as long as it is due."""
        for _ in range(8):
            for order in self.orders:
                for op in (7, 8, 6, 11):
                    self.act_on(order, op, 0)
        self.mono += int(self.lag)
        self.mature()
        if self.reading is not None:
            self.end_read(0)
        due = [o.claim for o in self.orders]
        assert due_by_name([self.report], due, self.facts) or self.level().low == self.level().high
        self.reading = (self.next_seq(), len(self.history) - 1)
        self.end_read(0)
        assert not due_by_name([self.report], due, self.facts)


def _in_flight(order: ShopOrder) -> bool:
    return bool(order.claim.steps) and order.claim.steps[-1].done_seq is None


OPS = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 3, 3, 4, 4, 5, 6, 6, 7, 7, 8, 8, 9, 10, 11]), st.integers(0, 8)),
    min_size=20,
    max_size=70,
)


@pytest.mark.rule("C4")
@pytest.mark.rule("C5")
@pytest.mark.rule("C6")
@pytest.mark.rule("C7")
@settings(max_examples=runs(300, 10_000))
@given(
    shop=st.sampled_from(sorted(SHOPS)),
    floors=st.booleans(),
    lag=st.integers(0, 3),
    stock=st.integers(0, 3),
    ops=OPS,
)
def test_low_never_exceeds_the_truth_and_converges_to_it(
    shop: str, floors: bool, lag: int, stock: int, ops: list[tuple[int, int]]
) -> None:
    world = World(SHOPS[shop], floors=floors, lag=lag, stock=stock)
    world.act(0, stock)
    for op, arg in ops:
        world.act(op, arg)
        world.check()
    event(f"open range: {world.level().low < world.level().high}")
    world.drain()
    owed = sum(max(0, max(o.claim.target, o.held) - o.taken) for o in world.orders)
    shown = max(0, world.figure) if floors else world.figure
    event(f"orders: {len(world.orders)}")
    assert world.level() == Level(low=shown - owed, high=shown - owed)
