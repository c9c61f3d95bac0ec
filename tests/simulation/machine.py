"""The machine that the daemon runs on: a wall clock that somebody sets."""

from __future__ import annotations

from datetime import datetime, timedelta

from marketsync.sandbox.chance import Chance
from tests.simulation.scenario import START, Scenario

MOVED_SECONDS = 60.0
ROUNDED_SECONDS = 0.001


class Wall:
    """By how much the wall clock is wrong, and when that changes: the monotonic clock knows nothing of it."""

    def __init__(self, scenario: Scenario, chance: Chance) -> None:
        self.moves = [(0.0, 0.0)]
        if scenario.wall_moves:
            times = sorted(chance.uniform(1.0, scenario.active_seconds) for _ in range(scenario.wall_moves))
            self.moves += [(at, chance.uniform(-MOVED_SECONDS, MOVED_SECONDS)) for at in times]

    def moved(self, until: float) -> int:
        return sum(0.0 < at <= until for at, _ in self.moves)

    def wrong_by(self, at: float) -> float:
        if len(self.moves) == 1:
            return 0.0
        return next(seconds for since, seconds in reversed(self.moves) if since <= at)

    def moments(self, shown: datetime) -> list[datetime]:
        """When it was that the wall clock showed this: a clock that went back showed it twice."""
        told = (shown - START).total_seconds()
        ends = [*(at for at, _ in self.moves[1:]), float("inf")]
        found = [
            START + timedelta(seconds=told - seconds + ROUNDED_SECONDS)
            for (since, seconds), end in zip(self.moves, ends, strict=True)
            if since <= told - seconds <= end
        ]
        return found or [START + timedelta(seconds=told - self.moves[-1][1])]

    def true(self, shown: datetime) -> datetime:
        return self.moments(shown)[-1]
