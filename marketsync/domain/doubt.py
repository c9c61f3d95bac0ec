"""Doubt: the wait before a look, what a look decides, and what is looked at once more (A3 to A6, A10 to A23)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec
from msgspec.structs import replace

from marketsync.domain.deliveries import (
    Absent,
    Delivery,
    Found,
    IllegalTransition,
    Kind,
    Outcome,
    ProbeAnswer,
    Record,
    State,
    StepSpec,
    Unknown,
    WriteClass,
    advance,
    depart,
    end,
    learn,
    leaves,
    marker,
    remote_ids,
    second_probe_due_at,
)


class ProbeDecision(msgspec.Struct, frozen=True):
    """The next row, Links to insert with it, a conflict to show, and whether the cancel behind has nothing to do."""

    row: Delivery
    links: tuple[str, ...] = ()
    conflict: str = ""
    cancel_void: bool = False


class SecondProbe(msgspec.Struct, frozen=True):
    row: Delivery
    links: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


# The wait


def to_doubt(d: Delivery, steps: Sequence[StepSpec], error: str, *, mono: float, boot: str) -> Delivery:
    """A4, A5: the outcome is unknown. The wait is the sum of send-by, lands-within and visible-within, from the
    commit of this row; only when no task of ours can still send."""
    leaves(d, State.SENT, State.WAITING)
    return _in_doubt(replace(d, error=error), steps, mono, boot)


def doubt_remaining(d: Delivery, boot: str, mono: float) -> float:
    """A4, A5: seconds until a look may be believed. Same boot: the wait goes on; another: in full."""
    if d.doubt_boot != boot:
        return d.doubt_wait_seconds
    return max(0.0, d.doubt_wait_seconds - max(0.0, mono - d.doubt_since))


def rearm(d: Delivery, *, mono: float, boot: str) -> Delivery:
    """A5: at start, once per boot: the full wait of a row of another boot begins now, and is stored."""
    leaves(d, State.IN_DOUBT)
    return d if d.doubt_boot == boot else replace(d, doubt_boot=boot, doubt_since=mono)


def watchdog(d: Delivery, steps: Sequence[StepSpec], *, task_alive: bool, mono: float, boot: str) -> Delivery:
    """A10: a sent row whose task died is in doubt now, not at the next restart."""
    if d.state is not State.SENT or task_alive:
        return d
    return to_doubt(d, steps, "its task ended without an outcome", mono=mono, boot=boot)


def wake(d: Delivery, steps: Sequence[StepSpec], *, now: float, mono: float, boot: str) -> Delivery:
    """A16: a parked row with an unsettled attempt goes to doubt, never to queued; the wait starts in full."""
    leaves(d, State.PARKED)
    if d.unsettled:
        return _in_doubt(d, steps, mono, boot)
    return replace(d, state=State.QUEUED, due_at=now, failures=0)


def resend_same_bytes_allowed(d: Delivery, steps: Sequence[StepSpec]) -> bool:
    """A13: only an UPSERT may leave again without the wait, and only with the frozen bytes."""
    return d.state is State.IN_DOUBT and steps[d.step].write_class is WriteClass.UPSERT


def resend(d: Delivery, steps: Sequence[StepSpec], *, now: float, mono: float, seq: int) -> Delivery:
    """A13: the frozen bytes again, out of doubt; the earlier attempt stays unsettled behind this one."""
    if not resend_same_bytes_allowed(d, steps):
        raise IllegalTransition(f"delivery {d.id} may not be sent again without a look")
    return depart(d, steps, now=now, mono=mono, seq=seq)


def after_wait(d: Delivery, steps: Sequence[StepSpec], *, now: float, mono: float, boot: str) -> Delivery:
    """A13, C16: an UPSERT that has no probe (stock): after the wait any payload may go."""
    _waited(d, boot, mono)
    if steps[d.step].write_class is not WriteClass.UPSERT:
        raise IllegalTransition(f"delivery {d.id} needs a probe")
    return _requeued(d, d.step, now)


def spacing_remaining(last: Delivery, steps: Sequence[StepSpec], payload_hash: str, *, now: float) -> float:
    """A23: seconds until a DIFFERENT content may leave for the subject that `last` was the last to leave for. An absolute
    one: also where an answered resend leaves an unanswered twin behind (A13), whatever the path. One that is looked for
    before it leaves again: until the look can see the one before."""
    if last.last_departure_at is None or last.payload_hash == payload_hash:
        return 0.0
    content = [step for step in steps if step.carries_content]
    if last.kind in (Kind.STOCK, Kind.UPDATE) or steps[0].write_class is WriteClass.UPSERT:
        content = [step for step in content if step.path_may_duplicate or last.doubt_boot]
        spans = [step.send_by_seconds + step.lands_within_seconds for step in content]
    else:
        spans = [
            step.visible_within_seconds + step.send_by_seconds + step.lands_within_seconds
            for step in content
            if step.write_class is WriteClass.LOOKUP
        ]
    span = max(spans, default=0.0)
    return max(0.0, min(span, last.last_departure_at + span - now))


# The look


def after_probe(
    d: Delivery, steps: Sequence[StepSpec], answer: ProbeAnswer, link_ids: Sequence[str], *,
    cancel_behind: bool = False, skew_seconds: float = 0.0, began_at: float, now: float, mono: float, boot: str, seq: int,
) -> ProbeDecision:  # fmt: skip
    """A11 to A15, A18, A19: what a look decides about a row in doubt whose wait is over.

    Also for a queued row: where a Link appeared first (`NextMove.PROBE`), and after a restore from a backup.
    `began_at` = unix seconds at which the look began.
    """
    if d.state is not State.QUEUED:
        _waited(d, boot, mono)
    answer = believed(d, steps, answer, link_ids, began_at=began_at, skew_seconds=skew_seconds)
    if isinstance(answer, Absent):
        return _absent(d, link_ids, cancel_behind, now)
    if isinstance(answer, Unknown):
        return ProbeDecision(_parked(d, "a look could not tell whether it was applied"))
    ids = _ids(d, link_ids, answer)
    fresh = tuple(known for known in ids if known not in link_ids)
    if len(ids) > 1:
        conflict = f"{d.subject} has several records: {', '.join(ids)}"
        return ProbeDecision(_parked(d, conflict), fresh, conflict)
    return _found(d, steps, answer.records[0], link_ids, cancel_behind, now, seq)


def believed(
    d: Delivery, steps: Sequence[StepSpec], answer: ProbeAnswer, link_ids: Sequence[str], *,
    began_at: float, skew_seconds: float,
) -> ProbeAnswer:  # fmt: skip
    """A8, A12: an answer cut down to what it proves. A SCAN's Absent needs the whole span of creation; a BLIND
    step's is worth nothing, but a Link proves that its create landed."""
    write_class = steps[min(d.step, len(steps) - 1)].write_class
    match answer:
        case Found():
            return answer if answer.records else Unknown()
        case Unknown() | Absent() if write_class is WriteClass.BLIND:
            ids = remote_ids(d, link_ids)
            creates = d.kind is Kind.CREATE and d.step == 0 and d.done == 0
            return Found(tuple(Record(known, 1) for known in ids)) if ids and creates else Unknown()
        case Absent() if write_class is WriteClass.SCAN:
            return answer if _whole_span(d, answer, began_at, skew_seconds) else Unknown()
        case Absent() | Unknown():
            return answer
        case _:
            assert_never(answer)


