from __future__ import annotations

import pytest
from msgspec.structs import replace

from marketsync.domain.ids import POOL
from marketsync.domain.stock import (
    Claim,
    ClaimStep,
    CompareAndSet,
    Effect,
    Event,
    Level,
    Parcel,
    RelativeAdjustment,
    Report,
    Span,
    StockFacts,
    adjustment_due,
    adjustment_write,
    availability,
    close_claim,
    due_by_name,
    hold_range,
    kit_level,
    matures,
    may_publish,
    need,
    newer_report,
    plan_step,
    shortfall,
    taken_range,
)

TAKES, GIVES_BACK, NOTHING = Effect.TAKES, Effect.GIVES_BACK, Effect.NOTHING
AT_CREATE = StockFacts(
    effects={Event.CREATE: TAKES, Event.RAISE: TAKES, Event.LOWER: GIVES_BACK, Event.CANCEL: GIVES_BACK}
)
KEEPS = StockFacts(effects={Event.CREATE: TAKES, Event.RAISE: TAKES})
ON_HAND = StockFacts(effects={Event.PARCEL: TAKES})
NEVER = StockFacts(effects={})
ADJUSTED = StockFacts(effects={Event.ADJUSTMENT: TAKES})


def claim(
    target: int = 1, *steps: ClaimStep, held: int = 0, location: str = POOL, **changes: object
) -> Claim:
    made = Claim("main", "o1", "1", "A", location, "m", 1, target, held, steps)
    return replace(made, **changes)


def report(value: int, begin: int, end: int, location: str = POOL) -> Report:
    return Report("A", location, value, begin, end)


def create(
    sent: int | None = 10,
    done: int | None = None,
    mature: int | None = None,
    *,
    units: int = 1,
    taken: int | None = None,
) -> ClaimStep:
    after = units if taken is None else taken
    return ClaimStep(Event.CREATE, 0, after, sent, done, mature, held_after=units)


def step(kind: Event, before: int, after: int, *seqs: int | None, held: int | None = None) -> ClaimStep:
    sent, done, mature = (*seqs, None, None, None)[:3]
    return ClaimStep(kind, before, after, sent, done, mature, held_after=held)


def low(value: Report, *claims: Claim, facts: StockFacts = AT_CREATE) -> int:
    level = availability([value], claims, facts)
    assert level is not None
    return level.low


@pytest.mark.rule("C1")
def test_a_stock_report_that_began_before_the_create_does_not_absorb_it() -> None:
    # The sweep's GET reads 10, the order is created meanwhile (10 -> 9 in the shop), the old answer arrives after.
    created = claim(1, create(sent=5, done=7, mature=7), held=1)
    old = report(10, begin=4, end=8)
    assert low(old, created) == 9
    assert low(report(9, begin=8, end=9), created) == 9


@pytest.mark.rule("C2")
def test_a_report_is_replaced_only_by_one_that_began_later() -> None:
    held = report(5, begin=10, end=11)
    assert newer_report(held, report(9, begin=8, end=20)) is held
    assert newer_report(held, report(9, begin=10, end=20)) is held
    newer = report(4, begin=12, end=13)
    assert newer_report(held, newer) is newer
    assert newer_report(None, newer) is newer


@pytest.mark.rule("C2")
def test_absence_from_an_answer_is_not_a_report() -> None:
    held = report(5, begin=10, end=11)
    assert newer_report(held, None) is held


