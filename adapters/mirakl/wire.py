"""Mirakl's JSON: only the fields that are used, named as the vendor names them (MMP seller API)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec

Stamp = Annotated[datetime, msgspec.Meta(tz=True)]


class OrderId(msgspec.Struct):
    order_id: str


class Amount(msgspec.Struct):
    """A tax or a fee of a line."""

    amount: Decimal
    code: str = ""
    rate: Decimal | None = None


class Part(msgspec.Struct):
    """A cancellation or a refund of a line; the vendor calls its quantity informative."""

    quantity: int = 0


class Line(msgspec.Struct):
    order_line_id: str
    order_line_state: str
    offer_sku: str
    quantity: int
    price: Decimal
    price_unit: Decimal | None = None
    shipping_price: Decimal = Decimal(0)
    total_price: Decimal | None = None
    product_title: str | None = None
    shipped_date: Stamp | None = None
    taxes: list[Amount] | None = None
    shipping_taxes: list[Amount] | None = None
    fees: list[Amount] | None = None
    cancelations: list[Part] | None = None
    refunds: list[Part] | None = None


class Address(msgspec.Struct):
    firstname: str | None = None
    lastname: str | None = None
    company: str | None = None
    street_1: str | None = None
    street_2: str | None = None
    zip_code: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None
    country_iso_code: str | None = None
    phone: str | None = None


class Organization(msgspec.Struct):
    name: str | None = None


class Customer(msgspec.Struct):
    firstname: str | None = None
    lastname: str | None = None
    organization: Organization | None = None
    billing_address: Address | None = None
    shipping_address: Address | None = None


class Center(msgspec.Struct):
    code: str | None = None


class Fulfillment(msgspec.Struct):
    center: Center | None = None


class Order(msgspec.Struct):
    order_id: str
    order_state: str
    created_date: Stamp
    last_updated_date: Stamp
    currency_iso_code: str
    total_price: Decimal
    order_lines: list[Line]
    order_tax_mode: str | None = None
    acceptance_decision_date: Stamp | None = None
    customer_debited_date: Stamp | None = None
    shipping_deadline: Stamp | None = None
    customer: Customer | None = None
    customer_notification_email: str | None = None
    fulfillment: Fulfillment | None = None
    shipping_type_code: str | None = None


class LineState(msgspec.Struct):
    order_line_id: str
    order_line_state: str


class OrderState(msgspec.Struct):
    """What the probes look at."""

    order_id: str
    order_state: str
    acceptance_decision_date: Stamp | None = None
    shipping_carrier_code: str | None = None
    shipping_company: str | None = None
    shipping_tracking: str | None = None
    order_lines: list[LineState] = []


class OrderStates(msgspec.Struct):
    """OR11, for a look at one order."""

    orders: list[OrderState]


class Decision(msgspec.Struct):
    id: str
    accepted: bool


class Accept(msgspec.Struct):
    """OR21."""

    order_lines: list[Decision]


class Tracking(msgspec.Struct, omit_defaults=True):
    """OR23 and, with `tracking_url`, the tracking of ST01."""

    carrier_code: str | None = None
    carrier_name: str | None = None
    carrier_url: str | None = None
    tracking_number: str | None = None
    tracking_url: str | None = None


class ShipmentLine(msgspec.Struct):
    quantity: int
    order_line_id: str | None = None
    package_reference: str | None = None


class NewShipment(msgspec.Struct):
    order_id: str
    shipment_lines: list[ShipmentLine]
    tracking: Tracking
    shipped: bool


class NewShipments(msgspec.Struct):
    """ST01."""

    shipments: list[NewShipment]


class Shipment(msgspec.Struct):
    id: str
    order_id: str
    shipment_lines: list[ShipmentLine] | None = None
    tracking: Tracking | None = None


class ShipmentError(msgspec.Struct):
    order_id: str | None = None


class ShipmentsCreated(msgspec.Struct):
    """ST01's answer: a 201 may hold refusals."""

    shipment_success: list[Shipment] | None = None
    shipment_errors: list[ShipmentError] | None = None


class Shipments(msgspec.Struct):
    """ST11."""

    data: list[Shipment]
    next_page_token: str | None = None


class Import(msgspec.Struct):
    """STO01."""

    import_id: str | int


class ImportStatus(msgspec.Struct):
    """STO02."""

    status: str
    has_error_report: bool = False


class ShipmentFeature(msgspec.Struct):
    multi_shipment: bool = False


class TaxCollection(msgspec.Struct):
    tax_collection_by_operator: bool = False


class Workflows(msgspec.Struct):
    order_acceptance: str = ""


class Features(msgspec.Struct):
    shipment: ShipmentFeature = msgspec.field(default_factory=ShipmentFeature)
    tax_collection: TaxCollection = msgspec.field(default_factory=TaxCollection)
    order_workflows: Workflows = msgspec.field(default_factory=Workflows)
    disable_seller_alternative_carrier: bool = False
    order_tax_mode: str = ""
    multi_currency: bool = False


class Platform(msgspec.Struct):
    """PC01."""

    features: Features = msgspec.field(default_factory=Features)
    platform_name: str = ""
    timezone: str = ""


class Carrier(msgspec.Struct):
    code: str
    label: str = ""


class Carriers(msgspec.Struct):
    """SH21."""

    carriers: list[Carrier]


class Problem(msgspec.Struct):
    """An error, in either of the two shapes that operators answer with."""

    code: str | int | None = None
    status: str | int | None = None
    message: str | None = None
