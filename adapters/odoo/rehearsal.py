"""The simulated Odoo as one side of a world (`marketsync.sandbox.roles`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from adapters.odoo.sandbox import OdooSandbox
from adapters.odoo.sandbox_shop import OdooShop, Order
from adapters.odoo.settings import CONFIRMED, GONE, Settings
from marketsync.ports import Request, Response
from marketsync.sandbox.roles import ShopLine, ShopOrder, SidePlan

_KEY = "key_rehearsal"
_CHARGES = Settings(url="", database="", api_key="").charge_skus


class OdooSide:
    """`options`: `transaction_seconds`, how long people's transactions take."""

    def __init__(self, plan: SidePlan) -> None:
        self.shop = OdooShop(charges=_CHARGES)
        self._charged = list(self.shop.products)
        self.shop.transaction_seconds = float(plan.options.get("transaction_seconds", 0.0))
        for ware in plan.wares:
            self.shop.add_product(ware.sku, ware.stock, price=str(ware.price))
        self.sandbox = OdooSandbox(
            self.shop, key=_KEY, clock_skew=timedelta(seconds=plan.clock_skew_seconds),
            list_lag=timedelta(seconds=plan.visibility_lag_seconds),
        )  # fmt: skip

    def handle(self, request: Request, now: datetime) -> Response:
        return self.sandbox.handle(request, now)

    def settings(self, url: str) -> Mapping[str, object]:
        return {"url": url, "database": "demo", "login": "bot", "pricelists": {"GBP": 3}}

    def secrets(self) -> Mapping[str, str]:
        return {"api_key": _KEY}

    def orders(self) -> Sequence[ShopOrder]:
        return [self._shown(order) for order in self.shop.orders.values() if order.by_api]

    def stock(self) -> Mapping[str, int]:
        return {
            product.sku: product.on_hand - self.shop.outgoing(product.id)
            for product in self.shop.products.values()
            if product.is_storable
        }

    def journal(self, known: int) -> Sequence[tuple[str, str]]:
        return [
            (str(event.order_id or ""), f"{event.what} {event.quantity or ''} {event.sku}".strip())
            for event in self.shop.log[known:]
        ]

    def ship(self, now: datetime, remote_id: str, lines: Sequence[tuple[str, int]], tracking: str) -> None:
        self.shop.ship(int(remote_id), now, {int(key): quantity for key, quantity in lines}, tracking)

    def web_sale(self, now: datetime, sku: str, quantity: int) -> None:
        self.shop.web_sale(sku, quantity, now)

    def restock(self, now: datetime, sku: str, quantity: int) -> None:
        self.shop.count(sku, quantity, now)

    def add_article(self, now: datetime, sku: str, stock: int) -> None:
        self.shop.add_product(sku, stock)

    def forget_article(self, now: datetime, sku: str) -> None:
        del self.shop.products[self.shop.product_of(sku).id]

    # What may befall it

    def move_clock(self, seconds: float) -> None:
        self.sandbox.clock_skew += timedelta(seconds=seconds)

    def change_zone(self, hours: float) -> None:
        """Odoo keeps UTC, wherever it stands."""

    def trash(self, now: datetime, remote_id: str) -> None:
        """A confirmed order can't be deleted: a person cancels it."""
        order = self.shop.orders[int(remote_id)]
        if order.state not in GONE:
            self.shop.cancel_by_hand(order, now)

    def restore(self, now: datetime, remote_id: str) -> None:
        self.shop.uncancel(self.shop.orders[int(remote_id)], now)

    def cancel(self, now: datetime, remote_id: str) -> None:
        self.trash(now, remote_id)

    def _shown(self, order: Order) -> ShopOrder:
        """Lines of services are charges: nobody ships them. What a person's cancelling put back is his own change of the figure."""
        sent: dict[int, int] = {}
        open_: dict[int, int] = {}
        for picking in order.pickings:
            for move in picking.moves:
                if picking.state == "done" and picking.code == "outgoing":
                    sent[move.line_id] = sent.get(move.line_id, 0) + move.moved
                elif picking.state not in ("done", "cancel"):
                    open_[move.line_id] = open_.get(move.line_id, 0) + move.demand
        released = order.state in CONFIRMED
        lines = []
        for line in order.lines:
            product = self.shop.products.get(line.product_id)
            if line.product_id in self._charged or not line.quantity:
                continue
            quantity = int(line.quantity)
            left = max(0, quantity - sent.get(line.id, 0))
            taken = sent.get(line.id, 0) + open_.get(line.id, 0) + order.given_back.get(line.id, 0)
            lines.append(ShopLine(str(line.id), product.sku if product else "", quantity, left, taken))
        return ShopOrder(
            remote_id=str(order.id), ref=order.ref, released=released, cancelled=order.state in GONE,
            created_at=order.created, lines=tuple(lines),
            parcels=tuple(x.tracking for x in order.pickings if x.state == "done" and x.code == "outgoing"), total=self.shop.total(order),
            currency=order.currency,
        )  # fmt: skip


def open_side(plan: SidePlan) -> OdooSide:
    return OdooSide(plan)