@pytest.mark.rule("C3")
@pytest.mark.parametrize(
    ("facts", "kind", "start", "held_after", "taken"),
    [
        (AT_CREATE, Event.CREATE, (), 2, 2),
        (NEVER, Event.CREATE, (), 2, 0),
        (AT_CREATE, Event.RAISE, (create(units=1),), 3, 3),  # 1 taken + 2 more
        (ON_HAND, Event.RAISE, (create(units=1, taken=0),), 3, 0),
        (KEEPS, Event.RAISE, (create(units=3), step(Event.LOWER, 3, 3, held=1)), 2, 4),  # 3 kept + 1 more
        (AT_CREATE, Event.LOWER, (create(units=3),), 1, 1),  # 3 taken - 2 back
        (KEEPS, Event.LOWER, (create(units=3),), 1, 3),
        (AT_CREATE, Event.CANCEL, (create(units=2),), 0, 0),
        (AT_CREATE, Event.CANCEL, (create(units=2, taken=0),), 0, 0),  # never gives back more than was taken
        (KEEPS, Event.CANCEL, (create(units=2),), 0, 2),
        (StockFacts(effects={Event.RELEASE: TAKES}), Event.RELEASE, (create(units=2, taken=0),), 2, 2),
        (ADJUSTED, Event.ADJUSTMENT, (create(units=2, taken=0),), 2, 2),
    ],
)
def test_a_step_says_what_its_event_does_to_the_figure(
    facts: StockFacts, kind: Event, start: tuple[ClaimStep, ...], held_after: int, taken: int
) -> None:
    planned = plan_step(claim(9, *start), kind, held_after, facts)
    assert (planned.taken_after, planned.held_after) == (taken, held_after)
    assert planned.taken_before == (start[-1].taken_after if start else 0)
    assert planned.sent_seq is None


@pytest.mark.rule("C3")
def test_a_parcel_is_no_step() -> None:
    with pytest.raises(ValueError, match="parcel"):
        plan_step(claim(), Event.PARCEL, 1, ON_HAND)


@pytest.mark.rule("C4")
@pytest.mark.parametrize(
    ("made", "taken"),
    [
        (create(sent=None), Span(0, 0)),  # queued
        (create(sent=25), Span(0, 0)),  # left after the read was over
        (create(sent=15), Span(0, 1)),  # left while it read
        (create(sent=5), Span(0, 1)),  # in flight, or in doubt
        (create(sent=5, done=8, mature=None), Span(0, 1)),  # inside the read lag
        (create(sent=5, done=8, mature=10), Span(0, 1)),  # matured no earlier than the read began
        (create(sent=5, done=8, mature=9), Span(1, 1)),
    ],
)
def test_taken_is_certain_possible_or_neither(made: ClaimStep, taken: Span) -> None:
    assert taken_range(claim(1, made), report(5, begin=10, end=20), AT_CREATE) == taken


@pytest.mark.rule("C4")
def test_steps_apply_in_order_and_a_certain_one_ends_the_doubt_before_it() -> None:
    steps = (create(1, 2, 3), step(Event.RAISE, 1, 3, 4), step(Event.LOWER, 3, 2, 6, 7, 8))
    assert taken_range(claim(2, *steps), report(5, begin=9, end=10), AT_CREATE) == Span(2, 2)
    assert taken_range(claim(2, *steps), report(5, begin=8, end=10), AT_CREATE) == Span(1, 3)


@pytest.mark.rule("C4")
def test_a_parcel_counts_only_where_it_takes_and_once_a_later_read_holds_it() -> None:
    shipped = claim(2, create(1, 2, 3, units=2, taken=0), held=2, parcels=(Parcel(1, seq=9, mature_seq=9),))
    assert taken_range(shipped, report(5, begin=10, end=11), ON_HAND) == Span(1, 1)
    assert taken_range(shipped, report(5, begin=8, end=11), ON_HAND) == Span(0, 1)
    assert taken_range(shipped, report(5, begin=10, end=11), NEVER) == Span(0, 0)


@pytest.mark.rule("C4")
def test_a_step_in_doubt_is_possible_though_it_was_answered_once() -> None:
    doubtful = replace(create(5, 8, 9), in_doubt=True)
    assert taken_range(claim(1, doubtful), report(5, begin=10, end=20), AT_CREATE) == Span(0, 1)


