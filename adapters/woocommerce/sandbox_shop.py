"""The simulated shop itself: products, orders, tax, stock and parcels, as real servers were seen to keep them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

import msgspec

TAKES_STOCK = ("processing", "completed", "on-hold")
GIVES_BACK = ("cancelled", "pending")
STATUSES = (
    "pending",
    "processing",
    "on-hold",
    "completed",
    "cancelled",
    "refunded",
    "failed",
    "checkout-draft",
)
CENT = Decimal("0.01")


class Product(msgspec.Struct, kw_only=True):
    """`manage_stock` of a variation may be "parent"."""

    id: int
    sku: str
    name: str
    modified: datetime
    type: str = "simple"
    parent_id: int = 0
    manage_stock: bool | str = True
    stock: int | None = 0
    price: Decimal = Decimal(10)


class Meta(msgspec.Struct):
    id: int
    key: str
    value: object


class Item(msgspec.Struct, kw_only=True):
    """A line, a fee or a shipping line; `reduced` is what it has taken from the stock."""

    id: int
    kind: str
    name: str = ""
    product_id: int = 0
    variation_id: int = 0
    quantity: int = 1
    tax_class: str = ""
    tax_status: str = "taxable"
    method_id: str = ""
    subtotal: Decimal = Decimal(0)
    total: Decimal = Decimal(0)
    tax: Decimal = Decimal(0)
    reduced: int = 0
    meta: list[Meta] = []


class Fulfillment(msgspec.Struct, kw_only=True):
    id: int
    is_fulfilled: bool
    updated: datetime
    meta: list[Meta]
    deleted: datetime | None = None


class Order(msgspec.Struct, kw_only=True):
    id: int
    created: datetime
    modified: datetime
    status: str = "pending"
    currency: str = "EUR"
    customer_id: int = 0
    transaction_id: str = ""
    payment_method: str = ""
    payment_method_title: str = ""
    created_via: str = "rest-api"
    completed: datetime | None = None
    billing: dict[str, str] = {}
    shipping: dict[str, str] = {}
    items: list[Item] = []
    meta: list[Meta] = []
    fulfillments: list[Fulfillment] = []
    trackings: list[dict[str, str]] = []
    stock_reduced: bool = False
    trashed_from: str = ""

    @property
    def total(self) -> Decimal:
        return sum((item.total + item.tax for item in self.items), Decimal(0))

    def of_kind(self, kind: str) -> list[Item]:
        return [item for item in self.items if item.kind == kind]

    def meta_value(self, key: str) -> object:
        return next((entry.value for entry in self.meta if entry.key == key), None)


class Truth(msgspec.Struct, frozen=True):
    """One true event of this world: what tests count, whatever the API says of it."""

    at: datetime
    what: str
    order_id: int = 0
    sku: str = ""
    quantity: int = 0


class WooShop:
    """`rates` is by tax class ("" is the standard one); `shipping_tax_class` may be "inherit"."""

    def __init__(
        self, *, rates: dict[str, Decimal] | None = None, shipping_tax_class: str = "inherit"
    ) -> None:
        self.rates = {"": Decimal("0.20"), "reduced-rate": Decimal("0.10"), "zero-rate": Decimal(0)}
        self.rates |= rates or {}
        self.shipping_tax_class = shipping_tax_class
        self.currency = "EUR"
        self.fulfillments_enabled = True
        self.tracking_enabled = True
        self.products: dict[int, Product] = {}
        self.orders: dict[int, Order] = {}
        self.log: list[Truth] = []
        self._next = 10

    def next_id(self) -> int:
        self._next += 1
        return self._next

    def add_product(
        self, sku: str, stock: int | None, now: datetime, *, type: str = "simple", parent_id: int = 0,  # noqa: A002 - WooCommerce's own word
        manage_stock: bool | str = True, price: str = "10.00",
    ) -> Product:  # fmt: skip
        if parent_id:
            type = "variation"  # noqa: A001 - WooCommerce's own word
        product = Product(
            id=self.next_id(), sku=sku, name=f"Article {sku}", modified=now, type=type, parent_id=parent_id,
            manage_stock=manage_stock, stock=stock, price=Decimal(price),
        )  # fmt: skip
        self.products[product.id] = product
        return product

    def product_of(self, sku: str) -> Product:
        return next(product for product in self.products.values() if product.sku == sku)

    def stock_of(self, sku: str) -> int:
        """The true figure behind a SKU, its parent's where that one counts."""
        holder = self._holder(self.product_of(sku))
        return holder.stock or 0 if holder is not None else 0

    # What people do in the shop

    def set_stock(self, sku: str, quantity: int, now: datetime) -> None:
        """By hand on the product's page: this moves the product's stamp, a sale does not."""
        product = self.product_of(sku)
        holder = self._holder(product) or product
        holder.stock, holder.modified = quantity, now
        self.log.append(Truth(now, "stock_set", sku=sku, quantity=quantity))

    def web_sale(self, sku: str, quantity: int, now: datetime) -> Order:
        """A buyer of the web shop, paid at once."""
        product = self.product_of(sku)
        order = Order(
            id=self.next_id(), created=now, modified=now, status="processing", created_via="checkout"
        )
        ids = (product.parent_id, product.id) if product.parent_id else (product.id, 0)
        order.items.append(
            Item(
                id=self.next_id(), kind="line", name=product.name, product_id=ids[0], variation_id=ids[1],
                quantity=quantity, subtotal=product.price * quantity, total=product.price * quantity,
            )
        )  # fmt: skip
        self.orders[order.id] = order
        self.recalculate(order)
        self.log.append(Truth(now, "web_sale", order.id, sku, quantity))
        self.follow_stock(order, now)
        return order

    def ship(
        self, order_id: int, now: datetime, *, quantities: dict[int, int] | None = None, tracking: str = "TRACK1",
        carrier: str = "dhl", fulfilled: bool = True,
    ) -> Fulfillment:  # fmt: skip
        """A parcel by the fulfilment feature, all lines if no item is named. The order's stamp stays (section 15)."""
        order = self.orders[order_id]
        wanted = quantities or {item.id: item.quantity for item in order.of_kind("line")}
        meta = {"_items": [{"item_id": key, "qty": value} for key, value in wanted.items()]}
        entries: dict[str, object] = {**meta, "_tracking_number": tracking, "_shipment_provider": carrier}
        parcel = Fulfillment(id=self.next_id(), is_fulfilled=fulfilled, updated=now, meta=self.metas(entries))
        order.fulfillments.append(parcel)
        if fulfilled:
            self.log.append(Truth(now, "shipped", order_id, quantity=sum(wanted.values())))
        return parcel

    def set_tracking(self, parcel: Fulfillment, tracking: str, now: datetime) -> None:
        for entry in parcel.meta:
            if entry.key == "_tracking_number":
                entry.value = tracking
        parcel.updated = now

    def add_tracking(self, order_id: int, tracking: str, carrier: str = "DHL") -> None:
        """By the Shipment Tracking extension."""
        entry = {
            "tracking_id": f"t{self.next_id()}",
            "tracking_number": tracking,
            "tracking_provider": carrier,
        }
        self.orders[order_id].trackings.append(entry)

    def set_status(self, order_id: int, status: str, now: datetime) -> None:
        order = self.orders[order_id]
        if order.status == status:
            return
        order.status, order.modified = status, now
        if status == "completed":
            order.completed = now
        self.log.append(Truth(now, f"status:{status}", order_id))
        self.follow_stock(order, now)

    def trash(self, order_id: int, now: datetime) -> None:
        order = self.orders[order_id]
        order.trashed_from, order.status, order.modified = order.status, "trash", now
        self.log.append(Truth(now, "trashed", order_id))

    def delete(self, order_id: int, now: datetime) -> None:
        del self.orders[order_id]
        self.log.append(Truth(now, "deleted", order_id))

    def plugin_adjusts(self, sku: str, delta: int, now: datetime) -> None:
        """A stock plugin writes the figure directly, past every hook: no stamp moves."""
        holder = self._holder(self.product_of(sku))
        if holder is not None:
            holder.stock = (holder.stock or 0) + delta
            self.log.append(Truth(now, "plugin", sku=sku, quantity=delta))

    # What WooCommerce does by itself

    def follow_stock(self, order: Order, now: datetime) -> None:
        """Taken once on the way into a released state, given back on the way into cancelled or pending."""
        if order.status in TAKES_STOCK and not order.stock_reduced:
            order.stock_reduced = True
            for item in order.of_kind("line"):
                self._move(order, item, item.quantity, now)
        elif order.status in GIVES_BACK and order.stock_reduced:
            order.stock_reduced = False
            for item in order.of_kind("line"):
                self._move(order, item, 0, now)

    def follow_edit(self, order: Order, item: Item, now: datetime, quantity: int) -> None:
        """An edited quantity of a released order moves the stock at once."""
        if order.status in TAKES_STOCK:
            self._move(order, item, quantity, now)

    def _move(self, order: Order, item: Item, taken: int, now: datetime) -> None:
        product = self.products.get(item.variation_id or item.product_id)
        holder = self._holder(product) if product is not None else None
        change, item.reduced = taken - item.reduced, taken
        if product is None or holder is None or not change:
            return
        holder.stock = (holder.stock or 0) - change  # below zero too, and no stamp moves
        self.log.append(
            Truth(now, "stock_taken" if change > 0 else "stock_back", order.id, product.sku, abs(change))
        )

    def _holder(self, product: Product) -> Product | None:
        if product.manage_stock == "parent":
            return self.products[product.parent_id]
        return product if product.manage_stock is True else None

    def recalculate(self, order: Order) -> None:
        """Tax is always computed anew from the amounts without tax."""
        classes = [item.tax_class for item in order.of_kind("line") if item.product_id]
        inherited = "" if "" in classes or not classes else classes[0]
        for item in order.items:
            tax_class = item.tax_class
            if item.kind == "shipping":
                tax_class = inherited if self.shipping_tax_class == "inherit" else self.shipping_tax_class
            rate = self.rates.get(tax_class, Decimal(0)) if item.tax_status == "taxable" else Decimal(0)
            item.tax = rounded(item.total * rate)

    def metas(self, entries: dict[str, object]) -> list[Meta]:
        return [Meta(self.next_id(), key, value) for key, value in entries.items()]

    def variations(self, parent_id: int) -> Iterator[Product]:
        return (product for product in self.products.values() if product.parent_id == parent_id)


def rounded(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_UP)
