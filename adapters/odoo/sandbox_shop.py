"""The simulated database itself: contacts, orders, deliveries, stock and taxes, as a real server was seen to keep them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import msgspec

CENT = Decimal("0.01")
DEFAULT_TAX = 1
OPEN = ("waiting", "confirmed", "assigned", "partially_available")


class Product(msgspec.Struct, kw_only=True):
    id: int
    sku: str
    name: str
    type: str = "consu"
    is_storable: bool = True
    on_hand: int = 0
    price: Decimal = Decimal(10)


class Tax(msgspec.Struct, frozen=True):
    id: int
    amount: Decimal
    price_include: bool = False
    amount_type: str = "percent"


class Partner(msgspec.Struct, kw_only=True):
    id: int
    values: dict[str, Any]
    write_date: datetime
    children: list[Partner] = []


class Line(msgspec.Struct, kw_only=True):
    id: int
    order_id: int
    product_id: int
    name: str
    quantity: Decimal
    price: Decimal
    taxes: tuple[int, ...]
    discount: Decimal = Decimal(0)


class Move(msgspec.Struct, kw_only=True):
    """`demand` is to go, `moved` has gone once the delivery is validated."""

    id: int
    line_id: int
    product_id: int
    demand: int
    moved: int = 0
    picked: bool = False


class Picking(msgspec.Struct, kw_only=True):
    """`internal` ones are picked, and stay in the house; `incoming` ones are returns."""

    id: int
    order_id: int
    write_date: datetime
    state: str = "assigned"
    code: str = "outgoing"
    tracking: str = ""
    carrier: str = ""
    done_at: datetime | None = None
    moves: list[Move] = []


class Order(msgspec.Struct, kw_only=True):
    """`by_api` tells ours from those of the web shop and of people."""

    id: int
    ref: str
    origin: str
    partner_id: int
    created: datetime
    write_date: datetime
    date_order: datetime
    currency: str
    state: str = "draft"
    lines: list[Line] = []
    pickings: list[Picking] = []
    by_api: bool = True
    locked: bool = False
    before: str = ""
    """The state that a person's cancelling ended."""
    given_back: dict[int, int] = {}
    """By line: the units that a person's cancelling put back into the figure."""


class Truth(msgspec.Struct, frozen=True):
    """One true event of this world: what tests count, whatever the API says of it."""

    at: datetime
    what: str
    order_id: int = 0
    sku: str = ""
    quantity: int = 0


