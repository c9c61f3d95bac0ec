"""Odoo's JSON, only the fields that we use. What is empty is `false`, whatever its type."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Literal

import msgspec

Text = str | Literal[False] | None
Many2one = tuple[int, Any] | Literal[False] | None
Number = Decimal | Literal[False] | None
DIGITS_MAX = 12
_WORD = re.compile(r"[A-Za-z0-9_.\-]{1,80}")


class WireOrder(msgspec.Struct, frozen=True):
    id: int
    state: str
    client_order_ref: Text = False
    origin: Text = False
    amount_total: Decimal = Decimal(0)
    currency_id: Many2one = False
    partner_id: Many2one = False


class WireLine(msgspec.Struct, frozen=True):
    id: int
    product_id: Many2one = False
    name: Text = False
    product_uom_qty: Decimal = Decimal(0)
    price_unit: Decimal = Decimal(0)


class Product(msgspec.Struct, frozen=True):
    """`is_storable` came with Odoo 18; before it the type said so."""

    id: int
    default_code: Text = False
    type: Text = False
    is_storable: bool | None = None
    lst_price: Number = None
    free_qty: Decimal = Decimal(0)
    qty_available: Decimal = Decimal(0)
    outgoing_qty: Decimal = Decimal(0)


class Move(msgspec.Struct, frozen=True):
    """`quantity` came with Odoo 17, in place of `quantity_done`."""

    id: int
    picking_id: Many2one = False
    sale_line_id: Many2one = False
    quantity: Number = None
    quantity_done: Number = None


class Picking(msgspec.Struct, frozen=True):
    id: int
    carrier_id: Many2one = False
    carrier_tracking_ref: Text = False
    carrier_tracking_url: Text = False
    date_done: Text = False


class LineName(msgspec.Struct, frozen=True):
    id: int
    name: Text = False
    order_id: Many2one = False


class TaxRecord(msgspec.Struct, frozen=True):
    id: int
    amount: Decimal
    amount_type: str = "percent"
    price_include: bool = False


class Coded(msgspec.Struct, frozen=True):
    """A country or a state."""

    id: int
    code: Text = False
    name: Text = False


class Company(msgspec.Struct, frozen=True):
    id: int
    currency_id: Many2one = False
    tax_calculation_rounding_method: Text = False


class Loaded(msgspec.Struct, frozen=True):
    """What `load` answers: the ids of the records, or false and why."""

    ids: list[int] | Literal[False] | None = None
    messages: list[dict[str, Any]] = []


class ErrorData(msgspec.Struct, frozen=True):
    name: str = ""


class RpcError(msgspec.Struct, frozen=True):
    data: ErrorData | None = None


class Envelope(msgspec.Struct, frozen=True):
    """A JSON-RPC answer. Every error comes with HTTP 200."""

    jsonrpc: str
    result: msgspec.Raw = msgspec.Raw()
    error: RpcError | None = None


def text(stated: Text) -> str:
    return stated.replace("\0", "").strip() if isinstance(stated, str) else ""


def id_of(stated: Many2one) -> int:
    """0 where there is none."""
    return stated[0] if isinstance(stated, tuple) else 0


def is_number(value: Decimal) -> bool:
    """False for what can't be reckoned with: no comparison takes every NaN, no difference every exponent."""
    return value.is_finite() and value.adjusted() <= DIGITS_MAX


def label_of(stated: Many2one) -> str:
    return stated[1] if isinstance(stated, tuple) and isinstance(stated[1], str) else ""


def error_name(body: bytes) -> str:
    """The exception of Odoo's own error document (JSON-2), "" where the body is none."""
    try:
        return msgspec.json.decode(body, type=ErrorData).name
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def shown(word: str) -> str:
    """A word of Odoo as it may stand in a reason: one that is no plain word may be a buyer's."""
    return word if _WORD.fullmatch(word) else "(unprintable)"
