"""The simulated shop itself: variants at locations, orders, parcels, and what its people do."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

LOCATIONS = (7001, 7002)


class Variant(msgspec.Struct, kw_only=True):
    """`levels` is what is available, by location; below zero too."""

    id: int
    item: int
    sku: str
    price: Decimal
    tracked: bool
    levels: dict[int, int]


class Line(msgspec.Struct, kw_only=True):
    """`quantity` as ordered, `current` after edits; `taken` is what the figures have lost for it, by location."""

    id: int
    variant: int
    sku: str
    quantity: int
    current: int
    unit: Decimal
    tax: Decimal
    attributes: dict[str, str]
    taken: dict[int, int]


class Fulfillment(msgspec.Struct, kw_only=True):
    """`units` by line; `tracking` are (carrier, number)."""

    id: int
    status: str
    created: datetime
    updated: datetime
    units: dict[int, int]
    tracking: list[tuple[str, str]]


class Refund(msgspec.Struct, kw_only=True):
    id: int
    units: dict[int, int]
    amount: Decimal


class Return(msgspec.Struct, kw_only=True):
    id: int
    status: str
    units: int


class Order(msgspec.Struct, kw_only=True):
    """`behaviour` is the inventoryBehaviour that it was made with; `extra` is all that the buyer pays beside the lines."""

    id: int
    created: datetime
    currency: str
    taxes_included: bool
    behaviour: str
    by_api: bool
    source: str
    po_number: str
    lines: list[Line]
    extra: Decimal
    attributes: dict[str, str]
    metafields: dict[tuple[str, str], str]
    address: dict[str, Any]
    cancelled: datetime | None = None
    cancel_note: str = ""
    deleted: bool = False
    refunds: list[Refund] = []
    returns: list[Return] = []
    fulfillments: list[Fulfillment] = []

    @property
    def total(self) -> Decimal:
        """As it is now. Of a line that was edited the tax follows the units."""
        lines = Decimal(0)
        for line in self.lines:
            lines += line.unit * line.current
            if not self.taxes_included:
                lines += (line.tax * line.current / line.quantity).quantize(Decimal("0.01"))
        return lines + self.extra

    def line(self, number: int) -> Line | None:
        return next((line for line in self.lines if line.id == number), None)

    def sent(self, line: Line) -> int:
        parcels = (x for x in self.fulfillments if x.status in ("SUCCESS", "OPEN", "PENDING"))
        return sum(parcel.units.get(line.id, 0) for parcel in parcels)


class Truth(msgspec.Struct, frozen=True):
    """One true event of this world: what tests count, whatever the API says of it."""

    at: datetime
    what: str
    order: int = 0
    sku: str = ""
    quantity: int = 0


class Refusal(Exception):
    """A user error: `code` is "" where Shopify gives none."""

    def __init__(self, message: str, *field: str, code: str = "INVALID") -> None:
        super().__init__(message)
        self.shown = {"field": list(field) or None, "message": message, "code": code or None}


class ShopifyShop:
    """`edits_take`: an edit that raises a quantity takes the units from stock."""

    def __init__(self, *, edits_take: bool = True) -> None:
        self.edits_take = edits_take
        self.currency = "EUR"
        self.variants: dict[int, Variant] = {}
        self.orders: dict[int, Order] = {}
        self.log: list[Truth] = []
        self.jobs: dict[int, tuple[datetime, int, bool]] = {}
        """By id, when it is done, the order that it cancels, and whether its units come back."""
        self._next = 100

    def next_id(self) -> int:
        self._next += 1
        return self._next

    def note(self, now: datetime, what: str, order: int = 0, sku: str = "", quantity: int = 0) -> None:
        self.log.append(Truth(now, what, order, sku, quantity))

    def add_variant(self, sku: str, stock: int, price: str = "10.00", *, tracked: bool = True) -> Variant:
        """Two thirds of the units at the first location."""
        second = max(0, stock) // 3
        levels = dict(zip(LOCATIONS, (stock - second, second), strict=True))
        variant = Variant(
            id=self.next_id(), item=self.next_id(), sku=sku, price=Decimal(price), tracked=tracked, levels=levels
        )  # fmt: skip
        self.variants[variant.id] = variant
        return variant

    def variant_of(self, sku: str) -> Variant:
        return next(x for x in self.variants.values() if x.sku == sku)

    def stock_of(self, sku: str) -> int:
        return sum(self.variant_of(sku).levels.values())

    # What its people do

    def web_sale(self, sku: str, quantity: int, now: datetime) -> Order:
        """A buyer of the web shop, paid at once."""
        variant = self.variant_of(sku)
        line = Line(
            id=self.next_id(), variant=variant.id, sku=sku, quantity=quantity, current=quantity,
            unit=variant.price, tax=Decimal(0), attributes={}, taken={},
        )  # fmt: skip
        order = Order(
            id=self.next_id(), created=now, currency=self.currency, taxes_included=True,
            behaviour="DECREMENT_OBEYING_POLICY", by_api=False, source="", po_number="", lines=[line],
            extra=Decimal(0), attributes={}, metafields={}, address={},
        )  # fmt: skip
        self.orders[order.id] = order
        self.note(now, "web_sale", order.id, sku, quantity)
        self.take(order, line, quantity, now)
        return order

    def set_stock(self, sku: str, delta: int, now: datetime) -> None:
        """Goods that came, or were counted away, at the first location."""
        self.variant_of(sku).levels[LOCATIONS[0]] += delta
        self.note(now, "counted", sku=sku, quantity=delta)

    def ship(
        self, order_id: int, now: datetime, units: dict[int, int] | None = None, *, tracking: str = "TRACK1",
        carrier: str = "DHL", status: str = "SUCCESS",
    ) -> Fulfillment:  # fmt: skip
        """One parcel, of all that is left where no units are named. `tracking` may be "": it comes later."""
        order = self.orders[order_id]
        left = {line.id: line.current - order.sent(line) for line in order.lines}
        wanted = {key: count for key, count in (units or left).items() if count > 0}
        if order.cancelled or any(count > left[key] for key, count in wanted.items()):
            raise ValueError("more than is left of the order")
        parcel = Fulfillment(
            id=self.next_id(), status=status, created=now, updated=now, units=wanted,
            tracking=[(carrier, tracking)] if tracking else [],
        )  # fmt: skip
        order.fulfillments.append(parcel)
        self.note(now, "shipped", order_id, quantity=sum(wanted.values()))
        return parcel

    def track(self, parcel: Fulfillment, carrier: str, number: str, now: datetime) -> None:
        """Also on a parcel that was cancelled: Shopify takes it."""
        parcel.tracking, parcel.updated = [(carrier, number)], now

    def take_back(self, parcel: Fulfillment, now: datetime) -> None:
        parcel.status, parcel.updated = "CANCELLED", now

    def cancel(self, order_id: int, now: datetime, *, restock: bool = True) -> None:
        """Shopify cancels nothing of which anything was sent, by hand or by a job: who wants to takes the parcel back first."""
        order = self.orders[order_id]
        if order.cancelled or any(order.sent(line) for line in order.lines):
            return
        order.cancelled = now
        self.note(now, "cancelled", order_id)
        if restock:
            for line in order.lines:
                self.give_back(order, line, sum(line.taken.values()), now)

    def refund(self, order_id: int, units: dict[int, int], amount: str, now: datetime) -> Refund:
        """Of units that came back, or that are not sent: no figure moves by it."""
        refund = Refund(id=self.next_id(), units=units, amount=Decimal(amount))
        self.orders[order_id].refunds.append(refund)
        self.note(now, "refunded", order_id, quantity=sum(units.values()))
        return refund

    def open_return(self, order_id: int, units: int, now: datetime, *, status: str = "OPEN") -> Return:
        back = Return(id=self.next_id(), status=status, units=units)
        self.orders[order_id].returns.append(back)
        self.note(now, "return_opened", order_id, quantity=units)
        return back

    # What Shopify does by itself

    def settle(self, now: datetime) -> None:
        """The jobs that are over by now, each at its own time."""
        due = sorted(
            (at, number) for number, (at, order_id, _) in self.jobs.items() if at <= now and order_id
        )
        for at, number in due:
            _, order_id, restock = self.jobs[number]
            self.jobs[number] = (at, 0, restock)
            if not self.orders[order_id].deleted:
                self.cancel(order_id, at, restock=restock)

    def take(self, order: Order, line: Line, units: int, now: datetime) -> None:
        """The shop picks the location: the first that has enough, else the first of all."""
        variant = self.variants[line.variant]
        if units <= 0 or not variant.tracked:
            return
        chosen = next((x for x in LOCATIONS if variant.levels[x] >= units), LOCATIONS[0])
        variant.levels[chosen] -= units
        line.taken[chosen] = line.taken.get(chosen, 0) + units
        self.note(now, "stock_taken", order.id, line.sku, units)

    def give_back(self, order: Order, line: Line, units: int, now: datetime) -> None:
        variant = self.variants.get(line.variant)
        for location in list(line.taken):
            back = min(max(0, units), line.taken[location])
            line.taken[location] -= back
            units -= back
            if back and variant is not None:
                variant.levels[location] += back
                self.note(now, "stock_back", order.id, line.sku, back)