@pytest.mark.rule("C5")
@pytest.mark.parametrize(
    ("target", "held", "steps", "needed"),
    [
        (2, 0, (), 2),  # nothing was sent
        (0, 0, (), 0),
        (0, 0, (create(sent=None),), 0),  # cancelled while queued
        (0, 0, (create(5),), 1),  # the create may still land
        (
            0,
            1,
            (create(5, 6, 7), step(Event.CANCEL, 1, 0, 8, held=0)),
            1,
        ),  # the cancel frees nothing before its answer
        (0, 0, (create(5, 6, 7), step(Event.CANCEL, 1, 0, 8, 9, held=0)), 0),
        (0, 0, (create(5, 6, 7), step(Event.CANCEL, 1, 1, 8, 9, held=0)), 1),  # not given back
        (0, 1, (create(5, 6, 7),), 1),  # the cancel was refused: shipped
        (3, 1, (create(5, 6, 7),), 3),  # a raise that is queued
        (1, 3, (create(5, 6, 7, units=3),), 3),  # a lower that is queued
        (
            0,
            0,
            (create(5, units=2, taken=0),),
            2,
        ),  # a shop that takes nothing at create may hold the order too
    ],
)
def test_need_is_the_most_that_the_figure_will_lose(
    target: int, held: int, steps: tuple[ClaimStep, ...], needed: int
) -> None:
    assert need(claim(target, *steps, held=held)) == needed


@pytest.mark.rule("C6")
def test_low_and_high_are_the_two_ends_and_are_not_clamped() -> None:
    in_doubt = claim(2, create(5, units=2))
    read = report(1, begin=10, end=11)
    assert hold_range(in_doubt, read, AT_CREATE) == Span(0, 2)
    assert availability([read], [in_doubt], AT_CREATE) == Level(low=-1, high=1)


@pytest.mark.rule("C6")
def test_a_hold_is_never_negative() -> None:
    # Cancelled and answered; the report is from before the cancel: the unit comes back with the next one.
    cancelled = claim(0, create(1, 2, 3), step(Event.CANCEL, 1, 0, 12, 13, 13, held=0))
    assert hold_range(cancelled, report(4, begin=10, end=11), AT_CREATE) == Span(0, 0)


@pytest.mark.rule("C6")
def test_unknown_stock_has_no_level() -> None:
    assert availability([], [claim()], AT_CREATE) is None
    assert availability([report(5, 1, 2, "north")], [claim(location="south")], AT_CREATE) is None


@pytest.mark.rule("C7")
def test_an_event_matures_once_the_read_lag_is_over() -> None:
    assert not matures(100.0, 30.0, 129.9)
    assert matures(100.0, 30.0, 130.0)
    assert matures(100.0, 0.0, 100.0)


@pytest.mark.rule("C7")
def test_after_a_restart_what_had_not_matured_waits_the_whole_lag_again() -> None:
    assert not matures(100.0, 30.0, 145.0, started_mono=120.0)
    assert matures(100.0, 30.0, 150.0, started_mono=120.0)
    assert not matures(None, 30.0, 29.0, started_mono=0.0)  # of another boot: its clock says nothing


@pytest.mark.rule("C8")
@pytest.mark.parametrize(
    ("made", "due"),
    [
        (create(5, 12, 12), True),  # the read overlapped the create
        (create(5, 8, 9), False),  # certain
        (create(5), False),  # in doubt: a probe, not a read
        (create(5, 12, None), False),  # inside the lag: a read now proves nothing
        (create(25, 26, 26), False),  # certainly not in it: low == high
    ],
)
def test_an_open_range_is_due_for_a_read_by_name(made: ClaimStep, due: bool) -> None:
    assert due_by_name([report(5, begin=10, end=20)], [claim(1, made, held=1)], AT_CREATE) is due


@pytest.mark.rule("C8")
def test_a_sku_without_a_report_is_due() -> None:
    assert due_by_name([], [], AT_CREATE)


@pytest.mark.rule("C9")
def test_a_shop_that_never_takes_needs_an_end_before_it_may_publish() -> None:
    assert not may_publish(NEVER)
    assert may_publish(ADJUSTED)
    assert may_publish(StockFacts(effects={Event.COUNT: TAKES}))
    assert may_publish(ON_HAND)
    assert may_publish(AT_CREATE)


@pytest.mark.rule("C9")
def test_a_raise_that_the_shop_does_not_take_is_the_same_case() -> None:
    facts = StockFacts(effects={Event.CREATE: TAKES})
    raised = claim(2, create(1, 2, 3), step(Event.RAISE, 1, 1, 4, 5, 6, held=2), held=2)
    assert may_publish(facts, [claim(1, create(1, 2, 3), held=1)])
    assert not may_publish(facts, [raised])


