"""The life of a delivery: every transition as a function from a row to the next row (rules A).

The store persists what a function returns by one UPDATE guarded by id, epoch and the state and attempt
of the row that went in. Doubt, probes and spacing are in `doubt`; who waits for whom, in `sequence`.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from marketsync.domain.kinds import KEEPS_PAYLOAD, lane_of
from marketsync.domain.kinds import Kind as Kind  # noqa: PLC0414 - who uses deliveries has their kinds from here
from marketsync.domain.kinds import Lane as Lane  # noqa: PLC0414 - likewise

SECOND_PROBE_AFTER_SECONDS = 20 * 3600.0


class IllegalTransition(ValueError):
    """The row is not in a state that this move may leave: read it again and decide anew."""


class State(enum.Enum):
    # Nothing of the next step is in flight. The dispatcher claims it; a cancel may supersede it.
    QUEUED = "queued"
    # Claimed and on disk; the request may be on the wire. Its task settles it, else the watchdog or a restart.
    SENT = "sent"
    # The far side took it and works on it (feed, import). The receipt poller moves it on.
    WAITING = "waiting"
    # The outcome is unknown. After the doubt wait the prober moves it on.
    IN_DOUBT = "in_doubt"
    # Waits for a person, or for its last cause to go away.
    PARKED = "parked"
    # `done` equals `wanted`. Only a newer wanted generation moves it.
    DONE = "done"
    # Terminal: superseded, stopped half-built, or proved absent under a cancel.
    CANCELLED = "cancelled"


class WriteClass(enum.Enum):
    UPSERT = "upsert"
    LOOKUP = "lookup"
    SCAN = "scan"
    BLIND = "blind"


class StepSpec(msgspec.Struct, frozen=True):
    """One request of a write, as the adapter declares it. `applied_after_seconds`: how long after its answer an
    acknowledged write may still take effect, where the far side acknowledges first and works later."""

    name: str
    write_class: WriteClass
    lands_within_seconds: float
    visible_within_seconds: float = 0.0
    carries_content: bool = True
    send_by_seconds: float = 10.0
    second_probe: bool = False
    path_may_duplicate: bool = True
    applied_after_seconds: float = 0.0


class Delivery(msgspec.Struct, frozen=True):
    """A durable promise to bring one remote record to a wanted generation (the first is 1)."""

    id: int
    merchant: str
    kind: Kind
    target: str
    subject: str
    order_ref: str
    """The sequencing key of A1, never empty; stock uses "sku:<sku>"."""
    lane: Lane
    state: State
    wanted: int
    sent: int
    done: int
    attempt: int
    step: int
    """Index of the step in flight or next to go, which is also how many are completed."""
    unsettled: bool
    """Queued: never. Sent: an EARLIER attempt may still land. In doubt or parked: the last one may."""
    payload: bytes
    """Frozen at step 1, kept until settled (A14, A17)."""
    payload_hash: str
    """Of the payload that left last; outlives it for A22 and A23."""
    checkpoint: str
    """JSON text that the completed steps left; empty if none."""
    due_at: float
    """Unix seconds; when a queued row may go or a waiting one be asked about."""
    first_departure_at: float | None
    last_departure_at: float | None
    doubt_boot: str
    """Boot id at the commit of the last doubt; empty once a probe has settled it."""
    doubt_since: float
    doubt_wait_seconds: float
    send_by: float
    """Monotonic deadline of the attempt in flight (A3)."""
    second_probe_at: float | None
    failures: int
    error: str
    created_seq: int
    sent_seq: int | None
    done_seq: int | None


class Record(msgspec.Struct, frozen=True):
    """One record of the far side that carries our reference (filter by it in what comes back, A11).

    `step` = how many steps OF THIS DELIVERY it shows as completed: 0 under an update or a cancel that has not
    taken effect. `content_hash` compares with `payload_hash`; None if the far side cannot tell.
    """

    remote_id: str
    step: int
    content_hash: str | None = None


class Found(msgspec.Struct, frozen=True, tag=True):
    records: tuple[Record, ...]


class Absent(msgspec.Struct, frozen=True, tag=True):
    """No record. A SCAN states the span of creation that it read to its end, in unix seconds (A12)."""

    read_from_at: float | None = None
    read_to_at: float | None = None


class Unknown(msgspec.Struct, frozen=True, tag=True):
    """The look itself succeeded and proves nothing; a look that failed is repeated instead."""


ProbeAnswer = Found | Absent | Unknown


class Outcome(msgspec.Struct, frozen=True):
    """The next row, the Links to insert in the same transaction, and what a person must see, if anything."""

    row: Delivery
    links: tuple[str, ...] = ()
    conflict: str = ""


class Learned(msgspec.Struct, frozen=True):
    links: tuple[str, ...]
    conflict: str


class Raised(msgspec.Struct, frozen=True):
    row: Delivery
    drops_payload_causes: bool


def new_delivery(
    *, delivery_id: int, merchant: str, kind: Kind, target: str, subject: str, order_ref: str, due_at: float, created_seq: int,
    wanted: int = 1, lane: Lane | None = None,
) -> Delivery:  # fmt: skip
    """A queued row of which nothing has left."""
    if not order_ref:
        raise ValueError("order_ref is the sequencing key and is never empty")
    return Delivery(
        id=delivery_id, merchant=merchant, kind=kind, target=target, subject=subject, order_ref=order_ref,
        lane=lane_of(kind) if lane is None else lane, state=State.QUEUED, wanted=wanted, sent=0, done=0,
        attempt=0, step=0, unsettled=False, payload=b"", payload_hash="", checkpoint="", due_at=due_at,
        first_departure_at=None, last_departure_at=None, doubt_boot="", doubt_since=0.0, doubt_wait_seconds=0.0,
        send_by=0.0, second_probe_at=None, failures=0, error="", created_seq=created_seq, sent_seq=None, done_seq=None,
    )  # fmt: skip


# Departure


def claim(
    d: Delivery, steps: Sequence[StepSpec], payload: bytes, payload_hash: str, generation: int,
    *, now: float, mono: float, seq: int,
) -> Delivery:  # fmt: skip
    """A2, A14, A17: queued to sent; the request leaves only after the store has this on disk.

    The generation (which the payload was built from) is frozen at the first step: at later steps the frozen
    payload stays, whatever is passed. Arms A3 and A21.
    """
    leaves(d, State.QUEUED)
    if d.step == 0:
        if not d.done <= generation <= d.wanted:
            raise IllegalTransition(f"delivery {d.id}: generation {generation} is not wanted ({d.wanted})")
        d = replace(d, payload=payload, payload_hash=payload_hash, sent=generation)
    return depart(replace(d, unsettled=False, doubt_boot=""), steps, now=now, mono=mono, seq=seq)


def depart(d: Delivery, steps: Sequence[StepSpec], *, now: float, mono: float, seq: int) -> Delivery:
    """A2, A3, A21: what every departure stamps. For `claim` and `doubt.resend` only."""
    step = steps[d.step]
    armed = d.kind is Kind.CREATE or step.second_probe
    return replace(
        d,
        state=State.SENT,
        attempt=d.attempt + 1,
        sent_seq=seq,
        send_by=mono + step.send_by_seconds,
        first_departure_at=now if d.first_departure_at is None else d.first_departure_at,
        last_departure_at=now,
        second_probe_at=second_probe_due_at(now) if armed else d.second_probe_at,
    )


def second_probe_due_at(now: float) -> float:
    """A21: within a day of a departure or an Absent. Unix seconds."""
    return now + SECOND_PROBE_AFTER_SECONDS


def may_still_send(d: Delivery, mono: float) -> bool:
    """A3: checked last before the socket; False = `too_late`."""
    return d.state is State.SENT and mono < d.send_by


def too_late(d: Delivery, now: float) -> Delivery:
    """A3: the deadline passed and nothing was sent: the attempt number is given back."""
    leaves(d, State.SENT)
    attempt = d.attempt - 1
    second_probe_at = d.second_probe_at if attempt else None
    return replace(_not_applied(d, now), attempt=attempt, second_probe_at=second_probe_at)


# Outcomes


def settles(d: Delivery, attempt: int, state: State = State.SENT) -> bool:
    """A7: whether an outcome of `attempt` may move the row; if not, only its id counts (`learn`)."""
    return d.attempt == attempt and d.state is state


def learn(d: Delivery, link_ids: Sequence[str], remote_id: str) -> Learned:
    """A7, A8: an id is a fact, whoever brings it and however late; a second, different one is a conflict."""
    if not remote_id or remote_id in link_ids:
        return Learned((), "")
    others = tuple(known for known in remote_ids(d, link_ids) if known != remote_id)
    conflict = f"{d.subject} has several records: {', '.join((*others, remote_id))}" if others else ""
    return Learned((remote_id,), conflict)


def remote_ids(d: Delivery, link_ids: Sequence[str]) -> tuple[str, ...]:
    """The far side's ids among the Links of a subject: our own reference is only the marker of A24."""
    return tuple(dict.fromkeys(known for known in link_ids if known != d.subject))


