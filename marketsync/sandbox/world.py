"""The world outside: marketplaces, shops, and the people who act in them, all driven by one seed.

It lives on when the daemon dies. Nothing here knows a vendor: sides come by the protocols of `roles`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

import msgspec

from marketsync.ports import Clock, Request, Response
from marketsync.sandbox.audit import Audit, Books, Moment, Oversale, audit
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.roles import MarketplaceSide, ShopOrder, ShopSide, Side, Ware

Action = Callable[[datetime], None]


class Habits(msgspec.Struct, frozen=True):
    """How people behave; seconds, and chances from 0 to 1.

    `orders_max` and `web_sales_max` end the arrivals, None goes on until `quiet`. Each next one comes after about
    `..._every_seconds`. A buyer cancels after up to `cancel_within_seconds`. Two sales, wherever, are at least
    `apart_seconds` apart.
    """

    order_every_seconds: float = 60.0
    orders_max: int | None = None
    web_sale_every_seconds: float = 300.0
    web_sales_max: int | None = None
    units_max: int = 2
    two_skus: float = 0.3
    cancels: float = 0.0
    cancel_within_seconds: float = 400.0
    ship_after_seconds: tuple[float, float] = (60.0, 300.0)
    two_parcels: float = 0.3
    parcels_max: int = 2
    look_every_seconds: float = 15.0
    restock_every_seconds: float | None = None
    restock_units: int = 5
    apart_seconds: float = 0.0


class World:
    """`handle` is what arrives now, `land` what arrives later; `advance` lets all that is due happen, in order.

    `merchant` is the one whose references the shop's orders carry.
    """

    def __init__(
        self,
        marketplaces: Mapping[str, MarketplaceSide],
        shops: Mapping[str, ShopSide],
        wares: tuple[Ware, ...],
        chance: Chance,
        habits: Habits,
        start: datetime,
        merchant: str = "main",
    ) -> None:
        self.marketplaces = dict(marketplaces)
        self.shops = dict(shops)
        self.books = Books(merchant, {ware.sku: ware.stock for ware in wares})
        self.now = start
        self.seen: Callable[[datetime], None] = lambda _: None
        """Told after everything that happens: for a bystander who keeps a log."""
        self._habits = habits
        self._chance = chance
        self._agenda: list[tuple[datetime, int, Action]] = []
        self._numbers = 0
        self._placed = 0
        self._sold_on_web = 0
        self._packed: set[str] = set()
        self._quiet = False
        self._after(self._about(habits.order_every_seconds), self._buy)
        self._after(self._about(habits.web_sale_every_seconds), self._sell_on_web)
        self._after(habits.look_every_seconds, self._look_at_orders)
        if habits.restock_every_seconds is not None:
            self._after(self._about(habits.restock_every_seconds), self._restock)

    def handle(self, name: str, request: Request, now: datetime) -> Response:
        self.advance(now)
        response = self._side(name).handle(request, self.now)
        self.seen(self.now)
        return response

    def land(self, name: str, request: Request, at: datetime) -> None:
        """Nobody reads the answer any more."""
        self._at(at, lambda now: self._discard(self._side(name).handle(request, now)))

    def advance(self, now: datetime) -> None:
        while self._agenda and self._agenda[0][0] <= now:
            at, _, act = heapq.heappop(self._agenda)
            self.now = max(self.now, at)
            act(self.now)
            self.seen(self.now)
        self.now = max(self.now, now)

    def next_at(self) -> datetime:
        """The workers look around for ever, so there always is a next time."""
        return self._agenda[0][0]

    def quiet(self) -> None:
        """No more buyers, cancellations or deliveries of goods; what was sold is still shipped."""
        self._quiet = True

    async def run(self, clock: Clock) -> None:
        """Lets the world's own time pass, until cancelled."""
        while True:
            await clock.sleep(max(0.0, (self.next_at() - clock.now()).total_seconds()))
            self.advance(clock.now())

    def audit(self) -> Audit:
        return audit(self.books, self.marketplaces, self.shops, self.now)

    def moment(self, now: datetime) -> Moment:
        return self.books.moment(self.marketplaces, self.shops, now)

    def happen(self, at: datetime, act: Action) -> None:
        """Something more that comes to pass once."""
        self._at(at, act)

    def edit_stock(self, now: datetime, sku: str, units: int) -> None:
        """A person of the shop counts, and finds so many more or fewer."""
        shop = self.shops[min(self.shops)]
        shop.restock(now, sku, units)
        self.books.restocked[sku] = self.books.restocked.get(sku, 0) + units

    def wanted(self, ref: str, now: datetime) -> bool:
        """Whether the marketplace's order of this reference of ours is still wanted."""
        return any(
            sale.live and self.books.key_of(name, sale.order_id) == self.books.key_of_ref(ref)
            for name in sorted(self.marketplaces)
            for sale in self.marketplaces[name].sales(now)
        )

    def pack_again(self, shop: str, remote_id: str) -> None:
        """The shop's people look at the order anew."""
        self._packed.discard(f"{shop}/{remote_id}")

    def unfinished(self) -> int:
        """Accepted orders that some parcel is still missing from, or whose marketplace was not told yet."""
        found = self.audit()
        return found.unpushed + found.unshipped + found.unconfirmed + found.undecided

    def _side(self, name: str) -> Side:
        return self.marketplaces.get(name) or self.shops[name]

    def _discard(self, response: Response) -> None:
        self.books.landed_late += 1

    def _at(self, at: datetime, act: Action) -> None:
        self._numbers += 1
        heapq.heappush(self._agenda, (at, self._numbers, act))

    def _after(self, seconds: float, act: Action) -> None:
        self._at(self.now + timedelta(seconds=seconds), act)

    def _about(self, seconds: float) -> float:
        return self._chance.uniform(0.2, 1.8) * seconds

    def _goes_on(self, count: int, limit: int | None) -> bool:
        return not self._quiet and (limit is None or count < limit)

    # Buyers

    def _too_soon(self, now: datetime, act: Action) -> bool:
        """Comes again when the last sale is long enough ago."""
        last = self.books.sold[-1][2] if self.books.sold else None
        left = 0.0 if last is None else self._habits.apart_seconds - (now - last).total_seconds()
        if left > 0:
            self._after(left, act)
        return left > 0

    def _buy(self, now: datetime) -> None:
        if not self._goes_on(self._placed, self._habits.orders_max) or self._too_soon(now, self._buy):
            return
        self._after(self._about(self._habits.order_every_seconds), self._buy)
        name = self._chance.pick(sorted(self.marketplaces))
        basket = self._basket(self.marketplaces[name].listed(now))
        order_id = self.buy(name, basket, now) if basket else None
        if order_id is None:
            return
        if self._chance.happens(self._habits.cancels):
            self._after(
                self._chance.uniform(1.0, self._habits.cancel_within_seconds),
                lambda at: self._cancel(name, order_id, at),
            )

    def buy(self, name: str, basket: tuple[tuple[str, int], ...], now: datetime) -> str | None:
        """None where the listing has not that many left."""
        before = self.moment(now)
        order_id = self.marketplaces[name].place_order(now, basket)
        if order_id is not None:
            self._placed += 1
            self.books.placed[name, order_id] = now
            self._note_sales(name, basket, before, order_id)
        return order_id

    def _basket(self, listed: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
        """People buy only what is listed."""
        offered = sorted(sku for sku, quantity in listed.items() if quantity > 0)
        if not offered:
            return ()
        count = 2 if len(offered) > 1 and self._chance.happens(self._habits.two_skus) else 1
        first = self._chance.below(len(offered))
        skus = [offered[(first + i) % len(offered)] for i in range(count)]
        most = self._habits.units_max
        return tuple((sku, 1 + self._chance.below(min(most, listed[sku]))) for sku in skus)

    def _cancel(self, name: str, order_id: str, now: datetime) -> None:
        if not self._quiet and self.marketplaces[name].cancel_order(now, order_id):
            self.books.cancelled.append((name, order_id))

    def _sell_on_web(self, now: datetime) -> None:
        if not self._goes_on(self._sold_on_web, self._habits.web_sales_max) or self._too_soon(
            now, self._sell_on_web
        ):
            return
        self._after(self._about(self._habits.web_sale_every_seconds), self._sell_on_web)
        shop = self.shops[self._chance.pick(sorted(self.shops))]
        there = sorted(sku for sku, quantity in shop.stock().items() if quantity > 0)
        if not there:
            return
        sku = self._chance.pick(there)
        self.sell_on_web(shop, sku, now)

    def sell_on_web(self, shop: ShopSide, sku: str, now: datetime) -> None:
        before = self.moment(now)
        shop.web_sale(now, sku, 1)
        self._sold_on_web += 1
        self.books.web_sold[sku] = self.books.web_sold.get(sku, 0) + 1
        self._note_sales("web", ((sku, 1),), before)

    def _note_sales(
        self, seller: str, basket: tuple[tuple[str, int], ...], before: Moment, order_id: str = ""
    ) -> None:
        for sku, quantity in basket:
            short = quantity - max(0, before.free(sku))
            if short > 0:
                last = next((at for who, what, at in reversed(self.books.sold) if what == sku), None)
                self.books.oversales.append(
                    Oversale(before.at, seller, sku, short, last, quantity, before, order_id)
                )
            self.books.sold.append((seller, sku, before.at))

    # The people of the shop

    def _look_at_orders(self, now: datetime) -> None:
        self._after(self._habits.look_every_seconds, self._look_at_orders)
        for name in sorted(self.shops):
            for order in self.shops[name].orders():
                key = f"{name}/{order.remote_id}"
                if order.released and not order.cancelled and key not in self._packed:
                    self._packed.add(key)
                    self._plan_parcels(name, order)

    def _plan_parcels(self, name: str, order: ShopOrder) -> None:
        units = sum(line.quantity for line in order.lines)
        several = units > 1 and self._chance.happens(self._habits.two_parcels)
        parts = min(units, self._habits.parcels_max) if several else 1
        wait = 0.0
        for part in range(parts):
            wait += self._chance.uniform(*self._habits.ship_after_seconds)
            self._after(wait, partial(self._ship, name, order.remote_id, whole=part == parts - 1))

    def _ship(self, name: str, remote_id: str, now: datetime, *, whole: bool) -> None:
        """All that is left, or one unit of it."""
        shop = self.shops[name]
        order = next((x for x in shop.orders() if x.remote_id == remote_id), None)
        if order is None or order.cancelled or not order.released:
            return
        left = [(line.key, line.left) for line in order.lines if line.left > 0]
        if not left:
            return
        self.books.parcels += 1
        lines = left if whole else [(left[0][0], 1)]
        shop.ship(now, remote_id, lines, f"TRACK{self.books.parcels:05d}")

    def _restock(self, now: datetime) -> None:
        every = self._habits.restock_every_seconds
        if self._quiet or every is None:
            return
        self._after(self._about(every), self._restock)
        sku = self._chance.pick(sorted(self.books.initial))
        shop = self.shops[self._chance.pick(sorted(self.shops))]
        shop.restock(now, sku, self._habits.restock_units)
        self.books.restocked[sku] = self.books.restocked.get(sku, 0) + self._habits.restock_units
