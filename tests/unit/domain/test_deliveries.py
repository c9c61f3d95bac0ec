"""Rules A1 to A24 and the traces that broke the first version, each on the function that keeps it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from marketsync.domain import deliveries, doubt, sequence
from marketsync.domain.deliveries import (
    Absent,
    Delivery,
    Found,
    IllegalTransition,
    Kind,
    Lane,
    ProbeAnswer,
    Record,
    State,
    StepSpec,
    Unknown,
    WriteClass,
)
from marketsync.domain.doubt import ProbeDecision
from marketsync.domain.kinds import lane_of
from marketsync.domain.sequence import NextMove

REF = "ms-1-aaaa-order1"
BOOT = "boot-1"
# The wait of a LOOKUP step in doubt: 10 send-by + 60 lands + 5 visible = 75 s.
LOOKUP = (StepSpec("create", WriteClass.LOOKUP, 60.0, 5.0),)
TWO = (*LOOKUP, StepSpec("release", WriteClass.LOOKUP, 60.0, 5.0, carries_content=False))
UPSERT = (StepSpec("put", WriteClass.UPSERT, 60.0),)
SCAN = (StepSpec("create", WriteClass.SCAN, 60.0),)
BLIND = (StepSpec("create", WriteClass.BLIND, 60.0),)
DAY = 24 * 3600.0


def a_row(kind: Kind = Kind.CREATE, row_id: int = 1, **changes: object) -> Delivery:
    row = deliveries.new_delivery(
        delivery_id=row_id, merchant="main", kind=kind, target="shop", subject=REF, order_ref=REF, due_at=0.0,
        created_seq=row_id,
    )  # fmt: skip
    return replace(row, **changes)


def a_sent(steps: Sequence[StepSpec] = LOOKUP, row: Delivery | None = None, generation: int = 1) -> Delivery:
    payload = f"g{generation}"
    return deliveries.claim(
        row or a_row(), steps, payload.encode(), payload, generation, now=1000.0, mono=0.0, seq=10
    )


def in_doubt(steps: Sequence[StepSpec] = LOOKUP, row: Delivery | None = None) -> Delivery:
    return doubt.to_doubt(row or a_sent(steps), steps, "cut", mono=1.0, boot=BOOT)


def probed(
    row: Delivery,
    answer: ProbeAnswer,
    steps: Sequence[StepSpec] = LOOKUP,
    links: Sequence[str] = (),
    *,
    cancel_behind: bool = False,
    mono: float = 500.0,
) -> ProbeDecision:
    return doubt.after_probe(
        row, steps, answer, links, cancel_behind=cancel_behind, skew_seconds=30.0, began_at=1500.0, now=1501.0,
        mono=mono, boot=BOOT, seq=20,
    )  # fmt: skip


def settled(row: Delivery, steps: Sequence[StepSpec] = LOOKUP, remote_id: str = "77") -> Delivery:
    return deliveries.step_done(row, steps, remote_id=remote_id, now=1002.0, seq=11).row


def found(step: int = 1, content_hash: str | None = None, remote_id: str = "77") -> Found:
    return Found((Record(remote_id, step, content_hash),))


# Departure


@pytest.mark.rule("A1")
@pytest.mark.parametrize("state", [State.SENT, State.WAITING, State.IN_DOUBT, State.PARKED, State.QUEUED])
def test_what_is_out_parked_or_older_blocks_everything_behind_it(state: State) -> None:
    create = a_row(state=state, due_at=9e9)
    cancel = a_row(Kind.CANCEL, 2)
    assert sequence.blocks(create, cancel)
    assert sequence.next_runnable([create, cancel], now=1.0) == ()


@pytest.mark.rule("A1")
@pytest.mark.parametrize("state", [State.DONE, State.CANCELLED])
def test_settled_rows_block_nothing(state: State) -> None:
    cancel = a_row(Kind.CANCEL, 2)
    assert sequence.next_runnable([a_row(state=state), cancel], now=1.0) == (cancel,)


@pytest.mark.rule("A1")
def test_a_row_in_flight_blocks_an_older_one_that_was_queued_again() -> None:
    requeued = a_row(wanted=2, done=1)
    update = a_row(Kind.UPDATE, 2, state=State.SENT)
    assert sequence.next_runnable([requeued, update], now=1.0) == ()


@pytest.mark.rule("A1")
def test_other_orders_targets_and_merchants_are_not_blocked() -> None:
    parked = a_row(state=State.PARKED)
    free = [
        a_row(row_id=2, order_ref="other"),
        a_row(row_id=3, target="market"),
        a_row(row_id=4, merchant="other"),
    ]
    assert sequence.next_runnable([parked, *free], now=1.0) == tuple(free)


@pytest.mark.rule("A1")
def test_runnable_rows_come_by_lane_then_age_and_only_when_due() -> None:
    rows = [
        a_row(Kind.STOCK, 1, order_ref="sku:A", lane=Lane.STOCK),
        a_row(Kind.CONFIRM, 2, order_ref="o2", lane=Lane.CONFIRM),
        a_row(Kind.CONFIRM, 3, order_ref="o3", lane=Lane.CONFIRM),
        a_row(Kind.ACCEPT, 4, order_ref="o4", lane=Lane.ACCEPT, due_at=2.0),
    ]
    assert [row.id for row in sequence.next_runnable(rows, now=1.0)] == [2, 3, 1]
    assert [row.id for row in sequence.next_runnable(rows, now=2.0)] == [4, 2, 3, 1]


def test_each_kind_has_its_lane() -> None:
    assert [lane_of(kind).name for kind in Kind] == [
        "ACCEPT", "PUSH", "PUSH", "PUSH", "CONFIRM", "STOCK", "STOCK", "CONFIRM", "CONFIRM",
    ]  # fmt: skip


def test_the_sequencing_key_is_never_empty() -> None:
    with pytest.raises(ValueError, match="never empty"):
        deliveries.new_delivery(
            delivery_id=1, merchant="main", kind=Kind.STOCK, target="m", subject="A", order_ref="", due_at=0.0,
            created_seq=1,
        )  # fmt: skip


@pytest.mark.rule("A2")
@pytest.mark.trace("A", 14)
def test_a_claim_freezes_what_leaves_and_counts_the_attempt() -> None:
    row = a_sent(row=a_row(wanted=3), generation=2)
    assert (row.state, row.attempt, row.sent, row.payload, row.payload_hash, row.sent_seq) == (
        State.SENT, 1, 2, b"g2", "g2", 10,
    )  # fmt: skip
    assert (row.first_departure_at, row.last_departure_at, row.send_by) == (1000.0, 1000.0, 10.0)


@pytest.mark.rule("A2")
@pytest.mark.parametrize("state", [state for state in State if state is not State.QUEUED])
def test_only_a_queued_row_is_claimed(state: State) -> None:
    with pytest.raises(IllegalTransition):
        a_sent(row=a_row(state=state))


@pytest.mark.rule("A2")
@pytest.mark.parametrize("generation", [0, 4])
def test_a_claim_of_a_generation_that_nobody_wants_is_refused(generation: int) -> None:
    with pytest.raises(IllegalTransition):
        a_sent(row=a_row(wanted=3, done=1), generation=generation)


@pytest.mark.rule("A3")
@pytest.mark.trace("A", 1)
def test_a_claim_that_overslept_its_deadline_does_not_leave() -> None:
    row = a_sent()
    assert deliveries.may_still_send(row, mono=9.9)
    assert not deliveries.may_still_send(row, mono=10.0)
    assert not deliveries.may_still_send(in_doubt(), mono=2.0)


@pytest.mark.rule("A3")
def test_too_late_gives_the_attempt_number_back_and_arms_nothing() -> None:
    row = deliveries.too_late(a_sent(), now=1011.0)
    assert (row.state, row.attempt, row.second_probe_at) == (State.QUEUED, 0, None)
    assert sequence.may_supersede(row)


@pytest.mark.rule("A3")
@pytest.mark.rule("A16")
def test_a_resend_that_is_too_late_is_in_doubt_again() -> None:
    again = doubt.resend(in_doubt(UPSERT), UPSERT, now=1003.0, mono=3.0, seq=12)
    row = deliveries.too_late(again, now=1020.0)
    assert (row.state, row.attempt, row.unsettled) == (State.IN_DOUBT, 1, True)
    assert row.second_probe_at is not None


# Doubt


@pytest.mark.rule("A4")
@pytest.mark.rule("A6")
@pytest.mark.trace("A", 1)
@pytest.mark.failure(34)
def test_the_doubt_wait_is_a_sum_counted_from_the_commit_of_doubt() -> None:
    row = doubt.to_doubt(a_sent(), LOOKUP, "cut", mono=100.0, boot=BOOT)
    assert row.doubt_wait_seconds == 10.0 + 60.0 + 5.0
    assert doubt.doubt_remaining(row, BOOT, mono=100.0) == 75.0
    assert doubt.doubt_remaining(row, BOOT, mono=174.0) == 1.0
    assert doubt.doubt_remaining(row, BOOT, mono=200.0) == 0.0


@pytest.mark.rule("A4")
@pytest.mark.failure(31)
@pytest.mark.parametrize("answer", [Absent(), found(), Unknown()])
def test_no_look_is_believed_before_the_wait_is_over(answer: ProbeAnswer) -> None:
    with pytest.raises(IllegalTransition, match="may still land"):
        probed(in_doubt(), answer, mono=75.0)


@pytest.mark.rule("A5")
def test_the_wait_goes_on_in_the_same_boot_and_starts_in_full_in_another() -> None:
    row = in_doubt()
    assert doubt.doubt_remaining(row, BOOT, mono=41.0) == 35.0
    assert doubt.doubt_remaining(row, "boot-2", mono=41.0) == 75.0
    assert doubt.rearm(row, mono=41.0, boot=BOOT) == row


@pytest.mark.rule("A5")
def test_a_daemon_that_dies_more_often_than_the_wait_still_ends_it() -> None:
    row = in_doubt()
    for restart in range(1, 9):
        row = doubt.rearm(row, mono=restart * 10.0, boot="boot-2")
    assert doubt.doubt_remaining(row, "boot-2", mono=85.0) == 0.0


@pytest.mark.rule("A7")
@pytest.mark.trace("A", 8)
def test_a_late_answer_of_an_older_attempt_moves_nothing() -> None:
    first = a_sent()
    second = a_sent(row=probed(in_doubt(), Absent()).row)
    assert deliveries.settles(first, attempt=1)
    assert not deliveries.settles(second, attempt=1)
    assert not deliveries.settles(in_doubt(), attempt=1)
    assert deliveries.settles(in_doubt(), attempt=1, state=State.IN_DOUBT)


@pytest.mark.rule("A7")
@pytest.mark.rule("A8")
def test_the_id_of_a_late_answer_is_a_link_and_a_second_one_a_conflict() -> None:
    row = a_sent()
    assert deliveries.learn(row, (), "77") == deliveries.Learned(("77",), "")
    assert deliveries.learn(row, ("77",), "77") == deliveries.Learned((), "")
    assert deliveries.learn(row, (REF,), "77").conflict == ""
    second = deliveries.learn(row, ("77",), "78")
    assert second.links == ("78",)
    assert "77, 78" in second.conflict


@pytest.mark.rule("A8")
@pytest.mark.parametrize(("steps", "state"), [(LOOKUP, State.DONE), (TWO, State.PARKED)])
def test_an_answer_with_a_second_id_is_a_conflict_and_stops_a_half_built_row(
    steps: Sequence[StepSpec], state: State
) -> None:
    outcome = deliveries.step_done(a_sent(steps), steps, remote_id="78", link_ids=("77",), now=1.0, seq=2)
    assert (outcome.row.state, outcome.links) == (state, ("78",))
    assert outcome.conflict


@pytest.mark.rule("A8")
def test_a_blind_create_whose_id_is_known_is_adopted_and_otherwise_parked() -> None:
    assert probed(in_doubt(BLIND), Unknown(), BLIND, ["77"]).row.state is State.DONE
    for answer in (Unknown(), Absent()):
        row = probed(in_doubt(BLIND), answer, BLIND).row
        assert (row.state, row.unsettled) == (State.PARKED, True)


@pytest.mark.rule("A9")
@pytest.mark.trace("A", 3)
@pytest.mark.failure(18)
def test_done_becomes_what_was_sent_and_a_newer_wish_is_queued_in_the_same_move() -> None:
    row = deliveries.raise_wanted(a_sent(), 2, now=1001.0).row
    assert row.state is State.SENT
    row = settled(row)
    assert (row.state, row.done, row.wanted, row.step, row.done_seq) == (State.QUEUED, 1, 2, 0, 11)


@pytest.mark.rule("A9")
def test_a_row_is_done_when_nothing_newer_is_wanted() -> None:
    row = settled(a_sent(row=a_row(failures=3)))
    assert (row.state, row.done, row.failures, row.payload, row.payload_hash) == (State.DONE, 1, 0, b"", "g1")


@pytest.mark.rule("A10")
@pytest.mark.trace("A", 13)
def test_the_watchdog_puts_a_row_whose_task_died_in_doubt() -> None:
    row = a_sent()
    dead = doubt.watchdog(row, LOOKUP, task_alive=False, mono=5.0, boot=BOOT)
    assert (dead.state, dead.doubt_since, dead.unsettled) == (State.IN_DOUBT, 5.0, True)
    assert doubt.watchdog(row, LOOKUP, task_alive=True, mono=5.0, boot=BOOT) == row
    waits = deliveries.waiting(row, '{"import": 9}', due_at=1060.0)
    assert doubt.watchdog(waits, LOOKUP, task_alive=False, mono=5.0, boot=BOOT) == waits


# The look


@pytest.mark.rule("A11")
@pytest.mark.failure(32)
def test_a_found_record_is_adopted_and_not_sent_again() -> None:
    decision = probed(in_doubt(), found(content_hash="g1"))
    assert (decision.row.state, decision.row.done, decision.links) == (State.DONE, 1, ("77",))
    assert decision.conflict == ""


@pytest.mark.rule("A11")
def test_several_records_are_all_linked_and_parked_as_a_conflict() -> None:
    decision = probed(in_doubt(), Found((Record("78", 1), Record("79", 1))), links=["77"])
    assert decision.links == ("78", "79")
    assert "77, 78, 79" in decision.conflict
    assert (decision.row.state, decision.row.unsettled) == (State.PARKED, True)


@pytest.mark.rule("A11")
def test_a_create_found_with_other_content_is_a_conflict() -> None:
    decision = probed(in_doubt(), found(content_hash="g0"))
    assert (decision.row.state, decision.links) == (State.PARKED, ("77",))
    assert decision.conflict


@pytest.mark.rule("A11")
def test_a_look_that_finds_a_known_half_less_built_than_the_checkpoint_parks() -> None:
    three = (*TWO, StepSpec("ship", WriteClass.LOOKUP, 60.0))
    row = in_doubt(three, a_sent(three, a_row(step=2, sent=1, checkpoint="{}")))
    assert probed(row, found(step=1), three, ["77"]).row.state is State.PARKED


@pytest.mark.rule("A12")
@pytest.mark.trace("A", 12)
@pytest.mark.parametrize(
    ("read_from_at", "read_to_at", "state"),
    [
        (970.0, 1500.0, State.QUEUED),  # first departure 1000 - skew 30, to the beginning of the look
        (970.1, 1500.0, State.PARKED),  # a full page ended just before the span did
        (970.0, 1499.0, State.PARKED),
        (None, None, State.PARKED),
    ],
)
def test_a_scan_says_absent_only_of_the_whole_span(
    read_from_at: float | None, read_to_at: float | None, state: State
) -> None:
    row = probed(in_doubt(SCAN), Absent(read_from_at, read_to_at), SCAN).row
    assert (row.state, row.unsettled) == (state, state is State.PARKED)


@pytest.mark.rule("A12")
def test_the_span_of_a_scan_begins_at_the_first_departure_of_all() -> None:
    row = probed(in_doubt(SCAN), Absent(0.0, 1500.0), SCAN).row
    again = deliveries.claim(row, SCAN, b"g1", "g1", 1, now=1300.0, mono=600.0, seq=12)
    assert (again.first_departure_at, again.last_departure_at) == (1000.0, 1300.0)


@pytest.mark.rule("A13")
@pytest.mark.trace("A", 7)
@pytest.mark.failure(47)
def test_an_upsert_in_doubt_sends_no_other_payload_before_the_wait() -> None:
    row = deliveries.raise_wanted(in_doubt(UPSERT), 2, now=1002.0).row
    with pytest.raises(IllegalTransition):
        a_sent(UPSERT, row, generation=2)
    with pytest.raises(IllegalTransition):
        doubt.after_wait(row, UPSERT, now=1003.0, mono=70.9, boot=BOOT)
    over = doubt.after_wait(row, UPSERT, now=1071.0, mono=71.0, boot=BOOT)
    assert a_sent(UPSERT, over, generation=2).sent == 2


@pytest.mark.rule("A13")
def test_only_an_upsert_may_resend_and_only_the_frozen_bytes() -> None:
    row = deliveries.raise_wanted(in_doubt(UPSERT), 2, now=1002.0).row
    again = doubt.resend(row, UPSERT, now=1003.0, mono=3.0, seq=12)
    assert (again.payload, again.sent, again.attempt, again.unsettled) == (b"g1", 1, 2, True)
    with pytest.raises(IllegalTransition):
        doubt.resend(in_doubt(), LOOKUP, now=1003.0, mono=3.0, seq=12)
    with pytest.raises(IllegalTransition):
        doubt.after_wait(in_doubt(), LOOKUP, now=1003.0, mono=500.0, boot=BOOT)


@pytest.mark.rule("A13")
@pytest.mark.rule("A16")
def test_a_throttled_resend_leaves_its_twin_in_doubt() -> None:
    again = doubt.resend(in_doubt(UPSERT), UPSERT, now=1003.0, mono=3.0, seq=12)
    row = deliveries.retry(again, "throttled", due_at=1010.0, counted=False)
    assert row.state is State.IN_DOUBT
    assert doubt.doubt_remaining(row, BOOT, mono=3.0) == 68.0


@pytest.mark.rule("A13")
@pytest.mark.rule("A23")
def test_an_answered_resend_still_spaces_the_next_content_from_its_twin() -> None:
    steps = (StepSpec("put", WriteClass.UPSERT, 60.0, path_may_duplicate=False),)
    clean = settled(a_sent(steps), steps)
    again = settled(doubt.resend(in_doubt(steps), steps, now=1003.0, mono=3.0, seq=12), steps)
    assert doubt.spacing_remaining(clean, steps, "g2", now=1004.0) == 0.0
    assert doubt.spacing_remaining(again, steps, "g2", now=1004.0) == 69.0


@pytest.mark.rule("A13")
def test_an_upsert_found_with_old_content_is_brought_up_and_not_taken_for_done() -> None:
    decision = probed(in_doubt(UPSERT), found(content_hash="g0"), UPSERT)
    assert (decision.row.state, decision.row.done, decision.conflict) == (State.QUEUED, 0, "")


@pytest.mark.rule("A14")
@pytest.mark.failure(31)
def test_after_absent_the_newest_payload_goes_from_the_first_step() -> None:
    row = deliveries.raise_wanted(in_doubt(), 2, now=1002.0).row
    row = probed(row, Absent()).row
    assert (row.state, row.step, row.unsettled, row.payload) == (State.QUEUED, 0, False, b"g1")
    again = a_sent(row=row, generation=2)
    assert (again.sent, again.payload, again.attempt) == (2, b"g2", 2)


@pytest.mark.rule("A14")
def test_the_frozen_payload_is_kept_until_settled() -> None:
    row = in_doubt()
    assert (row.payload, deliveries.park(row, "look").payload) == (b"g1", b"g1")
    assert probed(row, found()).row.payload == b""


@pytest.mark.rule("A15")
@pytest.mark.parametrize(("links", "changes"), [(["77"], {}), ([REF], {}), ([], {"checkpoint": "{}"})])
def test_absent_of_what_was_known_to_exist_parks_and_never_recreates(
    links: list[str], changes: dict[str, object]
) -> None:
    decision = probed(replace(in_doubt(), **changes), Absent(), links=links)
    assert decision.row.state is State.PARKED
    assert "gone" in decision.conflict


@pytest.mark.rule("A15")
def test_absent_under_a_completed_step_parks() -> None:
    half = a_row(step=1, sent=1)
    assert probed(in_doubt(TWO, a_sent(TWO, half)), Absent(), TWO).row.state is State.PARKED


@pytest.mark.rule("A15")
def test_a_create_with_a_link_never_leaves_again() -> None:
    assert sequence.next_move(a_row(), LOOKUP, []) is NextMove.SEND
    assert sequence.next_move(a_row(), LOOKUP, ["77"]) is NextMove.PROBE
    assert sequence.next_move(a_row(done=1, wanted=2), LOOKUP, ["77"]) is NextMove.AMEND
    assert sequence.next_move(a_row(), UPSERT, ["77"]) is NextMove.SEND
    assert sequence.next_move(a_row(step=1), TWO, ["77"]) is NextMove.SEND
    assert sequence.next_move(a_row(Kind.UPDATE), UPSERT, ["77"]) is NextMove.SEND


@pytest.mark.rule("A15")
@pytest.mark.failure(64)
def test_a_queued_row_that_is_found_is_adopted_and_shown_if_it_was_never_sent() -> None:
    late = probed(probed(in_doubt(), Absent()).row, found(content_hash="g1"))
    assert (late.row.state, late.conflict) == (State.DONE, "")
    restored = probed(a_row(wanted=2), found())
    assert (restored.row.state, restored.row.done) == (State.DONE, 2)
    assert "before we sent it" in restored.conflict


@pytest.mark.rule("A15")
def test_an_amendment_in_doubt_is_done_only_when_the_content_shows() -> None:
    amended = in_doubt(UPSERT, a_sent(UPSERT, a_row(done=1, wanted=2), generation=2))
    assert probed(amended, found(content_hash="g2"), UPSERT, ["77"]).row.done == 2
    for other in ("g1", None):
        row = probed(amended, found(content_hash=other), UPSERT, ["77"]).row
        assert (row.state, row.done) == (State.QUEUED, 1)


@pytest.mark.rule("A16")
@pytest.mark.trace("A", 4)
def test_unknown_parks_and_waking_goes_to_doubt_with_the_whole_wait() -> None:
    parked = probed(in_doubt(), Unknown()).row
    assert (parked.state, parked.unsettled) == (State.PARKED, True)
    woken = doubt.wake(parked, LOOKUP, now=2000.0, mono=900.0, boot=BOOT)
    assert woken.state is State.IN_DOUBT
    assert doubt.doubt_remaining(woken, BOOT, mono=900.0) == 75.0


@pytest.mark.rule("A16")
@pytest.mark.failure(41)
def test_a_refusal_is_settled_and_waking_it_queues() -> None:
    parked = deliveries.refused(a_sent(), "unknown sku")
    assert (parked.state, parked.unsettled, parked.failures) == (State.PARKED, False, 1)
    assert doubt.wake(parked, LOOKUP, now=2000.0, mono=900.0, boot=BOOT).state is State.QUEUED


@pytest.mark.rule("A16")
@pytest.mark.parametrize(
    ("row", "unsettled"),
    [(a_row(), False), (a_sent(), True), (in_doubt(), True), (replace(a_sent(), state=State.WAITING), True)],
)
def test_parking_keeps_whether_an_attempt_is_unsettled(row: Delivery, unsettled: bool) -> None:
    assert deliveries.park(row, "cause").unsettled is unsettled


# Steps


@pytest.mark.rule("A17")
@pytest.mark.trace("A", 2)
def test_the_generation_is_frozen_at_the_first_step_and_carried_through() -> None:
    row = deliveries.raise_wanted(a_sent(TWO), 2, now=1001.0).row
    row = deliveries.step_done(row, TWO, remote_id="77", checkpoint='{"id": 77}', now=1002.0, seq=11).row
    assert (row.state, row.step, row.checkpoint, row.done) == (State.QUEUED, 1, '{"id": 77}', 0)
    row = deliveries.claim(row, TWO, b"g2", "g2", 2, now=1003.0, mono=3.0, seq=12)
    assert (row.sent, row.payload, row.attempt) == (1, b"g1", 2)
    row = settled(row, TWO)
    assert (row.done, row.wanted, row.state, row.step, row.checkpoint) == (1, 2, State.QUEUED, 0, "")


@pytest.mark.rule("A17")
def test_a_half_built_record_that_is_found_is_resumed_not_repeated() -> None:
    decision = probed(in_doubt(TWO), found(step=1), TWO)
    assert (decision.row.state, decision.row.step, decision.links) == (State.QUEUED, 1, ("77",))
    assert decision.row.checkpoint == '{"remote_id":"77"}'


def test_a_later_step_that_is_missing_goes_again_but_a_blind_one_parks() -> None:
    half = a_row(step=1, sent=1, checkpoint="{}")
    row = probed(in_doubt(TWO, a_sent(TWO, half)), found(step=1), TWO, ["77"]).row
    assert (row.state, row.step, row.checkpoint) == (State.QUEUED, 1, "{}")
    blind = (LOOKUP[0], replace(BLIND[0], name="release"))
    row = probed(in_doubt(blind, a_sent(blind, half)), found(step=1), blind, ["77"]).row
    assert (row.state, row.unsettled) == (State.PARKED, True)


def test_an_update_that_the_record_does_not_show_is_sent_again() -> None:
    update = in_doubt(UPSERT, a_sent(UPSERT, a_row(Kind.UPDATE)))
    assert probed(update, found(step=0), UPSERT, ["77"]).row.state is State.QUEUED
    assert probed(update, found(step=1), UPSERT, ["77"]).row.state is State.DONE


# Cancel


@pytest.mark.rule("A18")
@pytest.mark.failure(19)
def test_a_cancel_supersedes_what_never_left() -> None:
    decision = sequence.cancel([a_row(), a_row(Kind.UPDATE, 2)], [])
    assert [row.state for row in decision.ended] == [State.CANCELLED, State.CANCELLED]
    assert not decision.send


@pytest.mark.rule("A18")
def test_a_cancel_supersedes_what_is_settled_as_not_applied() -> None:
    throttled = deliveries.retry(a_sent(), "throttled", due_at=1.0, counted=False)
    absent = probed(in_doubt(), Absent()).row
    refused = deliveries.refused(a_sent(), "unknown sku")
    for row in (throttled, absent, refused):
        assert not sequence.cancel([row], []).send
    assert sequence.cancel([absent], []).ended[0].second_probe_at is not None


@pytest.mark.rule("A18")
@pytest.mark.trace("A", 5)
def test_a_half_built_create_stops_unreleased_and_the_cancel_is_sent() -> None:
    half = settled(a_sent(TWO), TWO)
    assert not sequence.may_supersede(half)
    decision = sequence.cancel([half], ["77"])
    assert (decision.ended[0].state, decision.ended[0].checkpoint) == (State.CANCELLED, half.checkpoint)
    assert decision.send


@pytest.mark.rule("A18")
@pytest.mark.parametrize("changes", [{"step": 1}, {"checkpoint": "{}"}, {"done": 1}, {"unsettled": True}])
def test_nothing_with_a_trace_is_superseded(changes: dict[str, object]) -> None:
    assert not sequence.may_supersede(replace(a_row(attempt=1), **changes))
    assert not sequence.may_supersede(a_row(), ["77"])


@pytest.mark.rule("A18")
def test_a_step_that_ends_under_a_cancel_is_the_last() -> None:
    row = deliveries.step_done(a_sent(TWO), TWO, remote_id="77", cancel_behind=True, now=1002.0, seq=11).row
    assert row.state is State.CANCELLED
    assert probed(in_doubt(TWO), found(step=1), TWO, cancel_behind=True).row.state is State.CANCELLED
    half = a_row(step=1, sent=1, checkpoint="{}")
    missing = probed(in_doubt(TWO, a_sent(TWO, half)), found(step=1), TWO, ["77"], cancel_behind=True)
    assert missing.row.state is State.CANCELLED


@pytest.mark.rule("A19")
@pytest.mark.trace("A", 6)
@pytest.mark.parametrize("row", [a_sent(), in_doubt(), probed(in_doubt(), Unknown()).row])
def test_a_cancel_waits_behind_what_may_still_land(row: Delivery) -> None:
    decision = sequence.cancel([row], [])
    assert decision == sequence.CancelDecision((), send=True)
    assert sequence.blocks(row, a_row(Kind.CANCEL, 2))


@pytest.mark.rule("A19")
@pytest.mark.rule("A21")
def test_absent_under_a_cancel_ends_the_create_and_keeps_its_second_probe() -> None:
    decision = probed(in_doubt(), Absent(), cancel_behind=True)
    assert (decision.row.state, decision.cancel_void) == (State.CANCELLED, True)
    assert decision.row.second_probe_at is not None


@pytest.mark.rule("A19")
def test_found_under_a_cancel_leaves_the_cancel_to_act_on_the_record() -> None:
    decision = probed(in_doubt(), found(), cancel_behind=True)
    assert (decision.row.state, decision.cancel_void, decision.links) == (State.DONE, False, ("77",))


@pytest.mark.rule("A20")
def test_a_newer_wish_requeues_a_done_row_and_drops_the_causes_of_a_parked_one() -> None:
    done = settled(a_sent())
    raised = deliveries.raise_wanted(done, 2, now=5.0)
    assert (raised.row.state, raised.row.wanted, raised.row.step) == (State.QUEUED, 2, 0)
    assert not raised.drops_payload_causes
    parked = deliveries.raise_wanted(deliveries.refused(a_sent(), "x"), 2, now=5.0)
    assert (parked.row.state, parked.drops_payload_causes) == (State.PARKED, True)
    assert deliveries.raise_wanted(done, 1, now=5.0).row == done


@pytest.mark.rule("A20")
@pytest.mark.failure(18)
def test_an_edit_raises_what_never_left_and_otherwise_the_update_behind_it() -> None:
    assert sequence.takes_edit(a_row(), LOOKUP, [])
    assert sequence.takes_edit(deliveries.refused(a_sent(), "bad address"), LOOKUP, [])
    assert sequence.takes_edit(in_doubt(UPSERT), UPSERT, [])
    assert not sequence.takes_edit(a_sent(), LOOKUP, [])
    assert not sequence.takes_edit(settled(a_sent(TWO), TWO), TWO, ["77"])


@pytest.mark.rule("A20")
def test_a_cancelled_row_is_terminal() -> None:
    gone = sequence.cancel([a_row()], []).ended[0]
    with pytest.raises(IllegalTransition):
        deliveries.raise_wanted(gone, 2, now=5.0)


# Afterwards


@pytest.mark.rule("A21")
@pytest.mark.trace("A", 9)
@pytest.mark.parametrize("steps", [LOOKUP, UPSERT, SCAN, BLIND])
def test_the_second_probe_is_armed_at_the_departure_of_every_create(steps: Sequence[StepSpec]) -> None:
    row = a_sent(steps)
    assert row.second_probe_at is not None
    assert 1000.0 < row.second_probe_at <= 1000.0 + DAY
    done = settled(row, steps)
    assert not deliveries.may_prune(done, has_link=True)
    throttled = deliveries.retry(row, "throttled", due_at=1.0, counted=False)
    assert throttled.second_probe_at == row.second_probe_at


@pytest.mark.rule("A21")
def test_the_second_probe_is_armed_at_the_absent_of_any_row_and_where_a_step_asks() -> None:
    confirm = a_sent(row=a_row(Kind.CONFIRM))
    assert confirm.second_probe_at is None
    assert probed(in_doubt(row=confirm), Absent()).row.second_probe_at is not None
    asked = (replace(LOOKUP[0], second_probe=True),)
    assert a_sent(asked, a_row(Kind.CONFIRM)).second_probe_at is not None


def second(
    row: Delivery, answer: ProbeAnswer, links: Sequence[str] = ("77",), *, cancelled: bool = False
) -> doubt.SecondProbe:
    return doubt.after_second_probe(row, answer, links, expected_hash="g1", cancelled=cancelled, now=9e4)


@pytest.mark.rule("A22")
@pytest.mark.trace("A", 9)
@pytest.mark.failure(32)
def test_the_second_probe_compares_count_content_and_existence() -> None:
    done = settled(a_sent())
    clean = second(done, found(content_hash="g1"))
    assert (clean.conflicts, clean.links, clean.row.second_probe_at) == ((), (), None)
    twins = second(done, Found((Record("77", 1, "g1"), Record("78", 1, "g1"))))
    assert twins.links == ("78",)
    assert "77, 78" in twins.conflicts[0]
    assert "content" in second(done, found(content_hash="g0")).conflicts[0]
    assert "gone" in second(done, Absent()).conflicts[0]


@pytest.mark.rule("A22")
def test_a_cancelled_create_that_landed_late_is_a_conflict() -> None:
    ended = probed(in_doubt(), Absent(), cancel_behind=True).row
    late = second(ended, found(), links=())
    assert (late.links, len(late.conflicts)) == (("77",), 1)
    assert "cancelled and yet exists" in late.conflicts[0]
    assert second(ended, Absent(), links=()).conflicts == ()


@pytest.mark.rule("A22")
def test_a_record_that_we_cancelled_is_no_conflict() -> None:
    done = settled(a_sent())
    assert second(done, found(content_hash="g0"), cancelled=True).conflicts == ()
    assert second(done, Absent(), cancelled=True).conflicts == ()


@pytest.mark.rule("A22")
def test_a_second_look_that_proves_nothing_is_made_again_and_none_before_it_is_settled() -> None:
    done = settled(a_sent())
    assert second(done, Unknown()).row.second_probe_at == deliveries.second_probe_due_at(9e4)
    with pytest.raises(IllegalTransition):
        second(in_doubt(), found())


@pytest.mark.rule("A23")
@pytest.mark.trace("A", 10)
def test_different_absolute_content_is_spaced_even_after_a_clean_answer() -> None:
    last = settled(a_sent(UPSERT), UPSERT)
    # 10 send-by + 60 lands after the departure at 1000
    assert doubt.spacing_remaining(last, UPSERT, "g2", now=1005.0) == 65.0
    assert doubt.spacing_remaining(last, UPSERT, "g2", now=1070.0) == 0.0
    assert doubt.spacing_remaining(last, UPSERT, "g1", now=1005.0) == 0.0
    assert doubt.spacing_remaining(last, UPSERT, "g2", now=-9e9) == 70.0
    assert doubt.spacing_remaining(a_row(), UPSERT, "g2", now=1005.0) == 0.0


@pytest.mark.rule("A23")
def test_what_is_looked_for_first_is_spaced_until_the_look_can_see_it() -> None:
    """A parcel's number that is corrected at once: the look before the resend must not miss the parcel that was just told."""
    confirm = settled(a_sent(row=a_row(Kind.CONFIRM)))
    # 10 send-by + 60 lands + 5 visible after the departure at 1000
    assert doubt.spacing_remaining(confirm, LOOKUP, "g2", now=1005.0) == 70.0
    assert doubt.spacing_remaining(confirm, LOOKUP, "g1", now=1005.0) == 0.0