def _whole_span(d: Delivery, answer: Absent, began_at: float, skew_seconds: float) -> bool:
    if answer.read_from_at is None or answer.read_to_at is None:
        return False
    first = began_at if d.first_departure_at is None else d.first_departure_at
    return answer.read_from_at <= first - skew_seconds and answer.read_to_at >= began_at


def _absent(d: Delivery, link_ids: Sequence[str], cancel_behind: bool, now: float) -> ProbeDecision:
    """A14, A15, A19, A21: park if it was known to exist; else end under a cancel, or start anew."""
    d = replace(d, second_probe_at=second_probe_due_at(now))
    if d.checkpoint or d.step > 0 or link_ids:
        conflict = f"{d.subject} is gone although it was there"
        return ProbeDecision(_parked(d, conflict), conflict=conflict)
    if cancel_behind and d.kind is Kind.CREATE:
        return ProbeDecision(end(_requeued(d, 0, now)), cancel_void=True)
    return ProbeDecision(_requeued(d, 0, now))


def _found(
    d: Delivery, steps: Sequence[StepSpec], record: Record, link_ids: Sequence[str], cancel_behind: bool,
    now: float, seq: int,
) -> ProbeDecision:  # fmt: skip
    """A11, A13, A17: adopt as far as the record stands; content that is not ours is not our write."""
    links = () if record.remote_id in link_ids else (record.remote_id,)
    creates = d.kind is Kind.CREATE and d.done == 0
    completed = max(record.step, 1) if creates else record.step
    if _content_is_other(d, record, amends=d.kind is Kind.CREATE and not creates):
        if creates and steps[0].write_class is not WriteClass.UPSERT:
            conflict = f"{d.subject} is there with content that was not the last sent"
            return ProbeDecision(_parked(d, conflict), links, conflict)
        return ProbeDecision(_requeued(d, 0, now), links)
    if completed < d.step:
        conflict = f"{d.subject} shows {completed} steps where {d.step} were done"
        return ProbeDecision(_parked(d, conflict), links, conflict)
    if completed == d.step:
        return _step_missing(d, steps, links, cancel_behind, now)
    unsent = d.sent == 0
    settled = replace(d, doubt_boot="", sent=d.wanted if unsent else d.sent)
    kept = d.checkpoint or _checkpoint(record.remote_id)
    row = advance(
        settled, steps, min(completed, len(steps)), kept, cancel_behind=cancel_behind, now=now, seq=seq
    )
    conflict = f"{d.subject} was there before we sent it: compare its content" if unsent else ""
    return ProbeDecision(row, links or marker(d, record.remote_id, link_ids), conflict)


