"""A page of orders into slices, one per order: one broken order must not cost the others (D1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from adapters.mirakl import wire
from marketsync.errors import ReadFailed
from marketsync.ports import RawOrder

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
_TOTAL = re.compile(rb'"total_count"\s*:\s*(\d{1,9})\b')
_ORDERS = re.compile(rb'"orders"\s*:\s*$')
_ORDER_ID = re.compile(rb'"order_id"\s*:\s*"([^"\\\x00-\x1f]{1,255})"')


def split_page(body: bytes) -> tuple[tuple[RawOrder, ...], int]:
    """The orders of an OR11 answer and its total; raises ReadFailed where it is no such answer."""
    try:
        page = msgspec.json.decode(body, type=wire.Page)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _split_by_hand(body)
    return tuple(_named(bytes(raw)) for raw in page.orders), page.total_count


def _split_by_hand(body: bytes) -> tuple[tuple[RawOrder, ...], int]:
    """For a page in which some order is no strict JSON: a lone surrogate, bad UTF-8, endless nesting."""
    spans = list(_spans(body))
    if not spans:
        raise ReadFailed("the order list is not the JSON that the contract describes")
    *orders, (start, end) = spans
    total = _TOTAL.search(body[:start] + body[end:])
    if total is None:
        raise ReadFailed("the order list states no total")
    return tuple(_named(body[a:b]) for a, b in orders), int(total.group(1))


def _spans(body: bytes) -> Iterator[tuple[int, int]]:
    """Where each order begins and ends, then where the whole list does; nothing if the document is cut short."""
    depth, found, start, list_start, span = 0, [], 0, -1, None
    for token in _TOKEN.finditer(body):
        sign = token.group()
        if sign in b"{[":
            if (
                depth == 1
                and sign == b"["
                and _ORDERS.search(body[max(0, token.start() - 40) : token.start()])
            ):
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


def _named(raw: bytes) -> RawOrder:
    """`order_id` is for people and for parking; the parsed order states its own. The slice leaves as valid UTF-8."""
    text = raw.decode("utf-8", "replace").encode()
    try:
        return RawOrder(msgspec.json.decode(text, type=wire.OrderId).order_id, text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = _ORDER_ID.search(text)
        return RawOrder(found.group(1).decode() if found else "", text)
