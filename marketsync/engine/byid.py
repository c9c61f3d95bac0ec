"""Orders read by their ids: what somebody asked for, what was unclear, what is open. One id that the marketplace refuses,
or fails at, stops no other one, and never the reading of lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from marketsync.domain.ids import OrderId
from marketsync.engine.context import Core, MarketplaceLink
from marketsync.engine.intake import Intake, ReadMark
from marketsync.errors import Park, Refused, Retry
from marketsync.store import Unit, history, orders
from marketsync.store.rows import HistoryRow

OPEN_LOOKS_A_PERIOD = 8
NOTHING_SECONDS = 3600.0
ASKED_MAX = 10_000
ASKED_BEFORE_MAX = 1_000
# An order that can't be read for so long holds up nobody any more: a window that showed it may count as read.
FAILS_SECONDS = 3600.0
# A marketplace may tell of a change before it shows it.
SHOWN_SECONDS = 30.0


class ById:
    """One per marketplace, called by its sweep alone."""

    def __init__(
        self, core: Core, link: MarketplaceLink, intake: Intake, coverage_until: Callable[[], datetime | None]
    ) -> None:
        self._core = core
        self._link = link
        self._intake = intake
        self._coverage_until = coverage_until
        self._asked: dict[OrderId, float] = {}
        self._hinted: dict[OrderId, None] = {}
        self._later: dict[OrderId, float] = {}
        self._at_once = self.ids_max
        self._refused: dict[OrderId, None] = {}
        self._open_looked_at = float("-inf")

    @property
    def ids_max(self) -> int:
        return self._link.adapter.ids_max

    @property
    def waits(self) -> bool:
        return bool(self._asked)

    def ask(self, order_id: OrderId, *, hinted: bool = False) -> None:
        """`hinted`: something has changed, so a read that shows nothing new was too early."""
        if hinted:
            self._hinted[order_id] = None
        self._refused.pop(order_id, None)
        self._wait_for((order_id,))
        if len(self._asked) > ASKED_MAX:
            # The sweep sees it all the same.
            first = next(iter(self._asked))
            del self._asked[first]
            self._hinted.pop(first, None)

    def report(self) -> None:
        """How many wait, and for how long the one that waits longest."""
        observer, name, now = self._core.observer, self._link.name, self._core.clock.monotonic()
        observer.gauge("marketsync_orders_asked", len(self._asked), connection=name)
        oldest = now - next(iter(self._asked.values()), now)
        observer.gauge("marketsync_oldest_asked_seconds", oldest, connection=name)

    async def asked(self) -> float:
        """One call for what was asked for. What is refused is halved until the one id is known that is the reason.
        Returns the seconds to the next call, negative if none was made."""
        for order_id in self._intake.asked.pop(self._link.name, ()):
            self.ask(order_id)
        now = self._core.clock.monotonic()
        for order_id in [order_id for order_id, at in self._later.items() if at <= now]:
            del self._later[order_id]
            self.ask(order_id)
        chosen = list(self._asked)[: self._at_once]
        if not chosen:
            return -self._idle_seconds()
        try:
            await self._read(chosen)
        except (Refused, Park) as error:
            if len(chosen) > 1:
                self._at_once = len(chosen) // 2
            else:
                await self._give_up(chosen[0], str(error))
        except Retry as error:
            if error.counted:
                # It may be one of them alone that can't be had: the others are not to wait behind it.
                self._at_once = max(1, len(chosen) // 2)
                if len(chosen) == 1 and now - self._asked[chosen[0]] > FAILS_SECONDS:
                    await self._give_up(chosen[0], str(error))
                else:
                    self._put_last(chosen)
            raise
        else:
            self._at_once = min(self.ids_max, self._at_once * 2)
        return 0.0 if self.waits else self._idle_seconds()

    def _idle_seconds(self) -> float:
        now = self._core.clock.monotonic()
        return min([NOTHING_SECONDS, *(max(0.0, at - now) for at in self._later.values())])

    async def open_due(self) -> float:
        """B16: an open order is read by its id at least once per period. Seconds as of `asked`."""
        period, now = self._link.settings.open_read_seconds, self._core.clock.monotonic
        pause = period / OPEN_LOOKS_A_PERIOD
        if (left := self._open_looked_at + pause - now()) > 0:
            return -left
        merchant, name, at_once = self._core.merchant, self._link.name, self.ids_max
        before = self._core.clock.now() - timedelta(seconds=period - pause)
        limit = at_once + min(len(self._asked), ASKED_BEFORE_MAX)
        rows = await self._core.store.read(lambda unit: orders.open_on(unit, merchant, name, before, limit))
        due = [row.key.order_id for row in rows if row.key.order_id not in self._asked][:at_once]
        try:
            told = await self.told(due, anew=True)
        except Retry as error:
            if error.counted:
                self._put_last(due)
            raise
        if told and len(due) == at_once:
            return 0.0
        self._open_looked_at = now()
        return pause if due else -pause

    def _put_last(self, order_ids: Sequence[OrderId]) -> None:
        for order_id in order_ids:
            self._asked[order_id] = self._asked.pop(order_id, self._core.clock.monotonic())

    async def told(self, order_ids: Sequence[OrderId], *, anew: bool = False) -> bool:
        """Read them now. False if that is refused: then they are asked for in parts. Those that were refused alone before
        are passed over, or with `anew` tried once more."""
        wanted = [order_id for order_id in order_ids if anew or order_id not in self._refused]
        for first in range(0, len(wanted), self.ids_max):
            try:
                await self._read(wanted[first : first + self.ids_max])
            except (Refused, Park):
                self._wait_for(wanted[first:])
                return False
            except Retry:
                if not anew:
                    self._wait_for(wanted[first:])
                raise
        return True

    async def _read(self, order_ids: Sequence[OrderId]) -> None:
        begin = self._core.store.next_seq()
        page = await self._link.adapter.fetch_orders_by_ids(order_ids)
        mark = ReadMark(begin, self._core.store.next_seq(), self._core.clock.now())
        taken = await self._intake.take(self._link, page, mark, self._coverage_until())
        merchant, name = self._core.merchant, self._link.name
        # Also those that the marketplace does not know any more: they were looked for now.
        await self._core.store.write(
            lambda unit: orders.touch_read(unit, merchant, name, list(order_ids), mark.at)
        )
        hinted = [order_id for order_id in order_ids if self._hinted.pop(order_id, 0) is None]
        if taken.new + taken.changed < len(order_ids) and len(self._later) < ASKED_MAX:
            self._later |= dict.fromkeys(hinted, self._core.clock.monotonic() + SHOWN_SECONDS)
        for order_id in order_ids:
            self._asked.pop(order_id, None)
            self._refused.pop(order_id, None)
        self._wait_for(taken.read_again)

    def _wait_for(self, order_ids: Iterable[OrderId]) -> None:
        for order_id in order_ids:
            self._asked.setdefault(order_id, self._core.clock.monotonic())

    async def _give_up(self, order_id: OrderId, reason: str) -> None:
        """It is asked for no more but by a person, or where its period is over (B16)."""
        merchant, name, at = self._core.merchant, self._link.name, self._core.clock.now()

        async def unit_of_work(unit: Unit) -> None:
            held = (await orders.held(unit, merchant, name, [order_id])).get(order_id)
            subject = f"{name}/{order_id}" if held is None else held.ref
            history.add(unit, HistoryRow(merchant, subject, at, "order.read_was_refused", reason))
            await orders.touch_read(unit, merchant, name, [order_id], at)

        await self._core.store.write(unit_of_work)
        self._asked.pop(order_id, None)
        self._hinted.pop(order_id, None)
        self._refused[order_id] = None
        self._core.observer.event("order.read_was_refused", connection=name, reason=reason)
