"""What a vendor's documents are made of: a page of orders in slices, and values that are checked one by one (D1, D13).

Every refusal names a place and never a value: it may be a buyer's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from marketsync.domain.money import BadAmount, amount, currency
from marketsync.errors import Malformed, Park, ReadFailed
from marketsync.ports import RawOrder

_ID_MAX, _TEXT_MAX = 255, 500
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_ID = re.compile(r"[A-Za-z0-9][!-~]{0,254}")
_PATH = re.compile(r" - at `(\$[^`]*)`")
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
_KEY_BYTES_MAX = 40

T = TypeVar("T")


class Pages:
    """Cuts the pages of one list into slices, one per order: one broken order must not cost the others (D1).

    `rows` is the list's key, `row_id` that of an order's id, `total` that of the count of the whole list: a list that
    states none is `cut`, and what stands beside its rows is read from the rest.
    """

    def __init__(self, rows: str, row_id: str, total: str = "total") -> None:
        fields = [("rows", list[msgspec.Raw]), ("total", int)]
        page = msgspec.defstruct("Page", fields, rename={"rows": rows, "total": total})
        row = msgspec.defstruct("Row", [("id", str)], rename={"id": row_id})
        self._page: msgspec.json.Decoder[Any] = msgspec.json.Decoder(page)
        self._row: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row)
        self._rows_key = re.compile(rb'"%b"\s*:\s*$' % rows.encode())
        self._total_key = re.compile(rb'"%b"\s*:\s*(\d{1,9})\b' % total.encode())
        self._row_id_key = re.compile(rb'"%b"\s*:\s*"([^"\\\x00-\x1f]{1,255})"' % row_id.encode())

    def split(self, body: bytes) -> tuple[tuple[RawOrder, ...], int]:
        """The orders of an answer and the list's total; raises ReadFailed where it is no such answer."""
        try:
            page = self._page.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self._split_by_hand(body)
        return tuple(self.named(bytes(raw)) for raw in page.rows), page.total

    def named(self, raw: bytes) -> RawOrder:
        """`order_id` is for people and for parking; the parsed order states its own. The slice leaves as valid UTF-8."""
        text = raw.decode("utf-8", "replace").encode()
        try:
            return RawOrder(self._row.decode(text).id, text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found = self._row_id_key.search(text)
            return RawOrder(found.group(1).decode() if found else "", text)

    def cut(self, body: bytes) -> tuple[tuple[RawOrder, ...], bytes]:
        """The orders, and the document with an empty list in their place; raises ReadFailed where there is no list.

        For a page in which some order is no strict JSON: a lone surrogate, bad UTF-8, endless nesting.
        """
        spans = list(self._spans(body))
        if not spans:
            raise ReadFailed("the order list is not the JSON that the contract describes")
        *orders, (start, end) = spans
        return tuple(self.named(body[a:b]) for a, b in orders), body[:start] + b"[]" + body[end:]

    def _split_by_hand(self, body: bytes) -> tuple[tuple[RawOrder, ...], int]:
        orders, rest = self.cut(body)
        total = self._total_key.search(rest)
        if total is None:
            raise ReadFailed("the order list states no total")
        return orders, int(total.group(1))

    def _spans(self, body: bytes) -> Iterator[tuple[int, int]]:
        """Where each order begins and ends, then where the whole list does; nothing if the document is cut short."""
        depth, found, start, list_start, span = 0, [], 0, -1, None
        for token in _TOKEN.finditer(body):
            sign = token.group()
            if sign in b"{[":
                before = body[max(0, token.start() - _KEY_BYTES_MAX) : token.start()]
                if depth == 1 and sign == b"[" and self._rows_key.search(before):
                    list_start = token.start()
                elif depth == 2 and list_start >= 0 and span is None:
                    start = token.start()
                depth += 1
            elif sign in b"}]":
                depth -= 1
                if depth == 2 and list_start >= 0 and span is None:
                    found.append((start, token.end()))
                elif depth == 1 and list_start >= 0 and span is None:
                    span = (list_start, token.end())
        if depth == 0 and span is not None:
            yield from found
            yield span


def document(raw: bytes, kind: type[T]) -> T:
    """Decodes one document; what strict JSON refuses (a lone surrogate) goes the slow way, and loses only itself."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise _malformed(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        loose = json.loads(raw.decode("utf-8", "replace"), parse_float=Decimal)
        return msgspec.convert(loose, type=kind)
    except msgspec.ValidationError as error:
        raise _malformed(error) from None
    except (ValueError, ArithmeticError, RecursionError):
        raise Malformed("$", "not a JSON document") from None


def known(value: str, values: Collection[str], field: str) -> None:
    """Parks what is new to us: `field` is the vendor and his name for it, `mirakl.order_state`."""
    if value not in values:
        shown = value if re.fullmatch(r"[A-Za-z0-9_]{1,60}", value) else "an unprintable value"
        name = field.rpartition(".")[2]
        raise Park(f"{name} has the value {shown}, which is new", (f"enum:{field}={shown}",))


def money(value: Decimal | str, path: str) -> Decimal:
    try:
        return amount(value)
    except BadAmount as bad:
        raise Malformed(path, str(bad)) from None


def price(value: Decimal | str, path: str) -> Decimal:
    if (stated := money(value, path)) < 0:
        raise Malformed(path, "negative")
    return stated


def currency_code(code: str, path: str) -> str:
    try:
        return currency(code)
    except BadAmount as bad:
        raise Malformed(path, str(bad)) from None


def identity(value: str, path: str) -> str:
    """An id is never mended: cut or cleaned, it could meet another one."""
    if (
        not value.replace(".", "").strip()
        or len(value) > _ID_MAX
        or _CONTROL.search(value)
        or "\ufffd" in value
    ):
        raise Malformed(path, "not a usable id")
    return value


def text(value: str | None) -> str:
    """For people: without control characters, and not endless."""
    return _CONTROL.sub("", value or "")[:_TEXT_MAX].strip()


def utc(stamp: datetime, path: str) -> datetime:
    try:
        return stamp.astimezone(UTC)
    except OverflowError:
        raise Malformed(path, "not a usable time") from None


def is_id(name: str) -> bool:
    """Ids of the vendor become keys of ours and parts of a URL, and stand in the log."""
    return _ID.fullmatch(name) is not None


def _malformed(error: msgspec.ValidationError) -> Malformed:
    """The path and the kind of mistake, without the value."""
    stated = str(error)
    found = _PATH.search(stated)
    reason = stated.split(" - at ", 1)[0]
    return Malformed(found.group(1) if found else "$", re.sub(r"'[^']*'", "a value", reason))
