"""The contract's JSON (`docs/rest.openapi.json`), both ways; of what we only read, the fields that are used."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

UNITS_MAX = 1_000_000
FIGURE_MAX = 10**9
LINES_MAX = 1_000
ITEMS_MAX = 500
PARCELS_MAX = 1_000
TEXT_MAX = 500
CARRIER_MAX, URL_MAX = 200, 2_000

Amount = Annotated[str, Meta(pattern=r"\A-?[0-9]{1,11}(\.[0-9]{1,6})?\Z")]
Rate = Annotated[str, Meta(pattern=r"\A[0-9]{1,3}(\.[0-9]{1,6})?\Z")]
Time = Annotated[datetime, Meta(tz=True)]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text = Annotated[str, Meta(max_length=TEXT_MAX)]
Key = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9-]{1,32}\Z")]
OwnId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][!-~]{0,254}\Z")]
Count = Annotated[int, Meta(ge=0, le=UNITS_MAX)]
Units = Annotated[int, Meta(ge=1, le=UNITS_MAX)]
Figure = Annotated[int, Meta(ge=-FIGURE_MAX, le=FIGURE_MAX)]
Next = Annotated[str, Meta(min_length=1, max_length=500)]
Code = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]{0,39}\Z")]


class Problem(msgspec.Struct, frozen=True):
    code: Code


class About(msgspec.Struct, frozen=True):
    contract: Annotated[str, Meta(max_length=20)]
    name: Annotated[str, Meta(max_length=200)] = ""


class Party(msgspec.Struct, frozen=True):
    name: Text
    company: Text
    email: Text
    phone: Text


class Address(msgspec.Struct, frozen=True):
    first_name: Text
    last_name: Text
    company: Text
    street1: Text
    street2: Text
    postcode: Text
    city: Text
    state: Text
    country: Annotated[str, Meta(pattern=r"\A([A-Z]{2})?\Z")]
    phone: Text


class Tax(msgspec.Struct, frozen=True):
    name: Annotated[str, Meta(max_length=100)]
    amount: Amount
    rate: Rate | None
    collected_by: str


class ShippedLine(msgspec.Struct, frozen=True):
    id: Name
    quantity: Units


class Parcel(msgspec.Struct, frozen=True):
    carrier: Annotated[str, Meta(max_length=CARRIER_MAX)]
    tracking_number: Annotated[str, Meta(max_length=CARRIER_MAX)]
    tracking_url: Annotated[str, Meta(max_length=URL_MAX)]
    shipped_at: Time | None
    lines: Annotated[tuple[ShippedLine, ...], Meta(min_length=1, max_length=LINES_MAX)]


# A marketplace


class MarketplaceLine(msgspec.Struct, frozen=True):
    id: Name
    sku: Name
    quantity: Units
    total: Amount
    title: Text = ""
    accepted: bool | None = None
    cancelled: Count = 0
    shipped: Count = 0
    refunded: Count = 0
    shipping: Amount = "0"
    taxes: Annotated[tuple[Tax, ...], Meta(max_length=20)] = ()
    shipping_taxes: Annotated[tuple[Tax, ...], Meta(max_length=20)] = ()


class MarketplaceOrder(msgspec.Struct, frozen=True):
    id: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
    state: str
    created_at: Time
    updated_at: Time
    currency: str
    total: Amount
    prices_include_tax: bool
    fulfilled_by: str
    lines: Annotated[tuple[MarketplaceLine, ...], Meta(min_length=1, max_length=LINES_MAX)]
    fees: Amount = "0"
    accept_by: Time | None = None
    ship_by: Time | None = None
    buyer: Party | None = None
    ship_to: Address | None = None
    bill_to: Address | None = None
    shipping_method: Text = ""


class HeldParcel(msgspec.Struct, frozen=True):
    """A parcel as the marketplace holds it."""

    id: str
    carrier: str
    tracking_number: str
    lines: tuple[ShippedLine, ...]


class Decided(msgspec.Struct, frozen=True):
    id: str
    accepted: bool | None = None


class OrderState(msgspec.Struct, frozen=True):
    """Of an order, what tells whether a write of ours took effect."""

    id: str
    state: str
    lines: tuple[Decided, ...]
    shipments: tuple[HeldParcel, ...]


class StatePage(msgspec.Struct, frozen=True):
    orders: Annotated[tuple[OrderState, ...], Meta(max_length=100)]


class Decision(msgspec.Struct, frozen=True):
    id: Name
    accepted: bool


class Acceptance(msgspec.Struct, frozen=True):
    lines: Annotated[tuple[Decision, ...], Meta(min_length=1, max_length=LINES_MAX)]


class StockLevel(msgspec.Struct, frozen=True):
    sku: Name
    quantity: Annotated[int, Meta(ge=0, le=FIGURE_MAX)]


class StockLevels(msgspec.Struct, frozen=True):
    items: Annotated[tuple[StockLevel, ...], Meta(min_length=1, max_length=ITEMS_MAX)]


class StockResult(msgspec.Struct, frozen=True):
    sku: str
    error: Code | None


class StockResults(msgspec.Struct, frozen=True):
    items: tuple[StockResult, ...]


# A shop


class ShopLine(msgspec.Struct, frozen=True):
    id: Name
    sku: Name
    title: Text
    quantity: Units
    article: Name
    total: Amount
    shipping: Amount
    taxes: Annotated[tuple[Tax, ...], Meta(max_length=20)]
    shipping_taxes: Annotated[tuple[Tax, ...], Meta(max_length=20)]


class OrderContent(msgspec.Struct, frozen=True, kw_only=True):
    mark: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    connection: Annotated[str, Meta(min_length=1, max_length=100)]
    marketplace_order: Name
    placed_at: Time
    currency: Annotated[str, Meta(pattern=r"\A[A-Z]{3}\Z")]
    total: Amount
    prices_include_tax: bool
    fees: Amount
    buyer: Party | None
    ship_to: Address | None
    bill_to: Address | None
    shipping_method: Text
    lines: Annotated[tuple[ShopLine, ...], Meta(min_length=1, max_length=LINES_MAX)]


class NewOrder(OrderContent, frozen=True, kw_only=True):
    ref: Key
    order_key: Key
    takes_stock: bool
    ships: bool


class HeldLine(msgspec.Struct, frozen=True):
    id: str
    article: str
    quantity: int


class ShopOrder(msgspec.Struct, frozen=True):
    """An order as the shop holds it."""

    id: OwnId
    ref: str
    state: str
    mark: str
    currency: str
    total: Amount
    lines: tuple[HeldLine, ...]


class Shipment(msgspec.Struct, frozen=True):
    id: OwnId
    ref: str
    voided: bool
    carrier: Annotated[str, Meta(max_length=CARRIER_MAX)]
    tracking_number: Annotated[str, Meta(max_length=CARRIER_MAX)]
    tracking_url: Annotated[str, Meta(max_length=URL_MAX)]
    shipped_at: Time | None
    lines: Annotated[tuple[ShippedLine, ...], Meta(max_length=LINES_MAX)]


class ShipmentPage(msgspec.Struct, frozen=True):
    shipments: Annotated[tuple[Shipment, ...], Meta(max_length=PARCELS_MAX)]
    as_of: Time
    next: Next | None


class Article(msgspec.Struct, frozen=True):
    id: Name
    sku: Name
    available: Figure | None
    price: Amount | None = None


class ArticlePage(msgspec.Struct, frozen=True):
    articles: Annotated[tuple[Article, ...], Meta(max_length=1_000)]
    next: Next | None
