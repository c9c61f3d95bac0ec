"""The simulated shop itself: articles, orders under our references, parcels. Pure: time is an argument."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from adapters.rest import wire
from adapters.rest.sandbox_http import Refusal
from marketsync.sandbox.books import Versions


class Article(msgspec.Struct):
    id: str
    sku: str
    available: int | None
    price: Decimal


class Order(msgspec.Struct, frozen=True):
    """`deleted` by a person: as if it had never been."""

    id: str
    created: datetime
    new: wire.NewOrder
    state: str = "open"
    deleted: bool = False


class Parcel(msgspec.Struct, frozen=True):
    id: str
    ref: str
    updated: datetime
    visible: datetime
    tracking: str
    lines: tuple[tuple[str, int], ...]
    carrier: str = "DHL"
    voided: bool = False


class Truth(msgspec.Struct, frozen=True):
    """One true event of this shop: what tests count, whatever the API says of it."""

    at: datetime
    what: str
    subject: str = ""
    quantity: int = 0


class Shop:
    def __init__(self) -> None:
        self.articles: dict[str, Article] = {}
        self.orders: dict[str, Order] = {}
        self.parcels: dict[str, Parcel] = {}
        self.log: list[Truth] = []
        self._versions = Versions[Order]()
        self._next = 100

    def add_article(self, sku: str, available: int | None, price: Decimal = Decimal(10)) -> Article:
        article = Article(f"A{self._number()}", sku, available, price)
        self.articles[article.id] = article
        return article

    def article_of(self, sku: str) -> Article:
        return next(article for article in self.articles.values() if article.sku == sku)

    # What we ask of it

    def create(self, new: wire.NewOrder, at: datetime) -> tuple[Order, bool]:
        """Whether it is new: of a reference there is one order, and what was deleted before is never taken back then."""
        held = self.live(new.ref)
        if held is not None:
            return held, False
        if any(x.new.order_key == new.order_key and not x.deleted for x in self.orders.values()):
            raise Refusal(409, "order_exists")
        self._check(new)
        if gone := self.orders.get(new.ref):
            self._take(replace(gone, state="cancelled"), self._units(gone), at)
        order = Order(f"S{self._number()}", at, new)
        self._take(order, {}, at)
        self.log.append(Truth(at, "created", new.ref))
        return self._put(order, at), True

    def update(self, ref: str, content: wire.OrderContent, at: datetime) -> Order:
        order = self._open(ref)
        self._check(content)
        before = self._units(order)
        changed = {name: getattr(content, name) for name in wire.OrderContent.__struct_fields__}
        order = replace(order, new=replace(order.new, **changed))
        self._take(order, before, at)
        self.log.append(Truth(at, "updated", ref))
        return self._put(order, at)

    def cancel(self, ref: str, at: datetime) -> Order:
        held = self.live(ref)
        if held is not None and held.state == "cancelled":
            return held
        order = self._open(ref)
        before = self._units(order)
        order = replace(order, state="cancelled")
        self._take(order, before, at)
        self.log.append(Truth(at, "cancelled", ref))
        return self._put(order, at)

    def live(self, ref: str) -> Order | None:
        order = self.orders.get(ref)
        return None if order is None or order.deleted else order

    def seen(self, ref: str, at: datetime) -> Order | None:
        """As a copy of the database shows it that is behind: `at` is its time."""
        order = self._versions.of(ref, at)
        return None if order is None or order.deleted else order

    def shipped(self, ref: str) -> dict[str, int]:
        """Units in parcels by line."""
        units: dict[str, int] = {}
        for parcel in self.parcels.values():
            if parcel.ref == ref and not parcel.voided:
                for line, count in parcel.lines:
                    units[line] = units.get(line, 0) + count
        return units

    # What its people do

    def ship(
        self, ref: str, at: datetime, lines: Sequence[tuple[str, int]], tracking: str, lag: timedelta
    ) -> Parcel:
        parcel = Parcel(f"P{self._number()}", ref, at, at + lag, tracking, tuple(lines))
        self.parcels[parcel.id] = parcel
        self.log.append(Truth(at, "shipped", ref, sum(count for _, count in lines)))
        order, sent = self.orders[ref], self.shipped(ref)
        if all(sent.get(line.id, 0) >= line.quantity for line in order.new.lines):
            self._put(replace(order, state="shipped"), at)
        return parcel

    def change_parcel(
        self, parcel_id: str, at: datetime, *, tracking: str | None = None, voided: bool = False
    ) -> None:
        """A number is noted later, or the parcel is taken back."""
        held = self.parcels[parcel_id]
        tracking = held.tracking if tracking is None else tracking
        self.parcels[parcel_id] = replace(held, tracking=tracking, voided=voided, updated=at, visible=at)

    def sell(self, sku: str, quantity: int, at: datetime) -> None:
        """On the web, or back onto the shelf where it is below zero."""
        article = self.article_of(sku)
        article.available = (article.available or 0) - quantity
        self.log.append(Truth(at, "web_sale" if quantity > 0 else "restocked", sku, abs(quantity)))

    def delete(self, ref: str, at: datetime) -> None:
        self._put(replace(self.orders[ref], deleted=True), at)
        self.log.append(Truth(at, "deleted", ref))

    def restore(self, ref: str, at: datetime) -> None:
        self._put(replace(self.orders[ref], deleted=False), at)

    def cancel_by_hand(self, ref: str, at: datetime) -> None:
        if self.orders[ref].state == "open" and not self.shipped(ref):
            self.cancel(ref, at)

    # Within

    def _open(self, ref: str) -> Order:
        order = self.live(ref)
        if order is None:
            raise Refusal(404, "unknown_order")
        if order.state == "shipped" or self.shipped(ref):
            raise Refusal(409, "shipped")
        if order.state == "cancelled":
            raise Refusal(409, "cancelled")
        return order

    def _check(self, content: wire.OrderContent) -> None:
        if len({line.id for line in content.lines}) != len(content.lines):
            raise Refusal(400, "malformed", "two lines have the same id")
        if any(line.article not in self.articles for line in content.lines):
            raise Refusal(422, "unknown_article")
        total = Decimal(content.fees)
        for line in content.lines:
            total += Decimal(line.total) + Decimal(line.shipping)
            if not content.prices_include_tax:
                total += sum((Decimal(tax.amount) for tax in (*line.taxes, *line.shipping_taxes)), Decimal(0))
        if total != Decimal(content.total):
            raise Refusal(422, "wrong_total", "the parts don't add up to it")

    def _take(self, order: Order, before: dict[str, int], at: datetime) -> None:
        now = self._units(order)
        for article_id in dict.fromkeys((*before, *now)):
            article = self.articles.get(article_id)
            change = now.get(article_id, 0) - before.get(article_id, 0)
            if article is not None and article.available is not None and change:
                article.available -= change
                what = "stock_taken" if change > 0 else "stock_back"
                self.log.append(Truth(at, what, article.sku, abs(change)))

    def _units(self, order: Order) -> dict[str, int]:
        """What the order takes from the figures, by article."""
        units: dict[str, int] = {}
        if order.state != "cancelled" and order.new.takes_stock:
            for line in order.new.lines:
                units[line.article] = units.get(line.article, 0) + line.quantity
        return units

    def _put(self, order: Order, at: datetime) -> Order:
        self.orders[order.new.ref] = order
        self._versions.add(order.new.ref, at, order)
        return order

    def _number(self) -> int:
        self._next += 1
        return self._next
