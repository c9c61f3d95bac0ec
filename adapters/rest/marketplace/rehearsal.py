"""The simulated marketplace as one side of a world (`marketsync.sandbox.roles`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec.structs import replace

from adapters.rest import wire
from adapters.rest.marketplace.sandbox import RestMarketSandbox
from adapters.rest.marketplace.sandbox_json import order_total
from adapters.rest.marketplace.sandbox_world import Behaviour, SoldOrder
from marketsync.ports import Request, Response
from marketsync.sandbox.roles import Sale, SidePlan, StockWrite, Told
from marketsync.sandbox.troubled import Troubled


class RestMarketSide(Troubled):
    sandbox: RestMarketSandbox

    def __init__(self, plan: SidePlan) -> None:
        super().__init__()
        behaviour = Behaviour(
            clock_skew_seconds=plan.clock_skew_seconds,
            visibility_lag_seconds=plan.visibility_lag_seconds,
            buyer=plan.buyer,
        )
        if not plan.throttles:
            behaviour = replace(behaviour, calls_per_minute=0)
        behaviour = replace(behaviour, **plan.options)
        offers = {ware.sku: ware.stock for ware in plan.wares}
        self.sandbox = RestMarketSandbox(offers, behaviour, {ware.sku: ware.price for ware in plan.wares})
        self._sales: dict[str, tuple[SoldOrder, float, Sale]] = {}

    def handle(self, request: Request, now: datetime) -> Response:
        return self._paged(request, self.sandbox.handle(request, now))

    def settings(self, url: str) -> Mapping[str, object]:
        return {"url": url}

    def secrets(self) -> Mapping[str, str]:
        return {"token": self.sandbox.behaviour.token}

    def listed(self, now: datetime) -> Mapping[str, int]:
        self._advance(now)
        return self.sandbox.world.offers

    def place_order(self, now: datetime, lines: Sequence[tuple[str, int]]) -> str | None:
        return self.sandbox.place_order(now, lines)

    def place_fulfilled(self, now: datetime, lines: Sequence[tuple[str, int]]) -> str | None:
        """From the marketplace's own stock; nobody is asked."""
        order_id = self.sandbox.place_order(now, lines)
        if order_id is not None:
            world = self.sandbox.world
            order = world.orders[order_id]
            own = replace(order, by_marketplace=True)
            world.decide(own, [line.line_id for line in order.lines], world.clock(now))
        return order_id

    def cancel_order(self, now: datetime, order_id: str) -> bool:
        return self.sandbox.cancel_order(now, order_id)

    def cancel_units(self, now: datetime, order_id: str, sku: str, quantity: int) -> bool:
        return self._edited(now, order_id, sku, cancelled=quantity)

    def refund_units(self, now: datetime, order_id: str, sku: str, quantity: int) -> bool:
        return self._edited(now, order_id, sku, refunded=quantity)

    def receive(self, now: datetime, order_id: str, closed: bool) -> bool:
        self._advance(now)
        if not closed or self.sandbox.world.orders[order_id].state != "shipped":
            return False
        self.sandbox.close(now, order_id)
        return True

    def sales(self, now: datetime) -> Sequence[Sale]:
        self._advance(now)
        return [self._sale(order) for order in self.sandbox.world.orders.values()]

    def stock_writes(self, now: datetime) -> Sequence[StockWrite]:
        return [StockWrite(True, quantities) for quantities in self.sandbox.world.writes]

    def journal(self, known: int) -> Sequence[tuple[str, str]]:
        return [(event.subject, f"{event.what} {event.detail}".strip()) for event in self.sandbox.log[known:]]

    def swallow(self, kind: str) -> None:
        self.sandbox.swallows[kind] = 1

    def make_up(self, now: datetime) -> Sequence[tuple[str, str]]:
        """What was acknowledged and not done, a person does by hand; of stock it is only said that it was so."""
        self.sandbox.swallows.clear()
        swallowed, self.sandbox.swallowed = self.sandbox.swallowed, []
        world = self.sandbox.world
        at = world.clock(now)
        for kind, subject in swallowed:
            order = world.orders.get(subject)
            if kind == "accept" and order is not None and order.state == "to_accept":
                world.decide(order, [line.line_id for line in order.lines], at)
            if kind == "confirm" and order is not None and order.state == "ready":
                left = [(x.line_id, x.wanted - order.shipped(x.line_id)) for x in order.lines]
                lines = tuple(wire.ShippedLine(key, count) for key, count in left if count > 0)
                world.tell(order, f"by-hand-{len(order.parcels)}", wire.Parcel("", "", "", None, lines), at)
        return swallowed

    def _edited(
        self, now: datetime, order_id: str, sku: str, *, cancelled: int = 0, refunded: int = 0
    ) -> bool:
        self._advance(now)
        world = self.sandbox.world
        order = world.orders[order_id]
        line = next((x for x in order.lines if x.sku == sku and x.kept >= cancelled + refunded), None)
        too_late = bool(cancelled) and (
            order.state not in {"to_accept", "accepted", "ready"} or bool(order.parcels)
        )
        if line is None or too_late:
            return False
        world.edit(order, line.line_id, world.clock(now), cancelled=cancelled, refunded=refunded)
        return True

    def _sale(self, order: SoldOrder) -> Sale:
        """Made anew only where something changed: whoever watches asks for all of them at every step."""
        skew = self.sandbox.behaviour.clock_skew_seconds
        known = self._sales.get(order.order_id)
        if known is None or known[0] is not order or known[1] != skew:
            known = order, skew, _sold(order, skew)
            self._sales[order.order_id] = known
        return known[2]

    def _advance(self, now: datetime) -> None:
        self.sandbox.world.advance(self.sandbox.world.clock(now))

    def _paged(self, request: Request, response: Response) -> Response:
        """The list as it comes with the trouble that waits for it."""
        if request.operation != "orders.list" or response.status != 200:
            return response
        before, self._last_page = self._last_page, response
        kind = self._page_trouble
        offset = int(parse_qs(urlsplit(request.url).query).get("offset", ["0"])[0])
        if kind == "short":
            shown = msgspec.json.decode(response.body)
            if not shown["orders"]:
                return response
            shown["orders"] = shown["orders"][:-1]
            response = replace(response, body=msgspec.json.encode(shown))
        elif kind == "repeated" and offset and before is not None:
            response = replace(response, body=before.body)
        elif kind == "expired" and offset:
            response = replace(response, status=400, body=b'{"code":"malformed","status":400}')
        else:
            return response
        return self._was_spoilt(kind, response)


