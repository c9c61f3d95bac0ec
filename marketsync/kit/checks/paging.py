"""Windows that do not come in one answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

from marketsync.domain.coverage import Axis, Window
from marketsync.domain.ids import OrderId
from marketsync.errors import MarketsyncError
from marketsync.http import Role
from marketsync.kit.bench import Bench, Fresh
from marketsync.kit.reading import Reading, everything
from marketsync.kit.registry import Checks
from marketsync.ports import Request
from marketsync.sandbox.roles import Ware

check = Checks("paging", Role.MARKETPLACE)

STALL = (Ware("KIT-A", 100_000), Ware("KIT-B", 100_000))
CALLS_MAX = 150


@check(rules=("B7", "B19"), failures=(9,))
async def many(fresh: Fresh) -> AsyncIterator[str]:
    """A backlog of more than two pages is read whole."""
    bench = await fresh(wares=STALL)
    size = bench.marketplace.updated.page_size
    placed = [await _placed_after(bench, 9.0) for _ in range(size * 23 // 10)]
    await bench.wait(bench.quality.vendor.visibility_lag_seconds + 600.0)
    for axis in Axis:
        reading = Reading(bench)
        await reading.window(everything(bench, axis, 6 * 3600.0))
        missing = [order_id for order_id in placed if order_id not in reading.rows]
        if missing or reading.holes:
            yield f"of {len(placed)} orders {len(missing)} are not read by {axis.value}, {len(reading.holes)} holes"


@check(
    rules=("B7", "B8", "B9", "B10"), failures=(10,), traces=("A15",), field=("order_updated_during_paging",)
)
async def under_change(fresh: Fresh) -> AsyncIterator[str]:
    """Orders change and come between the pages of one window: what is called read was read."""
    for spread in (7.0, 0.0):
        for change in (_touch_one_of_the_first, _touch_one_of_the_last, _sell_one):
            bench = await fresh(wares=STALL)
            size = bench.marketplace.updated.page_size
            placed = [await _placed_after(bench, spread) for _ in range(size * 23 // 10)]
            await bench.wait(bench.quality.vendor.visibility_lag_seconds + 600.0)
            stamp = bench.sale(placed[0]).changed_at
            reading, window = Reading(bench), everything(bench, Axis.UPDATED, 6 * 3600.0)
            if not spread and stamp is not None:
                window = Window(Axis.UPDATED, stamp, stamp)
            bench.wire.before = change(bench, placed)
            await reading.window(window)
            bench.wire.before = lambda _: None
            what = "spread over an hour" if spread else "of one moment"
            for sentence in _unread(reading, window):
                yield f"{change.__name__.strip('_').replace('_', ' ')} between the pages, orders {what}: {sentence}"
            if reading.calls > CALLS_MAX:
                yield f"{reading.calls} lists for {len(placed)} orders"


@check(rules=("B8", "B9", "B10"), failures=(12,))
async def equal_stamps(fresh: Fresh) -> AsyncIterator[str]:
    """More orders than a page holds, all of one moment: all of them, or a hole that is shown; never less, never for ever."""
    bench = await fresh(wares=STALL)
    count = bench.marketplace.updated.page_size + 5
    _sell_at_once(bench, count)
    await bench.wait(bench.quality.vendor.visibility_lag_seconds + 600.0)
    for axis in Axis:
        reading, window = Reading(bench), everything(bench, axis)
        await reading.window(window)
        for sentence in _unread(reading, window):
            yield f"by {axis.value}: {sentence}"
        if reading.calls > CALLS_MAX:
            yield f"by {axis.value}: {reading.calls} lists for {count} orders of one moment"


@check(failures=(9, 11))
async def trouble(fresh: Fresh) -> AsyncIterator[str]:
    """A page that is short, comes twice or has expired is never the end of a window."""
    for kind in ("short", "repeated", "expired"):
        bench = await fresh(wares=STALL)
        _sell_at_once(bench, bench.marketplace.updated.page_size + 5)
        await bench.wait(bench.quality.vendor.visibility_lag_seconds + 600.0)
        bench.troubled.spoil_page(kind)
        reading, window = Reading(bench), everything(bench)
        try:
            await reading.window(window)
        except MarketsyncError:
            continue
        for sentence in _unread(reading, window):
            yield f"behind a page that is {kind}: {sentence}"


def _unread(reading: Reading, window: Window) -> list[str]:
    said = list(reading.broken())
    whole = reading.covered[window.axis].holes(window.lo, window.hi) == ()
    if not whole and not reading.holes:
        said.append("a part of the window is neither read nor a hole")
    return said


def _sell_at_once(bench: Bench, count: int) -> None:
    for _ in range(count):
        bench.place(("KIT-A", 1))


async def _placed_after(bench: Bench, seconds: float) -> OrderId:
    await bench.wait(seconds)
    return bench.place(("KIT-A", 1))


def _touch_one_of_the_first(bench: Bench, placed: list[OrderId]) -> Callable[[Request], None]:
    """It leaves the window, and every row behind it moves up."""
    waiting = list(placed)
    return lambda _: bench.troubled.touch(bench.now, waiting.pop(0), 0.0) if waiting else None


def _touch_one_of_the_last(bench: Bench, placed: list[OrderId]) -> Callable[[Request], None]:
    waiting = list(placed)
    return lambda _: bench.troubled.touch(bench.now, waiting.pop(), 0.0) if waiting else None


def _sell_one(bench: Bench, placed: list[OrderId]) -> Callable[[Request], None]:
    """It comes into the window from the front, where an update window has no upper end for it."""

    def sell(_: Request) -> None:
        bench.troubled.touch(bench.now - timedelta(0), bench.place(("KIT-A", 1)), 3600.0)

    return sell
