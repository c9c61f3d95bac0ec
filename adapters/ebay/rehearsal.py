"""The simulated account as one side of a world (`marketsync.sandbox.roles`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from adapters.ebay.mischief import Troubled
from adapters.ebay.sandbox import EbaySandbox
from adapters.ebay.sandbox_world import Behaviour, SoldOrder
from marketsync.ports import Request, Response
from marketsync.sandbox.roles import Sale, SidePlan, StockWrite


class EbaySide(Troubled):
    def __init__(self, plan: SidePlan) -> None:
        super().__init__()
        behaviour = Behaviour(
            throttles=plan.throttles,
            clock_skew_seconds=plan.clock_skew_seconds,
            visibility_lag_seconds=plan.visibility_lag_seconds,
        )
        listings = {ware.sku: ware.stock for ware in plan.wares}
        self.sandbox = EbaySandbox(listings, behaviour, {ware.sku: ware.price for ware in plan.wares})

    def handle(self, request: Request, now: datetime) -> Response:
        return self._paged(request, self.sandbox.handle(request, now))

    def settings(self, url: str) -> Mapping[str, object]:
        return {"url": url, "client_id": self.sandbox.behaviour.client_id}

    def secrets(self) -> Mapping[str, str]:
        behaviour = self.sandbox.behaviour
        return {"client_secret": behaviour.client_secret, "refresh_token": behaviour.refresh_token}

    def listed(self, now: datetime) -> Mapping[str, int]:
        self._advance(now)
        return self.sandbox.world.listings

    def place_order(self, now: datetime, lines: Sequence[tuple[str, int]]) -> str | None:
        return self.sandbox.place_order(now, lines)

    def cancel_order(self, now: datetime, order_id: str) -> bool:
        return self.sandbox.cancel_order(now, order_id)

    def sales(self, now: datetime) -> Sequence[Sale]:
        self._advance(now)
        told: dict[str, list[str]] = {}
        for package in self.sandbox.world.packages:
            told.setdefault(package.order_id, []).append(package.tracking)
        return [
            self._sale(order, told.get(order.order_id, ())) for order in self.sandbox.world.orders.values()
        ]

    def journal(self, known: int) -> Sequence[tuple[str, str]]:
        return [(event.subject, f"{event.what} {event.detail}".strip()) for event in self.sandbox.log[known:]]

    def stock_writes(self, now: datetime) -> Sequence[StockWrite]:
        return [
            StockWrite(landed=True, quantities=change.quantities) for change in self.sandbox.world.changes
        ]

    def _sale(self, order: SoldOrder, told: Sequence[str]) -> Sale:
        return Sale(
            order_id=order.order_id,
            placed_at=order.created - timedelta(seconds=self.sandbox.behaviour.clock_skew_seconds),
            lines=tuple((line.sku, line.quantity) for line in order.lines),
            accepted=True,
            payable=order.paid_at is not None,
            refused=False,
            cancelled=order.cancel_state == "CANCELED",
            told=tuple(told),
            exact=True,
            shipped=int(order.fulfilment == "FULFILLED"),
        )

    def _advance(self, now: datetime) -> None:
        self.sandbox.world.advance(self.sandbox.world.clock(now))


def open_side(plan: SidePlan) -> EbaySide:
    return EbaySide(plan)
