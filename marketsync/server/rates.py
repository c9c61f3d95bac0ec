"""How often may be knocked: at most so many a second by each source, and by all together."""

from __future__ import annotations

from marketsync.ports import Clock

SOURCE_A_SECOND = 60.0
ALL_A_SECOND = 200.0
SOURCES_MAX = 1024


class Rates:
    """As many as come in a second may come at once after a rest. A source that was quiet the longest is forgotten first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sources: dict[str, tuple[float, float]] = {}
        self._all = ALL_A_SECOND, clock.monotonic()

    def admits(self, source: str) -> bool:
        """One source's storm takes nothing from the others: it is counted by itself first."""
        now = self._clock.monotonic()
        left = _refilled(self._sources.pop(source, (SOURCE_A_SECOND, now)), now, SOURCE_A_SECOND)
        self._sources[source] = (left - 1.0 if left >= 1.0 else left), now
        if len(self._sources) > SOURCES_MAX:
            del self._sources[next(iter(self._sources))]
        if left < 1.0:
            return False
        left = _refilled(self._all, now, ALL_A_SECOND)
        self._all = (left - 1.0 if left >= 1.0 else left), now
        return left >= 1.0


def _refilled(kept: tuple[float, float], now: float, a_second: float) -> float:
    left, at = kept
    return min(a_second, left + (now - at) * a_second)
