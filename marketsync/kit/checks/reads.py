"""Orders read in windows, and by their ids."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

from marketsync.domain.coverage import Axis, Window
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import OrderId
from marketsync.domain.orders import Order, Phase, imbalance, phase
from marketsync.errors import MarketsyncError, Park, Retry
from marketsync.http import Role
from marketsync.kit.bench import Bench, Clock, Fresh
from marketsync.kit.drive import Drive, Scene
from marketsync.kit.mutations import mutants
from marketsync.kit.people import parcel_of, ready_order
from marketsync.kit.reading import Reading, everything, stamp_of
from marketsync.kit.registry import CannotShow, Checks
from marketsync.kit.wire import READ_TROUBLES
from marketsync.ports import OrderPage
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.roles import EditsOrders, Ware

check = Checks("reads", Role.MARKETPLACE)

STALL = (Ware("KIT-A", 10_000), Ware("KIT-B", 10_000))
MUTANTS = 150


@check(rules=("B1", "B2", "B3"), failures=(1,))
async def bounds(fresh: Fresh) -> AsyncIterator[str]:
    """What is stamped on either end of a window comes with it, on both axes; what is far outside does not."""
    for axis in Axis:
        bench = await fresh()
        traits = Reading(bench).traits(axis)
        old = bench.place()
        await bench.wait(7200.0)
        near = []
        for _ in range(4):
            near.append(bench.place())
            await bench.wait(max(traits.granule_seconds, 1.0))
        await bench.wait(bench.quality.vendor.visibility_lag_seconds + 600.0)
        stamps = [stamp_of(bench.sale(order_id), axis) for order_id in near]
        lo, hi = stamps[1], stamps[2]
        if lo is None or hi is None:
            raise CannotShow("the far side does not say its stamps")
        reading = Reading(bench)
        await reading.window(Window(axis, lo, hi))
        for order_id, end in ((near[1], "lower"), (near[2], "upper")):
            if order_id not in reading.rows:
                yield f"an order stamped on the {end} end of a window by {axis.value} is not in it"
        if old in reading.rows:
            yield f"an order of two hours before a window by {axis.value} is in it: it is not bounded"


@check(failures=(2,), field=("shop_clock_west_of_utc",))
async def zone(fresh: Fresh) -> AsyncIterator[str]:
    """The zone of this machine is in no request."""
    asked = []
    for name in ("UTC", "America/Bogota", "Asia/Kolkata"):
        with _zone(name):
            bench = await fresh()
            reading = Reading(bench)
            for axis in Axis:
                await reading.window(everything(bench, axis))
            asked.append([urlsplit(request.url).query for request in bench.wire.sent])
    if asked[1] != asked[0] or asked[2] != asked[0]:
        yield "a window is asked for in other words when this machine is in another zone"


@check(rules=("B6",), field=("order_closed_before_first_poll",))
async def no_filter(fresh: Fresh) -> AsyncIterator[str]:
    """Orders of every state come: new, accepted, shipped, closed, cancelled."""
    bench = await fresh()
    names = {bench.place(): "new"}
    names[gone := bench.place()] = "cancelled"
    if not bench.market_side.cancel_order(bench.now, gone):
        raise CannotShow("the far side lets no new order be cancelled")
    names[(await ready_order(bench)).key.order_id] = "to be shipped"
    shipped = await _shipped(bench)
    names[shipped.key.order_id] = "shipped"
    if isinstance(bench.side, EditsOrders):
        closed = await _shipped(bench)
        if bench.side.receive(bench.now, closed.key.order_id, True):
            names[closed.key.order_id] = "closed"
    await bench.wait(bench.quality.vendor.visibility_lag_seconds + 600.0)
    for axis in Axis:
        reading = Reading(bench)
        await reading.window(everything(bench, axis, 24 * 3600.0))
        for order_id, name in names.items():
            if order_id not in reading.rows:
                yield f"an order that is {name} does not come by {axis.value}"


@check(rules=("B13",), failures=(18, 19))
async def change_is_read(fresh: Fresh) -> AsyncIterator[str]:
    """What was read before is read again when it changed: in the next window, and by its id."""
    bench = await fresh()
    reading = Reading(bench)
    first, second = bench.place(("KIT-A", 3)), bench.place()
    await _forward_until(reading, first, second)
    await bench.wait(60.0)
    edits = bench.side if isinstance(bench.side, EditsOrders) else None
    edited = edits is not None and edits.cancel_units(bench.now, first, "KIT-A", 1)
    if not bench.market_side.cancel_order(bench.now, second):
        raise CannotShow("the far side lets no new order be cancelled")
    await bench.wait(bench.quality.vendor.visibility_lag_seconds + 600.0)
    await reading.forward(bench.now - timedelta(days=1))
    named = await bench.raw(first, second)
    for how, rows in (("in the next window", reading.rows), ("by its id", named)):
        if second not in rows or phase(bench.marketplace.parse_order(rows[second])) is not Phase.CANCELLED:
            yield f"a cancelled order does not read as cancelled {how}"
        if edited and (
            first not in rows or [x.wanted for x in bench.marketplace.parse_order(rows[first]).lines] != [2]
        ):
            yield f"a unit that was taken off an order is not read {how}"


@check(rules=("B7",))
async def total(fresh: Fresh) -> AsyncIterator[str]:
    """A stated total counts the window, whole, also where it is empty; who promises none is not asked."""
    bench = await fresh(wares=STALL)
    market = bench.marketplace
    if not market.updated.states_total:
        return
    placed = 0
    for count in (0, 7, market.updated.page_size + 7):
        while placed < count:
            bench.place(("KIT-A", 1))
            placed += 1
        await bench.wait(600.0)
        window = everything(bench)
        page = await bench.patient(lambda window=window: market.fetch_orders(window, 0))  # type: ignore[misc]
        if page.total != count:
            yield f"the total of a window of {count} orders is stated as {page.total}"


@check(rules=("B1", "B17"), failures=(7,))
async def visibility(fresh: Fresh) -> AsyncIterator[str]:
    """Orders are seen as late as the vendor lets them be, and none is lost behind what is called read."""
    bench = await fresh(wares=STALL)
    for sentence in await _half_an_hour(bench):
        yield sentence


@check(rules=("B1",), failures=(4,))
async def clock(fresh: Fresh) -> AsyncIterator[str]:
    """The marketplace's clock counts, whatever ours says, and when it jumps nothing is lost."""
    for skew in (-300.0, 300.0, 3 * 3600.0):
        bench = await fresh(wares=STALL, clock_skew_seconds=skew)
        page = await bench.patient(lambda bench=bench: bench.marketplace.fetch_orders(everything(bench), 0))  # type: ignore[misc]
        told = page.server_date
        if told is None or abs((told - bench.now).total_seconds() - skew) > 60.0:
            yield f"with its clock {skew:+.0f} s away the marketplace's date is not what the page says"
        for sentence in await _half_an_hour(bench, minutes=10):
            yield f"with its clock {skew:+.0f} s away: {sentence}"
    for jump in (-40.0, 40.0):
        bench = await fresh(wares=STALL)
        for sentence in await _half_an_hour(bench, minutes=12, jump=jump):
            yield f"when its clock jumps by {jump:+.0f} s: {sentence}"


