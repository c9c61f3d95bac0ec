"""Amazon's JSON: only the fields that are used, named as the vendor names them (Orders 2026-01-01 and v0, Listings Items
2021-08-01, Feeds 2021-06-30, Sellers v1)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec

Stamp = Annotated[datetime, msgspec.Meta(tz=True)]


class Pagination(msgspec.Struct, rename="camel"):
    next_token: str | None = None


class Page(msgspec.Struct, rename="camel"):
    """searchOrders: its orders, each still undecoded, and whether there are more."""

    orders: list[msgspec.Raw]
    pagination: Pagination | None = None


class Holder(msgspec.Struct):
    """getOrder."""

    order: msgspec.Raw


class Money(msgspec.Struct, rename="camel"):
    amount: Decimal
    currency_code: str


class Detail(msgspec.Struct, rename="camel"):
    subtype: str | None = None
    value: Money | None = None


class Breakdown(msgspec.Struct, rename="camel"):
    """A part of the proceeds, of an item or of the whole order."""

    type: str
    subtotal: Money
    detailed_breakdowns: list[Detail] | None = None


class Proceeds(msgspec.Struct, rename="camel"):
    """`grand_total` is the order's own."""

    grand_total: Money | None = None
    breakdowns: list[Breakdown] | None = None


class Measurement(msgspec.Struct, rename="camel"):
    unit: str


class Price(msgspec.Struct, rename="camel"):
    unit_price: Money | None = None


class Product(msgspec.Struct, rename="camel"):
    seller_sku: str
    title: str | None = None
    price: Price | None = None


class CancellationRequest(msgspec.Struct, rename="camel"):
    requester: str | None = None


class CancellationExecution(msgspec.Struct, rename="camel"):
    cancelled_by: str | None = None


class Cancellation(msgspec.Struct, rename="camel"):
    cancellation_request: CancellationRequest | None = None
    cancellation_execution: CancellationExecution | None = None


class ItemFulfillment(msgspec.Struct, rename="camel"):
    quantity_fulfilled: int | None = None
    quantity_unfulfilled: int | None = None


class TaxCollection(msgspec.Struct, rename="camel"):
    model: str | None = None


class ItemTax(msgspec.Struct, rename="camel"):
    tax_collections: list[TaxCollection] | None = None


class Item(msgspec.Struct, rename="camel"):
    order_item_id: str
    quantity_ordered: int
    product: Product
    measurement: Measurement | None = None
    proceeds: Proceeds | None = None
    cancellation: Cancellation | None = None
    fulfillment: ItemFulfillment | None = None
    tax: ItemTax | None = None


class SalesChannel(msgspec.Struct, rename="camel"):
    marketplace_id: str


class Buyer(msgspec.Struct, rename="camel"):
    buyer_name: str | None = None
    buyer_email: str | None = None
    buyer_company_name: str | None = None


class Address(msgspec.Struct, rename="camel"):
    name: str | None = None
    company_name: str | None = None
    address_line1: str | None = None
    address_line2: str | None = None
    address_line3: str | None = None
    city: str | None = None
    district_or_county: str | None = None
    municipality: str | None = None
    state_or_region: str | None = None
    postal_code: str | None = None
    country_code: str | None = None
    phone: str | None = None


class Recipient(msgspec.Struct, rename="camel"):
    delivery_address: Address | None = None


class Window(msgspec.Struct, rename="camel"):
    latest_date_time: Stamp | None = None


class Fulfillment(msgspec.Struct, rename="camel"):
    fulfillment_status: str
    fulfilled_by: str
    fulfillment_service_level: str | None = None
    ship_by_window: Window | None = None


class Order(msgspec.Struct, rename="camel"):
    order_id: str
    created_time: Stamp
    last_updated_time: Stamp
    sales_channel: SalesChannel
    order_items: list[Item]
    fulfillment: Fulfillment
    buyer: Buyer | None = None
    recipient: Recipient | None = None
    proceeds: Proceeds | None = None


class PackageItem(msgspec.Struct, rename="camel"):
    order_item_id: str
    quantity: int


