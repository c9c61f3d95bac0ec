"""A real Odoo as a side of a world: what its people do in it, and what stands in it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from marketsync.domain.ids import installation_of
from marketsync.ports import Request, Response
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.roles import ShopLine, ShopOrder
from tools.odoo_grounds import Real, furnish, send_parcel

REFRESH_SECONDS = 2.0
LATE = 0.25
"""How often a parcel's number comes after the parcel."""
CONFIRMED = ("sale", "done")
CURRENCIES = ("GBP",)
"""Beside the company's own."""


class RealShop:
    """A ShopSide. What it shows is a picture of a moment ago, taken in a thread: a world waits for nobody."""

    def __init__(self, ground: Real, wares: Mapping[str, int], chance: Chance) -> None:
        self.ground = ground
        self._chance = chance
        self._articles = furnish(ground, dict(wares))
        (self._visitor,) = ground.made("res.partner", {"name": "Visitor of the web shop"})
        fare = self._read("product.product", [["default_code", "=", "MARKETPLACE-SHIPPING"]], ["id"])[0]["id"]
        (self._carrier,) = ground.made("delivery.carrier", {"name": "DHL", "product_id": fare})
        self._pricelists = {code: self._pricelist(code) for code in CURRENCIES}
        self._orders: tuple[ShopOrder, ...] = ()
        self._stock: dict[str, int] = dict(wares)
        self._sent: dict[tuple[str, str], int] = {}
        self._hands = ThreadPoolExecutor(1, "people")
        self._lock = threading.Lock()
        self._busy = 0
        self.trouble: list[str] = []

    def handle(self, request: Request, now: datetime) -> Response:  # noqa: ARG002 - a ShopSide's
        raise RuntimeError("the daemon speaks to the server itself")

    def settings(self, url: str) -> Mapping[str, Any]:
        ground = self.ground
        return {
            "url": url,
            "database": ground.database,
            "login": ground.login,
            "pricelists": self._pricelists,
        }

    def secrets(self) -> Mapping[str, str]:
        return {"api_key": self.ground.key}

    def orders(self) -> Sequence[ShopOrder]:
        return self._orders

    def stock(self) -> Mapping[str, int]:
        return self._stock

    @property
    def at_work(self) -> bool:
        return self._busy > 0

    # What people do

    def ship(self, now: datetime, remote_id: str, lines: Sequence[tuple[str, int]], tracking: str) -> None:  # noqa: ARG002 - a ShopSide's
        order = next(x for x in self._orders if x.remote_id == remote_id)
        skus = {line.key: line.sku for line in order.lines}
        units: dict[str, int] = {}
        for key, quantity in lines:
            units[skus[key]] = units.get(skus[key], 0) + quantity
            self._sent[remote_id, key] = self._sent.get((remote_id, key), 0) + quantity
        late = self._chance.happens(LATE)
        self._do(lambda: self._send(remote_id, units, tracking, late=late))

    def web_sale(self, now: datetime, sku: str, quantity: int) -> None:  # noqa: ARG002 - a ShopSide's
        self._do(lambda: self._sell(sku, quantity))

    def restock(self, now: datetime, sku: str, quantity: int) -> None:  # noqa: ARG002 - a ShopSide's
        raise RuntimeError("no goods come while the run is on")

    def _send(self, remote_id: str, units: dict[str, int], tracking: str, *, late: bool) -> None:
        number = send_parcel(self.ground, remote_id, units, "" if late else tracking, self._carrier)
        if late:
            self._call("stock.picking", "write", ids=[number], vals={"carrier_tracking_ref": tracking})

    def _sell(self, sku: str, quantity: int) -> None:
        values = {"product_id": self._articles[sku], "product_uom_qty": quantity}
        (number,) = self.ground.made(
            "sale.order", {"partner_id": self._visitor, "order_line": [[0, 0, values]]}
        )
        self._call("sale.order", "action_confirm", ids=[number])

    def _do(self, act: Callable[[], None]) -> None:
        with self._lock:
            self._busy += 1
        self._hands.submit(self._guarded, act)

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - a person's mishap is told at the end
            self.trouble.append(f"{type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._busy -= 1

    def _pricelist(self, code: str) -> int:
        everything = {"active_test": False}
        (currency,) = self._call(
            "res.currency", "search_read", domain=[["name", "=", code]], fields=["name"], context=everything
        )
        self._call("res.currency", "write", ids=[currency["id"]], vals={"active": True})
        (number,) = self.ground.made("product.pricelist", {"name": code, "currency_id": currency["id"]})
        return number

    # What stands there

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(REFRESH_SECONDS)

    def look(self) -> None:
        orders = self._read("sale.order", [["client_order_ref", "=like", "ms-%"]], _ORDER)
        ids = [order["id"] for order in orders]
        lines = self._read(
            "sale.order.line", [["order_id", "in", ids]], ["order_id", "product_id", "product_uom_qty"]
        )
        pickings = self._read(
            "stock.picking", [["sale_id", "in", ids]], ["sale_id", "state", "carrier_tracking_ref"]
        )
        names = {number: sku for sku, number in self._articles.items()}
        self._orders = tuple(
            self._shown(order, lines, pickings, names)
            for order in orders
            if installation_of(order["client_order_ref"])
        )
        found = self._read("product.product", [["id", "in", list(names)]], ["qty_available", "outgoing_qty"])
        self._stock = {names[x["id"]]: int(x["qty_available"] - x["outgoing_qty"]) for x in found}

    def _shown(
        self,
        order: dict[str, Any],
        lines: list[dict[str, Any]],
        pickings: list[dict[str, Any]],
        names: dict[int, str],
    ) -> ShopOrder:
        remote_id, released = str(order["id"]), order["state"] in CONFIRMED
        own = []
        for line in lines:
            sku = (
                names.get(line["product_id"][0])
                if line["order_id"][0] == order["id"] and line["product_id"]
                else None
            )
            quantity = int(line["product_uom_qty"])
            if sku is None or not quantity:
                continue
            left = max(0, quantity - self._sent.get((remote_id, str(line["id"])), 0))
            own.append(ShopLine(str(line["id"]), sku, quantity, left, quantity if released else 0))
        sent = [
            x for x in pickings if x["sale_id"] and x["sale_id"][0] == order["id"] and x["state"] == "done"
        ]
        return ShopOrder(
            remote_id=remote_id, ref=order["client_order_ref"], released=released, cancelled=order["state"] == "cancel",
            created_at=datetime.fromisoformat(order["create_date"]).replace(tzinfo=UTC), lines=tuple(own),
            parcels=tuple(x["carrier_tracking_ref"] for x in sent if x["carrier_tracking_ref"]),
            total=Decimal(f"{order['amount_total']:.2f}"), currency=order["currency_id"][1],
        )  # fmt: skip

    def _read(self, model: str, domain: list[Any], fields: list[str]) -> list[dict[str, Any]]:
        return list(self._call(model, "search_read", domain=domain, fields=fields, order="id"))

    def _call(self, model: str, method: str, **arguments: Any) -> Any:
        status, answer = self.ground.raw(model, method, **arguments)
        if status >= 300:  # noqa: PLR2004 - no 2xx
            raise RuntimeError(f"{model}.{method}: HTTP {status} {answer.get('name')}")
        return answer


_ORDER = ["client_order_ref", "state", "amount_total", "currency_id", "create_date"]