class OdooShop:
    """`transaction_seconds` is how long people's transactions take: rows are stamped at their start and seen at their end."""

    def __init__(self, *, currency: str = "EUR", charges: tuple[str, ...] = ()) -> None:
        self.currency = currency
        self.currencies = {0: currency, 1: "EUR", 2: "USD", 3: "GBP"}
        """By price list; 0 is none."""
        self.taxes = {
            1: Tax(1, Decimal(15)),
            2: Tax(2, Decimal(20), price_include=True),
            3: Tax(3, Decimal(10)),
            4: Tax(4, Decimal(20)),
        }
        self.transaction_seconds = 0.0
        self.rounds_globally = True
        self.delivery_steps = 1
        """With 2, what is to go is picked first, in a delivery of its own."""
        self.stuck: dict[str, int] = {}
        """Units by SKU that Odoo keeps reserved for nobody, until `tidy`."""
        self.products: dict[int, Product] = {}
        self.partners: dict[int, Partner] = {}
        self.orders: dict[int, Order] = {}
        self.external: dict[str, tuple[str, int]] = {}
        self.log: list[Truth] = []
        self._next = 10
        for sku in charges:
            self.add_product(sku, 0, type="service")

    def next_id(self) -> int:
        self._next += 1
        return self._next

    def add_product(self, sku: str, stock: int, *, type: str = "consu", price: str = "10.00") -> Product:  # noqa: A002 - Odoo's own word
        product = Product(
            id=self.next_id(), sku=sku, name=f"Article {sku}", type=type, is_storable=type == "consu", on_hand=stock,
            price=Decimal(price),
        )  # fmt: skip
        self.products[product.id] = product
        return product

    def product_of(self, sku: str) -> Product:
        return next(product for product in self.products.values() if product.sku == sku)

    # Figures

    def outgoing(self, product_id: int) -> int:
        """What confirmed orders have still to get, reserved for them or not."""
        return sum(
            move.demand
            for picking in self.pickings()
            if picking.state in OPEN and picking.code != "incoming"
            for move in picking.moves
            if move.product_id == product_id
        )

    def free(self, product: Product) -> int:
        """On hand and not reserved: more than there is can't be reserved, so it ends at none."""
        return max(0, product.on_hand - self.outgoing(product.id) - self.stuck.get(product.sku, 0))

    def tidy(self) -> None:
        """Odoo's scheduler, once a day, or whoever opens *Physical Inventory*."""
        self.stuck.clear()

    def true_stock(self, sku: str) -> int:
        """Below zero where more was sold than there is."""
        product = self.product_of(sku)
        return product.on_hand - self.outgoing(product.id)

    def pickings(self) -> Iterator[Picking]:
        return (picking for order in self.orders.values() for picking in order.pickings)

    def lines(self) -> Iterator[Line]:
        return (line for order in self.orders.values() for line in order.lines)

    def total(self, order: Order) -> Decimal:
        """Tax on top is rounded once for each tax of an order, or line by line."""
        amount, taxes = Decimal(0), list[tuple[int, Decimal]]()
        for line in order.lines:
            base = rounded(line.quantity * line.price * (1 - line.discount / 100))
            amount += base
            taxes += [(number, self._tax_on(base, number)) for number in line.taxes]
        if not self.rounds_globally:
            return amount + sum((rounded(tax) for _, tax in taxes), Decimal(0))
        kinds = dict.fromkeys(number for number, _ in taxes)
        return amount + sum(
            (rounded(sum((t for n, t in taxes if n == kind), Decimal(0))) for kind in kinds), Decimal(0)
        )

    def _tax_on(self, base: Decimal, number: int) -> Decimal:
        tax = self.taxes[number]
        return Decimal(0) if tax.price_include else base * tax.amount / 100

    # What Odoo does by itself

    def confirm(self, order: Order, now: datetime) -> None:
        order.state, order.write_date, order.date_order = "sale", now, now
        self.log.append(Truth(now, "confirmed", order.id))
        for line in order.lines:
            self.procure(order, line, int(line.quantity), now)

    def procure(self, order: Order, line: Line, units: int, now: datetime) -> None:
        """More to deliver goes into the delivery that is open; less comes out of it."""
        product = self.products.get(line.product_id)
        if not units or product is None or not product.is_storable:
            return
        picking = self.open_picking(order)
        if picking is None:
            if units < 0:
                return
            code = "outgoing" if self.delivery_steps == 1 else "internal"
            picking = Picking(id=self.next_id(), order_id=order.id, write_date=now, code=code)
            order.pickings.append(picking)
        move = next((move for move in picking.moves if move.line_id == line.id), None)
        if move is None:
            move = Move(id=self.next_id(), line_id=line.id, product_id=line.product_id, demand=0)
            picking.moves.append(move)
        move.demand = max(0, move.demand + units)
        picking.write_date = now
        picking.moves = [x for x in picking.moves if x.demand]
        if not picking.moves:
            picking.state = "cancel"
        what = "stock_taken" if units > 0 else "stock_back"
        self.log.append(Truth(now, what, order.id, product.sku, abs(units)))

    def open_picking(self, order: Order) -> Picking | None:
        return next((picking for picking in order.pickings if picking.state in OPEN), None)

    def cancel(self, order: Order, now: datetime) -> None:
        order.before, order.state, order.write_date = order.state, "cancel", now
        for picking in order.pickings:
            if picking.state != "done":
                picking.state, picking.write_date = "cancel", now
        self.log.append(Truth(now, "cancelled", order.id))

    def validate(self, picking: Picking, now: datetime) -> None:
        """What was picked goes; for the rest a further delivery is opened, and one for what is picked and not sent yet."""
        rest = [(move, move.demand - move.moved) for move in picking.moves if move.moved < move.demand]
        order = self.orders[picking.order_id]
        stamp = now - timedelta(seconds=self.transaction_seconds)
        picking.moves = [move for move in picking.moves if move.moved]
        picking.state, picking.done_at, picking.write_date = "done", now, stamp
        for move in picking.moves:
            move.demand = move.moved
            if picking.code == "outgoing":
                self._moved(order, move, -move.moved, "shipped", now)
        order.write_date = stamp
        if picking.code == "internal":
            self._further(picking, "outgoing", [(move, move.moved) for move in picking.moves], "", stamp)
        if rest:
            self._further(picking, picking.code, rest, picking.carrier, stamp)

    def _further(
        self, picking: Picking, code: str, units: list[tuple[Move, int]], carrier: str, stamp: datetime
    ) -> None:
        """Sending joins what is picked and not sent yet."""
        order = self.orders[picking.order_id]
        found = next(
            (x for x in order.pickings if x.state in OPEN and x.code == code and x is not picking), None
        )
        if found is None:
            found = Picking(
                id=self.next_id(), order_id=order.id, write_date=stamp, code=code, carrier=carrier
            )
            order.pickings.append(found)
        for move, quantity in units:
            held = next((x for x in found.moves if x.line_id == move.line_id), None)
            if held is not None:
                held.demand += quantity
                continue
            found.moves.append(
                Move(id=self.next_id(), line_id=move.line_id, product_id=move.product_id, demand=quantity)
            )

    def _moved(self, order: Order, move: Move, units: int, what: str, now: datetime) -> None:
        product = self.products[move.product_id]
        product.on_hand += units
        self.log.append(Truth(now, what, order.id, product.sku, abs(units)))

    def take_back(self, number: int, units: Mapping[str, int], now: datetime) -> None:
        """The buyer returned so much of a delivery."""
        sent = next(picking for picking in self.pickings() if picking.id == number)
        order = self.orders[sent.order_id]
        back = Picking(
            id=self.next_id(), order_id=order.id, write_date=now, state="done", code="incoming", done_at=now
        )
        for move in sent.moves:
            quantity = min(move.moved, units.get(self.products[move.product_id].sku, 0))
            if quantity:
                back.moves.append(
                    Move(
                        id=self.next_id(), line_id=move.line_id, product_id=move.product_id, demand=quantity, moved=quantity
                    )
                )  # fmt: skip
                self._moved(order, back.moves[-1], quantity, "returned", now)
        order.pickings.append(back)

    # What people do

    def ship(
        self, order_id: int, now: datetime, quantities: dict[int, int], tracking: str, carrier: str = "DHL"
    ) -> Picking:
        """By line; of what can't be delivered because it is not reserved, people pick it all the same."""
        order = self.orders[order_id]
        picking = self.open_picking(order)
        if picking is None:
            raise ValueError("the order has no open delivery")
        for move in picking.moves:
            move.moved = min(move.demand, quantities.get(move.line_id, 0))
        picking.tracking, picking.carrier = tracking, carrier
        self.validate(picking, now)
        return picking

    def web_sale(self, sku: str, quantity: int, now: datetime) -> Order:
        product = self.product_of(sku)
        order = Order(
            id=self.next_id(), ref="", origin="", partner_id=0, created=now, write_date=now, date_order=now,
            currency=self.currency, by_api=False,
        )  # fmt: skip
        order.lines.append(
            Line(
                id=self.next_id(), order_id=order.id, product_id=product.id, name=product.name, quantity=Decimal(quantity),
                price=product.price, taxes=(DEFAULT_TAX,),
            )
        )  # fmt: skip
        self.orders[order.id] = order
        self.log.append(Truth(now, "web_sale", order.id, sku, quantity))
        self.confirm(order, now)
        return order

    def count(self, sku: str, change: int, now: datetime) -> None:
        """Goods came, or a count by hand."""
        self.product_of(sku).on_hand += change
        self.log.append(Truth(now, "counted", 0, sku, change))

    def cancel_by_hand(self, order: Order, now: datetime) -> None:
        picking = self.open_picking(order)
        moves = picking.moves if picking is not None else []
        self.cancel(order, now)
        order.given_back = {move.line_id: move.demand for move in moves}

    def uncancel(self, order: Order, now: datetime) -> None:
        """*Set to Quotation*, and confirmed again where it was."""
        if order.state != "cancel":
            return
        order.given_back = {}
        order.state, order.write_date = "draft", now
        if order.before in ("sale", "done"):
            self.confirm(order, now)


def rounded(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_UP)


def stamp(at: datetime | None) -> str | bool:
    """Whole seconds, in UTC without saying so."""
    return at.strftime("%Y-%m-%d %H:%M:%S") if at is not None else False
