"""WooCommerce's JSON, only the fields that we use."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

import msgspec

PARAMS_MAX = 20
_WORD = re.compile(r"[A-Za-z0-9_.\-\[\]]{0,80}")


class Meta(msgspec.Struct, frozen=True):
    key: Any = ""
    value: Any = None


# PHP writes a list with gaps as an object: {"0": ..., "2": ...}.
MetaData = list[Meta] | dict[str, Meta]


class Line(msgspec.Struct, frozen=True):
    id: int
    product_id: int = 0
    variation_id: int = 0
    quantity: Decimal = Decimal(0)
    meta_data: MetaData = []


class Item(msgspec.Struct, frozen=True):
    """A fee or a shipping line."""

    id: int
    name: str | None = ""


class WireOrder(msgspec.Struct, frozen=True):
    id: int
    status: str
    total: str = ""
    currency: str = ""
    date_completed_gmt: str | None = None
    line_items: list[Line] = []
    fee_lines: list[Item] = []
    shipping_lines: list[Item] = []
    meta_data: MetaData = []


class Created(msgspec.Struct, frozen=True):
    """All that is asked of the answer to a create before its id is safe in a Link."""

    id: int


class Listed(msgspec.Struct, frozen=True):
    id: int
    status: str
    meta_data: MetaData = []


class Product(msgspec.Struct, frozen=True):
    """A product, or a variation (`parent_id` is 0 where the list is one parent's own)."""

    id: int
    sku: str = ""
    type: str = "variation"
    parent_id: int = 0
    manage_stock: bool | str = False
    stock_quantity: Decimal | None = None
    price: str = ""


class FulfilledItem(msgspec.Struct, frozen=True):
    item_id: int
    qty: Annotated[int, msgspec.Meta(le=1_000_000)]


class Fulfillment(msgspec.Struct, frozen=True):
    """`is_fulfilled` is true in some answers and "1" in others."""

    id: int
    is_fulfilled: bool | str | int | None = False
    date_updated: str | None = None
    meta_data: MetaData = []


class Tracking(msgspec.Struct, frozen=True):
    """Of the Shipment Tracking extension."""

    tracking_number: str = ""
    tracking_provider: str = ""
    custom_tracking_provider: str = ""
    tracking_link: str = ""
    custom_tracking_link: str = ""


class Setting(msgspec.Struct, frozen=True):
    id: str
    value: Any = None


class TaxClass(msgspec.Struct, frozen=True):
    slug: str


class Index(msgspec.Struct, frozen=True):
    namespaces: list[str] = []


class ErrorData(msgspec.Struct, frozen=True):
    params: dict[str, Any] | list[Any] = {}


class Error(msgspec.Struct, frozen=True):
    code: str | int = ""
    data: ErrorData | None = None


def meta(data: MetaData, key: str) -> Any:
    """The value of the last entry with this key, None if there is none."""
    entries = data if isinstance(data, list) else data.values()
    return next((entry.value for entry in reversed(list(entries)) if entry.key == key), None)


def meta_text(data: MetaData, key: str) -> str:
    value = meta(data, key)
    return value.replace("\0", "").strip() if isinstance(value, str) else ""


def error_code(body: bytes) -> str:
    """WooCommerce's own error code with the names of the bad parameters, "" where the body is not its JSON."""
    try:
        error = msgspec.json.decode(body, type=Error)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    params = error.data.params if error.data and isinstance(error.data.params, dict) else {}
    named = ", ".join(shown(name) for name in sorted(params)[:PARAMS_MAX])
    code = shown(str(error.code)) if error.code else ""
    return f"{code} ({named})" if params else code


def shown(text: str) -> str:
    """A word of the shop as it may stand in a reason: one that is no plain word may be a buyer's."""
    return text if _WORD.fullmatch(text) else "(unprintable)"
