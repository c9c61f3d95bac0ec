"""A gap: what another life did between a backup and its restore, which this database never saw (failures 57, 64).

Whatever that life may have sent is looked for before it is sent from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from marketsync.domain.deliveries import Delivery, Found, Kind, ProbeAnswer, State, StepSpec, WriteClass
from marketsync.domain.doubt import ProbeDecision, after_probe

SKEW_SECONDS = 300.0


class Gap(msgspec.Struct, frozen=True):
    """From the last commit that this database knows of, to the moment from which it has worked alone.

    `lived` is False at the very first start: then no life of this installation can have anything on the wire.
    """

    since: datetime
    until: datetime
    lived: bool = True

    def covers(self, ordered_at: datetime) -> bool:
        """Whether another life may have had to do with an order of that time (in the marketplace's clock)."""
        return ordered_at < self.until + timedelta(seconds=SKEW_SECONDS if self.lived else 0.0)

    def wait_seconds(self, step: StepSpec, now: datetime) -> float:
        """A4: until what the other life may have sent last has landed and shows."""
        if not self.lived:
            return 0.0
        whole = step.send_by_seconds + step.lands_within_seconds + step.visible_within_seconds
        return min(whole, max(0.0, whole - (now - self.until).total_seconds()))


class FirstLook(msgspec.Struct, frozen=True):
    """`amend`: the record was adopted with other content than it should have now, so an update must follow."""

    decision: ProbeDecision
    amend: bool = False


def widened(known: Gap | None, found: Gap) -> Gap:
    """Two gaps in the life of one database are one."""
    if known is None:
        return found
    return Gap(min(known.since, found.since), max(known.until, found.until), lived=known.lived or found.lived)


def needs_look(step: StepSpec) -> bool:
    """An UPSERT brings the newest content whatever is there: after the wait it may go (A13)."""
    return step.write_class is not WriteClass.UPSERT


def after_first_look(
    d: Delivery, steps: Sequence[StepSpec], answer: ProbeAnswer, link_ids: Sequence[str], *,
    payload: bytes, payload_hash: str, possible_since: float, cancel_behind: bool = False, skew_seconds: float = 0.0,
    began_at: float, now: float, mono: float, boot: str, seq: int,
) -> FirstLook:  # fmt: skip
    """What a look decides about a queued row that another life may have sent: as if it had left from here.

    So a record is adopted quietly where its content agrees, and a half-built one is resumed. `payload` is what would
    be sent now, `possible_since` (unix seconds) the earliest moment at which it may have been sent.
    """
    presumed = d
    if d.step == 0:
        first = possible_since if d.first_departure_at is None else d.first_departure_at
        presumed = replace(
            d, payload=payload, payload_hash=payload_hash, sent=d.wanted, first_departure_at=first
        )
    regardless = _of_other_content(presumed, answer) and (cancel_behind or _is_whole(steps, answer))
    decision = after_probe(
        presumed, steps, _regardless_of_content(answer) if regardless else answer, link_ids,
        cancel_behind=cancel_behind, skew_seconds=skew_seconds, began_at=began_at, now=now, mono=mono, boot=boot,
        seq=seq,
    )  # fmt: skip
    row = decision.row
    if row.state in (State.QUEUED, State.PARKED) and (row.step, row.done) == (d.step, d.done):
        row = replace(
            row, payload=d.payload, payload_hash=d.payload_hash, sent=d.sent, first_departure_at=d.first_departure_at
        )  # fmt: skip
    adopted = row.done > d.done
    return FirstLook(replace(decision, row=row), regardless and adopted and not cancel_behind)


def _of_other_content(d: Delivery, answer: ProbeAnswer) -> bool:
    if d.kind is not Kind.CREATE or d.done or not isinstance(answer, Found) or len(answer.records) != 1:
        return False
    return answer.records[0].content_hash not in (None, d.payload_hash)


def _is_whole(steps: Sequence[StepSpec], answer: ProbeAnswer) -> bool:
    return isinstance(answer, Found) and answer.records[0].step >= len(steps)


def _regardless_of_content(answer: ProbeAnswer) -> ProbeAnswer:
    if not isinstance(answer, Found):
        return answer
    return Found(tuple(replace(record, content_hash=None) for record in answer.records))