@pytest.mark.rule("A23")
def test_writes_that_overwrite_nothing_and_paths_that_never_duplicate_are_not_spaced() -> None:
    confirm = settled(a_sent(SCAN, row=a_row(Kind.CONFIRM)), SCAN)
    assert doubt.spacing_remaining(confirm, SCAN, "g2", now=1005.0) == 0.0
    safe = (replace(UPSERT[0], path_may_duplicate=False),)
    assert doubt.spacing_remaining(settled(a_sent(safe), safe), safe, "g2", now=1005.0) == 0.0
    update = settled(a_sent(row=a_row(Kind.UPDATE)))
    assert doubt.spacing_remaining(update, LOOKUP, "g2", now=1005.0) == 65.0


@pytest.mark.rule("A24")
@pytest.mark.trace("A", 11)
def test_every_settled_write_leaves_a_marker() -> None:
    accept = a_sent(row=a_row(Kind.ACCEPT))
    assert deliveries.step_done(accept, LOOKUP, now=1.0, seq=2).links == (REF,)
    cancel = a_sent(row=a_row(Kind.CANCEL))
    assert deliveries.step_done(cancel, LOOKUP, link_ids=["77"], now=1.0, seq=2).links == ("77",)
    parked = deliveries.park(in_doubt(BLIND), "a person decides")
    told = doubt.person_found(parked, BLIND, remote_id="", link_ids=[], now=1.0, seq=2)
    assert (told.row.state, told.row.done, told.links) == (State.DONE, 1, (REF,))


