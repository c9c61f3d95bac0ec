"""One look of the prober, and what the rules make of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from marketsync.domain.deliveries import Delivery, Kind, ProbeAnswer, State, StepSpec, new_delivery
from marketsync.domain.doubt import after_probe
from marketsync.domain.gap import FirstLook, after_first_look
from marketsync.domain.unmarked import Unmarked, told_apart
from marketsync.engine.context import Core
from marketsync.engine.payloads import Built
from marketsync.ports import Clock, ProbeSpan
from marketsync.store import Unit, deliveries, links

# No import that was ever seen takes so long; the far side's own figure counts where it is longer.
WORKS_SECONDS_MIN = 3600.0
UNANSWERED_SECONDS = 86400.0
OTHERS_MAX = 1000
STILL_AT_IT = "the far side says that it still works on it, long after it must have ended"


class Look(msgspec.Struct, frozen=True):
    """`possible_since` (unix seconds): when another life may have sent it first; None if only this one can have."""

    row: Delivery
    draft: Built
    answer: ProbeAnswer
    began_at: float
    possible_since: float | None


def judge(
    look: Look, current: Delivery, steps: Sequence[StepSpec], ids: Sequence[str], clock: Clock, seq: int, *,
    cancel_behind: bool, skew_seconds: float,
) -> FirstLook:  # fmt: skip
    now, mono, boot = clock.now().timestamp(), clock.monotonic(), clock.boot_id
    if look.possible_since is None:
        decision = after_probe(
            current, steps, look.answer, ids, cancel_behind=cancel_behind, skew_seconds=skew_seconds,
            began_at=look.began_at, now=now, mono=mono, boot=boot, seq=seq,
        )  # fmt: skip
        return FirstLook(decision)
    return after_first_look(
        current, steps, look.answer, ids, payload=look.draft.document, payload_hash=look.draft.hash,
        possible_since=look.possible_since, cancel_behind=cancel_behind, skew_seconds=skew_seconds,
        began_at=look.began_at, now=now, mono=mono, boot=boot, seq=seq,
    )  # fmt: skip


def shared_span(moments: Iterable[float | None], skew_seconds: float, now: datetime) -> ProbeSpan | None:
    """One stretch for all rows that another life may have sent, so that an adapter need read it only once."""
    known = [moment for moment in moments if moment is not None]
    if not known:
        return None
    return ProbeSpan(datetime.fromtimestamp(min(known), UTC) - timedelta(seconds=skew_seconds), now)


async def tell_apart(unit: Unit, row: Delivery, seen: Unmarked) -> ProbeAnswer:
    """Which of the records can be this delivery's, by the Links of all others."""
    elsewhere: dict[str, None] = {}
    own: dict[str, None] = {}
    for name in seen.remote_ids:
        for link in await links.by_remote(unit, row.merchant, row.target, name):
            (own if link.subject == row.subject else elsewhere)[name] = None
    doubtful = (State.SENT, State.IN_DOUBT, State.PARKED)
    rows = await deliveries.in_state(unit, row.merchant, row.target, doubtful, OTHERS_MAX)
    others = [x for x in rows if x.kind is row.kind and x.id != row.id and _may_have_made_one(x)]
    many = bool(others) or len(rows) == OTHERS_MAX
    settled = row.state in (State.DONE, State.CANCELLED)
    return told_apart(seen, elsewhere, own, others_in_doubt=many, settled=settled)


def _may_have_made_one(row: Delivery) -> bool:
    return row.step == 0 and (row.unsettled or row.state is not State.PARKED)


def amendment(unit: Unit, row: Delivery, now: datetime) -> Delivery:
    """An update behind a create that was adopted with older content."""
    return new_delivery(
        delivery_id=unit.seq(), merchant=row.merchant, kind=Kind.UPDATE, target=row.target, subject=row.subject,
        order_ref=row.order_ref, due_at=now.timestamp(), created_seq=unit.seq(),
    )  # fmt: skip


def overdue(row: Delivery, steps: Sequence[StepSpec], now: float, *, failing: bool = False) -> bool:
    """Whether a waiting row is not to be believed any more. `failing`: it could not be asked about, which for a while
    says nothing of the far side's work."""
    if row.last_departure_at is None:
        return False
    step = steps[row.step]
    allowed = max(WORKS_SECONDS_MIN, step.send_by_seconds + step.lands_within_seconds)
    return now > row.last_departure_at + allowed + (UNANSWERED_SECONDS if failing else 0.0)


def is_overdue(core: Core, row: Delivery, steps: Sequence[StepSpec], *, failing: bool = False) -> bool:
    """`overdue` now, and said so."""
    late = overdue(row, steps, core.clock.now().timestamp(), failing=failing)
    if late:
        core.observer.event(
            "delivery.was_overdue", connection=row.target, kind=row.kind.value, correlation=row.order_ref
        )
    return late
