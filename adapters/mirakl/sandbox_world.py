"""What happens on a simulated Mirakl marketplace: buyers, debits, deadlines, imports. Pure: time is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from marketsync.sandbox.books import Books, Habits

OWN_CENTER = "DEFAULT"
CARRIERS = {"DHL": "DHL", "UPS": "UPS", "DPD": "DPD", "LAPOSTE": "La Poste"}


class Behaviour(Habits, frozen=True, kw_only=True):
    """How this operator has set up his marketplace, and what is wrong with it just now.

    `order_list_seconds`: least time between two order lists, 900 for an external partner.
    `update_delta_seconds`: how far below its lower end an update window reaches.
    `html_page` and `malformed_page` spoil the list.
    """

    api_key: str = "sandbox-key"
    shop_id: int = 2001
    order_list_seconds: float = 60.0
    stock_import_seconds: float = 60.0
    throttles: bool = True
    update_delta_seconds: float = 0.0
    accept_within_seconds: float | None = None
    debit_seconds: float = 30.0
    import_takes_seconds: float = 20.0
    multi_shipment: bool = False
    other_carriers: bool = True
    partial_acceptance: bool = True
    relists_on_cancel: bool = False
    zeroes_offer_on_refusal: bool = False
    errors_have_codes: bool = True
    html_page: bool = False
    malformed_page: bool = False


class Units(msgspec.Struct, frozen=True):
    """A cancellation or a refund of some units of a line."""

    id: str
    quantity: int
    at: datetime


class SoldLine(msgspec.Struct, frozen=True):
    line_id: str
    sku: str
    quantity: int
    unit_price: Decimal
    state: str
    shipped: int = 0
    shipped_at: datetime | None = None
    cancelations: tuple[Units, ...] = ()
    refunds: tuple[Units, ...] = ()

    @property
    def wanted(self) -> int:
        """Units that are still to be, or were, shipped."""
        return 0 if self.state in {"REFUSED", "CANCELED"} else self.kept

    @property
    def kept(self) -> int:
        """What was ordered, without the units that were taken off since."""
        return self.quantity - sum(part.quantity for part in self.cancelations)


class SoldOrder(msgspec.Struct, frozen=True):
    """`center` is the fulfilment centre that it leaves from, one of the operator's or the seller's own."""

    order_id: str
    number: int
    state: str
    created: datetime
    updated: datetime
    lines: tuple[SoldLine, ...]
    decided_at: datetime | None = None
    debit_due: datetime | None = None
    debited_at: datetime | None = None
    carrier_code: str = ""
    carrier_name: str = ""
    tracking_number: str = ""
    tracking_url: str = ""
    center: str = OWN_CENTER


class Parcel(msgspec.Struct, frozen=True):
    """A shipment of the multi-shipment module. `lines` are (line id, quantity, package reference)."""

    id: str
    order_id: str
    at: datetime
    lines: tuple[tuple[str, int, str], ...]
    shipped: bool
    tracking: Mapping[str, str] = {}


class StockImport(msgspec.Struct, frozen=True):
    id: str
    at: datetime
    done_at: datetime
    rows: tuple[tuple[str, str], ...]
    errors: tuple[tuple[int, str, str, str], ...] = ()
    applied: bool = False


class World(Books[Behaviour, SoldOrder]):
    def __init__(
        self, offers: Mapping[str, int], behaviour: Behaviour, prices: Mapping[str, Decimal]
    ) -> None:
        super().__init__(behaviour)
        self.offers = dict(offers)
        self.prices = dict(prices)
        self.parcels: dict[str, Parcel] = {}
        self.imports: dict[str, StockImport] = {}
        self._due: dict[str, None] = {}

    def place(self, at: datetime, lines: Sequence[tuple[str, int]]) -> SoldOrder | None:
        """A buyer orders; None if the listing has not that many. The listing is lowered at once."""
        if any(self.offers.get(sku, 0) < quantity for sku, quantity in lines):
            return None
        number = len(self.orders) + 1
        order_id = f"SBX-{number:05d}-A"
        for sku, quantity in lines:
            self.offers[sku] -= quantity
        sold = tuple(
            SoldLine(
                f"{order_id}-{i}", sku, quantity, self.prices.get(sku, Decimal("19.90")), "WAITING_ACCEPTANCE"
            )
            for i, (sku, quantity) in enumerate(lines, 1)
        )
        stamp = _second(at)
        order = SoldOrder(order_id, number, "WAITING_ACCEPTANCE", stamp, stamp, sold)
        self.record(at, "placed", order_id, ",".join(f"{sku}:{quantity}" for sku, quantity in lines))
        return self.put(order, at)

    def put(self, order: SoldOrder, at: datetime, *, stamp: datetime | None = None) -> SoldOrder:
        order = replace(order, updated=_second(stamp or at))
        self.orders[order.order_id] = order
        self._due.pop(order.order_id, None)
        if order.state in {"WAITING_ACCEPTANCE", "WAITING_DEBIT"}:
            self._due[order.order_id] = None
        self.show(order.order_id, order, at)
        return order

    def visible(self, at: datetime) -> list[SoldOrder]:
        """Each order's newest version that has become visible, by creation and then id."""
        return sorted(self.listed.all(at), key=lambda order: (order.created, order.order_id))

    def advance(self, at: datetime) -> None:
        for order_id in list(self._due):
            self._expire(self.orders[order_id], at)
            self._debit(self.orders[order_id], at)
        for started in list(self.imports.values()):
            if not started.applied and started.done_at <= at:
                self._apply(started)

    def _expire(self, order: SoldOrder, at: datetime) -> None:
        within = self.behaviour.accept_within_seconds
        if within is None or order.state != "WAITING_ACCEPTANCE":
            return
        due = order.created + timedelta(seconds=within)
        if due <= at:
            self.decide(order, (), due, "auto_refused")

    def decide(
        self, order: SoldOrder, accepted: Iterable[str], at: datetime, what: str = "decided"
    ) -> SoldOrder:
        """Accepts the named lines and refuses the others; the debit of what is accepted is awaited."""
        yes = frozenset(accepted)
        lines = tuple(
            replace(line, state="WAITING_DEBIT" if line.line_id in yes else "REFUSED") for line in order.lines
        )
        for line in lines:
            if line.state == "REFUSED" and self.behaviour.zeroes_offer_on_refusal:
                self.offers[line.sku] = 0
        self.record(at, what, order.order_id, ",".join(x.line_id for x in lines if x.line_id in yes))
        due = _second(at + timedelta(seconds=self.behaviour.debit_seconds)) if yes else None
        state = "WAITING_DEBIT" if yes else "REFUSED"
        return self.put(replace(order, state=state, lines=lines, decided_at=_second(at), debit_due=due), at)

    def _debit(self, order: SoldOrder, at: datetime) -> None:
        if order.state != "WAITING_DEBIT" or order.debit_due is None or order.debit_due > at:
            return
        due = order.debit_due
        self.record(due, "debited", order.order_id)
        self.put(
            replace(_lines_to(order, "WAITING_DEBIT", "SHIPPING"), state="SHIPPING", debited_at=due), due
        )

    def ship(self, order: SoldOrder, at: datetime) -> SoldOrder:
        self.record(at, "shipped", order.order_id, order.tracking_number)
        lines = tuple(
            replace(line, state="SHIPPED", shipped=line.wanted, shipped_at=_second(at))
            if line.wanted
            else line
            for line in order.lines
        )
        return self.put(replace(order, state="SHIPPED", lines=lines), at)

    def add_parcel(self, parcel: Parcel, order: SoldOrder) -> None:
        """Takes the quantities; the order is shipped with the parcel that takes the last of them."""
        self.parcels[parcel.id] = parcel
        self.record(parcel.at, "parcel", order.order_id, parcel.tracking.get("tracking_number", ""))
        taken: dict[str, int] = {}
        for line_id, quantity, _ in parcel.lines:
            taken[line_id] = taken.get(line_id, 0) + quantity
        lines = []
        for line in order.lines:
            shipped = line.shipped + taken.get(line.line_id, 0)
            full = line.wanted > 0 and shipped >= line.wanted
            state = "SHIPPED" if full else line.state
            left = line.shipped_at or (parcel.at if full else None)
            lines.append(replace(line, shipped=shipped, state=state, shipped_at=left))
        whole = all(line.shipped >= line.wanted for line in lines)
        state = "SHIPPED" if whole else order.state
        self.put(replace(order, lines=tuple(lines), state=state), parcel.at)

    def cancel(self, order: SoldOrder, at: datetime, what: str) -> SoldOrder | None:
        """By the buyer or the operator, while nothing has left; None if it is too late."""
        if order.state not in {"WAITING_ACCEPTANCE", "WAITING_DEBIT", "SHIPPING"}:
            return None
        if any(line.shipped for line in order.lines):
            return None
        for line in order.lines:
            if self.behaviour.relists_on_cancel:
                self.offers[line.sku] = self.offers.get(line.sku, 0) + line.wanted
        lines = tuple(x if x.state == "REFUSED" else replace(x, state="CANCELED") for x in order.lines)
        self.record(at, what, order.order_id)
        return self.put(replace(order, state="CANCELED", lines=lines, debit_due=None), at)

    def _apply(self, started: StockImport) -> None:
        """Absolute: what was sold between the sending and the applying is listed again."""
        errors = []
        for number, (sku, quantity) in enumerate(started.rows, 1):
            if sku not in self.offers:
                errors.append((number, "The offer does not exist", sku, quantity))
            elif not quantity.isascii() or not quantity.isdigit():
                errors.append((number, "The quantity is not a whole number", sku, quantity))
            else:
                self.offers[sku] = int(quantity)
        self.imports[started.id] = replace(started, applied=True, errors=tuple(errors))
        self.record(started.done_at, "imported", started.id, str(len(started.rows) - len(errors)))


def _lines_to(order: SoldOrder, old: str, new: str) -> SoldOrder:
    lines = tuple(replace(line, state=new) if line.state == old else line for line in order.lines)
    return replace(order, lines=lines)


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