@pytest.mark.rule("C9")
def test_an_adjustment_is_due_for_what_the_shop_does_not_take_itself() -> None:
    created = claim(2, create(1, 2, 3, units=2, taken=0), held=2)
    assert adjustment_due(created, ADJUSTED) == 2
    adjusting = replace(created, steps=(*created.steps, step(Event.ADJUSTMENT, 0, 2, 4, held=2)))
    assert adjustment_due(adjusting, ADJUSTED) == 0
    cancelled = step(Event.CANCEL, 2, 2, 6, 7, held=0)
    done = step(Event.ADJUSTMENT, 0, 2, 4, 5, held=2)
    assert (
        adjustment_due(replace(created, held=0, target=0, steps=(*created.steps, done, cancelled)), ADJUSTED)
        == -2
    )
    assert adjustment_due(created, AT_CREATE) == 0
    later = StockFacts(effects={Event.ADJUSTMENT: TAKES, Event.RELEASE: TAKES})
    assert adjustment_due(created, later) == 0


@pytest.mark.rule("C9")
def test_a_recorded_count_ends_a_claim_that_the_shop_never_takes() -> None:
    facts = StockFacts(effects={Event.COUNT: TAKES})
    sold = claim(1, create(1, 2, 3, taken=0), held=1)
    assert low(report(5, 10, 11), sold, facts=facts) == 4
    counted = plan_step(sold, Event.COUNT, 1, facts)
    counted = replace(counted, sent_seq=12, done_seq=12, mature_seq=12)
    assert low(report(4, 13, 14), replace(sold, steps=(*sold.steps, counted)), facts=facts) == 4


@pytest.mark.rule("C10")
@pytest.mark.failure(49)
def test_an_adjustment_is_relative_with_a_key_or_compares() -> None:
    assert adjustment_write(2, "k1", None) == RelativeAdjustment(delta=-2, key="k1")
    assert adjustment_write(2, "k1", report(5, 1, 2)) == CompareAndSet(expected=5, value=3)


@pytest.mark.rule("C11")
def test_closing_settles_the_remainder_but_older_reports_still_hold_it() -> None:
    # 2 ordered, 1 shipped; the shop closed the order and will never take the other.
    partly = claim(2, create(1, 2, 3, units=2, taken=0), held=2, parcels=(Parcel(1, 5, 5),))
    closed = close_claim(partly, 20, ON_HAND)
    assert closed.closed
    assert low(report(9, begin=10, end=11), closed, facts=ON_HAND) == 8
    assert low(report(9, begin=21, end=22), closed, facts=ON_HAND) == 9
    assert low(report(9, begin=21, end=22), partly, facts=ON_HAND) == 8


@pytest.mark.rule("C11")
def test_closing_waits_out_the_read_lag() -> None:
    lagging = StockFacts(effects={Event.PARCEL: TAKES}, read_lag_seconds=30)
    assert close_claim(claim(1, create(1, 2, 3, taken=0), held=1), 20, lagging).steps[-1].mature_seq is None


@pytest.mark.rule("C12")
def test_a_claim_of_the_pool_holds_against_the_sum_of_the_oldest_age() -> None:
    reports = [report(3, 10, 11, "north"), report(4, 20, 21, "south")]
    created = claim(1, create(5, 12, 12), held=1)  # in south's report, perhaps not in north's
    assert availability(reports, [created], AT_CREATE) == Level(low=6, high=7)
    fresh = [report(3, 22, 23, "north"), report(4, 20, 21, "south")]
    assert availability(fresh, [created], AT_CREATE) == Level(low=7, high=7)


@pytest.mark.rule("C12")
def test_a_claim_of_a_location_holds_against_its_own_report() -> None:
    reports = [report(3, 10, 11, "north"), report(4, 20, 21, "south")]
    created = claim(1, create(5, 12, 12), held=1, location="south")
    assert availability(reports, [created], AT_CREATE) == Level(low=7, high=7)
    assert availability(reports, [created], replace(AT_CREATE, pooled=True)) == Level(low=6, high=7)


