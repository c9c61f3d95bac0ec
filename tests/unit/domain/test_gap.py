"""What another life may have sent: which orders, for how long it may land, and what a look decides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

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
    new_delivery,
)
from marketsync.domain.gap import SKEW_SECONDS, FirstLook, Gap, after_first_look, needs_look, widened
from marketsync.domain.ids import (
    DEFAULT_MERCHANT,
    ConnectionId,
    OrderId,
    OrderKey,
    reference,
    same_order_of_other_installation,
)
from marketsync.domain.sequence import cancel

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
GAP = Gap(NOON, NOON + HOUR)
CREATE = (
    StepSpec("create", WriteClass.SCAN, 120.0, 5.0),
    StepSpec("release", WriteClass.LOOKUP, 120.0, 5.0, carries_content=False),
)


def row(kind: Kind = Kind.CREATE) -> Delivery:
    return new_delivery(
        delivery_id=1, merchant="main", kind=kind, target="shop", subject="ms-a", order_ref="ms-a", due_at=0.0,
        created_seq=1,
    )  # fmt: skip


def look(d: Delivery, answer: ProbeAnswer, *, cancel_behind: bool = False) -> FirstLook:
    return after_first_look(
        d, CREATE, answer, (), payload=b"{}", payload_hash="new", possible_since=1000.0, cancel_behind=cancel_behind,
        skew_seconds=300.0, began_at=5000.0, now=5000.0, mono=1.0, boot="b", seq=9,
    )  # fmt: skip


def test_a_gap_covers_what_was_ordered_before_it_ended_by_whatever_clock() -> None:
    skew = timedelta(seconds=SKEW_SECONDS)
    assert GAP.covers(GAP.since - 30 * HOUR)
    assert GAP.covers(GAP.until + skew / 2)
    assert not GAP.covers(GAP.until + skew)


def test_a_first_start_covers_what_was_ordered_before_it_and_waits_for_nobody() -> None:
    first = Gap(NOON - HOUR, NOON, lived=False)
    assert first.covers(NOON - HOUR / 60)
    assert not first.covers(NOON)
    assert first.wait_seconds(CREATE[0], NOON) == 0.0


@pytest.mark.rule("A4")
@pytest.mark.parametrize(("after", "left"), [(0.0, 135.0), (100.0, 35.0), (135.0, 0.0), (-9000.0, 135.0)])
def test_what_left_last_lands_within_the_sum(after: float, left: float) -> None:
    """10 to leave + 120 to land + 5 to show; a clock that was set back waits no longer than that."""
    assert GAP.wait_seconds(CREATE[0], GAP.until + timedelta(seconds=after)) == left


def test_two_gaps_are_one() -> None:
    first = Gap(NOON - HOUR, NOON - HOUR / 2, lived=False)
    assert widened(None, GAP) == GAP
    assert widened(first, GAP) == Gap(NOON - HOUR, GAP.until)
    assert widened(GAP, first) == Gap(NOON - HOUR, GAP.until)


@pytest.mark.rule("A13")
def test_an_upsert_needs_no_look() -> None:
    assert needs_look(CREATE[0])
    assert not needs_look(replace(CREATE[0], write_class=WriteClass.UPSERT))


@pytest.mark.failure(64)
def test_a_whole_record_is_adopted_quietly() -> None:
    found = look(row(), Found((Record("77", 2),)))
    after = found.decision.row
    assert (after.state, after.done, found.decision.links) == (State.DONE, 1, ("77",))
    assert not found.decision.conflict
    assert not found.amend


@pytest.mark.failure(64)
def test_a_whole_record_with_older_content_is_adopted_and_brought_up_to_date() -> None:
    found = look(row(), Found((Record("77", 2, "old"),)))
    assert found.decision.row.state is State.DONE
    assert found.amend


@pytest.mark.failure(64)
def test_a_half_built_record_is_resumed_with_the_payload_that_it_has() -> None:
    after = look(row(), Found((Record("77", 1),))).decision.row
    assert (after.state, after.step, after.payload, after.payload_hash) == (State.QUEUED, 1, b"{}", "new")


def test_a_half_built_record_with_other_content_is_a_persons() -> None:
    found = look(row(), Found((Record("77", 1, "old"),)))
    assert found.decision.row.state is State.PARKED
    assert "content" in found.decision.conflict


@pytest.mark.rule("A11")
def test_two_records_are_a_conflict() -> None:
    found = look(row(), Found((Record("77", 2), Record("78", 2))))
    assert found.decision.row.state is State.PARKED
    assert found.decision.links == ("77", "78")


@pytest.mark.rule("A12")
def test_absent_is_believed_only_from_the_earliest_moment_on() -> None:
    whole = look(row(), Absent(700.0, 5000.0)).decision.row
    assert (whole.state, whole.sent, whole.payload, whole.first_departure_at) == (State.QUEUED, 0, b"", None)
    assert look(row(), Absent(701.0, 5000.0)).decision.row.state is State.PARKED
    assert look(row(), Unknown()).decision.row.state is State.PARKED


@pytest.mark.rule("A19")
@pytest.mark.parametrize("record", [Record("77", 2, "old"), Record("77", 1, "old")])
def test_under_a_cancel_the_content_does_not_matter(record: Record) -> None:
    found = look(row(), Found((record,)), cancel_behind=True)
    assert found.decision.row.state in (State.DONE, State.CANCELLED)
    assert found.decision.links == ("77",)
    assert not found.amend


@pytest.mark.rule("A18")
def test_a_cancel_waits_for_the_look_of_what_may_have_been_sent_elsewhere() -> None:
    assert cancel([row()], ()).ended
    decision = cancel([row()], (), sent_elsewhere=True)
    assert decision.send
    assert not decision.ended


@pytest.mark.failure(60)
def test_another_installations_name_of_the_same_order() -> None:
    key = OrderKey(DEFAULT_MERCHANT, ConnectionId("alpha"), OrderId("1"))
    ours = reference("one", key)
    assert same_order_of_other_installation(reference("two", key), ours)
    assert not same_order_of_other_installation(ours, ours)
    assert not same_order_of_other_installation(reference("two", replace(key, order_id=OrderId("2"))), ours)
    assert not same_order_of_other_installation("", ours)
    assert not same_order_of_other_installation("somebody's own number", ours)
