"""A marketplace tells of changes: the orders concerned are read by id now. Nothing rests on it: the sweep sees all that was lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from marketsync.domain.ids import OrderId
from marketsync.engine.context import Core, MarketplaceLink
from marketsync.errors import Malformed, MarketsyncError
from marketsync.ports import Hint, ReadsHints

AFTER_TROUBLE_SECONDS = 30.0
PAUSE_SECONDS = 0.1


class Hints:
    """One per marketplace that has a source of them."""

    def __init__(self, core: Core, link: MarketplaceLink, ask: Callable[[OrderId], None]) -> None:
        self._core = core
        self._link = link
        self._ask = ask
        self._heard_at = core.clock.monotonic()

    async def round(self) -> float:
        """What has come, taken note of and given back. A source in trouble is a number, and no trouble of the connection's."""
        source = self._link.hints
        assert source is not None  # noqa: S101 - the daemon starts no loop without one
        silence = self._core.clock.monotonic() - self._heard_at
        self._core.observer.gauge("marketsync_hint_silence_seconds", silence, connection=self._link.name)
        try:
            hints = await source.receive()
            for hint in hints:
                self._take(hint)
            if hints:
                self._heard_at = self._core.clock.monotonic()
                await source.done(hints)
        except MarketsyncError:
            self._count("unreachable")
            return -AFTER_TROUBLE_SECONDS
        return -PAUSE_SECONDS

    def _take(self, hint: Hint) -> None:
        try:
            order_ids = cast("ReadsHints", self._link.adapter).read_hint(hint.body)
        except Malformed:
            self._count("unreadable")
            return
        for order_id in order_ids:
            self._ask(order_id)
        self._count("asked")

    def _count(self, outcome: str) -> None:
        self._core.observer.count("marketsync_hints_total", 1, connection=self._link.name, outcome=outcome)
