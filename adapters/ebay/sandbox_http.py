"""The simulated eBay's HTTP: reading a request, shaping an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from marketsync.ports import Request

JSON = msgspec.json.Encoder(decimal_format="string")
Query = Mapping[str, Sequence[str]]
Reply = tuple[int, dict[str, str], bytes]


class Fault(Exception):
    """An answer that is no success. `error_id` 0: an answer without a body."""

    def __init__(
        self, status: int, error_id: int, message: str = "", domain: str = "API_FULFILLMENT"
    ) -> None:
        super().__init__(str(error_id))
        self.status = status
        self.error_id = error_id
        self.message = message
        self.domain = domain

    def body(self) -> bytes:
        return JSON.encode({"errors": [self.entry()]}) if self.error_id else b""

    def entry(self) -> dict[str, Any]:
        return {
            "errorId": self.error_id,
            "domain": self.domain,
            "category": "REQUEST",
            "message": self.message,
        }


def answer(body: Any, status: int = 200) -> Reply:
    return status, {"content-type": "application/json"}, JSON.encode(body)


def body_of(request: Request, domain: str, error_id: int) -> dict[str, Any]:
    """Both write calls demand their content type."""
    headers = {name.lower(): value for name, value in request.headers}
    if headers.get("content-type", "").partition(";")[0] != "application/json":
        raise Fault(415, error_id, "the content type is not application/json", domain)
    try:
        body = msgspec.json.decode(request.body)
    except msgspec.MsgspecError:
        body = None
    if not isinstance(body, dict):
        raise Fault(400, error_id, "the body is not an object", domain)
    return body


def number(query: Query, name: str, default: int, low: int, high: int, error_id: int) -> int:
    """Out of range it is refused, never clamped."""
    text = query.get(name, [str(default)])[0]
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise Fault(400, error_id, f"Invalid {name}")
    return int(text)


def span(text: str, at: datetime) -> tuple[datetime, datetime]:
    """`[start..end]` or `[start..]`, both ends inclusive, neither in the future."""
    start, dots, end = text.removeprefix("[").removesuffix("]").partition("..")
    if not dots or not text.startswith("[") or not text.endswith("]"):
        raise Fault(400, 30810, "Invalid date format")
    if not start:
        raise Fault(400, 30820, "Start date is missing")
    low, high = _moment(start), _moment(end) if end else at
    if low > high:
        raise Fault(400, 30840, "Start date should be before end date")
    if high > at:
        raise Fault(400, 30850, "Start and end dates can't be in the future")
    if (at - low).days > 730:
        raise Fault(400, 30830, "Time range must be within 2 years")
    return low, high


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Fault(400, 30810, "Invalid date format") from None
    if not text.endswith("Z"):
        raise Fault(400, 30810, "Invalid date format")
    return moment