def step_done(
    d: Delivery, steps: Sequence[StepSpec], *, remote_id: str = "", checkpoint: str = "",
    link_ids: Sequence[str] = (), cancel_behind: bool = False, now: float, seq: int,
) -> Outcome:  # fmt: skip
    """A8, A9, A17, A18: the step in flight is applied; on to the next step, or done.

    An answer that names a second record stops a half-built row (parked); a complete one is done all the same.
    """
    leaves(d, State.SENT, State.WAITING)
    learned = learn(d, link_ids, remote_id)
    row = advance(d, steps, d.step + 1, checkpoint, cancel_behind=cancel_behind, now=now, seq=seq)
    if d.step + 1 >= len(steps):
        return Outcome(row, learned.links or marker(d, remote_id, link_ids), learned.conflict)
    if learned.conflict and row.state is State.QUEUED:
        row = replace(row, state=State.PARKED, error=learned.conflict)
    return Outcome(row, learned.links, learned.conflict)


def advance(
    d: Delivery, steps: Sequence[StepSpec], completed: int, checkpoint: str, *, cancel_behind: bool, now: float, seq: int
) -> Delivery:  # fmt: skip
    """A9, A17, A18: the row after `completed` steps. For `step_done`, a probe and a person's word."""
    d = replace(
        d, step=completed, checkpoint=checkpoint or d.checkpoint, unsettled=False, error="", due_at=now
    )
    if completed < len(steps):
        if cancel_behind and d.kind is Kind.CREATE:
            return end(d)
        return replace(d, state=State.QUEUED)
    d = replace(d, done=d.sent, done_seq=seq, failures=0, payload=_left(d))
    return _again(d, now) if d.wanted > d.done else replace(d, state=State.DONE)


