"""The simulated account as one side of a world (`marketsync.sandbox.roles`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from adapters.ebay.mischief import EbayTroubled
from adapters.ebay.sandbox import EbaySandbox
from adapters.ebay.sandbox_cancels import REASONS
from adapters.ebay.sandbox_json import amounts
from adapters.ebay.sandbox_push import FORGER, OWN, Signer, others, pushes_of
from adapters.ebay.sandbox_world import Behaviour, Package, SoldOrder
from marketsync.ports import Request, Response
from marketsync.sandbox.roles import AfterSale, Sale, SidePlan, StockWrite, Told


class EbaySide(EbayTroubled):
    def __init__(self, plan: SidePlan) -> None:
        super().__init__()
        self._sales: dict[str, tuple[tuple[object, ...], Sale]] = {}
        behaviour = Behaviour(
            throttles=plan.throttles,
            clock_skew_seconds=plan.clock_skew_seconds,
            visibility_lag_seconds=plan.visibility_lag_seconds,
            buyer=plan.buyer,
        )
        behaviour = msgspec.structs.replace(behaviour, **plan.options)
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

    def place_fulfilled(self, now: datetime, lines: Sequence[tuple[str, int]]) -> str | None:
        return self.sandbox.place_order(now, lines, by_ebay=True)

    def expire(self, now: datetime) -> None:
        self.sandbox.access.end_tokens()

    def revoke(self, now: datetime) -> None:
        self.sandbox.access.consent = False

    def issued(self) -> Sequence[str]:
        return self.sandbox.access.issued()

    def cancel_order(self, now: datetime, order_id: str) -> bool:
        return self.sandbox.cancel_order(now, order_id)

    def after_sale(self, now: datetime, order_id: str) -> AfterSale:
        self._advance(now)
        return AfterSale(cancels=self.sandbox.count("cancel_taken", order_id))

    def reason(self, kind: str) -> str:
        return REASONS[0] if kind == "cancel_sale" else ""

    def wish_cancelled(self, now: datetime, order_id: str) -> bool:
        self.sandbox.ask_to_cancel(now, order_id)
        return True

    def hints(self, now: datetime, order_id: str) -> Sequence[bytes]:
        self._advance(now)
        return pushes_of(self.sandbox.world, order_id)

    def other_hints(self, now: datetime) -> Mapping[str, bytes]:
        self._advance(now)
        return others(self.sandbox.world.clock(now))

    def push_settings(self, address: str) -> Mapping[str, object]:
        return {"hints_endpoint": address}

    def push_secrets(self) -> Mapping[str, str]:
        return {"hints_token": "sandbox-token-of-32-letters-or-so"}

    def signed(self, body: bytes, *, forged: bool = False, key: str = "") -> Mapping[str, str]:
        """The key that eBay gives out is published with the first message."""
        own = Signer()
        own.publish(self.sandbox.world)
        signer = Signer(key or own.kid, FORGER if forged else OWN)
        return {"x-ebay-signature": signer.header(body)}

    def sales(self, now: datetime) -> Sequence[Sale]:
        self._advance(now)
        held: dict[str, list[Package]] = {}
        for package in self.sandbox.world.packages:
            held.setdefault(package.order_id, []).append(package)
        return [self._sale(x, held.get(x.order_id, ())) for x in self.sandbox.world.orders.values()]

    def journal(self, known: int) -> Sequence[tuple[str, str]]:
        return [(event.subject, f"{event.what} {event.detail}".strip()) for event in self.sandbox.log[known:]]

    def stock_writes(self, now: datetime) -> Sequence[StockWrite]:
        return [
            StockWrite(landed=True, quantities=change.quantities) for change in self.sandbox.world.changes
        ]

    def _sale(self, order: SoldOrder, packages: Sequence[Package]) -> Sale:
        """Made anew only where something changed: whoever watches asks for all of them at every step."""
        seen = order, len(packages), self.sandbox.behaviour
        known = self._sales.get(order.order_id)
        if known is None or any(a is not b for a, b in zip(known[0], seen, strict=True)):
            known = self._sales[order.order_id] = seen, self._sold(order, packages)
        return known[1]

    def _sold(self, order: SoldOrder, packages: Sequence[Package]) -> Sale:
        behaviour = self.sandbox.behaviour
        skus = {line.line_id: line.sku for line in order.lines}
        costs, total = amounts(order, behaviour)
        return Sale(
            order_id=order.order_id,
            placed_at=order.created - timedelta(seconds=behaviour.clock_skew_seconds),
            lines=tuple((line.sku, line.quantity) for line in order.lines),
            accepted=True,
            payable=order.paid_at is not None,
            refused=False,
            cancelled=order.cancel_state == "CANCELED",
            told=tuple(package.tracking for package in packages),
            exact=True,
            shipped=int(order.fulfilment == "FULFILLED"),
            created_at=order.created,
            changed_at=order.updated,
            currency=behaviour.currency,
            total=total,
            amounts=costs,
            accepted_units=tuple(line.quantity for line in order.lines),
            parcels=tuple(
                Told(x.tracking, x.carrier, tuple((skus[line], units) for line, units in x.lines))
                for x in packages
            ),
            pending=order.paid_at is None,
            by_marketplace=order.by_ebay,
        )

    def _advance(self, now: datetime) -> None:
        self.sandbox.world.advance(self.sandbox.world.clock(now))


def open_side(plan: SidePlan) -> EbaySide:
    return EbaySide(plan)
