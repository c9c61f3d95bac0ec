"""The simulated marketplace's HTTP: reading a request, shaping an answer."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from adapters.mirakl.sandbox_world import SoldOrder
from marketsync.ports import Request

JSON = msgspec.json.Encoder(decimal_format="number")
Query = Mapping[str, Sequence[str]]


class Fault(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


def expect(order: SoldOrder, *states: str) -> None:
    if order.state not in states:
        raise Fault(
            400, "ORDER_INVALID_STATE", f"the order state is {order.state}, not {' or '.join(states)}"
        )


def answer(body: Any, status: int = 200) -> tuple[int, dict[str, str], bytes]:
    return status, {"content-type": "application/json"}, JSON.encode(body)


def body_of(request: Request) -> Any:
    try:
        body = msgspec.json.decode(request.body)
    except msgspec.MsgspecError:
        raise Fault(400, "VALIDATION_ERROR", "the body is not JSON") from None
    if not isinstance(body, dict):
        raise Fault(400, "VALIDATION_ERROR", "the body is not an object")
    return body


def number(query: Query, name: str, default: int, low: int, high: int) -> int:
    text = query.get(name, [str(default)])[0]
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise Fault(400, "VALIDATION_ERROR", f"{name} is out of range")
    return int(text)


def moment(query: Query, name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        moment = datetime.fromisoformat(query[name][0])
    except ValueError:
        raise Fault(400, "VALIDATION_ERROR", f"{name} is not a date") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def link_header(path: str, query: Query, offset: int, size: int, total: int) -> str:
    """The Link header: neighbours of this page, if there are any."""
    links = []
    for name, start in (("previous", offset - size), ("next", offset + size)):
        if (name == "next" and start < total) or (name == "previous" and offset > 0):
            pairs = {**query, "offset": [str(max(0, start))]}
            links.append(f'<{path}?{urlencode(pairs, doseq=True)}>; rel="{name}"')
    return ", ".join(links)


def stock_rows(request: Request) -> tuple[tuple[str, str], ...]:
    """(offer-sku, quantity) of the one file of a multipart body."""
    headers = {name.lower(): value for name, value in request.headers}
    _, _, boundary = headers.get("content-type", "").partition("boundary=")
    parts = request.body.split(f"--{boundary}".encode()) if boundary else []
    file = next((part for part in parts if b'name="file"' in part), None)
    if file is None:
        raise Fault(400, "VALIDATION_ERROR", "there is no file")
    text = file.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n").decode()
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=";")
    if not {"offer-sku", "quantity"} <= set(rows.fieldnames or ()):
        raise Fault(400, "VALIDATION_ERROR", "a column is missing")
    return tuple((row["offer-sku"], row["quantity"]) for row in rows)
