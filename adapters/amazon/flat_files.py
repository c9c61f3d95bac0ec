"""The flat files by which a sale is cancelled and money given back. The columns are those of Amazon's page; header rows,
reasons and the form of the report are from third parties alone, and stand here and nowhere else.

Source: https://developer-docs.amazon.com/sp-api/docs/order-feed-type-values
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from marketsync.domain.aftersales import CancelSale, RefundLine, RefundSale
from marketsync.domain.money import decimals
from marketsync.errors import ReadFailed

CONTENT_TYPE = "text/tab-separated-values; charset=UTF-8"
CANCEL_FEED = "POST_FLAT_FILE_ORDER_ACKNOWLEDGEMENT_DATA"
REFUND_FEED = "POST_FLAT_FILE_PAYMENT_ADJUSTMENT_DATA"

CANCEL_TEMPLATE = "TemplateType=OrderCancellation\tVersion=1.0/1.0.3"
CANCEL_COLUMNS = ("order-id", "cancellation-reason-code", "amazon-order-item-code")
CANCEL_REASONS = (
    "NoInventory", "ShippingAddressUndeliverable", "CustomerExchange", "BuyerCanceled", "GeneralAdjustment",
    "CarrierCreditDecision", "RiskAssessmentInformationNotValid", "CarrierCoverageFailure", "CustomerReturn",
    "MerchandiseNotReceived",
)  # fmt: skip
REFUND_COLUMNS = (
    "order-id", "order-item-id", "adjustment-reason-code", "currency", "item-price-adj", "item-tax-adj",
    "shipping-price-adj", "shipping-tax-adj", "gift-wrap-price-adj", "gift-wrap-tax-adj", "item-promotion-adj",
    "item-promotion-id", "ship-promotion-adj", "ship-promotion-id", "quantity-cancelled",
)  # fmt: skip
REFUND_REASONS = (
    "CustomerReturn", "GeneralAdjustment", "CouldNotShip", "DifferentItem", "Abandoned", "CustomerCancel", "PriceError",
    "NoInventory",
)  # fmt: skip

_PROCESSED = re.compile(rb"Number of records processed\s+([0-9]{1,9})\b")
_SUCCESSFUL = re.compile(rb"Number of records successful\s+([0-9]{1,9})\b")
_ERROR_COLUMN = b"error-code"
_CODE = re.compile(rb"[A-Za-z0-9_.-]{1,60}")


def cancel_file(payload: CancelSale) -> bytes:
    """A row for each item; one without an item is the whole order."""
    reason = payload.reason or CANCEL_REASONS[0]
    rows = [(payload.order_id, reason, item) for item in payload.lines or ("",)]
    return _written([CANCEL_TEMPLATE, "\t".join(CANCEL_COLUMNS)], rows)


def refund_file(payload: RefundSale) -> bytes:
    """What is given back for goods and for shipping, each in its column; every other column is empty."""
    reason = payload.reason or REFUND_REASONS[0]
    rows = []
    for line in payload.lines:
        stated: Mapping[str, str] = {
            "order-id": payload.order_id,
            "order-item-id": line.line_id,
            "adjustment-reason-code": reason,
            "currency": payload.currency,
            "item-price-adj": _sum(line.amount, payload.currency),
            "shipping-price-adj": _sum(line.shipping, payload.currency),
        }
        rows.append([stated.get(column, "") for column in REFUND_COLUMNS])
    return _written(["\t".join(REFUND_COLUMNS)], rows)


def cancel_objection(payload: CancelSale) -> str:
    return _objection(payload.reason, CANCEL_REASONS, (payload.order_id, *payload.lines))


def refund_objection(payload: RefundSale) -> str:
    lines: Sequence[RefundLine] = payload.lines
    return _objection(payload.reason, REFUND_REASONS, (payload.order_id, *(x.line_id for x in lines)))


def rows_of(payload: CancelSale | RefundSale) -> int:
    return max(1, len(payload.lines))


def first_error(report: bytes, rows: int) -> str:
    """The code of the first row that was refused, "" if all were taken. Never its text: it may quote a buyer.

    ReadFailed where the report does not say what became of every row.
    """
    processed, successful = _PROCESSED.search(report), _SUCCESSFUL.search(report)
    if processed is None or successful is None or int(processed[1]) != rows:
        raise ReadFailed("the feed's report does not say what became of every row")
    if int(successful[1]) == rows:
        return ""
    column = -1
    for cells in (line.rstrip(b"\r").split(b"\t") for line in report.split(b"\n")):
        if _ERROR_COLUMN in cells:
            column = cells.index(_ERROR_COLUMN)
        elif 0 <= column < len(cells) and _CODE.fullmatch(cells[column]):
            return cells[column].decode()
    return "without a code"


def _objection(reason: str, reasons: Sequence[str], names: Sequence[str]) -> str:
    if reason and reason not in reasons:
        return f"{reason} is none of its reasons: {', '.join(reasons)}"
    if any(not re.fullmatch(r"[A-Za-z0-9-]{1,60}", name) for name in names):
        return "the order or a line has an id that can't be told in a feed"
    return ""


def _written(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    return "".join(f"{line}\r\n" for line in (*heads, *("\t".join(row) for row in rows))).encode()


def _sum(amount: Decimal, currency: str) -> str:
    return f"{amount:.{decimals(currency)}f}" if amount else ""
