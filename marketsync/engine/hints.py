"""A marketplace tells of changes: the orders concerned are read by id now. Nothing rests on it: the sweep sees all that was lost."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from hashlib import sha256
from typing import Protocol, cast

from marketsync.domain.ids import OrderId
from marketsync.engine.context import Core, MarketplaceLink
from marketsync.errors import Malformed, MarketsyncError
from marketsync.ports import Hint, Pushes, ReadsHints

AFTER_TROUBLE_SECONDS = 30.0
PAUSE_SECONDS = 0.1
SILENCE_TOLD_SECONDS = 60.0
REMEMBERED_MAX = 10_000


class Heard(enum.Enum):
    """What becomes of a message that was pushed."""

    TAKEN = "taken"  # it is the marketplace's own: it need not come again, of use or not
    FORGED = "forged"  # it is not
    UNSURE = "unsure"  # nobody can tell now: it may come again


class Ask(Protocol):
    def __call__(self, order_id: OrderId, *, hinted: bool = False) -> None: ...


class Hints:
    """One per marketplace; at work where that has a queue of them, or pushes them."""

    def __init__(self, core: Core, link: MarketplaceLink, ask: Ask) -> None:
        self._core = core
        self._link = link
        self._ask = ask
        self._heard_at = core.clock.monotonic()
        self._known: dict[bytes, None] = {}

    async def round(self) -> float:
        """What has come, taken note of and given back. A source in trouble is a number, and no trouble of the connection's."""
        silence = self._core.clock.monotonic() - self._heard_at
        self._core.observer.gauge("marketsync_hint_silence_seconds", silence, connection=self._link.name)
        source = self._link.hints
        if source is None:
            return -SILENCE_TOLD_SECONDS
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

    def answer_challenge(self, query: Mapping[str, str]) -> bytes | None:
        return self._pushes.answer_challenge(query)

    async def pushed(self, headers: Mapping[str, str], body: bytes) -> Heard:
        """Anybody may have sent it. What is the marketplace's own is taken note of, the same message once."""
        if self._link.gate.paused:
            self._count("unreachable")
            return Heard.UNSURE
        try:
            genuine = await self._pushes.verify_hint(headers, body)
        except MarketsyncError:
            self._count("unreachable")
            return Heard.UNSURE
        if not genuine:
            self._count("forged")
            return Heard.FORGED
        if self._is_new(body):
            self._heard_at = self._core.clock.monotonic()
            self._take(Hint(body))
        else:
            self._count("repeated")
        return Heard.TAKEN

    @property
    def _pushes(self) -> Pushes:
        pushes = self._link.pushes
        assert pushes is not None  # noqa: S101 - no address of ours leads here without them
        return pushes

    def _is_new(self, body: bytes) -> bool:
        mark = sha256(body).digest()
        if mark in self._known:
            return False
        self._known[mark] = None
        if len(self._known) > REMEMBERED_MAX:
            # Told once more, an order is read once more: no harm, only a call.
            del self._known[next(iter(self._known))]
        return True

    def _take(self, hint: Hint) -> None:
        try:
            order_ids = cast("ReadsHints", self._link.adapter).read_hint(hint.body)
        except Malformed:
            self._count("unreadable")
            return
        for order_id in order_ids:
            self._ask(order_id, hinted=True)
        self._count("asked" if order_ids else "other")

    def _count(self, outcome: str) -> None:
        self._core.observer.count("marketsync_hints_total", 1, connection=self._link.name, outcome=outcome)