@check(failures=(3,), field=("dst_fold_and_gap",))
async def summer_time(fresh: Fresh) -> AsyncIterator[str]:
    """Summer time begins and ends without an order lost or a naive stamp."""
    for at in (datetime(2026, 3, 29, 0, 50, tzinfo=UTC), datetime(2026, 10, 25, 0, 50, tzinfo=UTC)):
        with _zone("Europe/Paris"):
            bench = await fresh(wares=STALL, clock=Clock(at))
            for sentence in await _half_an_hour(bench, minutes=20):
                yield f"on {at:%d %B}: {sentence}"


@check(rules=("B16",), failures=(15,))
async def by_ids(fresh: Fresh) -> AsyncIterator[str]:
    """By id come those that are asked for and there, each once; more ids than one call takes are refused at once."""
    bench = await fresh()
    known = [bench.place() for _ in range(3)]
    await bench.wait(bench.quality.vendor.visibility_lag_seconds + 600.0)
    market = bench.marketplace
    stranger = OrderId("".join("9" if sign.isdigit() else sign for sign in known[0]))
    asked = [known[0], stranger, known[2]]
    found: list[str] = []
    for start in range(0, len(asked), market.ids_max):
        part = asked[start : start + market.ids_max]
        page = await bench.patient(lambda part=part: market.fetch_orders_by_ids(part))  # type: ignore[misc]
        found += [row.order_id for row in page.orders]
    if sorted(found) != sorted([known[0], known[2]]):
        yield f"of two orders and an id that is none come {len(found)} rows"
    sent = len(bench.wire.sent)
    try:
        await market.fetch_orders_by_ids([OrderId(f"{known[0]}{n}") for n in range(market.ids_max + 1)])
    except ValueError:
        if len(bench.wire.sent) > sent:
            yield "too many ids are refused only after a request"
    else:
        yield f"{market.ids_max + 1} ids are asked for in one call that takes {market.ids_max}"