@pytest.mark.rule("A24")
def test_only_a_settled_row_with_a_marker_and_no_second_probe_is_pruned() -> None:
    row = a_row(state=State.DONE)
    assert deliveries.may_prune(row, has_link=True)
    assert not deliveries.may_prune(row, has_link=False)
    assert not deliveries.may_prune(replace(row, second_probe_at=1.0), has_link=True)
    assert not deliveries.may_prune(replace(row, state=State.PARKED), has_link=True)


def test_a_person_says_absent_or_gives_up() -> None:
    parked = deliveries.park(in_doubt(BLIND), "a person decides")
    row = doubt.person_absent(parked, now=2000.0)
    assert (row.state, row.unsettled, row.second_probe_at) == (State.QUEUED, False, 2000.0 + 20 * 3600)
    gone = doubt.abandon(parked)
    assert (gone.state, gone.second_probe_at) == (State.CANCELLED, parked.second_probe_at)
    with pytest.raises(IllegalTransition):
        doubt.person_absent(deliveries.refused(a_sent(), "x"), now=1.0)


# Waiting is not failing


@pytest.mark.failure(36)
@pytest.mark.parametrize(("counted", "failures"), [(True, 1), (False, 0)])
def test_a_retry_counts_only_failures(counted: bool, failures: int) -> None:
    row = deliveries.retry(a_sent(), "throttled", due_at=1030.0, counted=counted)
    assert (row.state, row.due_at, row.failures, row.error) == (State.QUEUED, 1030.0, failures, "throttled")