@pytest.mark.rule("C12")
def test_a_kit_is_as_many_as_its_scarcest_component_makes() -> None:
    assert kit_level([(2, Level(7, 8)), (1, Level(5, 5))]) == Level(low=3, high=4)  # 7 // 2, 8 // 2
    assert kit_level([(2, Level(-1, 1)), (1, Level(5, 5))]) == Level(low=-1, high=0)
    assert kit_level([(2, Level(7, 8)), (1, None)]) is None
    assert kit_level([]) is None


@pytest.mark.rule("C13")
def test_an_order_that_waits_subtracts_nothing_until_it_is_allocated() -> None:
    read = report(3, 10, 11)
    waiting = claim(1, needs_acceptance=True)
    assert low(read, waiting) == 3
    assert low(read, replace(waiting, allocated=True)) == 2
    assert low(read, replace(waiting, accepted=True)) == 2
    assert low(read, claim(1)) == 2


@pytest.mark.rule("C21")
@pytest.mark.failure(46)
def test_a_negative_figure_is_kept_and_the_debt_falls_on_the_last_to_arrive() -> None:
    first = claim(1, create(1, 2, 3), held=1)
    second = replace(first, order_ref="o2", arrival_seq=2)
    oversold = report(-1, 10, 11)
    assert low(oversold, first, second) == -1
    assert shortfall([oversold], [second, first], AT_CREATE).orders == ("o2",)
    assert shortfall([oversold], [second, first], AT_CREATE).known == 1


@pytest.mark.rule("C21")
def test_a_floored_figure_absorbs_as_usual_and_its_debt_is_shown_from_claims() -> None:
    floored = replace(AT_CREATE, floors_at_zero=True)
    sold = [claim(1, create(1, 2, 3), held=1), replace(claim(1, create(4, 5, 6), held=1), order_ref="o2")]
    empty = report(0, 10, 11)
    assert low(empty, *sold, facts=floored) == 0
    short = shortfall([empty], sold, floored)
    assert (short.known, short.hidden) == (0, 2)
    assert shortfall([report(1, 10, 11)], sold, floored).hidden == 0


@pytest.mark.rule("C21")
def test_a_floored_location_is_not_added_to_others_as_if_it_owed_nothing() -> None:
    floored = replace(AT_CREATE, floors_at_zero=True)
    reports = [report(0, 10, 11, "north"), report(5, 10, 11, "south")]
    sold = claim(1, create(1, 2, 3), held=1, location="north")
    assert availability(reports, [sold], floored) == Level(low=4, high=5)
    assert availability(reports, [sold], AT_CREATE) == Level(low=5, high=5)


@pytest.mark.rule("C21")
@pytest.mark.requirement("R15")
def test_two_channels_sell_the_last_unit_and_the_second_is_short() -> None:
    first = claim(1)
    second = replace(first, order_ref="o2", connection="n", arrival_seq=2)
    last = report(1, 10, 11)
    assert low(last, first, second) == -1
    short = shortfall([last], [first, second], AT_CREATE)
    assert (short.known, short.orders) == (1, ("o2",))


@pytest.mark.trace("T", 1)
@pytest.mark.rule("C5")
@pytest.mark.parametrize("facts", [AT_CREATE, KEEPS, replace(AT_CREATE, floors_at_zero=True)])
def test_a_cancel_that_comes_too_late_invents_no_unit(facts: StockFacts) -> None:
    # Stock 1: the create landed and was shipped, the cancel was refused. The shop reports 0: target 0 - absorbed 1 = +1.
    too_late = claim(0, create(1, 2, 3), held=1)
    assert availability([report(0, 10, 11)], [too_late], facts) == Level(low=0, high=0)


@pytest.mark.trace("T", 2)
@pytest.mark.rule("C5")
def test_a_cancel_seen_while_the_create_is_out_frees_nothing() -> None:
    # Stock 2, report 2 from before the create; it landed and was shipped: true 1, and 2 would be published.
    old = report(2, begin=1, end=2)
    assert low(old, claim(0, create(sent=5))) == 1
    assert low(old, claim(0, create(sent=5, done=6, mature=6), held=1)) == 1


