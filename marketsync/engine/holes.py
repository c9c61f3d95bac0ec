"""What reading one window comes to; windows that were refused, remembered until they are read (rules B5, B9)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from marketsync.domain.coverage import Axis, Coverage, Window
from marketsync.domain.paging import Covered, Overfull
from marketsync.domain.paging import Hole as Unproved
from marketsync.engine.context import Core, MarketplaceLink
from marketsync.store import Unit, coverage
from marketsync.store.rows import Hole, Resync


class Read(msgspec.Struct, frozen=True):
    """What reading one window came to. `rows` of its first answer."""

    verdict: Covered | Overfull | Unproved
    rows: int


class Part(msgspec.Struct, frozen=True):
    """A window that waits to be read beside the live sweep; `hole` is why it was left out before."""

    window: Window
    resync: Resync | None
    hole: str = ""


class Holes:
    """Of one marketplace."""

    def __init__(self, core: Core, link: MarketplaceLink) -> None:
        self._core = core
        self._link = link

    async def put(self, window: Window, parts: Sequence[Window], resync: Resync | None = None) -> None:
        """Each part is a refused hole of its own, in place of those within the window."""
        merchant, name = self._core.merchant, self._link.name

        async def unit_of_work(unit: Unit) -> None:
            await coverage.drop_holes(unit, merchant, name, window)
            for x in parts:
                await coverage.put_hole(unit, Hole(merchant, name, x.axis.value, x.lo, x.hi, "refused"))
            if resync is not None:
                await coverage.move_resync(unit, resync.id, window.hi, None)

        await self._core.store.write(unit_of_work)

    async def fill(self, window: Window, held: Coverage) -> None:
        """B5: what was refused before and is read now; by update, only where the live sweep has all that moved on since."""
        merchant, name, newest = self._core.merchant, self._link.name, held.newest()
        if window.axis is Axis.UPDATED and (newest is None or held.covered_until(window.lo) != newest.hi):
            return
        rows = await self._core.store.read(lambda unit: coverage.holes(unit, merchant, name))
        if any(x.axis == window.axis.value and x.lo >= window.lo and x.hi <= window.hi for x in rows):
            await self._core.store.write(lambda unit: coverage.drop_holes(unit, merchant, name, window))
