"""Token buckets as a far side counts them, reckoned anew from the log of its calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec


class Call(msgspec.Struct, frozen=True):
    operation: str
    at: datetime
    status: int


def lowest(calls: Iterable[Call], rates: Mapping[str, tuple[float, int]]) -> dict[str, float]:
    """By operation the least that was left after a call, of a bucket that is full at the beginning; below zero it was
    overdrawn. `rates` are tokens a second, and how many the bucket holds. A call that was refused took one, too."""
    held: dict[str, tuple[float, datetime]] = {}
    least: dict[str, float] = {}
    for call in sorted(calls, key=lambda x: x.at):
        rate, burst = rates[call.operation]
        left, since = held.get(call.operation, (float(burst), call.at))
        left = min(float(burst), left + (call.at - since).total_seconds() * rate) - 1.0
        held[call.operation] = left, call.at
        least[call.operation] = min(left, least.get(call.operation, left))
    return least
