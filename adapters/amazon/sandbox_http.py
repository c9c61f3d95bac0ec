"""The simulated Amazon's HTTP: reading a request, shaping an answer, metering it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from adapters.amazon.sandbox_world import Package
from marketsync.ports import Request

JSON = msgspec.json.Encoder(decimal_format="string")
Shaped = tuple[int, dict[str, str], bytes]

# Requests a second and burst, as published for each operation.
RATES = {
    "searchOrders": (0.0056, 20),
    "getOrder": (0.5, 30),
    "confirmShipment": (2.0, 10),
    "patchListingsItem": (5.0, 5),
    "createFeedDocument": (0.5, 15),
    "createFeed": (0.0083, 15),
    "getFeed": (2.0, 15),
    "getFeeds": (0.0222, 10),
    "getFeedDocument": (0.0222, 10),
    "getMarketplaceParticipations": (0.016, 15),
}
CARRIERS = frozenset(
    {
        "DHL",
        "UPS",
        "USPS",
        "FedEx",
        "DPD",
        "GLS",
        "Hermes",
        "Royal Mail",
        "La Poste",
        "Deutsche Post",
        "Other",
    }
)
# Calls leave evenly and arrive less so.
GRACE = 0.5


class Fault(Exception):
    """An answer that is no success, in the vendor's one shape of errors."""

    def __init__(self, status: int, code: str, message: str, details: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.body = JSON.encode({"errors": [{"code": code, "message": message, "details": details}]})


class Meter:
    """A token bucket for each operation. A refusal costs nothing."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[float, datetime]] = {}

    def spend(self, operation: str, at: datetime) -> None:
        rate, burst = RATES[operation]
        tokens, since = self._held.get(operation, (float(burst), at))
        tokens = min(float(burst), tokens + max(0.0, (at - since).total_seconds()) * rate)
        if tokens < 1 - GRACE:
            self._held[operation] = (tokens, max(at, since))
            raise Fault(429, "QuotaExceeded", "You exceeded your quota for the requested resource.")
        self._held[operation] = (tokens - 1, max(at, since))


def answer(body: Any, status: int = 200) -> Shaped:
    return status, {"content-type": "application/json"}, JSON.encode(body)


def invalid(message: str) -> Fault:
    return Fault(400, "InvalidInput", message)


def query_of(request: Request) -> dict[str, str]:
    """Each name once: the vendor's lists are comma-separated."""
    query: dict[str, str] = {}
    for name, value in parse_qsl(urlsplit(request.url).query, keep_blank_values=True):
        if name in query:
            raise invalid(f"{name} is given twice.")
        query[name] = value
    return query


def only(query: Mapping[str, str], *known: str) -> None:
    if unknown := sorted(set(query) - set(known)):
        raise invalid(f"Unknown parameters: {', '.join(unknown)}.")


def body_of(request: Request) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(request.body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise invalid("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise invalid("The body is not an object.")
    return body


def text_of(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise invalid(f"The value of {name} is missing or not a string.")
    return value


def moment(query: Mapping[str, str], name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        found = datetime.fromisoformat(query[name])
    except ValueError:
        raise invalid(f"{name} is not a time in ISO 8601.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def headers_of(request: Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers}


def package_of(stated: Any, at: datetime) -> Package:
    if not isinstance(stated, dict):
        raise invalid("packageDetail is missing.")
    reference, tracking = text_of(stated, "packageReferenceId"), text_of(stated, "trackingNumber")
    carrier, shipped = text_of(stated, "carrierCode"), text_of(stated, "shipDate")
    if not re.fullmatch(r"[1-9][0-9]*", reference):
        raise invalid("packageReferenceId is not a positive number.")
    if moment(stated, "shipDate") is None or (carrier == "Other" and not stated.get("carrierName")):
        raise invalid("shipDate or carrierName is missing.")
    items = stated.get("orderItems")
    if not isinstance(items, list) or not items:
        raise invalid("orderItems is missing.")
    lines = tuple(
        (text_of(x, "orderItemId"), x["quantity"]) for x in items if isinstance(x.get("quantity"), int)
    )
    if len(lines) != len(items) or any(count < 1 for _, count in lines):
        raise invalid("A quantity is not a whole number above zero.")
    name = stated["carrierName"] if carrier == "Other" else carrier
    return Package(reference, at, name, tracking, shipped, lines, carrier in CARRIERS)
