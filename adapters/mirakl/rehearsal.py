"""The simulated marketplace as one side of a world (`marketsync.sandbox.roles`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from adapters.mirakl.mischief import MiraklTroubled
from adapters.mirakl.sandbox import MiraklSandbox
from adapters.mirakl.sandbox_json import SHIPPING_PRICE
from adapters.mirakl.sandbox_world import CARRIERS, OWN_CENTER, Behaviour, Parcel, SoldOrder, StockImport
from marketsync.ports import Request, Response
from marketsync.sandbox.roles import Sale, SidePlan, StockWrite, Told


class MiraklSide(MiraklTroubled):
    def __init__(self, plan: SidePlan) -> None:
        super().__init__()
        self._writes: dict[str, tuple[StockImport, StockWrite]] = {}
        self._sales: dict[str, tuple[SoldOrder, tuple[object, ...], Sale]] = {}
        behaviour = Behaviour(
            throttles=plan.throttles,
            clock_skew_seconds=plan.clock_skew_seconds,
            visibility_lag_seconds=plan.visibility_lag_seconds,
            multi_shipment=plan.parcels,
            buyer=plan.buyer,
        )
        behaviour = msgspec.structs.replace(behaviour, **plan.options)
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
        parcels: dict[str, list[Parcel]] = {}
        for parcel in self.sandbox.world.parcels.values():
            tracked.setdefault(parcel.order_id, []).append(parcel.tracking.get("tracking_number") or "")
            parcels.setdefault(parcel.order_id, []).append(parcel)
        return [
            self._sale(
                order,
                tracked.get(order.order_id, ()),
                shipped.get(order.order_id, 0),
                parcels.get(order.order_id, ()),
            )
            for order in self.sandbox.world.orders.values()
        ]

    def place_fulfilled(self, now: datetime, lines: Sequence[tuple[str, int]]) -> str | None:
        """From the operator's own centre."""
        order_id = self.sandbox.place_order(now, lines)
        if order_id is not None:
            world = self.sandbox.world
            world.put(msgspec.structs.replace(world.orders[order_id], center="OPERATOR"), world.clock(now))
        return order_id

    def cancel_units(self, now: datetime, order_id: str, sku: str, quantity: int) -> bool:
        return self._edited(self.sandbox.cancel_units, now, order_id, sku, quantity)

    def refund_units(self, now: datetime, order_id: str, sku: str, quantity: int) -> bool:
        return self._edited(self.sandbox.refund_units, now, order_id, sku, quantity)

    def receive(self, now: datetime, order_id: str, closed: bool) -> bool:
        if self.sandbox.world.orders[order_id].state not in {"SHIPPED", "RECEIVED"}:
            return False
        self.sandbox.receive(now, order_id, closed=closed)
        return True

    def _edited(
        self, edit: Callable[[datetime, str, str, int], None], now: datetime, order_id: str, sku: str, units: int
    ) -> bool:  # fmt: skip
        lines = self.sandbox.world.orders[order_id].lines
        line = next((x for x in lines if x.sku == sku and x.kept >= units), None)
        if line is not None:
            edit(now, order_id, line.line_id, units)
        return line is not None

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

    def _sale(self, order: SoldOrder, told: Sequence[str], shipped: int, parcels: Sequence[Parcel]) -> Sale:
        """Made anew only where something changed: whoever watches asks for all of them at every step."""
        behaviour = self.sandbox.behaviour
        seen = (len(told), shipped, behaviour.clock_skew_seconds, behaviour.multi_shipment)
        known = self._sales.get(order.order_id)
        if known is None or known[0] is not order or known[1] != seen:
            known = order, seen, self._sold(order, told, shipped, parcels)
            self._sales[order.order_id] = known
        return known[2]

    def _sold(self, order: SoldOrder, told: Sequence[str], shipped: int, parcels: Sequence[Parcel]) -> Sale:
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
            created_at=order.created,
            changed_at=order.updated,
            currency="EUR",
            total=sum((line.unit_price * line.quantity + SHIPPING_PRICE for line in order.lines), Decimal(0)),
            amounts=tuple(line.unit_price * line.quantity for line in order.lines),
            accepted_units=tuple(
                line.quantity if order.decided_at is not None and line.state != "REFUSED" else 0
                for line in order.lines
            ),
            parcels=_held(order, parcels) if exact else _tracking(order),
            by_marketplace=order.center != OWN_CENTER,
            closed=order.state in {"RECEIVED", "CLOSED"},
        )

    def _advance(self, now: datetime) -> None:
        self.sandbox.world.advance(self.sandbox.world.clock(now))


def _held(order: SoldOrder, parcels: Sequence[Parcel]) -> tuple[Told, ...]:
    skus = {line.line_id: line.sku for line in order.lines}
    return tuple(
        Told(
            parcel.tracking.get("tracking_number") or "",
            CARRIERS.get(code := parcel.tracking.get("carrier_code") or "", code)
            or parcel.tracking.get("carrier_name", ""),
            tuple((skus[line_id], units) for line_id, units, _ in parcel.lines),
        )
        for parcel in parcels
    )


def _tracking(order: SoldOrder) -> tuple[Told, ...]:
    """One tracking to an order: the last one told."""
    return (Told(order.tracking_number, order.carrier_name),) if order.carrier_name else ()


def open_side(plan: SidePlan) -> MiraklSide:
    return MiraklSide(plan)
