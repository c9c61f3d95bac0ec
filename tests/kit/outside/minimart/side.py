from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from marketsync.ports import Request, Response
from marketsync.sandbox.roles import Sale, SidePlan, Told

PAGE = 50


class MinimartSide:
    def __init__(self, plan: SidePlan) -> None:
        self._plan = plan
        self._prices = {ware.sku: ware.price for ware in plan.wares}
        self._left = {ware.sku: ware.stock for ware in plan.wares}
        self._orders: list[dict[str, Any]] = []
        self._calls: list[datetime] = []

    def handle(self, request: Request, now: datetime) -> Response:
        at = now + timedelta(seconds=self._plan.clock_skew_seconds)
        status, body = self._answer(request, at)
        headers = {
            "date": format_datetime(at.replace(microsecond=0), usegmt=True),
            "content-type": "application/json",
        }
        return Response(status, headers, msgspec.json.encode(body), 0.0)

    def settings(self, url: str) -> Mapping[str, Any]:
        return {"url": url}

    def secrets(self) -> Mapping[str, str]:
        return {"key": "minimart-secret"}

    def listed(self, now: datetime) -> Mapping[str, int]:
        del now
        return self._left

    def place_order(self, now: datetime, lines: Sequence[tuple[str, int]]) -> str | None:
        at = self._stamp(now)
        order_id = f"MM-{len(self._orders) + 1}"
        wired = [
            {"id": f"{order_id}-{n}", "sku": sku, "quantity": count, "price": str(self._prices[sku])}
            for n, (sku, count) in enumerate(lines)
        ]
        total = sum((self._prices[sku] * count for sku, count in lines), Decimal(0))
        buyer = self._plan.buyer
        street = f"1 {buyer.name} Street" if buyer else "1 Sample Street"
        self._orders.append(
            {"id": order_id, "state": "paid", "created": at, "updated": at, "total": str(total), "currency": "EUR",
             "street": street, "lines": wired, "number": "", "placed": now}
        )  # fmt: skip
        return order_id

    def cancel_order(self, now: datetime, order_id: str) -> bool:
        order = next(x for x in self._orders if x["id"] == order_id)
        if order["state"] != "paid":
            return False
        order |= {"state": "cancelled", "updated": self._stamp(now)}
        return True

    def sales(self, now: datetime) -> Sequence[Sale]:
        del now
        return [_sale(order) for order in self._orders]

    def _stamp(self, now: datetime) -> datetime:
        return (now + timedelta(seconds=self._plan.clock_skew_seconds)).replace(microsecond=0)

    def _answer(self, request: Request, at: datetime) -> tuple[int, Any]:
        if dict(request.headers).get("X-Key") != "minimart-secret":
            return 401, {}
        self._calls = [call for call in self._calls if at - call < timedelta(seconds=60)]
        if len(self._calls) >= 66:
            return 429, {}
        self._calls.append(at)
        parts = urlsplit(request.url)
        if request.method == "PUT":
            return self._ship(parts.path.split("/")[2], msgspec.json.decode(request.body), at)
        query = dict(parse_qsl(parts.query))
        if "ids" in query:
            rows = [x for x in self._orders if x["id"] in query["ids"].split(",")]
        else:
            lo, hi = (datetime.fromisoformat(query[end]).replace(tzinfo=at.tzinfo) for end in ("from", "to"))
            rows = [x for x in self._orders if lo <= x[query["axis"]] <= hi]
        start = int(query.get("offset", "0"))
        return 200, {"orders": [_shown(x) for x in rows[start : start + PAGE]], "total": len(rows)}

    def _ship(self, order_id: str, body: Any, at: datetime) -> tuple[int, Any]:
        order = next((x for x in self._orders if x["id"] == order_id), None)
        if order is None:
            return 404, {}
        if order["state"] != "paid":
            return 409, {}
        order |= {"state": "shipped", "updated": at.replace(microsecond=0), "number": body["number"]}
        return 200, _shown(order)


def _shown(order: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in order.items() if name != "placed"}


def _sale(order: dict[str, Any]) -> Sale:
    number, shipped = order["number"], order["state"] == "shipped"
    return Sale(
        order_id=order["id"], placed_at=order["placed"], lines=tuple((x["sku"], x["quantity"]) for x in order["lines"]),
        accepted=True, payable=True, refused=False, cancelled=order["state"] == "cancelled",
        told=(number,) if shipped else (), shipped=int(shipped), created_at=order["created"], changed_at=order["updated"],
        currency="EUR", total=Decimal(order["total"]),
        amounts=tuple(Decimal(x["price"]) * x["quantity"] for x in order["lines"]),
        parcels=(Told(number, ""),) if shipped else (),
    )  # fmt: skip


def open_side(plan: SidePlan) -> MinimartSide:
    return MinimartSide(plan)
