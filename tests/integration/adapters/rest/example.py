"""The example server (`examples/rest_shop.py`) as one side of a world: its shop with people in it, its gateway without a socket."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from marketsync.ports import Request, Response
from marketsync.sandbox.roles import ShopLine, ShopOrder, SidePlan

FOLDER = Path(__file__).parents[4] / "examples"
TOKEN = "example-token"


def modules() -> tuple[Any, Any]:
    """The gateway and the shop, as `python examples/rest_shop.py` finds them."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    return importlib.import_module("gateway"), importlib.import_module("rest_shop")


class ExampleSide:
    def __init__(self, plan: SidePlan) -> None:
        self._gateway, rest_shop = modules()
        self._at = plan.start
        side = self

        class Shop(rest_shop.Shop):  # type: ignore[misc, name-defined]
            def now(self) -> datetime:
                return side._at

        wares = [
            {"id": f"A{n}", "sku": x.sku, "available": x.stock, "price": str(x.price)}
            for n, x in enumerate(plan.wares)
        ]
        self.shop: Any = Shop(*wares)

    def handle(self, request: Request, now: datetime) -> Response:
        self._at = now
        parts = urlsplit(request.url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        headers = {name.title(): value for name, value in request.headers}
        try:
            status, document = self._gateway.answer(
                self.shop, TOKEN, request.method, target, headers, request.body
            )
        except self._gateway.Problem as problem:
            status, document = problem.status, problem.document
        kind = "application/problem+json" if status >= 400 else "application/json"
        body = json.dumps(document, default=self._gateway._text).encode()
        shown = {"content-type": kind, "date": format_datetime(now.replace(microsecond=0), usegmt=True)}
        return Response(status, shown, body, 0.0)

    def settings(self, url: str) -> Mapping[str, object]:
        return {"url": url}

    def secrets(self) -> Mapping[str, str]:
        return {"token": TOKEN}

    def orders(self) -> Sequence[ShopOrder]:
        return [self._shown(order) for order in self.shop.orders.values()]

    def stock(self) -> Mapping[str, int]:
        return {x["sku"]: x["available"] for x in self.shop.articles.values()}

    def ship(self, now: datetime, remote_id: str, lines: Sequence[tuple[str, int]], tracking: str) -> None:
        ref = next(x["ref"] for x in self.shop.orders.values() if x["id"] == remote_id)
        parcel = {
            "id": f"P{len(self.shop.shipments)}", "ref": ref, "updated_at": now, "voided": False, "carrier": "DHL",
            "tracking_number": tracking, "tracking_url": "", "shipped_at": now,
            "lines": [{"id": key, "quantity": units} for key, units in lines],
        }  # fmt: skip
        self.shop.shipments.append(parcel)

    def web_sale(self, now: datetime, sku: str, quantity: int) -> None:
        self._article(sku)["available"] -= quantity

    def restock(self, now: datetime, sku: str, quantity: int) -> None:
        self._article(sku)["available"] += quantity

    def add_article(self, now: datetime, sku: str, stock: int) -> None:
        name = f"A{len(self.shop.articles)}"
        self.shop.articles[name] = {"id": name, "sku": sku, "available": stock, "price": None}

    def forget_article(self, now: datetime, sku: str) -> None:
        del self.shop.articles[self._article(sku)["id"]]

    def move_clock(self, seconds: float) -> None: ...
    def change_zone(self, hours: float) -> None: ...

    def trash(self, now: datetime, remote_id: str) -> None:
        ref = next(x["ref"] for x in self.shop.orders.values() if x["id"] == remote_id)
        del self.shop.orders[ref]

    def restore(self, now: datetime, remote_id: str) -> None: ...
    def cancel(self, now: datetime, remote_id: str) -> None: ...

    def _article(self, sku: str) -> Any:
        return next(x for x in self.shop.articles.values() if x["sku"] == sku)

    def _shown(self, order: Any) -> ShopOrder:
        parcels = [x for x in self.shop.shipments if x["ref"] == order["ref"]]
        sent: dict[str, int] = {}
        for line in (line for parcel in parcels for line in parcel["lines"]):
            sent[line["id"]] = sent.get(line["id"], 0) + line["quantity"]
        lines = [
            ShopLine(x["id"], x["sku"], x["quantity"], x["quantity"] - sent.get(x["id"], 0), x["quantity"])
            for x in order["lines"]
        ]
        return ShopOrder(
            order["id"], order["ref"], order["state"] == "open", order["state"] == "cancelled", self._at, tuple(lines),
            tuple(x["tracking_number"] for x in parcels), Decimal(order["total"]), order["currency"],
        )  # fmt: skip


def open_side(plan: SidePlan) -> ExampleSide:
    return ExampleSide(plan)