def marker(d: Delivery, remote_id: str, link_ids: Sequence[str]) -> tuple[str, ...]:
    """A24: the Link that a settled write leaves: the far id, or our own reference if none is known."""
    return (remote_id or next(iter(remote_ids(d, link_ids)), d.subject),)


def retry(d: Delivery, error: str, due_at: float, *, counted: bool) -> Delivery:
    """Known not applied: the same step again at `due_at`; a throttle or a pause is not counted.

    A16: if an earlier attempt is still unsettled (a resend was refused or throttled), back to doubt.
    """
    leaves(d, State.SENT, State.WAITING)
    return replace(_not_applied(d, due_at), error=error, failures=d.failures + counted)


def waiting(d: Delivery, checkpoint: str, due_at: float) -> Delivery:
    """The far side works on it; the checkpoint holds its receipt. No attempt is counted."""
    leaves(d, State.SENT, State.WAITING)
    return replace(d, state=State.WAITING, checkpoint=checkpoint or d.checkpoint, due_at=due_at)


def refused(d: Delivery, error: str) -> Delivery:
    """Known refused. A16: only an earlier, unsettled attempt is still open."""
    leaves(d, State.SENT, State.WAITING)
    return replace(d, state=State.PARKED, error=error, failures=d.failures + 1)


def park(d: Delivery, error: str) -> Delivery:
    """A16: whatever left and was not answered stays unsettled while the row is parked."""
    leaves(d, State.QUEUED, State.SENT, State.WAITING, State.IN_DOUBT)
    return replace(d, state=State.PARKED, error=error, unsettled=d.state is not State.QUEUED)


# What changes from outside


def raise_wanted(d: Delivery, wanted: int, now: float) -> Raised:
    """A20: a newer generation re-queues a done row and drops a parked row's causes that named the old payload."""
    if wanted <= d.wanted:
        return Raised(d, False)
    leaves(d, *(state for state in State if state is not State.CANCELLED))
    raised = replace(d, wanted=wanted)
    if d.state is State.DONE:
        raised = _again(raised, now)
    return Raised(raised, d.state is State.PARKED)


def reopen(d: Delivery, now: float) -> Delivery:
    """A20: cancelled is terminal for its generation alone. A newer one begins anew: the row is the only one that its
    subject can have."""
    leaves(d, State.CANCELLED)
    return _again(replace(d, wanted=d.wanted + 1), now)


def may_prune(d: Delivery, has_link: bool) -> bool:
    """A21, A24: only a settled row with its never-pruned marker and no second probe due."""
    return d.state in (State.DONE, State.CANCELLED) and d.second_probe_at is None and has_link


def leaves(d: Delivery, *allowed: State) -> None:
    """Raise IllegalTransition unless the row is in one of these states."""
    if d.state not in allowed:
        raise IllegalTransition(f"delivery {d.id} is {d.state.value}")


def _not_applied(d: Delivery, due_at: float) -> Delivery:
    state = State.IN_DOUBT if d.unsettled else State.QUEUED
    return replace(d, state=state, due_at=due_at, checkpoint=d.checkpoint if d.step else "")


def _again(d: Delivery, now: float) -> Delivery:
    return replace(
        d,
        state=State.QUEUED,
        step=0,
        checkpoint="",
        failures=0,
        error="",
        due_at=now,
        first_departure_at=None,
    )


def end(d: Delivery) -> Delivery:
    """A20: cancelled is terminal; an armed second probe stays due (A21)."""
    return replace(d, state=State.CANCELLED, unsettled=False, payload=_left(d))


def _left(d: Delivery) -> bytes:
    """What stays of the payload of a settled row: what was said, where it can't be made from the order again."""
    return d.payload if d.kind in KEEPS_PAYLOAD else b""
