"""Shopify's JSON, only the fields that we ask for; the names are those of our operations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")
TEXT_MAX = 500
_WORD = re.compile(r"[A-Za-z0-9_.\-\[\]]{0,80}")
_NUMBER = re.compile(r"[0-9]{1,20}")
_GID = re.compile(r"gid://shopify/[A-Za-z]{1,80}/[!-~]{1,200}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Wire(msgspec.Struct, frozen=True, rename="camel"):
    """Shopify writes `userErrors` for `user_errors`."""


class Throttle(Wire, frozen=True):
    maximum_available: float = 0.0
    currently_available: float = 0.0
    restore_rate: float = 0.0


class Cost(Wire, frozen=True):
    requested_query_cost: float | None = None
    throttle_status: Throttle | None = None


class Extensions(Wire, frozen=True):
    cost: Cost | None = None


class ErrorExtensions(Wire, frozen=True):
    code: str | None = None


class GraphError(Wire, frozen=True):
    """Its message may hold what we sent, a buyer's address too: it is never shown."""

    extensions: ErrorExtensions | None = None

    @property
    def code(self) -> str:
        return shown(self.extensions.code or "") if self.extensions else ""


class Reply(Wire, Generic[T], frozen=True):
    """`data` is UNSET where nothing was executed: GraphQL leaves it out of such an answer."""

    data: T | msgspec.UnsetType | None = msgspec.UNSET
    errors: list[GraphError] | str | None = None
    extensions: Extensions | None = None

    @property
    def codes(self) -> tuple[str, ...]:
        if not self.errors or isinstance(self.errors, str):
            return ("",) if self.errors else ()
        return tuple(error.code for error in self.errors)


class UserError(Wire, frozen=True):
    field: list[str] | None = None
    message: str = ""
    code: str | None = None


class Attribute(Wire, frozen=True):
    key: str
    value: str | None = None


class Value(Wire, frozen=True):
    value: str = ""


class Money(Wire, frozen=True):
    amount: str = ""
    currency_code: str = ""


class Bag(Wire, frozen=True):
    shop_money: Money


class PageInfo(Wire, frozen=True):
    has_next_page: bool = False
    end_cursor: str | None = None


class Connection(Wire, Generic[T], frozen=True):
    nodes: list[T]
    page_info: PageInfo = PageInfo()


class Named(Wire, frozen=True):
    id: str


class Card(Wire, frozen=True):
    """What tells whose an order is."""

    id: str
    source_identifier: str | None = None
    cancelled_at: str | None = None
    reference: Value | None = None
    content: Value | None = None

    @property
    def refs(self) -> tuple[str, ...]:
        """Our reference as the shop holds it, in either of its two places."""
        return (self.reference.value if self.reference else "", self.source_identifier or "")


class CreatedLine(Wire, frozen=True):
    quantity: int
    variant: Named | None = None


class CreatedOrder(Wire, frozen=True):
    id: str
    source_identifier: str | None = None
    currency_code: str = ""
    current_subtotal_line_items_quantity: int = 0
    total_price_set: Bag | None = None
    line_items: Connection[CreatedLine] = Connection([])


class OrderCreate(Wire, frozen=True):
    order: CreatedOrder | None = None
    user_errors: list[UserError] = []


class CreateData(Wire, frozen=True):
    order_create: OrderCreate | None = None


class FindData(Wire, frozen=True):
    orders: Connection[Card]
    order_by_identifier: Card | None = None


class HeldLine(Wire, frozen=True):
    id: str
    current_quantity: int = 0
    custom_attributes: list[Attribute] = []
    variant: Named | None = None


class Sent(Wire, frozen=True):
    id: str
    status: str = ""


class HeldOrder(Card, frozen=True, kw_only=True):
    currency_code: str = ""
    current_total_price_set: Bag | None = None
    custom_attributes: list[Attribute] = []
    fulfillments: list[Sent] = []
    line_items: Connection[HeldLine] = Connection([])


class OrderData(Wire, frozen=True):
    order: HeldOrder | None = None


class Job(Wire, frozen=True):
    id: str
    done: bool = False


class OrderCancel(Wire, frozen=True):
    job: Job | None = None
    order_cancel_user_errors: list[UserError] = []


