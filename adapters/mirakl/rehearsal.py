"""The simulated marketplace as one side of a world (`marketsync.sandbox.roles`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from adapters.mirakl.mischief import Troubled
from adapters.mirakl.sandbox import MiraklSandbox
from adapters.mirakl.sandbox_world import Behaviour, SoldOrder, StockImport
from marketsync.ports import Request, Response
from marketsync.sandbox.roles import Sale, SidePlan, StockWrite


class MiraklSide(Troubled):
    def __init__(self, plan: SidePlan) -> None:
        super().__init__()
        self._writes: dict[str, tuple[StockImport, StockWrite]] = {}
        behaviour = Behaviour(
            throttles=plan.throttles,
            clock_skew_seconds=plan.clock_skew_seconds,
            visibility_lag_seconds=plan.visibility_lag_seconds,
            multi_shipment=plan.parcels,
        )
        offers = {ware.sku: ware.stock for ware in plan.wares}
        self.sandbox = MiraklSandbox(offers, behaviour, {ware.sku: ware.price for ware in plan.wares})

    def handle(self, request: Request, now: datetime) -> Response:
        return self._paged(request, self.sandbox.handle(request, now))

    def settings(self, url: str) -> Mapping[str, object]:
        return {"url": url}

    def secrets(self) -> Mapping[str, str]:
        return {"api_key": self.sandbox.behaviour.api_key}

    def listed(self, now: datetime) -> Mapping[str, int]:
        self._advance(now)
        return self.sandbox.offers

    def place_order(self, now: datetime, lines: Sequence[tuple[str, int]]) -> str | None:
        return self.sandbox.place_order(now, lines)

    def cancel_order(self, now: datetime, order_id: str) -> bool:
        return self.sandbox.cancel_order(now, order_id)

    def sales(self, now: datetime) -> Sequence[Sale]:
        self._advance(now)
        tracked: dict[str, list[str]] = {}
        shipped: dict[str, int] = {}
        for event in self.sandbox.log:
            if event.what == "tracked":
                tracked.setdefault(event.subject, []).append(event.detail)
            elif event.what == "shipped":
                shipped[event.subject] = shipped.get(event.subject, 0) + 1
        for parcel in self.sandbox.world.parcels.values():
            tracked.setdefault(parcel.order_id, []).append(parcel.tracking.get("tracking_number") or "")
        return [
            self._sale(order, tracked.get(order.order_id, ()), shipped.get(order.order_id, 0))
            for order in self.sandbox.world.orders.values()
        ]

    def journal(self, known: int) -> Sequence[tuple[str, str]]:
        return [(event.subject, f"{event.what} {event.detail}".strip()) for event in self.sandbox.log[known:]]

    def stock_writes(self, now: datetime) -> Sequence[StockWrite]:
        self._advance(now)
        return [self._written(started) for started in self.sandbox.world.imports.values()]

    def _written(self, started: StockImport) -> StockWrite:
        known, write = self._writes.get(started.id, (None, None))
        if known is not started or write is None:
            refused = {number for number, *_ in started.errors}
            rows = [row for number, row in enumerate(started.rows, 1) if number not in refused]
            quantities = {sku: int(text) for sku, text in rows if text.isdecimal()}
            write = StockWrite(started.applied, quantities)
            self._writes[started.id] = started, write
        return write

    def _sale(self, order: SoldOrder, told: Sequence[str], shipped: int) -> Sale:
        exact = self.sandbox.behaviour.multi_shipment
        left = order.state in {"SHIPPED", "RECEIVED", "CLOSED"}
        return Sale(
            order_id=order.order_id,
            placed_at=order.created - timedelta(seconds=self.sandbox.behaviour.clock_skew_seconds),
            lines=tuple((line.sku, line.kept) for line in order.lines),
            accepted=order.decided_at is not None and order.state != "REFUSED",
            payable=order.debited_at is not None,
            refused=order.state == "REFUSED",
            cancelled=order.state == "CANCELED",
            told=tuple(told),
            exact=exact,
            shipped=int(left) if exact else shipped,
        )

    def _advance(self, now: datetime) -> None:
        self.sandbox.world.advance(self.sandbox.world.clock(now))


def open_side(plan: SidePlan) -> MiraklSide:
    return MiraklSide(plan)