def _content_is_other(d: Delivery, record: Record, *, amends: bool) -> bool:
    if not d.payload_hash:
        return False
    return record.content_hash != d.payload_hash and (amends or record.content_hash is not None)


def _step_missing(
    d: Delivery, steps: Sequence[StepSpec], links: tuple[str, ...], cancel_behind: bool, now: float
) -> ProbeDecision:
    """The record is there and the step in flight is not on it: that step again, but not a BLIND one, and not
    under a cancel (A18: a half-built create stops where it is)."""
    if steps[d.step].write_class is WriteClass.BLIND:
        return ProbeDecision(_parked(d, "a look could not tell whether it was applied"), links)
    row = replace(_requeued(d, d.step, now), second_probe_at=second_probe_due_at(now))
    if cancel_behind and d.kind is Kind.CREATE:
        row = end(row)
    return ProbeDecision(row, links)


# A person's word


def abandon(d: Delivery) -> Delivery:
    """A person gives a parked row up; A21: its second probe, if armed, stays due."""
    leaves(d, State.PARKED)
    return end(d)


def person_found(
    d: Delivery, steps: Sequence[StepSpec], *, remote_id: str, link_ids: Sequence[str],
    cancel_behind: bool = False, now: float, seq: int,
) -> Outcome:  # fmt: skip
    """A24: a person's "it is there" settles the step that left, and leaves a marker like any settled write."""
    _leaves_unsettled(d)
    learned = learn(d, link_ids, remote_id)
    named = remote_id or next(iter(remote_ids(d, link_ids)), "")
    kept = d.checkpoint or (_checkpoint(named) if named else "")
    row = advance(d, steps, d.step + 1, kept, cancel_behind=cancel_behind, now=now, seq=seq)
    return Outcome(row, learned.links or marker(d, remote_id, link_ids), learned.conflict)


