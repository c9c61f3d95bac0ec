"""The simulated shop as one side of a world (`marketsync.sandbox.roles`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from adapters.woocommerce.sandbox import WooSandbox
from adapters.woocommerce.sandbox_shop import TAKES_STOCK, Fulfillment, Order, WooShop
from adapters.woocommerce.settings import GONE, REF_META
from marketsync.ports import Request, Response
from marketsync.sandbox.roles import ShopLine, ShopOrder, SidePlan

_KEY, _SECRET = "ck_rehearsal", "cs_rehearsal"


class WooSide:
    def __init__(self, plan: SidePlan) -> None:
        self.shop = WooShop()
        for ware in plan.wares:
            self.shop.add_product(ware.sku, ware.stock, plan.start, price=str(ware.price))
        self.sandbox = WooSandbox(
            self.shop, key=_KEY, secret=_SECRET, clock_skew=timedelta(seconds=plan.clock_skew_seconds),
            list_lag=timedelta(seconds=plan.visibility_lag_seconds), **plan.options,
        )  # fmt: skip

    def handle(self, request: Request, now: datetime) -> Response:
        return self.sandbox.handle(request, now)

    def settings(self, url: str) -> Mapping[str, object]:
        return {"url": url}

    def secrets(self) -> Mapping[str, str]:
        return {"consumer_key": _KEY, "consumer_secret": _SECRET}

    def orders(self) -> Sequence[ShopOrder]:
        return [
            _shown(self.shop, order) for order in self.shop.orders.values() if order.created_via == "rest-api"
        ]

    def stock(self) -> Mapping[str, int]:
        return {product.sku: self.shop.stock_of(product.sku) for product in self.shop.products.values()}

    def journal(self, known: int) -> Sequence[tuple[str, str]]:
        return [
            (str(event.order_id or ""), f"{event.what} {event.quantity or ''} {event.sku}".strip())
            for event in self.shop.log[known:]
        ]

    def ship(self, now: datetime, remote_id: str, lines: Sequence[tuple[str, int]], tracking: str) -> None:
        """The last parcel completes the order, as the shop's people do."""
        order = self.shop.orders[int(remote_id)]
        quantities = {int(key): quantity for key, quantity in lines}
        self.shop.ship(order.id, now, quantities=quantities, tracking=tracking)
        if all(line.left == 0 for line in _shown(self.shop, order).lines):
            self.shop.set_status(order.id, "completed", now)

    def web_sale(self, now: datetime, sku: str, quantity: int) -> None:
        self.shop.web_sale(sku, quantity, now)

    def restock(self, now: datetime, sku: str, quantity: int) -> None:
        self.shop.set_stock(sku, self.shop.stock_of(sku) + quantity, now)

    def add_article(self, now: datetime, sku: str, stock: int) -> None:
        self.shop.add_product(sku, stock, now)

    def forget_article(self, now: datetime, sku: str) -> None:
        del self.shop.products[self.shop.product_of(sku).id]

    # What may befall it

    def move_clock(self, seconds: float) -> None:
        self.sandbox.clock_skew += timedelta(seconds=seconds)

    def change_zone(self, hours: float) -> None:
        """Summer time begins or ends."""
        self.sandbox.utc_offset += timedelta(hours=hours)

    def trash(self, now: datetime, remote_id: str) -> None:
        self.shop.trash(int(remote_id), now)

    def restore(self, now: datetime, remote_id: str) -> None:
        order = self.shop.orders[int(remote_id)]
        if order.status == "trash":
            order.status, order.modified = order.trashed_from, now

    def cancel(self, now: datetime, remote_id: str) -> None:
        self.shop.set_status(int(remote_id), "cancelled", now)


def open_side(plan: SidePlan) -> WooSide:
    return WooSide(plan)


def _shown(shop: WooShop, order: Order) -> ShopOrder:
    sent: dict[int, int] = {}
    for parcel in order.fulfillments:
        for item_id, quantity in _items(parcel):
            sent[item_id] = sent.get(item_id, 0) + quantity
    lines = []
    for item in order.items:
        if item.kind == "line":
            product = shop.products.get(item.variation_id or item.product_id)
            left = max(0, item.quantity - sent.get(item.id, 0))
            lines.append(
                ShopLine(str(item.id), product.sku if product else "", item.quantity, left, item.reduced)
            )
    return ShopOrder(
        remote_id=str(order.id),
        ref=str(order.meta_value(REF_META) or order.transaction_id),
        released=order.status in TAKES_STOCK or (order.status == "trash" and order.stock_reduced),
        cancelled=order.status in GONE,
        created_at=order.created,
        lines=tuple(lines),
        parcels=tuple(
            _text(parcel, "_tracking_number") for parcel in order.fulfillments if not parcel.deleted
        ),
        total=order.total,
        currency=order.currency,
    )


def _items(parcel: Fulfillment) -> Iterator[tuple[int, int]]:
    stated: Any = next((entry.value for entry in parcel.meta if entry.key == "_items"), [])
    if not parcel.deleted:
        yield from ((int(entry["item_id"]), int(entry["qty"])) for entry in stated)


def _text(parcel: Fulfillment, key: str) -> str:
    return str(next((entry.value for entry in parcel.meta if entry.key == key), ""))