class CancelData(Wire, frozen=True):
    order_cancel: OrderCancel | None = None


class JobData(Wire, frozen=True):
    job: Job | None = None
    order: Card | None = None


class CalculatedLine(Wire, frozen=True):
    id: str
    quantity: int = 0
    custom_attributes: list[Attribute] = []


class CalculatedOrder(Wire, frozen=True):
    id: str
    line_items: Connection[CalculatedLine]


class Changed(Wire, frozen=True):
    """The answer of any of the writes that change an order; each has one of the first four."""

    order: HeldOrder | None = None
    calculated_order: CalculatedOrder | None = None
    calculated_line_item: CalculatedLine | None = None
    inventory_adjustment_group: Named | None = None
    user_errors: list[UserError] = []


class ChangeData(Wire, frozen=True):
    order_edit_begin: Changed | None = None
    order_edit_set_quantity: Changed | None = None
    order_edit_commit: Changed | None = None
    order_update: Changed | None = None
    inventory_adjust_quantities: Changed | None = None

    @property
    def change(self) -> Changed | None:
        return (
            self.order_edit_begin or self.order_edit_set_quantity or self.order_edit_commit or self.order_update
            or self.inventory_adjust_quantities
        )  # fmt: skip


class Tracking(Wire, frozen=True):
    company: str | None = None
    number: str | None = None
    url: str | None = None


class ParcelLine(Wire, frozen=True):
    line_item: HeldLine
    quantity: int | None = None


class Parcel(Wire, frozen=True):
    id: str
    status: str
    fulfillment_line_items: Connection[ParcelLine]
    created_at: str | None = None
    tracking_info: list[Tracking] = []


class ParcelOrder(Wire, frozen=True):
    """`id` is "" for a node that is no order any more."""

    id: str = ""
    fulfillments: list[Parcel] = []


class ShipmentsData(Wire, frozen=True):
    nodes: list[ParcelOrder | None]


class ParcelRest(Wire, frozen=True):
    fulfillment_line_items: Connection[ParcelLine]


class ParcelData(Wire, frozen=True):
    fulfillment: ParcelRest | None = None


class Cancellation(Wire, frozen=True):
    staff_note: str | None = None


class RefundLine(Wire, frozen=True):
    quantity: int = 0


class Refund(Wire, frozen=True):
    id: str
    refund_line_items: Connection[RefundLine]
    total_refunded_set: Bag | None = None


class Return(Wire, frozen=True):
    id: str
    status: str = ""
    total_quantity: int = 0


class AftersaleOrder(Wire, frozen=True):
    """`id` is "" for a node that is no order any more."""

    id: str = ""
    cancelled_at: str | None = None
    cancellation: Cancellation | None = None
    refunds: list[Refund] = []
    returns: Connection[Return] = Connection([])


class AftersalesData(Wire, frozen=True):
    nodes: list[AftersaleOrder | None]


def attribute(attributes: list[Attribute], key: str) -> str:
    return next((x.value or "" for x in attributes if x.key == key), "")


def number_of(gid: str) -> str:
    """The number at the end of `gid://shopify/Order/123?...`, "" where there is none."""
    number = gid.rpartition("/")[2].partition("?")[0]
    return number if _NUMBER.fullmatch(number) else ""


def is_gid(text: str) -> bool:
    """Of a job the last part is no number. What is none of this can be no receipt: no store takes a NUL, none a megabyte."""
    return _GID.fullmatch(text) is not None


def gid(kind: str, number: str) -> str:
    return f"gid://shopify/{kind}/{number}"


def errors_shown(errors: Sequence[UserError]) -> str:
    """Codes and places, never the messages: those quote what was sent."""
    said = [
        f"{shown(x.code or 'refused')} at {'.'.join(map(shown, x.field or ())) or '?'}" for x in errors[:5]
    ]
    return ", ".join(said)


def shown(text: Any) -> str:
    """A word of the shop as it may stand in a reason: one that is no plain word may be a buyer's."""
    return text if isinstance(text, str) and _WORD.fullmatch(text) else "(unprintable)"


def plain(stated: str | None) -> str:
    """A carrier becomes a cause and is looked up by its name: no store takes a NUL, none a megabyte."""
    return _CONTROL.sub("", stated or "")[:TEXT_MAX].strip()