def test_a_feed_waits_uncounted_and_can_still_end_every_way() -> None:
    waits = deliveries.waiting(a_sent(), '{"import": 9}', due_at=1060.0)
    assert (waits.state, waits.failures, waits.checkpoint) == (State.WAITING, 0, '{"import": 9}')
    assert deliveries.waiting(waits, "", due_at=1120.0).checkpoint == '{"import": 9}'
    assert settled(waits).state is State.DONE
    again = deliveries.retry(waits, "lost", due_at=1.0, counted=True)
    assert (again.state, again.checkpoint) == (State.QUEUED, "")
    assert deliveries.refused(waits, "bad row").state is State.PARKED
    # A feed that was taken and then vanished may still run: a person decides.
    assert probed(in_doubt(row=waits), Absent()).row.state is State.PARKED


@pytest.mark.parametrize("state", [State.QUEUED, State.IN_DOUBT, State.PARKED, State.DONE, State.CANCELLED])
def test_an_answer_moves_only_what_is_out(state: State) -> None:
    row = a_row(state=state)
    moves: list[Callable[[], object]] = [
        lambda: settled(row),
        lambda: deliveries.retry(row, "x", 1.0, counted=True),
        lambda: deliveries.refused(row, "x"),
        lambda: doubt.to_doubt(row, LOOKUP, "x", mono=1.0, boot=BOOT),
    ]
    for move in moves:
        with pytest.raises(IllegalTransition):
            move()
