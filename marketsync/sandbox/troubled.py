"""What may befall any simulated marketplace (`roles.TroubledMarketplace`): its clock, its lists, its orders' stamps and documents."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from marketsync.ports import Response

_POISONS: tuple[dict[str, Any], ...] = ({"unknown_state": "TELEPORTED"}, {"bad_totals": True})


class Troubled:
    """Of a side that has a `sandbox` with `behaviour`, `world`, `touch` and `spoilt`. What it swallows and how it makes up for
    that, and what a spoilt page looks like, is the vendor's own."""

    sandbox: Any

    def __init__(self) -> None:
        self.pages_spoilt: dict[str, int] = {}
        self._page_trouble = ""
        self._last_page: Response | None = None

    def move_clock(self, seconds: float) -> None:
        self.sandbox.set_behaviour(clock_skew_seconds=self.sandbox.behaviour.clock_skew_seconds + seconds)

    def see_late(self, seconds: float) -> None:
        self.sandbox.set_behaviour(late_seconds=self.sandbox.behaviour.late_seconds + seconds)

    def touch(self, now: datetime, order_id: str, backdated_seconds: float) -> None:
        """Set back it may be, but never to before its own last one."""
        world = self.sandbox.world
        since = (world.clock(now) - world.orders[order_id].updated).total_seconds()
        back = max(0.0, min(backdated_seconds, since))
        self.sandbox.touch(now, order_id, backdated_seconds=back)

    def poison(self, now: datetime, order_id: str, kind: int) -> None:
        self.sandbox.spoilt[order_id] = _POISONS[kind % len(_POISONS)]
        self.sandbox.touch(now, order_id)

    def mend(self, now: datetime, order_id: str) -> None:
        if self.sandbox.spoilt.pop(order_id, None) is not None:
            self.sandbox.touch(now, order_id)

    def spoil_page(self, kind: str) -> None:
        self._page_trouble = kind

    def _was_spoilt(self, kind: str, response: Response) -> Response:
        self._page_trouble = ""
        self.pages_spoilt[kind] = self.pages_spoilt.get(kind, 0) + 1
        return response
