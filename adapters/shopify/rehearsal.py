"""The simulated shop as one side of a world (`marketsync.sandbox.roles`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from adapters.shopify.sandbox import ShopifySandbox
from adapters.shopify.sandbox_shop import Order, ShopifyShop
from marketsync.ports import Request, Response
from marketsync.sandbox.roles import ShopLine, ShopOrder, SidePlan

_TOKEN = "shpua_rehearsal"  # noqa: S105 - of an invented shop


class ShopifySide:
    def __init__(self, plan: SidePlan) -> None:
        options: dict[str, Any] = dict(plan.options)
        self.shop = ShopifyShop(edits_take=options.pop("edits_take", True))
        for ware in plan.wares:
            self.shop.add_variant(ware.sku, ware.stock, str(ware.price))
        self.sandbox = ShopifySandbox(
            self.shop, token=_TOKEN, lookup_lag=timedelta(seconds=plan.visibility_lag_seconds),
            clock_skew=timedelta(seconds=plan.clock_skew_seconds), throttles=plan.throttles, **options,
        )  # fmt: skip

    def handle(self, request: Request, now: datetime) -> Response:
        return self.sandbox.handle(request, now)

    def settings(self, url: str) -> Mapping[str, object]:
        return {"url": url}

    def secrets(self) -> Mapping[str, str]:
        return {"access_token": _TOKEN}

    def orders(self) -> Sequence[ShopOrder]:
        return [
            _shown(order)
            for order in self.shop.orders.values()
            if order.by_api and not (order.deleted and order.cancelled)
        ]

    def stock(self) -> Mapping[str, int]:
        return {variant.sku: self.shop.stock_of(variant.sku) for variant in self.shop.variants.values()}

    def journal(self, known: int) -> Sequence[tuple[str, str]]:
        return [
            (str(event.order or ""), f"{event.what} {event.quantity or ''} {event.sku}".strip())
            for event in self.shop.log[known:]
        ]

    def ship(self, now: datetime, remote_id: str, lines: Sequence[tuple[str, int]], tracking: str) -> None:
        self.shop.ship(int(remote_id), now, {int(key): units for key, units in lines}, tracking=tracking)

    def web_sale(self, now: datetime, sku: str, quantity: int) -> None:
        self.shop.web_sale(sku, quantity, now)

    def restock(self, now: datetime, sku: str, quantity: int) -> None:
        self.shop.set_stock(sku, quantity, now)

    def add_article(self, now: datetime, sku: str, stock: int) -> None:
        self.shop.add_variant(sku, stock)

    def forget_article(self, now: datetime, sku: str) -> None:
        del self.shop.variants[self.shop.variant_of(sku).id]

    # What may befall it

    def move_clock(self, seconds: float) -> None:
        self.sandbox.clock_skew += timedelta(seconds=seconds)

    def change_zone(self, hours: float) -> None:
        """Shopify states all times in UTC."""

    def trash(self, now: datetime, remote_id: str) -> None:
        """What is deleted here is gone for good; what a person can take back is an archived order, and every read shows those."""

    def restore(self, now: datetime, remote_id: str) -> None: ...

    def cancel(self, now: datetime, remote_id: str) -> None:
        self.shop.cancel(int(remote_id), now)


def open_side(plan: SidePlan) -> ShopifySide:
    return ShopifySide(plan)


def _shown(order: Order) -> ShopOrder:
    lines = tuple(
        ShopLine(
            str(line.id), line.sku, line.current, max(0, line.current - order.sent(line)), sum(line.taken.values())
        )
        for line in order.lines
        if line.current
    )  # fmt: skip
    return ShopOrder(
        remote_id=str(order.id),
        ref=order.source,
        released=order.cancelled is None,
        cancelled=order.cancelled is not None,
        created_at=order.created,
        lines=lines,
        parcels=tuple(
            number for x in order.fulfillments if x.status != "CANCELLED" for _, number in x.tracking
        ),
        total=order.total,
        currency=order.currency,
    )