@pytest.mark.trace("T", 3)
@pytest.mark.rule("C3")
@pytest.mark.parametrize("target", [2, 1])
def test_a_raise_or_lower_that_the_figure_ignores_is_not_counted_as_absorbed(target: int) -> None:
    facts = StockFacts(effects={Event.CREATE: TAKES})
    if target == 2:  # raised 1 -> 2: the figure lost 1 of 5; 3 are free
        made = plan_step(claim(2, create(1, 2, 3), held=1), Event.RAISE, 2, facts)
        sold = claim(2, create(1, 2, 3), replace(made, sent_seq=4, done_seq=5, mature_seq=6), held=2)
        assert low(report(4, 10, 11), sold, facts=facts) == 3
        return
    # lowered 2 -> 1 and never given back: the figure stays at 3 of 5, whatever the age of the report
    made = plan_step(claim(1, create(1, 2, 3, units=2), held=2), Event.LOWER, 1, facts)
    sold = claim(1, create(1, 2, 3, units=2), replace(made, sent_seq=4, done_seq=5, mature_seq=6), held=1)
    assert low(report(3, 10, 11), sold, facts=facts) == 3
    assert low(report(5, 0, 1), sold, facts=facts) == 3


@pytest.mark.trace("T", 4)
@pytest.mark.rule("C8")
def test_a_unit_subtracted_twice_is_due_by_name_until_it_is_read() -> None:
    # The create lands, the read begins and shows 4 of 5, then the outcome is committed; later windows omit the SKU.
    created = claim(1, create(1, 5, 5), held=1)
    seen = report(4, begin=3, end=4)
    assert availability([seen], [created], AT_CREATE) == Level(low=3, high=4)
    assert due_by_name([seen], [created], AT_CREATE)
    by_name = report(4, begin=6, end=7)
    assert availability([by_name], [created], AT_CREATE) == Level(low=4, high=4)
    assert not due_by_name([by_name], [created], AT_CREATE)


@pytest.mark.trace("T", 5)
@pytest.mark.rule("C9")
def test_a_recount_after_shipping_is_not_subtracted_twice() -> None:
    # The shop never takes; the parcel left, a person counted 4 of 5 and recorded the count.
    facts = StockFacts(effects={Event.COUNT: TAKES})
    shipped = claim(1, create(1, 2, 3, taken=0), held=1, parcels=(Parcel(1, 4, 4),))
    counted = replace(plan_step(shipped, Event.COUNT, 1, facts), sent_seq=8, done_seq=8, mature_seq=8)
    assert low(report(4, 10, 11), replace(shipped, steps=(*shipped.steps, counted)), facts=facts) == 4
    assert not may_publish(NEVER, [shipped])


@pytest.mark.trace("T", 5)
@pytest.mark.rule("C5")
def test_never_and_shipped_and_cancelled_too_late_keeps_the_unit() -> None:
    too_late = claim(0, create(1, 2, 3, taken=0), held=1, parcels=(Parcel(1, 4, 4),))
    assert low(report(5, 10, 11), too_late, facts=ADJUSTED) == 4


@pytest.mark.trace("T", 6)
@pytest.mark.rule("C7")
def test_a_read_begun_after_the_commit_may_still_answer_from_before_it() -> None:
    # Committed at seq 5, the read begins at 6 and shows the figure of before: 5, true 4.
    inside_the_lag = claim(1, create(1, 5, None), held=1)
    assert low(report(5, begin=6, end=7), inside_the_lag) == 4
    matured = claim(1, create(1, 5, 8), held=1)
    assert low(report(5, begin=6, end=7), matured) == 4
    assert low(report(4, begin=9, end=10), matured) == 4


def test_availability_goes_over_its_claims_once() -> None:
    claims = (replace(claim(1, create(1, 2, 3), held=1), order_ref=f"o{n}") for n in range(10_000))
    assert availability([report(5, 10, 11)], claims, AT_CREATE) == Level(low=5, high=5)