@check(rules=("B12",), failures=(14, 24, 41))
async def poison(fresh: Fresh) -> AsyncIterator[str]:
    """One order that can't be read stops only itself, and is read when it is mended."""
    for kind, name in ((0, "a state that is new"), (1, "a total that does not add up")):
        bench = await fresh()
        placed = [bench.place(("KIT-A", 1)) for _ in range(5)]
        bench.troubled.poison(bench.now, placed[2], kind)
        await bench.wait(bench.quality.vendor.visibility_lag_seconds + 600.0)
        reading = Reading(bench)
        try:
            await reading.window(everything(bench))
        except MarketsyncError as error:
            yield f"{name} of one order stops the page: {type(error).__name__}"
            continue
        if missing := [order_id for order_id in placed if order_id not in reading.rows]:
            yield f"beside {name} of one order {len(missing)} orders do not come"
            continue
        held = [order_id for order_id in placed if not _sound(bench, reading.rows[order_id])]
        if held != [placed[2]]:
            yield f"{name} of one order holds {len(held)} orders"
        bench.troubled.mend(bench.now, placed[2])
        await bench.wait(bench.quality.vendor.visibility_lag_seconds + 600.0)
        if not _sound(bench, (await bench.raw(placed[2]))[placed[2]]):
            yield f"mended, the order with {name} is still held"


@check(failures=(13,))
async def no_page(fresh: Fresh) -> AsyncIterator[str]:
    """An answer that is no page is a read that failed; it is never an empty page."""
    for trouble in READ_TROUBLES:
        bench = await fresh()
        order_id = bench.place()
        await bench.wait(bench.quality.vendor.visibility_lag_seconds + 600.0)
        asks: tuple[tuple[str, Callable[[], Awaitable[OrderPage]]], ...] = (
            ("a list", partial(bench.marketplace.fetch_orders, everything(bench), 0)),
            ("an order by its id", partial(bench.marketplace.fetch_orders_by_ids, [order_id])),
        )
        for how, ask in asks:
            await bench.wait(3600.0)
            bench.wire.next_reads(*[trouble] * 6)
            try:
                page = await ask()
            except Retry:
                continue
            except MarketsyncError as error:
                yield f"{trouble} to {how}: {type(error).__name__} instead of a failed read"
                continue
            finally:
                bench.wire.next_reads()
            if [row.order_id for row in page.orders] != [order_id]:
                yield f"{trouble} to {how} is taken for a page of {len(page.orders)}"


