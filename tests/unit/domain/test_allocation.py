from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from marketsync.domain.allocation import (
    Accept,
    Allocation,
    ParkAtDeadline,
    Refuse,
    StockKey,
    Wait,
    Wanted,
    allocate,
    decide_accept,
    levels_for,
    waiting_orders,
    waits,
)
from marketsync.domain.stock import Claim, ClaimStep, Effect, Event, Level, Report, StockFacts, availability

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
A, B = ("A", "pool"), ("B", "pool")
FACTS = StockFacts(effects={Event.CREATE: Effect.TAKES})
ALLOCATED, WAITING = Allocation.ALLOCATED, Allocation.WAITING


def wanted(ref: str, arrival: int, *wants: tuple[StockKey, int]) -> Wanted:
    return Wanted(ref, arrival, wants)


def exactly(units: int) -> Level:
    return Level(units, units)


def claim(ref: str, arrival: int, connection: str = "m", sku: str = "A", units: int = 1) -> Claim:
    return Claim("main", ref, "1", sku, "pool", connection, arrival, units, needs_acceptance=True)


def free(claims: list[Claim], value: int) -> Level | None:
    settled = [one for one in claims if not waits(one)]
    return availability([Report("A", "pool", value, 90, 91)], settled, FACTS)


@pytest.mark.rule("C13")
def test_allocation_goes_by_arrival_and_not_by_the_order_of_the_list() -> None:
    first, second = wanted("o1", 1, (A, 1)), wanted("o2", 2, (A, 1))
    assert allocate([second, first], {A: exactly(1)}) == {"o1": ALLOCATED, "o2": WAITING}


@pytest.mark.rule("C13")
@pytest.mark.trace("T", 8)
def test_an_order_that_is_not_allocated_takes_nothing_from_the_next() -> None:
    # o1 wants A and B, B is gone; it must not take the last A from o2.
    both, next_one = wanted("o1", 1, (A, 1), (B, 1)), wanted("o2", 2, (A, 1))
    levels = {A: exactly(1), B: exactly(0)}
    assert allocate([both, next_one], levels) == {"o1": WAITING, "o2": ALLOCATED}
    assert decide_accept(next_one, levels_for(next_one, [both, next_one], levels), LATER, NOW) == Accept()
    assert decide_accept(both, levels_for(both, [both, next_one], levels), LATER, NOW) == Refuse(short=(B,))


@pytest.mark.rule("C13")
def test_allocation_is_on_the_low_end_and_unknown_stock_allocates_nothing() -> None:
    order = wanted("o1", 1, (A, 1))
    assert allocate([order], {A: Level(0, 1)}) == {"o1": WAITING}
    assert allocate([order], {A: None}) == {"o1": WAITING}
    assert allocate([order], {}) == {"o1": WAITING}


@pytest.mark.rule("C13")
def test_sales_without_acceptance_and_accepted_orders_come_before_all_that_wait() -> None:
    waiting = claim("o1", 1)
    sale = replace(claim("o2", 2), needs_acceptance=False)
    accepted = replace(claim("o3", 3), accepted=True)
    assert free([waiting, sale], 1) == exactly(0)
    assert free([waiting, accepted], 1) == exactly(0)
    assert free([waiting], 1) == exactly(1)


@pytest.mark.rule("C14")
@pytest.mark.parametrize(
    ("level", "now", "decision"),
    [
        (Level(2, 2), NOW, Accept()),
        (Level(2, 2), LATER, Accept()),
        (Level(1, 2), NOW, Wait(read_by_name=(A,))),
        (Level(1, 2), LATER, ParkAtDeadline(uncertain=(A,))),
        (Level(1, 1), NOW, Refuse(short=(A,))),
        (Level(-1, 1), LATER, Refuse(short=(A,))),
        (None, NOW, Wait(read_by_name=(A,))),
        (None, LATER, ParkAtDeadline(uncertain=(A,))),
    ],
)
def test_accepted_on_low_refused_on_high_and_between_them_it_waits(
    level: Level | None, now: datetime, decision: object
) -> None:
    assert decide_accept(wanted("o1", 1, (A, 2)), {A: level}, LATER, now) == decision


@pytest.mark.rule("C14")
def test_without_a_deadline_it_waits_for_the_read() -> None:
    assert decide_accept(wanted("o1", 1, (A, 2)), {A: Level(1, 2)}, None, LATER) == Wait(read_by_name=(A,))


@pytest.mark.rule("C14")
@pytest.mark.trace("T", 8)
def test_a_sale_that_the_report_may_hold_already_refuses_no_servable_order() -> None:
    # Stock was 2; the create of an accepted order landed and the read shows 1: the arithmetic may subtract it twice.
    step = ClaimStep(Event.CREATE, 0, 1, sent_seq=80, done_seq=95)
    created = replace(claim("o1", 1), accepted=True, held=1, steps=(step,))
    level = free([created], 1)
    assert level == Level(0, 1)
    assert decide_accept(wanted("o2", 2, (A, 1)), {A: level}, LATER, NOW) == Wait(read_by_name=(A,))


@pytest.mark.rule("C13")
@pytest.mark.rule("C14")
def test_two_accepts_one_unit() -> None:
    claims = [claim("o1", 1), claim("o2", 2)]
    level = free(claims, 1)
    first, second = waiting_orders(claims)
    assert decide_accept(first, levels_for(first, (first, second), {A: level}), LATER, NOW) == Accept()
    # The accept of the first is marked as sent in that transaction, and the second is decided again.
    claims[0] = replace(claims[0], allocated=True, accepted=True)
    (left,) = waiting_orders(claims)
    assert left == second
    assert decide_accept(left, levels_for(left, (left,), {A: free(claims, 1)}), LATER, NOW) == Refuse(
        short=(A,)
    )


@pytest.mark.rule("C13")
@pytest.mark.requirement("R15")
def test_the_last_unit_asked_for_by_two_marketplaces_in_one_page_goes_to_one_of_them() -> None:
    claims = [claim("o2", 2, connection="n"), claim("o1", 1, connection="m")]
    orders = waiting_orders(claims)
    levels = {A: free(claims, 1)}
    decisions = [decide_accept(order, levels_for(order, orders, levels), LATER, NOW) for order in orders]
    assert [order.order_ref for order in orders] == ["o1", "o2"]
    assert decisions == [Accept(), Refuse(short=(A,))]


def test_an_orders_wants_are_added_up_over_its_lines() -> None:
    lines = [claim("o1", 1), replace(claim("o1", 1, units=2), line_id="2"), claim("o1", 1, sku="B")]
    assert waiting_orders(lines) == (wanted("o1", 1, (A, 3), (B, 1)),)


def test_an_order_cancelled_before_its_acceptance_wants_nothing() -> None:
    assert waiting_orders([replace(claim("o1", 1), target=0)]) == ()
