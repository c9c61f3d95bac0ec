"""The simulated shop as one side of a world (`marketsync.sandbox.roles`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from adapters.rest.shop.sandbox import RestShopSandbox
from adapters.rest.shop.sandbox_shop import Order, Shop
from marketsync.ports import Request, Response
from marketsync.sandbox.roles import ShopLine, ShopOrder, SidePlan

_TOKEN = "rehearsal-token"  # noqa: S105 - of an invented shop


class RestShopSide:
    def __init__(self, plan: SidePlan) -> None:
        self.shop = Shop()
        for ware in plan.wares:
            self.shop.add_article(ware.sku, ware.stock, ware.price)
        limits = {} if plan.throttles else {"calls_per_minute": 0}
        self.sandbox = RestShopSandbox(
            self.shop, token=_TOKEN, clock_skew=timedelta(seconds=plan.clock_skew_seconds),
            list_lag=timedelta(seconds=plan.visibility_lag_seconds), **{**limits, **plan.options},
        )  # fmt: skip

    def handle(self, request: Request, now: datetime) -> Response:
        return self.sandbox.handle(request, now)

    def settings(self, url: str) -> Mapping[str, object]:
        return {"url": url}

    def secrets(self) -> Mapping[str, str]:
        return {"token": _TOKEN}

    def orders(self) -> Sequence[ShopOrder]:
        return [_shown(self.shop, order) for order in self.shop.orders.values()]

    def stock(self) -> Mapping[str, int]:
        return {article.sku: article.available or 0 for article in self.shop.articles.values()}

    def journal(self, known: int) -> Sequence[tuple[str, str]]:
        return [
            (event.subject, f"{event.what} {event.quantity or ''}".strip()) for event in self.shop.log[known:]
        ]

    def ship(self, now: datetime, remote_id: str, lines: Sequence[tuple[str, int]], tracking: str) -> None:
        at = self.sandbox.clock(now)
        for ref in self._refs(remote_id):
            self.shop.ship(ref, at, lines, tracking, self.sandbox.list_lag)

    def web_sale(self, now: datetime, sku: str, quantity: int) -> None:
        self.shop.sell(sku, quantity, self.sandbox.clock(now))

    def restock(self, now: datetime, sku: str, quantity: int) -> None:
        self.shop.sell(sku, -quantity, self.sandbox.clock(now))

    def add_article(self, now: datetime, sku: str, stock: int) -> None:
        self.shop.add_article(sku, stock, Decimal(10))

    def forget_article(self, now: datetime, sku: str) -> None:
        del self.shop.articles[self.shop.article_of(sku).id]

    # What may befall it

    def move_clock(self, seconds: float) -> None:
        self.sandbox.clock_skew += timedelta(seconds=seconds)

    def change_zone(self, hours: float) -> None:
        """Its stamps say their zone: nothing changes."""

    def trash(self, now: datetime, remote_id: str) -> None:
        for ref in self._refs(remote_id):
            self.shop.delete(ref, self.sandbox.clock(now))

    def restore(self, now: datetime, remote_id: str) -> None:
        for ref in self._refs(remote_id):
            self.shop.restore(ref, self.sandbox.clock(now))

    def cancel(self, now: datetime, remote_id: str) -> None:
        for ref in self._refs(remote_id):
            self.shop.cancel_by_hand(ref, self.sandbox.clock(now))

    def _refs(self, remote_id: str) -> list[str]:
        """Empty where another order has taken the place of a deleted one."""
        return [order.new.ref for order in self.shop.orders.values() if order.id == remote_id]


def open_side(plan: SidePlan) -> RestShopSide:
    return RestShopSide(plan)


def _shown(shop: Shop, order: Order) -> ShopOrder:
    sent = shop.shipped(order.new.ref)
    live = order.state != "cancelled" and not order.deleted
    taken = order.state != "cancelled" and order.new.takes_stock
    lines = tuple(
        ShopLine(x.id, x.sku, x.quantity, max(0, x.quantity - sent.get(x.id, 0)), x.quantity if taken else 0)
        for x in order.new.lines
    )
    return ShopOrder(
        remote_id=order.id,
        ref=order.new.ref,
        released=live or (order.deleted and order.state != "cancelled"),
        cancelled=not live,
        created_at=order.created,
        lines=lines,
        parcels=tuple(x.tracking for x in shop.parcels.values() if x.ref == order.new.ref and not x.voided),
        total=Decimal(order.new.total),
        currency=order.new.currency,
    )