@check(failures=(5, 13, 25))
async def garbage(fresh: Fresh) -> AsyncIterator[str]:
    """Any document gives a sound order or a decision of ours, and no error shows what a buyer said."""
    bench = await fresh()
    order = await ready_order(bench)
    raw = (await bench.raw(order.key.order_id))[order.key.order_id]
    for body, changes in mutants(Chance(11), raw, MUTANTS):
        try:
            parsed = bench.marketplace.parse_order(body)
        except Park as error:
            if "canary" in f"{error!r} {error.__cause__!r} {error.causes} {_context(error)}".lower():
                yield f"{changes}: the text of the error shows what a buyer said"
        except Exception as error:  # noqa: BLE001 - this is what the check is about
            yield f"{changes}: {type(error).__name__} instead of a decision of ours"
        else:
            for sentence in _unsound(parsed):
                yield f"{changes}: {sentence}"


def _context(error: BaseException) -> str:
    return "" if error.__suppress_context__ else repr(error.__context__)


def _unsound(order: Order) -> Iterator[str]:
    if not order.lines or not order.key.order_id.strip():
        yield "an order without lines or id"
    if order.created_at.tzinfo is None or order.updated_at.tzinfo is None:
        yield "a naive time"
    amounts = [order.total, order.fees, *(x.line_total for x in order.lines)]
    if not all(amount.is_finite() for amount in amounts) or order.total < 0:
        yield "an amount that is none"
    for line in order.lines:
        counts = (line.cancelled, line.refused, line.shipped, line.refunded)
        if line.quantity < 1 or min(counts) < 0 or max(counts) > line.quantity:
            yield "a line with impossible quantities"


async def _shipped(bench: Bench) -> Order:
    order = await ready_order(bench)
    drive = Drive(Scene(bench, Kind.CONFIRM, parcel_of(bench, order), lambda: None))
    await drive.to_end(watched=False)
    return order


async def _forward_until(reading: Reading, *order_ids: str) -> None:
    for _ in range(30):
        await reading.bench.wait(60.0)
        await reading.forward(reading.bench.now - timedelta(days=1))
        if all(order_id in reading.rows for order_id in order_ids):
            return


async def _half_an_hour(bench: Bench, minutes: int = 30, jump: float = 0.0) -> Sequence[str]:
    """Sales and changes at odd moments, read forward once a minute and judged each time."""
    reading, chance = Reading(bench), Chance(5)
    began = bench.now - timedelta(hours=6)
    placed: list[OrderId] = []
    said: dict[str, None] = {}
    end = bench.now + timedelta(minutes=minutes)
    while bench.now < end:
        for _ in range(3):
            await bench.wait(chance.uniform(1.0, 30.0))
            placed.append(bench.place(("KIT-A", 1)))
            if chance.happens(0.3):
                bench.troubled.touch(bench.now, chance.pick(placed), 0.0)
        if jump and bench.now > end - timedelta(minutes=minutes / 2):
            bench.troubled.move_clock(jump)
            jump = 0.0
        await reading.forward(began)
        said |= dict.fromkeys(reading.broken())
    await bench.wait(3600.0)
    await reading.forward(began)
    said |= dict.fromkeys(reading.broken())
    if missing := [order_id for order_id in placed if order_id not in reading.rows]:
        said[f"{len(missing)} of {len(placed)} orders are not read an hour after the last sale"] = None
    return list(said)


def _sound(bench: Bench, raw: bytes) -> bool:
    try:
        return imbalance(bench.marketplace.parse_order(raw)) == 0
    except Park:
        return False


@contextmanager
def _zone(name: str) -> Iterator[None]:
    """This process in another zone for a moment."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    _tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        _tzset()


def _tzset() -> None:
    if hasattr(time, "tzset"):
        time.tzset()
