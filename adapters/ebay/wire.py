"""eBay's JSON: only the fields that are used, named as the vendor names them (Fulfillment v1, Inventory v1, Notification v1)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

Stamp = Annotated[datetime, msgspec.Meta(tz=True)]


class Wire(msgspec.Struct, rename="camel"):
    """camelCase outside, snake_case here."""


class Amount(Wire):
    value: str
    currency: str


class DeliveryCost(Wire):
    shipping_cost: Amount | None = None
    handling_cost: Amount | None = None
    import_charges: Amount | None = None
    discount_amount: Amount | None = None


class Tax(Wire):
    """Of the seller's taxes, or of those that eBay collects and remits. The type comes with the breakdown only."""

    amount: Amount | None = None
    tax_type: str | None = None


class LineInstructions(Wire):
    ship_by_date: Stamp | None = None


class Line(Wire):
    line_item_id: str
    quantity: int
    line_item_cost: Amount
    line_item_fulfillment_status: str
    sku: str | None = None
    legacy_item_id: str | None = None
    legacy_variation_id: str | None = None
    title: str | None = None
    discounted_line_item_cost: Amount | None = None
    delivery_cost: DeliveryCost | None = None
    taxes: list[Tax] | None = None
    ebay_collect_and_remit_taxes: list[Tax] | None = None
    purchase_marketplace_id: str | None = None
    line_item_fulfillment_instructions: LineInstructions | None = None


class ContactAddress(Wire):
    address_line1: str | None = None
    address_line2: str | None = None
    city: str | None = None
    county: str | None = None
    state_or_province: str | None = None
    postal_code: str | None = None
    country_code: str | None = None


class Phone(Wire):
    phone_number: str | None = None


class Contact(Wire):
    full_name: str | None = None
    company_name: str | None = None
    email: str | None = None
    contact_address: ContactAddress | None = None
    primary_phone: Phone | None = None


class ShippingStep(Wire):
    ship_to: Contact | None = None
    ship_to_reference_id: str | None = None
    shipping_service_code: str | None = None


class StartInstruction(Wire):
    fulfillment_instructions_type: str
    shipping_step: ShippingStep | None = None


class Buyer(Wire):
    username: str | None = None
    buyer_registration_address: Contact | None = None


class CancelRequest(Wire):
    cancel_request_state: str
    cancel_request_id: str | None = None
    cancel_initiator: str | None = None

    @property
    def by_seller(self) -> bool:
        return (self.cancel_initiator or "").casefold() == "seller"


class CancelStatus(Wire):
    cancel_state: str
    cancel_requests: list[CancelRequest] | None = None


class Pricing(Wire):
    total: Amount
    fee: Amount | None = None
    adjustment: Amount | None = None


class FulfillmentProgram(Wire):
    fulfilled_by: str | None = None


class Program(Wire):
    fulfillment_program: FulfillmentProgram | None = None


class Order(Wire):
    order_id: str
    creation_date: Stamp
    last_modified_date: Stamp
    order_fulfillment_status: str
    order_payment_status: str
    cancel_status: CancelStatus
    pricing_summary: Pricing
    line_items: list[Line]
    buyer: Buyer | None = None
    fulfillment_start_instructions: list[StartInstruction] | None = None
    program: Program | None = None


class Payment(Wire):
    payment_date: str | None = None


class PaymentSummary(Wire):
    payments: list[Payment] | None = None


class Cancellable(Wire):
    """What the look before and after a cancel looks at."""

    order_id: str
    order_fulfillment_status: str
    order_payment_status: str
    cancel_status: CancelStatus
    payment_summary: PaymentSummary | None = None


class PostOrderDate(Wire):
    value: str


class NewCancel(Wire, omit_defaults=True):
    """POST /post-order/v2/cancellation."""

    legacy_order_id: str
    cancel_reason: str
    buyer_paid: bool
    buyer_paid_date: PostOrderDate | None = None


class Eligibility(Wire):
    failure_reason: str | None = None


class Cancelled(Wire):
    """Its answer: an id, or why the order may not be cancelled."""

    cancel_id: str | None = None
    order_eligibility_result: Eligibility | None = None


class RowCancel(Wire):
    cancel_state: str | None = None


class Row(Wire):
    """What of a listed order says that the list does not tell all."""

    order_id: str
    cancel_status: RowCancel | None = None


class Listed(Wire):
    """A list of which only the count is wanted."""

    total: int = 0


class ShippedLine(Wire):
    line_item_id: str
    quantity: int = 1


class NamedLine(Wire):
    """A line of a package to be sent: `quantity` is always stated."""

    line_item_id: str
    quantity: int


class NewPackage(Wire, omit_defaults=True):
    line_items: list[NamedLine]
    shipped_date: str | None = None
    shipping_carrier_code: str | None = None
    tracking_number: str | None = None


class Package(Wire):
    fulfillment_id: str
    line_items: list[ShippedLine] | None = None
    shipment_tracking_number: str | None = None
    shipped_date: Stamp | None = None


class Packages(Wire):
    fulfillments: list[Package]


class Availability(Wire):
    quantity: int


class ItemQuantity(Wire):
    sku: str
    ship_to_location_availability: Availability


class Quantities(Wire):
    requests: list[ItemQuantity]


class Error(Wire):
    error_id: int = 0


class Errors(Wire):
    errors: list[Error] | None = None


class ItemAnswer(Wire):
    sku: str
    status_code: int
    errors: list[Error] | None = None


class ItemAnswers(Wire):
    responses: list[ItemAnswer]


class PublicKey(Wire):
    key: str
    algorithm: str
    digest: str