def _sold(order: SoldOrder, skew: float) -> Sale:
    skus = {line.line_id: line.sku for line in order.lines}
    parcels = tuple(
        Told(parcel.tracking_number, parcel.carrier, tuple((skus[x.id], x.quantity) for x in parcel.lines))
        for parcel in order.parcels.values()
    )
    left = order.state in {"shipped", "closed"}
    return Sale(
        order_id=order.order_id,
        placed_at=order.created - timedelta(seconds=skew),
        lines=tuple((line.sku, line.kept) for line in order.lines),
        accepted=any(line.accepted for line in order.lines) and order.state != "refused",
        payable=order.paid,
        refused=order.state == "refused",
        cancelled=order.state == "cancelled",
        told=tuple(parcel.tracking for parcel in parcels),
        exact=True,
        shipped=int(left),
        created_at=order.created,
        changed_at=order.updated,
        currency="EUR",
        total=order_total(order),
        amounts=tuple(line.unit_price * line.wanted for line in order.lines),
        accepted_units=tuple(line.quantity if line.accepted else 0 for line in order.lines),
        parcels=parcels,
        by_marketplace=order.by_marketplace,
        closed=order.state == "closed",
    )


def open_side(plan: SidePlan) -> RestMarketSide:
    return RestMarketSide(plan)