class Package(msgspec.Struct, rename="camel"):
    package_reference_id: str
    tracking_number: str | None = None
    package_items: list[PackageItem] | None = None


class PackagedFulfillment(msgspec.Struct, rename="camel"):
    fulfillment_status: str


class Packaged(msgspec.Struct, rename="camel"):
    """What the look after a parcel looks at."""

    order_id: str
    fulfillment: PackagedFulfillment
    packages: list[Package] | None = None


class PackagedHolder(msgspec.Struct):
    order: Packaged


class PackageDetail(msgspec.Struct, rename="camel", omit_defaults=True):
    """`package_reference_id` is a positive number, as a string."""

    package_reference_id: str
    carrier_code: str
    tracking_number: str
    ship_date: str
    order_items: list[PackageItem]
    carrier_name: str = ""


class Confirmation(msgspec.Struct, rename="camel"):
    """confirmShipment."""

    marketplace_id: str
    package_detail: PackageDetail


class Quantity(msgspec.Struct):
    fulfillment_channel_code: str
    quantity: int


class PatchOperation(msgspec.Struct):
    op: str
    path: str
    value: list[Quantity]


class Patch(msgspec.Struct, rename="camel"):
    """patchListingsItem."""

    product_type: str
    patches: list[PatchOperation]


class Issue(msgspec.Struct, rename="camel"):
    """Of a listing or, with `message_id` and `sku`, of a feed."""

    severity: str
    code: str | None = None
    message_id: int | None = None
    sku: str | None = None


class Submission(msgspec.Struct, rename="camel"):
    """patchListingsItem's answer: a 200 may be a refusal."""

    sku: str
    status: str
    issues: list[Issue] | None = None


class NewDocument(msgspec.Struct, rename="camel"):
    content_type: str


class Document(msgspec.Struct, rename="camel"):
    """Of createFeedDocument and getFeedDocument. The address is as good as a password, for some minutes."""

    feed_document_id: str
    url: str
    compression_algorithm: str | None = None

    def __repr__(self) -> str:
        return "Document()"


class NewFeed(msgspec.Struct, rename="camel"):
    feed_type: str
    marketplace_ids: list[str]
    input_feed_document_id: str


class FeedCreated(msgspec.Struct, rename="camel"):
    feed_id: str


class Feed(msgspec.Struct, rename="camel"):
    processing_status: str
    result_feed_document_id: str | None = None


class MadeFeed(msgspec.Struct, rename="camel"):
    feed_id: str
    feed_type: str


class Feeds(msgspec.Struct, rename="camel"):
    """getFeeds."""

    feeds: list[MadeFeed]
    next_token: str | None = None


class FeedHeader(msgspec.Struct, rename="camel", omit_defaults=True):
    seller_id: str
    version: str = msgspec.field(default_factory=lambda: "2.0")
    feed_id: str = ""


class Message(msgspec.Struct, rename="camel"):
    message_id: int
    sku: str
    operation_type: str
    product_type: str
    patches: list[PatchOperation]


class FeedBody(msgspec.Struct):
    """JSON_LISTINGS_FEED."""

    header: FeedHeader
    messages: list[Message]


class Summary(msgspec.Struct, rename="camel"):
    messages_processed: int
    messages_accepted: int


class Report(msgspec.Struct):
    """A feed's processing report."""

    header: FeedHeader
    summary: Summary
    issues: list[Issue] | None = None


class Marketplace(msgspec.Struct, rename="camel"):
    id: str
    country_code: str = ""


class Participation(msgspec.Struct, rename="camel"):
    is_participating: bool
    has_suspended_listings: bool = False


class Participating(msgspec.Struct, rename="camel"):
    marketplace: Marketplace
    participation: Participation


class Participations(msgspec.Struct):
    """getMarketplaceParticipations."""

    payload: list[Participating]


class Problem(msgspec.Struct):
    code: str | None = None


class Problems(msgspec.Struct):
    """Any answer that is no success."""

    errors: list[Problem] | None = None
