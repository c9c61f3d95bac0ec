"""Who waits for whom: what may leave next, and what a cancel does to what is in front of it (A1, A15, A18, A19)."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import assert_never

import msgspec

from marketsync.domain.deliveries import Delivery, Kind, State, StepSpec, WriteClass, end


class NextMove(enum.Enum):
    # Claim it and send its step.
    SEND = "send"
    # A Link appeared before the row was ever settled: look where the record stands, then `after_probe`.
    PROBE = "probe"
    # The record is ours and behind: bring it to the newest content through the update call.
    AMEND = "amend"


class CancelDecision(msgspec.Struct, frozen=True):
    """Rows that end now, and whether the cancel itself must be queued as a delivery behind the rest."""

    ended: tuple[Delivery, ...]
    send: bool


def blocks(row: Delivery, behind: Delivery) -> bool:
    """A1: whether `row` keeps `behind` from leaving. What is out or parked blocks its whole order at that
    target, whatever its age (a re-queued older row too); what is queued blocks the younger."""
    if row.id == behind.id or sequence_key(row) != sequence_key(behind):
        return False
    match row.state:
        case State.SENT | State.WAITING | State.IN_DOUBT | State.PARKED:
            return True
        case State.QUEUED:
            return (row.created_seq, row.id) < (behind.created_seq, behind.id)
        case State.DONE | State.CANCELLED:
            return False
        case _:
            assert_never(row.state)


def sequence_key(d: Delivery) -> tuple[str, str, str]:
    """A1: deliveries that share it go one at a time."""
    return (d.merchant, d.order_ref, d.target)


def next_runnable(rows: Iterable[Delivery], now: float) -> tuple[Delivery, ...]:
    """A1: the queued rows that may be claimed, at most one per order and target, by lane and age.

    `rows` holds every live row of the orders concerned; a queued row that is not due still blocks.
    """
    orders: dict[tuple[str, str, str], list[Delivery]] = {}
    for row in rows:
        orders.setdefault(sequence_key(row), []).append(row)
    heads = [
        row
        for order in orders.values()
        for row in order
        if row.state is State.QUEUED and row.due_at <= now and not any(blocks(other, row) for other in order)
    ]
    return tuple(sorted(heads, key=lambda row: (row.lane, row.created_seq, row.id)))


def next_move(d: Delivery, steps: Sequence[StepSpec], link_ids: Sequence[str]) -> NextMove:
    """A15: with a Link present a create never leaves again, except an UPSERT, whose key is the Link."""
    creates = d.kind is Kind.CREATE and d.step == 0 and steps[0].write_class is not WriteClass.UPSERT
    if not creates or not link_ids:
        return NextMove.SEND
    return NextMove.PROBE if d.done == 0 else NextMove.AMEND


def takes_edit(create: Delivery, steps: Sequence[StepSpec], link_ids: Sequence[str]) -> bool:
    """Whether an edit raises the create itself: one that left no trace, parked ones too (A20), or an UPSERT.

    If not, the edit raises the update row behind it, made if missing. An update row that exists is raised in
    either case, or it would bring older content after the create (A14).
    """
    return steps[0].write_class is WriteClass.UPSERT or may_supersede(create, link_ids)


def may_supersede(d: Delivery, link_ids: Sequence[str] = ()) -> bool:
    """A18: only what never left, or whose every attempt is settled as not applied, and which left no trace.

    A queued update has no record of its own, so the Link of its order does not keep it.
    """
    if d.state not in (State.QUEUED, State.PARKED) or d.unsettled or d.step > 0 or d.checkpoint:
        return False
    return d.kind is not Kind.CREATE or (d.done == 0 and not link_ids)


def cancel(
    rows: Iterable[Delivery], link_ids: Sequence[str], *, sent_elsewhere: bool = False
) -> CancelDecision:
    """A18, A19: what a cancel does to the creates and updates of its order at one target.

    What never left is superseded; a half-built create stops where it is, unreleased; what is sent or in doubt
    is waited for. The cancel is sent unless there is certainly nothing to cancel. Decide it again whenever a row
    in front of a queued cancel comes back to queued. `sent_elsewhere`: another life may have sent the create, so
    that it is looked for before it ends (`Gap`).
    """
    ended: list[Delivery] = []
    send = bool(link_ids)
    for row in rows:
        if row.kind not in (Kind.CREATE, Kind.UPDATE) or row.state is State.CANCELLED:
            continue
        if sent_elsewhere and row.kind is Kind.CREATE and row.state is State.QUEUED:
            send = True
            continue
        send = send or not may_supersede(row, link_ids)
        if row.state in (State.QUEUED, State.PARKED) and not row.unsettled:
            ended.append(end(row))
    return CancelDecision(tuple(ended), send)
