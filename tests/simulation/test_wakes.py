"""Whoever makes work wakes the loop that does it: the looks at quiet times are there for what nobody says, and find nothing."""

from __future__ import annotations

from typing import Any

import pytest

from marketsync.engine import dispatcher
from marketsync.engine.dispatcher import Dispatcher
from tests.simulation.harness import simulate
from tests.simulation.scenario import standard

SEEDS = 6


def test_no_delivery_waits_for_a_look_at_a_quiet_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Confirmations did, two in each seed: their dispatcher was woken before they were committed."""
    due, looks, found_late = Dispatcher._due, [0], list[str]()
    empty: dict[Dispatcher, tuple[int, float | None]] = {}

    async def watched(self: Any, unit: Any, now: float, room: int) -> Any:
        times: int = self._link.dispatch.times
        rows, next_due = await due(self, unit, now, room)
        known, until = empty.get(self, (-1, None))
        if known == times and (until is None or until > now):
            looks[0] += 1
            found_late.extend(f"{row.kind.value} at {self._link.name}" for row in rows)
        empty[self] = (-1, None) if rows or self._resting or self._tasks else (times, next_due)
        return rows, next_due

    monkeypatch.setattr(Dispatcher, "_due", watched)
    monkeypatch.setattr(dispatcher, "QUIET_SECONDS", 5.0)
    for seed in range(SEEDS):
        empty.clear()
        assert simulate(standard(seed)).failures == ()
    assert looks[0] > 0
    assert found_late == []