def person_absent(d: Delivery, now: float) -> Delivery:
    """A person's "it is not there": the same step again. A21: a person's Absent arms the second probe too."""
    _leaves_unsettled(d)
    return replace(
        d,
        state=State.QUEUED,
        unsettled=False,
        doubt_boot="",
        due_at=now,
        second_probe_at=second_probe_due_at(now),
    )


# The second look


def after_second_probe(
    d: Delivery,
    answer: ProbeAnswer,
    link_ids: Sequence[str],
    *,
    expected_hash: str | None,
    cancelled: bool,
    now: float,
) -> SecondProbe:
    """A21, A22: count, content and existence, once more. Call `believed` on the answer first.

    `expected_hash` = content of the last done generation of the subject, None where nothing can be compared.
    `cancelled` = a cancel of the subject took effect since. An Unknown is looked at again a day later.
    """
    if d.state not in (State.DONE, State.CANCELLED):
        raise IllegalTransition(
            f"delivery {d.id} is {d.state.value}: a second probe waits until it is settled"
        )
    settled = replace(d, second_probe_at=None)
    match answer:
        case Unknown():
            return SecondProbe(replace(d, second_probe_at=second_probe_due_at(now)))
        case Absent():
            gone = d.state is State.DONE and not cancelled
            return SecondProbe(settled, (), (f"{d.subject} is gone although it was there",) if gone else ())
        case Found():
            ids = _ids(d, link_ids, answer)
            fresh = tuple(known for known in ids if known not in link_ids)
            ended = cancelled or d.state is State.CANCELLED
            return SecondProbe(
                settled, fresh, tuple(_differences(d, answer, ids, fresh, expected_hash, ended))
            )
        case _:
            assert_never(answer)


def _differences(
    d: Delivery,
    answer: Found,
    ids: Sequence[str],
    fresh: Sequence[str],
    expected_hash: str | None,
    ended: bool,
) -> list[str]:
    found = []
    if len(ids) > 1:
        found.append(f"{d.subject} has several records: {', '.join(ids)}")
    if ended and fresh:
        found.append(f"{d.subject} was cancelled and yet exists: {', '.join(fresh)}")
    seen = {record.content_hash for record in answer.records} - {None}
    if not ended and expected_hash is not None and seen - {expected_hash}:
        found.append(f"{d.subject} does not hold the content that was written last")
    return found


def _ids(d: Delivery, link_ids: Sequence[str], answer: Found) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*remote_ids(d, link_ids), *(record.remote_id for record in answer.records))))


def _in_doubt(d: Delivery, steps: Sequence[StepSpec], mono: float, boot: str) -> Delivery:
    step = steps[d.step]
    wait = step.send_by_seconds + step.lands_within_seconds + step.visible_within_seconds
    return replace(
        d, state=State.IN_DOUBT, unsettled=True, doubt_boot=boot, doubt_since=mono, doubt_wait_seconds=wait
    )


def _waited(d: Delivery, boot: str, mono: float) -> None:
    leaves(d, State.IN_DOUBT)
    remaining = doubt_remaining(d, boot, mono)
    if remaining > 0:
        raise IllegalTransition(f"delivery {d.id} may still land for {remaining:.0f} s")


def _requeued(d: Delivery, step: int, now: float) -> Delivery:
    """A14: settled as not applied; the payload is kept where the far side binds a key to its bytes."""
    return replace(
        d, state=State.QUEUED, step=step, unsettled=False, doubt_boot="", due_at=now,
        checkpoint=d.checkpoint if step else "",
    )  # fmt: skip


def _parked(d: Delivery, error: str) -> Delivery:
    return replace(d, state=State.PARKED, error=error, unsettled=d.state is State.IN_DOUBT)


def _checkpoint(remote_id: str) -> str:
    """What the next step of a record that was found works on: every adapter reads this form."""
    return msgspec.json.encode({"remote_id": remote_id}).decode()


def _leaves_unsettled(d: Delivery) -> None:
    leaves(d, State.PARKED)
    if not d.unsettled:
        raise IllegalTransition(f"delivery {d.id} has no unsettled attempt")
