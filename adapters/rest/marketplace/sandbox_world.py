"""What happens on a simulated marketplace: buyers, payments, parcels. Pure: time is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from adapters.rest import wire
from marketsync.sandbox.books import Books, Habits

SHIPPING = Decimal("3.90")
TAX_RATE = 20


class Behaviour(Habits, frozen=True, kw_only=True):
    """How this marketplace works, and what is wrong with it just now.

    `asks`: orders wait for a yes or no. `by_line`: a no to some lines is taken. `carriers`: the only ones, any if none is
    named. `calls_per_minute` 0 is no limit.
    """

    token: str = "sandbox-token"  # noqa: S105 - of an invented marketplace
    calls_per_minute: int = 300
    asks: bool = True
    by_line: bool = True
    debit_seconds: float = 30.0
    relists_on_cancel: bool = False
    carriers: tuple[str, ...] = ()


class SoldLine(msgspec.Struct, frozen=True):
    line_id: str
    sku: str
    quantity: int
    unit_price: Decimal
    accepted: bool | None = None
    cancelled: int = 0
    refunded: int = 0

    @property
    def wanted(self) -> int:
        return 0 if self.accepted is False else self.quantity - self.cancelled

    @property
    def kept(self) -> int:
        """What was ordered, without the units that were taken off since."""
        return self.quantity - self.cancelled


class SoldOrder(msgspec.Struct, frozen=True):
    """`parcels` are by the id that they were put under."""

    order_id: str
    number: int
    state: str
    created: datetime
    updated: datetime
    lines: tuple[SoldLine, ...]
    debit_due: datetime | None = None
    paid: bool = False
    by_marketplace: bool = False
    parcels: Mapping[str, wire.Parcel] = {}

    def shipped(self, line_id: str, without: str = "") -> int:
        """Units of a line in parcels, but for one of them."""
        told = [parcel for key, parcel in self.parcels.items() if key != without]
        return sum(line.quantity for parcel in told for line in parcel.lines if line.id == line_id)


class World(Books[Behaviour, SoldOrder]):
    def __init__(
        self, offers: Mapping[str, int], behaviour: Behaviour, prices: Mapping[str, Decimal]
    ) -> None:
        super().__init__(behaviour)
        self.offers = dict(offers)
        self.prices = dict(prices)
        self.writes: list[dict[str, int]] = []
        self._due: dict[str, None] = {}

    def place(self, at: datetime, lines: Sequence[tuple[str, int]]) -> SoldOrder | None:
        """A buyer orders; None if the listing has not that many. The listing is lowered at once."""
        if any(self.offers.get(sku, 0) < quantity for sku, quantity in lines):
            return None
        number = len(self.orders) + 1
        order_id = f"RM-{number:05d}"
        for sku, quantity in lines:
            self.offers[sku] -= quantity
        asks = self.behaviour.asks
        sold = tuple(
            SoldLine(
                f"{order_id}-{i}",
                sku,
                quantity,
                self.prices.get(sku, Decimal("19.90")),
                None if asks else True,
            )
            for i, (sku, quantity) in enumerate(lines, 1)
        )
        due = None if asks else at + timedelta(seconds=self.behaviour.debit_seconds)
        state = "to_accept" if asks else "accepted"
        self.record(at, "placed", order_id, ",".join(f"{sku}:{quantity}" for sku, quantity in lines))
        return self.put(SoldOrder(order_id, number, state, _cut(at), _cut(at), sold, due), at)

    def put(self, order: SoldOrder, at: datetime, *, stamp: datetime | None = None) -> SoldOrder:
        order = replace(order, updated=_cut(stamp or at))
        self.orders[order.order_id] = order
        self._due.pop(order.order_id, None)
        if order.state == "accepted":
            self._due[order.order_id] = None
        self.show(order.order_id, order, at)
        return order

    def visible(self, at: datetime) -> list[SoldOrder]:
        """Each order's newest version that has become visible, by creation and then id."""
        return sorted(self.listed.all(at), key=lambda order: (order.created, order.order_id))

    def advance(self, at: datetime) -> None:
        """Payments that have come due since the last call take effect at their own time."""
        for order_id in list(self._due):
            order = self.orders[order_id]
            if order.debit_due is not None and order.debit_due <= at:
                self.record(order.debit_due, "paid", order_id)
                self.put(replace(order, state="ready", paid=True), order.debit_due)

    def decide(self, order: SoldOrder, accepted: Iterable[str], at: datetime) -> SoldOrder:
        """Accepts the named lines and refuses the others."""
        yes = frozenset(accepted)
        lines = tuple(replace(line, accepted=line.line_id in yes) for line in order.lines)
        self.record(at, "decided", order.order_id, ",".join(x.line_id for x in lines if x.accepted))
        due = at + timedelta(seconds=self.behaviour.debit_seconds) if yes else None
        state = "accepted" if yes else "refused"
        return self.put(replace(order, state=state, lines=lines, debit_due=due), at)

    def tell(self, order: SoldOrder, key: str, parcel: wire.Parcel, at: datetime) -> SoldOrder:
        """Under its id: new, or in place of what was told before. The last unit ships the order."""
        held = order.parcels.get(key)
        if held == parcel:
            return order
        self.record(at, "parcel" if held is None else "corrected", order.order_id, parcel.tracking_number)
        told = replace(order, parcels={**order.parcels, key: parcel})
        whole = all(told.shipped(line.line_id) >= line.wanted for line in told.lines)
        if whole and order.state == "ready":
            self.record(at, "shipped", order.order_id, parcel.tracking_number)
        return self.put(replace(told, state="shipped" if whole else order.state), at)

    def cancel(self, order: SoldOrder, at: datetime) -> SoldOrder | None:
        """By the buyer, while nothing has left; None if it is too late."""
        if order.state not in {"to_accept", "accepted", "ready"} or order.parcels:
            return None
        if self.behaviour.relists_on_cancel:
            for line in order.lines:
                self.offers[line.sku] = self.offers.get(line.sku, 0) + line.wanted
        lines = tuple(
            line if line.accepted is False else replace(line, cancelled=line.quantity) for line in order.lines
        )
        self.record(at, "cancelled", order.order_id)
        return self.put(replace(order, state="cancelled", lines=lines, debit_due=None), at)

    def edit(
        self, order: SoldOrder, line_id: str, at: datetime, *, cancelled: int = 0, refunded: int = 0
    ) -> None:
        lines = tuple(
            replace(x, cancelled=x.cancelled + cancelled, refunded=x.refunded + refunded)
            if x.line_id == line_id
            else x
            for x in order.lines
        )
        self.record(at, "edited", order.order_id, f"{line_id} -{cancelled or refunded}")
        self.put(replace(order, lines=lines), at)


def _cut(moment: datetime) -> datetime:
    """Stamps are whole seconds here; the contract allows finer ones."""
    return moment.replace(microsecond=0)
