"""The simulated Amazon as one side of a world (`marketsync.sandbox.roles`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from adapters.amazon.mischief import Troubled
from adapters.amazon.sandbox import AmazonSandbox
from adapters.amazon.sandbox_world import Behaviour, SoldOrder
from marketsync.ports import Request, Response
from marketsync.sandbox.roles import Sale, SidePlan, StockWrite

LIST_LAG_SECONDS = 100.0


class AmazonSide(Troubled):
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
        )
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
        )


def open_side(plan: SidePlan) -> AmazonSide:
    return AmazonSide(plan)
