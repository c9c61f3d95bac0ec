"""A look at records that carry nothing of ours: only the Links of all others tell which of them may be this one (A8, A11)."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from marketsync.domain.deliveries import Absent, Found, ProbeAnswer, Record, Unknown


class Unmarked(msgspec.Struct, frozen=True):
    """Everything of its sort that was made in the span (unix seconds), read to its end. `step` as in Record."""

    remote_ids: tuple[str, ...]
    step: int
    read_from_at: float
    read_to_at: float


def told_apart(
    seen: Unmarked, linked_elsewhere: Collection[str], own: Collection[str], *, others_in_doubt: bool, settled: bool
) -> ProbeAnswer:  # fmt: skip
    """`own`: what is linked to this one. `others_in_doubt`: a record without a Link may be another's that is in doubt, too.

    Of a settled row, which is looked at once more, a record too many is a conflict; of one in doubt it proves nothing.
    """
    left = tuple(name for name in seen.remote_ids if name not in linked_elsewhere)
    if not left:
        return Absent(seen.read_from_at, seen.read_to_at)
    strangers = [name for name in left if name not in own]
    if strangers and others_in_doubt:
        return Unknown()
    if len(left) > 1 and not settled:
        return Unknown()
    return Found(tuple(Record(name, seen.step) for name in left))


def by_itself(answer: ProbeAnswer | Unmarked, own: Collection[str]) -> ProbeAnswer:
    """Where nobody else makes such records."""
    if not isinstance(answer, Unmarked):
        return answer
    return told_apart(answer, (), own, others_in_doubt=False, settled=False)
