"""The simulated Amazon as one side of a world (`marketsync.sandbox.roles`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from adapters.amazon.mischief import AmazonTroubled
from adapters.amazon.sandbox import AmazonSandbox
from adapters.amazon.sandbox_hints import order_changes, others
from adapters.amazon.sandbox_json import total_of
from adapters.amazon.sandbox_world import Behaviour, Package, SoldOrder
from adapters.amazon.stores import STORES
from marketsync.ports import Request, Response
from marketsync.sandbox.roles import AfterSale, Sale, SidePlan, StockWrite, Told

LIST_LAG_SECONDS = 100.0


class AmazonSide(AmazonTroubled):
    """Its list shows a change late in any case. Every fifth order is followed by one that Amazon itself ships: nobody of
    this world may hear of it."""

    def __init__(self, plan: SidePlan) -> None:
        super().__init__()
        behaviour = Behaviour(
            throttles=plan.throttles,
            clock_skew_seconds=plan.clock_skew_seconds,
            visibility_lag_seconds=max(plan.visibility_lag_seconds, LIST_LAG_SECONDS),
            pending_seconds=(20.0, 600.0),
            fba_every=5,
            short_page_every=50,
            buyer=plan.buyer,
        )
        behaviour = msgspec.structs.replace(behaviour, **plan.options)
        offers = {ware.sku: ware.stock for ware in plan.wares}
        self.sandbox = AmazonSandbox(offers, behaviour, {ware.sku: ware.price for ware in plan.wares})

    def handle(self, request: Request, now: datetime) -> Response:
        return self._paged(request, self.sandbox.handle(request, now))

    def settings(self, url: str) -> Mapping[str, object]:
        behaviour = self.sandbox.behaviour
        return {
            "url": url,
            "token_url": f"{url}/auth/o2/token",
            "seller_id": behaviour.seller_id,
            "marketplace_ids": list(behaviour.marketplace_ids),
            "client_id": behaviour.client_id,
        }

    def secrets(self) -> Mapping[str, str]:
        behaviour = self.sandbox.behaviour
        return {"client_secret": behaviour.client_secret, "refresh_token": behaviour.refresh_token}

    def listed(self, now: datetime) -> Mapping[str, int]:
        self.sandbox.arrive(now)
        return self.sandbox.offers

    def place_order(self, now: datetime, lines: Sequence[tuple[str, int]]) -> str | None:
        return self.sandbox.place_order(now, lines)

    def cancel_order(self, now: datetime, order_id: str) -> bool:
        return self.sandbox.cancel_order(now, order_id)

    def place_fulfilled(self, now: datetime, lines: Sequence[tuple[str, int]]) -> str | None:
        """From a warehouse of Amazon's."""
        return self.sandbox.place_order(now, lines, by_amazon=True)

    def cancel_units(self, now: datetime, order_id: str, sku: str, quantity: int) -> bool:
        order = self.sandbox.world.orders[order_id]
        line = next((x for x in order.lines if x.sku == sku and order.left(x) >= quantity), None)
        if order.state != "UNSHIPPED" or line is None:
            return False
        self.sandbox.cancel_units(now, order_id, line.item_id, quantity)
        return True

    def refund_units(self, now: datetime, order_id: str, sku: str, quantity: int) -> bool:
        """An order does not show its refunds."""
        return False

    def receive(self, now: datetime, order_id: str, closed: bool) -> bool:
        """Nor that it was delivered: its packages do."""
        return False

    def after_sale(self, now: datetime, order_id: str) -> AfterSale:
        self.sandbox.arrive(now)
        events = [event for event in self.sandbox.log if event.subject == order_id]
        return AfterSale(
            cancels=sum(event.what in ("cancelled_by_seller", "item_cancelled") for event in events),
            refunds=tuple(_given(event.detail) for event in events if event.what == "refunded"),
        )

    def reason(self, kind: str) -> str:
        """Each of its feeds has one for who gives none."""
        return ""

    def wish_cancelled(self, now: datetime, order_id: str) -> bool:
        self.sandbox.ask_cancel(now, order_id)
        return True

    def hints(self, now: datetime, order_id: str) -> Sequence[bytes]:
        self.sandbox.arrive(now)
        return order_changes(self.sandbox.world, order_id)

    def other_hints(self, now: datetime) -> Mapping[str, bytes]:
        self.sandbox.arrive(now)
        return others(self.sandbox.world)

    def expire(self, now: datetime) -> None:
        self.sandbox.expire_tokens(now)

    def revoke(self, now: datetime) -> None:
        self.sandbox.revoke()

    def issued(self) -> Sequence[str]:
        return self.sandbox.issued()

    def sales(self, now: datetime) -> Sequence[Sale]:
        self.sandbox.arrive(now)
        paid = {event.subject for event in self.sandbox.log if event.what == "paid"}
        orders = self.sandbox.world.orders.values()
        return [self._sale(order, order.order_id in paid) for order in orders if not order.by_amazon]

    def journal(self, known: int) -> Sequence[tuple[str, str]]:
        return [(event.subject, f"{event.what} {event.detail}".strip()) for event in self.sandbox.log[known:]]

    def stock_writes(self, now: datetime) -> Sequence[StockWrite]:
        self.sandbox.arrive(now)
        return [StockWrite(x.landed, x.quantities) for x in self.sandbox.world.submissions.values()]

    def _sale(self, order: SoldOrder, paid: bool) -> Sale:
        """Every package is told of by itself, and nobody is asked to accept: what is paid for is sold."""
        return Sale(
            order_id=order.order_id,
            placed_at=order.created - timedelta(seconds=self.sandbox.behaviour.clock_skew_seconds),
            lines=tuple((line.sku, line.quantity - line.cancelled) for line in order.lines),
            accepted=paid,
            payable=paid,
            refused=False,
            cancelled=order.state == "CANCELLED",
            told=tuple(package.tracking for package in order.packages),
            exact=True,
            shipped=int(order.status == "SHIPPED"),
            created_at=order.created,
            changed_at=order.updated,
            currency=STORES[order.marketplace_id].currency,
            total=total_of(order),
            amounts=tuple(line.unit_price * (line.quantity - line.cancelled) for line in order.lines),
            parcels=tuple(_told(order, package) for package in order.packages),
            pending=order.state == "PENDING",
            by_marketplace=order.by_amazon,
        )


def _told(order: SoldOrder, package: Package) -> Told:
    skus = {line.item_id: line.sku for line in order.lines}
    lines = tuple((skus[item_id], units) for item_id, units in package.lines)
    return Told(package.tracking, package.carrier, lines)


def _given(detail: str) -> Decimal:
    """Of goods and shipping, as the file said it."""
    return sum((Decimal(part or 0) for part in detail.split("+")), Decimal(0))


def open_side(plan: SidePlan) -> AmazonSide:
    return AmazonSide(plan)
