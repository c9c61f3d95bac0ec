"""Stock as a state machine: claims, steps in doubt, reads that overtake each other, restarts, people, closed orders.

The world of `test_stock_model` knows the truth; here hypothesis chooses what happens, and shrinks what breaks a rule.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from marketsync.domain import stock
from marketsync.domain.publishing import Policy, bound_at_computation
from marketsync.domain.stock import (
    Claim,
    Report,
    adjustment_due,
    close_claim,
    hold_range,
    matures,
    need,
    newer_report,
)
from tests.unit.domain import test_stock_model as model
from tests.unit.domain.model_runs import runs
from tests.unit.domain.test_stock_model import MAX_ORDERS, SHOPS, ShopOrder, World, _in_flight


class Shop(World):
    """With several reads on their way, steps in doubt, restarts and the closing of orders."""

    def __init__(self, effects: Any, *, floors: bool, lag: int, stock: int) -> None:
        super().__init__(effects, floors=floors, lag=lag, stock=stock)
        self.reads: list[tuple[int, int]] = []
        self.started = 0.0

    def begin_read(self) -> None:
        first = max(i for i, entry in enumerate(self.history) if entry[0] <= max(0, self.mono - self.lag))
        self.reads.append((self.next_seq(), first))

    def end_one(self, which: int, arg: int) -> None:
        self.reading = self.reads.pop(which % len(self.reads))
        self.end_read(arg)

    def mature(self) -> None:
        """C7: after a restart what had not matured waits its whole lag again."""
        for order in self.orders:
            for kind, index, committed in list(order.waiting):
                if matures(committed, self.lag, self.mono, self.started):
                    order.waiting.remove((kind, index, committed))
                    self.ripen(order, kind, index)

    def ripen(self, order: ShopOrder, kind: str, index: int) -> None:
        events: list[Any] = list(order.claim.steps if kind == "step" else order.claim.parcels)
        events[index] = replace(events[index], mature_seq=self.next_seq())
        name = "steps" if kind == "step" else "parcels"
        order.claim = replace(order.claim, **{name: tuple(events)})

    def restart(self) -> None:
        """Reads on their way are lost; what was sent is in doubt until it is looked for."""
        self.started, self.reads = self.mono, []
        for order in self.orders:
            if _in_flight(order):
                doubtful = replace(order.claim.steps[-1], in_doubt=True)
                order.claim = replace(order.claim, steps=(*order.claim.steps[:-1], doubtful))

    def look(self, order: ShopOrder) -> None:
        """After its wait a look tells: there, refused, or absent for good."""
        step = replace(order.claim.steps[-1], in_doubt=False)
        order.claim = replace(order.claim, steps=(*order.claim.steps[:-1], step))
        if order.landed:
            self.answer(order)
        else:
            order.claim = replace(order.claim, steps=order.claim.steps[:-1])

    def answer(self, order: ShopOrder) -> None:
        """What is in doubt is not answered any more: only a look tells."""
        if order.claim.steps and not order.claim.steps[-1].in_doubt:
            super().answer(order)

    def may_close(self, order: ShopOrder) -> bool:
        claim = order.claim
        return (
            order.created and not claim.closed and not _in_flight(order) and order.held == order.shipped
            and not order.unread_parcels and claim.target == claim.held == order.held
            and adjustment_due(claim, self.facts) == 0 and not order.waiting
        )  # fmt: skip

    def close(self, order: ShopOrder) -> None:
        """C11."""
        order.claim = close_claim(order.claim, self.next_seq(), self.facts)
        if order.claim.steps[-1].mature_seq is None:
            order.waiting.append(("step", len(order.claim.steps) - 1, self.mono))


def open_orders(machine: StockMachine) -> list[ShopOrder]:
    return [order for order in machine.shop.orders if not order.claim.closed]


class StockMachine(RuleBasedStateMachine):
    @initialize(
        shop=st.sampled_from(sorted(SHOPS)),
        floors=st.booleans(),
        lag=st.integers(0, 3),
        units=st.integers(0, 3),
    )
    def begin(self, shop: str, floors: bool, lag: int, units: int) -> None:
        self.kind = shop
        self.shop = Shop(SHOPS[shop], floors=floors, lag=lag, stock=units)
        self.report_seq = 0

    @precondition(lambda self: len(self.shop.orders) < MAX_ORDERS)
    @rule(quantity=st.integers(0, 1))
    def an_order_is_committed(self, quantity: int) -> None:
        self.shop.act(0, quantity)

    @precondition(lambda self: bool(open_orders(self)))
    @rule(which=st.integers(0, 2), units=st.integers(0, 2))
    def it_is_edited_or_cancelled(self, which: int, units: int) -> None:
        self.on(which, 5, units * MAX_ORDERS)

    @precondition(lambda self: bool(open_orders(self)))
    @rule(which=st.integers(0, 2), op=st.sampled_from([6, 6, 7, 7, 8, 10, 11]))
    def it_goes_its_way(self, which: int, op: int) -> None:
        """Sent, landed, answered, packed, its parcel read."""
        self.on(which, op, 0)

    @precondition(lambda self: any(_in_flight(order) for order in self.shop.orders))
    @rule()
    def a_doubt_is_looked_at(self) -> None:
        order = next(order for order in self.shop.orders if _in_flight(order))
        self.shop.look(order)

    @precondition(
        lambda self: self.kind != "ignores a raise" and any(map(self.shop.may_close, self.shop.orders))
    )
    @rule()
    def an_order_is_over(self) -> None:
        self.shop.close(next(order for order in self.shop.orders if self.shop.may_close(order)))

    @rule(units=st.sampled_from([-1, 1]))
    def a_person_moves_the_figure(self, units: int) -> None:
        self.shop.move(units, web=True)

    @rule()
    def time_passes(self) -> None:
        self.shop.tick()

    @rule()
    def the_daemon_restarts(self) -> None:
        self.shop.restart()

    @precondition(lambda self: len(self.shop.reads) < 2)
    @rule()
    def a_read_begins(self) -> None:
        self.shop.begin_read()

    @precondition(lambda self: self.shop.reads)
    @rule(which=st.integers(0, 1), arg=st.integers(0, 8))
    def a_read_ends(self, which: int, arg: int) -> None:
        self.shop.end_one(which, arg)

    @invariant()
    def low_is_never_more_than_is_there(self) -> None:
        """C4 to C7, C19: what is published can be served, but for what left the shop since it was read."""
        if not hasattr(self, "shop"):
            return
        shop = self.shop
        shop.check()
        low, outflow = shop.level().low, shop.outflow - shop.snapshot_outflow
        if not shop.facts.floors_at_zero:
            published = Policy().publishes(low)
            assert published <= bound_at_computation(shop.truly_free(), outflow, [])

    @invariant()
    def holds_and_reports_are_in_order(self) -> None:
        """C2: a report never goes back. C6: no hold is negative. C5: nothing that the shop may hold is freed."""
        if not hasattr(self, "shop"):
            return
        shop = self.shop
        assert shop.report.begin_seq >= self.report_seq
        self.report_seq = shop.report.begin_seq
        older = Report("A", "pool", 99, shop.report.begin_seq, shop.report.end_seq + 1)
        assert newer_report(shop.report, older) is shop.report
        assert newer_report(shop.report, None) is shop.report
        for order in shop.orders:
            span = hold_range(order.claim, shop.report, shop.facts)
            assert 0 <= span.min <= span.max
            assert need(order.claim) >= max(order.claim.target, order.held if order.created else 0)

    def teardown(self) -> None:
        """Everything arrives; then a read by name closes every range (C8)."""
        if not hasattr(self, "shop"):
            return
        shop = self.shop
        for order in shop.orders:
            if _in_flight(order):
                shop.look(order)
        shop.reads = []
        shop.mono += int(shop.lag)
        shop.drain()
        owed = sum(max(0, max(o.claim.target, o.held) - o.taken) for o in shop.orders if not o.claim.closed)
        shown = max(0, shop.figure) if shop.facts.floors_at_zero else shop.figure
        assert (shop.level().low, shop.level().high) == (shown - owed, shown - owed)

    def on(self, which: int, op: int, arg: int) -> None:
        orders = open_orders(self)
        self.shop.act_on(orders[which % len(orders)], op, arg)


TestStock = StockMachine.TestCase
for name in ("C2", "C4", "C5", "C6", "C7", "C8", "C11", "C19"):
    TestStock = pytest.mark.rule(name)(TestStock)
TestStock.settings = settings(
    max_examples=runs(25, 10_000), stateful_step_count=30, deadline=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def walk(seed: int, steps: int) -> None:
    """The machine without the library: many more steps in the same time, and nothing is shrunk."""
    rng, machine = Random(seed), StockMachine()
    machine.begin(rng.choice(sorted(SHOPS)), rng.random() < 0.3, rng.randrange(4), rng.randrange(4))
    for _ in range(steps):
        call, may, draw = rng.choice(MOVES)
        if may(machine):
            call(machine, *draw(rng))
            machine.low_is_never_more_than_is_there()
            machine.holds_and_reports_are_in_order()
    machine.teardown()


def walks(number: int) -> None:
    for seed in range(number):
        walk(seed, 80)


def always(machine: StockMachine) -> bool:
    return True


def nothing(rng: Random) -> tuple[Any, ...]:
    return ()


ON_ITS_WAY = (6, 6, 6, 7, 7, 7, 8, 8, 10, 11)
MOVES: list[
    tuple[Callable[..., None], Callable[[StockMachine], Any], Callable[[Random], tuple[Any, ...]]]
] = [
    (
        StockMachine.an_order_is_committed,
        lambda m: len(m.shop.orders) < MAX_ORDERS,
        lambda r: (r.randrange(2),),
    ),
    (StockMachine.it_is_edited_or_cancelled, open_orders, lambda r: (r.randrange(3), r.randrange(3))),
    *[(StockMachine.it_goes_its_way, open_orders, lambda r: (r.randrange(3), r.choice(ON_ITS_WAY)))] * 5,
    (StockMachine.a_doubt_is_looked_at, lambda m: any(map(_in_flight, m.shop.orders)), nothing),
    (
        StockMachine.an_order_is_over,
        lambda m: m.kind != "ignores a raise" and any(map(m.shop.may_close, m.shop.orders)),
        nothing,
    ),
    (StockMachine.a_person_moves_the_figure, always, lambda r: (r.choice([-1, 1]),)),
    (StockMachine.time_passes, always, nothing),
    (StockMachine.the_daemon_restarts, lambda m: m.shop.seq % 7 == 0, nothing),
    *[(StockMachine.a_read_begins, lambda m: len(m.shop.reads) < 2, nothing)] * 2,
    *[(StockMachine.a_read_ends, lambda m: m.shop.reads, lambda r: (r.randrange(2), r.randrange(9)))] * 2,
]


@pytest.mark.rule("C7")
@pytest.mark.rule("C11")
@pytest.mark.rule("C19")
def test_many_walks_break_no_rule() -> None:
    walks(runs(150, 30_000))


def certain_by_end(mark: int | None, report: Report) -> bool:
    return mark is not None and mark < report.end_seq


def clamped_need(claim: Claim) -> int:
    return claim.target


def always_newer(held: Report | None, read: Report | None) -> Report | None:
    return read or held


@pytest.mark.parametrize(
    ("module", "name", "defect"),
    [
        pytest.param(stock, "_certain", certain_by_end, marks=pytest.mark.rule("C4")),
        pytest.param(stock, "need", clamped_need, marks=pytest.mark.rule("C5")),
        pytest.param(sys.modules[__name__], "matures", lambda *_: True, marks=pytest.mark.rule("C7")),
        pytest.param(model, "newer_report", always_newer, marks=pytest.mark.rule("C2")),
    ],
)
def test_a_rule_that_is_switched_off_is_seen(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, defect: Any
) -> None:
    monkeypatch.setattr(module, name, defect)
    with pytest.raises(AssertionError):
        walks(2_000)
