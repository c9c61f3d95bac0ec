from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from marketsync.domain.publishing import (
    Listing,
    ListingEvent,
    Policy,
    SendReason,
    WriteOutcome,
    WriteState,
    after_doubt,
    after_event,
    after_read_back,
    after_write,
    begin_write,
    bound_at_computation,
    bound_at_sale,
    drift,
    may_spend,
    rate_free_cap,
    should_send,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLAIN = Policy()
SALE, CANCEL, REVISION = ListingEvent.SALE, ListingEvent.CANCEL, ListingEvent.REVISION


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def listed(value: int | None, done: float = 0) -> Listing:
    """What is listed since a write that was answered `done` seconds after noon."""
    return Listing(value=value, compute_seq=10, done_at=at(done), presumed=value, state=WriteState.SETTLED)


def pushed(listing: Listing, low: int, seq: int, done: float, policy: Policy = PLAIN) -> Listing:
    return after_write(begin_write(listing, low, policy, seq), WriteOutcome.DONE, at(done))


@pytest.mark.rule("C15")
@given(
    low=st.integers(-5, 50),
    policy=st.builds(Policy, st.integers(0, 5), st.integers(0, 5), st.none() | st.integers(0, 9)),
)
def test_a_policy_never_publishes_more_than_there_is(low: int, policy: Policy) -> None:
    assert 0 <= policy.publishes(low) <= max(0, low)


@pytest.mark.rule("C15")
@pytest.mark.parametrize(
    ("policy", "low", "value"),
    [
        (PLAIN, 5, 5),
        (PLAIN, -3, 0),
        (Policy(buffer=2), 5, 3),
        (Policy(buffer=2), 1, 0),
        (Policy(threshold=3), 2, 0),
        (Policy(threshold=3), 3, 3),
        (Policy(threshold=3, buffer=1), 3, 0),  # 2 are left after the buffer
        (Policy(cap=2), 5, 2),
    ],
)
def test_a_policy_keeps_back_what_it_says(policy: Policy, low: int, value: int) -> None:
    assert policy.publishes(low) == value


@pytest.mark.rule("C15")
def test_a_policy_with_a_negative_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not negative"):
        Policy(buffer=-1)


@pytest.mark.rule("C15")
@pytest.mark.failure(47)
def test_older_quantity_never_wins() -> None:
    first = begin_write(Listing(), 5, PLAIN, 10)
    # The stock falls to 3 while 5 is on its way: nothing else may leave before 5 can no longer land.
    assert should_send(first, 3, at(99), PLAIN) is None
    with pytest.raises(ValueError, match="may still land"):
        begin_write(first, 3, PLAIN, 11)
    doubtful = after_write(first, WriteOutcome.IN_DOUBT, at(1))
    assert should_send(doubtful, 3, at(99), PLAIN) is None
    with pytest.raises(ValueError, match="may still land"):
        begin_write(doubtful, 3, PLAIN, 11)
    over = after_doubt(doubtful, at(30))
    assert should_send(over, 3, at(31), PLAIN) is SendReason.COVERED
    assert begin_write(over, 3, PLAIN, 12).value == 3


@pytest.mark.rule("C18")
def test_what_an_earlier_write_may_still_do_is_waited_for_behind_a_quicker_one() -> None:
    slow = pushed(Listing(), 5, 10, done=900)
    quick = begin_write(slow, 0, PLAIN, 11)
    for over in (
        after_write(quick, WriteOutcome.DONE, at(60)),
        after_doubt(after_write(quick, WriteOutcome.IN_DOUBT, at(30)), at(60)),
    ):
        assert over.done_at == at(900)
        assert should_send(over, 4, at(899), PLAIN) is None
        assert should_send(over, 4, at(901), PLAIN) is SendReason.COVERED


@pytest.mark.rule("C15")
@pytest.mark.requirement("R9")
def test_five_four_five_is_three_pushes() -> None:
    listing, sent = Listing(), []
    for seq, low in enumerate([5, 4, 5, 5, 4], start=1):
        if should_send(listing, low, at(seq * 10), PLAIN):
            listing = pushed(listing, low, seq, done=seq * 10 + 1)
            sent.append(listing.value)
    assert sent == [5, 4, 5, 4]


@pytest.mark.rule("C15")
@pytest.mark.requirement("R14")
@pytest.mark.parametrize(
    "path", ["first", "after a sale", "after a cancel", "after doubt", "after a refusal", "read back"]
)
def test_the_buffer_is_kept_on_every_path(path: str) -> None:
    policy = Policy(buffer=2)
    before = {
        "first": Listing(),
        "after a sale": after_event(listed(3), SALE, 1, 11, at(5)),
        "after a cancel": after_event(listed(2), CANCEL, 1, 11, at(5)),
        "after doubt": after_doubt(begin_write(listed(2), 9, policy, 12), at(1)),
        "after a refusal": after_write(
            begin_write(listed(2), 9, policy, 12), WriteOutcome.NOT_APPLIED, at(1)
        ),
        "read back": after_read_back(listed(3), 5, 12, at(1), at(2)),
    }[path]
    assert should_send(before, 5, at(9), policy) is (None if before.presumed == 3 else SendReason.COVERED)
    assert begin_write(before, 5, policy, 20).value == 3


@pytest.mark.rule("C16")
def test_an_undisturbed_write_is_what_is_listed() -> None:
    done = pushed(Listing(), 4, 10, done=3)
    assert (done.presumed, done.done_at, done.state) == (4, at(3), WriteState.SETTLED)


@pytest.mark.rule("C16")
@pytest.mark.parametrize("kind", [SALE, CANCEL, REVISION])
def test_an_own_event_since_the_computation_makes_it_unknown(kind: ListingEvent) -> None:
    flying = begin_write(listed(5), 4, PLAIN, 20)
    disturbed = after_event(flying, kind, 1, 21, at(60))
    assert after_write(disturbed, WriteOutcome.DONE, at(3)).presumed is None
    earlier = replace(flying, event_seq=19)
    assert after_write(earlier, WriteOutcome.DONE, at(3)).presumed == 4


@pytest.mark.rule("C16")
def test_a_write_in_doubt_ends_as_unknown_and_one_not_applied_changes_nothing() -> None:
    flying = begin_write(listed(5), 4, PLAIN, 20)
    over = after_doubt(after_write(flying, WriteOutcome.IN_DOUBT, at(3)), at(30))
    assert (over.presumed, over.done_at, over.may_land) == (None, at(30), False)
    refused = after_write(flying, WriteOutcome.NOT_APPLIED, at(3))
    assert (refused.presumed, refused.done_at, refused.may_land) == (5, at(0), False)


@pytest.mark.rule("C17")
@pytest.mark.parametrize(
    ("kind", "coverage", "presumed"),
    [
        (SALE, 1, 4),  # read after coverage had passed the write: it came out of the listing
        (SALE, 0, None),  # may have been overwritten
        (SALE, None, None),
        (CANCEL, 1, None),  # relisted or not, nobody says
        (REVISION, 1, None),
    ],
)
def test_what_an_own_event_leaves_of_the_listing(
    kind: ListingEvent, coverage: int | None, presumed: int | None
) -> None:
    covered = None if coverage is None else at(coverage)
    assert after_event(listed(5), kind, 1, 11, covered).presumed == presumed


@pytest.mark.rule("C17")
def test_a_sale_of_more_than_is_listed_makes_it_unknown() -> None:
    assert after_event(listed(1), SALE, 2, 11, at(5)).presumed is None


@pytest.mark.rule("C18")
@pytest.mark.parametrize(
    ("presumed", "low", "coverage", "why"),
    [
        (5, 5, 9, None),
        (5, 4, 9, SendReason.COVERED),
        (5, 6, 9, SendReason.COVERED),
        (5, 4, 0, None),
        (None, 4, 9, SendReason.COVERED),
        (None, 4, 0, None),
        (5, 0, 0, SendReason.ZERO),  # it can never add stock
        (None, -2, None, SendReason.ZERO),
        (0, -2, 9, None),
        (5, None, 9, None),  # unknown stock publishes nothing
    ],
)
def test_it_is_sent_on_a_difference_once_coverage_has_passed_the_last_write(
    presumed: int | None, low: int | None, coverage: int | None, why: SendReason | None
) -> None:
    covered = None if coverage is None else at(coverage)
    assert should_send(listed(presumed), low, covered, PLAIN) is why


@pytest.mark.rule("C18")
@pytest.mark.parametrize(
    ("low", "may_overwrite", "why"),
    [
        (2, 2, SendReason.LOWER_EARLY),  # 3 units off sale against 2 sales
        (2, 3, None),
        (2, None, None),
        (9, 0, None),  # a raise is never early
    ],
)
def test_a_lowering_goes_early_where_it_saves_more_than_it_may_overwrite(
    low: int, may_overwrite: int | None, why: SendReason | None
) -> None:
    assert should_send(listed(5), low, at(0), PLAIN, may_overwrite=may_overwrite) is why
    assert should_send(listed(None), low, at(0), PLAIN, may_overwrite=0) is None


@pytest.mark.rule("C18")
def test_a_raise_waits_for_fresh_coverage_of_the_other_sellers() -> None:
    assert should_send(listed(5), 6, at(9), PLAIN, others_fresh=False) is None
    assert should_send(listed(5), 4, at(9), PLAIN, others_fresh=False) is SendReason.COVERED
    assert should_send(listed(None), 4, at(9), PLAIN, others_fresh=False) is None
    assert should_send(listed(None), 0, at(9), PLAIN, others_fresh=False) is SendReason.COVERED


@pytest.mark.rule("C18")
def test_sale_between_read_and_stamp_is_pushed() -> None:
    flying = begin_write(Listing(), 5, PLAIN, 10)
    # Elsewhere a unit is sold while 5 is on its way; the write is stamped afterwards.
    done = after_write(flying, WriteOutcome.DONE, at(3))
    assert drift(done, 4, PLAIN) == 1
    assert should_send(done, 4, at(4), PLAIN) is SendReason.COVERED


@pytest.mark.trace("T", 7)
@pytest.mark.rule("C17")
def test_an_overwritten_sale_is_not_listed_for_ever() -> None:
    # A = 1, write(1) leaves, A sells its last, the write lands: A = 1 again. Then the sale is read.
    flying = begin_write(listed(1), 1, PLAIN, 20)
    landed = after_write(flying, WriteOutcome.DONE, at(5))
    seen = after_event(landed, SALE, 1, 21, coverage_until=at(0))
    assert seen.presumed is None
    assert should_send(seen, 0, at(6), PLAIN) is not None


@pytest.mark.rule("C17")
@pytest.mark.parametrize(("sold", "presumed"), [(4, None), (5, None), (6, 0)])
def test_a_sale_from_before_the_write_is_overwritten_however_late_it_is_read(
    sold: int, presumed: int | None
) -> None:
    """It was updated since, so the window of the write passed without it (B4): coverage alone does not tell."""
    landed = after_write(begin_write(listed(1), 1, PLAIN, 20), WriteOutcome.DONE, at(5))
    seen = after_event(landed, SALE, 1, 21, coverage_until=at(60), sold_at=at(sold))
    assert seen.presumed == presumed


@pytest.mark.trace("T", 7)
@pytest.mark.rule("C18")
def test_a_cancel_without_relisting_does_not_stay_at_zero() -> None:
    sold_out = after_event(listed(1), SALE, 1, 21, at(5))
    assert sold_out.presumed == 0
    cancelled = after_event(sold_out, CANCEL, 1, 22, at(6))
    assert should_send(cancelled, 1, at(7), PLAIN) is SendReason.COVERED


@pytest.mark.rule("C19")
def test_the_bound_at_the_computation_adds_up_what_is_not_seen() -> None:
    assert bound_at_computation(free=2, outflow=1, unseen=[0, 3]) == 6
    assert bound_at_computation(free=-4, outflow=1, unseen=[2]) == 0


@pytest.mark.rule("C20")
@pytest.mark.failure(48)
def test_the_bound_at_a_sale_adds_up_what_could_sell_the_same_unit() -> None:
    assert bound_at_sale(outflow=1, others_unknown=[2, 1], own_unknown=1, low=3) == 5
    assert bound_at_sale(outflow=0, others_unknown=[], own_unknown=0, low=-2) == 2
    assert bound_at_sale(outflow=-2, others_unknown=[3], own_unknown=0, low=0) == 1  # two came in meanwhile
    assert bound_at_sale(outflow=-2, others_unknown=[], own_unknown=0, low=0) == 0


@pytest.mark.rule("C20")
def test_the_rate_free_cap_is_known_only_where_all_listings_are() -> None:
    assert rate_free_cap([2, 2], low=2, shop_sales=1) == 3  # both sell 2 of 2, and the shop 1
    assert rate_free_cap([1], low=2, shop_sales=0) == 0
    assert rate_free_cap([2, None], low=2, shop_sales=0) is None


@pytest.mark.rule("C20")
@pytest.mark.requirement("R15")
@pytest.mark.failure(48)
def test_the_last_unit_listed_twice_is_inside_the_bound() -> None:
    # A and B list the last unit, B sold it a second ago, A sells it now: one short, and the bound says one.
    assert bound_at_sale(outflow=0, others_unknown=[1], own_unknown=0, low=1) == 1
    assert rate_free_cap([1, 1], low=1, shop_sales=0) == 1


@pytest.mark.requirement("R16")
def test_a_read_back_shows_a_drift_and_it_is_set_right() -> None:
    told = after_read_back(listed(5), 8, begin_seq=20, began_at=at(10), ended_at=at(11))
    assert drift(told, 5, PLAIN) == 3
    assert should_send(told, 5, at(11), PLAIN) is None  # sales until the read may not have been seen
    assert should_send(told, 5, at(12), PLAIN) is SendReason.COVERED
    assert drift(listed(None), 5, PLAIN) is None


@pytest.mark.requirement("R16")
def test_a_read_back_that_something_overtook_proves_nothing() -> None:
    flying = begin_write(listed(5), 4, PLAIN, 15)
    assert after_read_back(flying, 8, 20, at(10), at(11)) is flying
    landed_meanwhile = listed(5, done=10)
    assert after_read_back(landed_meanwhile, 8, 20, at(10), at(11)) is landed_meanwhile
    sold_meanwhile = replace(listed(5), event_seq=21)
    assert after_read_back(sold_meanwhile, 8, 20, at(10), at(11)).presumed is None


@pytest.mark.parametrize(
    ("presumed", "wanted", "written", "may"),
    [
        (5, 9, 0, True), (5, 9, 199, True), (5, 9, 200, False), (5, 4, 200, True), (5, 0, 249, True),
        (None, 0, 249, True), (None, 4, 249, False), (5, 0, 250, False), (5, 0, 300, False),
    ],
)  # fmt: skip
def test_the_last_fifth_of_a_days_writes_is_for_what_goes_down(
    presumed: int | None, wanted: int, written: int, may: bool
) -> None:
    assert may_spend(Listing(presumed=presumed), wanted, written, 250) is may
