"""A real Odoo as a side of a world: what its people do in it, and what stands in it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from msgspec.structs import replace

from marketsync.domain.ids import installation_of
from marketsync.ports import Request, Response
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.roles import ShopLine, ShopOrder
from tools.odoo_grounds import Real, asked, furnish, send_parcel

REFRESH_SECONDS = 4.0
PEOPLE = 4
"""At work at once; what one order needs is done by the same of them, in order."""
TRIES = 5
TIDY_SECONDS = 60.0
"""Odoo's own scheduler ends reservations that are nobody's; this server has none, and a person opens the page that does so."""
LATE = 0.25
"""How often a parcel's number comes after the parcel."""
LATE_SECONDS = 10.0
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
        self._numbers_due: list[tuple[float, int, str]] = []
        self._hands = [ThreadPoolExecutor(1, f"person {number}") for number in range(PEOPLE)]
        self._lock = threading.Lock()
        self._busy = 0
        self.trouble: list[str] = []
        self.stuck_units_max = 0

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
        """What people were told to send is not left, though the picture is older."""
        return [
            replace(order, lines=tuple(self._less_sent(order.remote_id, line) for line in order.lines))
            for order in self._orders
        ]

    def stock(self) -> Mapping[str, int]:
        return self._stock

    @property
    def at_work(self) -> bool:
        return self._busy > 0 or bool(self._numbers_due)

    # What people do

    def ship(self, now: datetime, remote_id: str, lines: Sequence[tuple[str, int]], tracking: str) -> None:  # noqa: ARG002 - a ShopSide's
        order = next(x for x in self._orders if x.remote_id == remote_id)
        skus = {line.key: line.sku for line in order.lines}
        units: dict[str, int] = {}
        for key, quantity in lines:
            units[skus[key]] = units.get(skus[key], 0) + quantity
            self._sent[remote_id, key] = self._sent.get((remote_id, key), 0) + quantity
        late = self._chance.happens(LATE)
        self._do(int(remote_id), lambda: self._send(remote_id, units, tracking, late=late))

    def web_sale(self, now: datetime, sku: str, quantity: int) -> None:  # noqa: ARG002 - a ShopSide's
        self._do(0, lambda: self._sell(sku, quantity))

    def restock(self, now: datetime, sku: str, quantity: int) -> None:  # noqa: ARG002 - a ShopSide's
        raise RuntimeError("no goods come while the run is on")

    def _send(self, remote_id: str, units: dict[str, int], tracking: str, *, late: bool) -> None:
        number = send_parcel(self.ground, remote_id, units, "" if late else tracking, self._carrier)
        if late:
            self._numbers_due.append((time.monotonic() + LATE_SECONDS, number, tracking))

    def _write_number(self, number: int, tracking: str) -> None:
        self._call("stock.picking", "write", ids=[number], vals={"carrier_tracking_ref": tracking})

    def _sell(self, sku: str, quantity: int) -> None:
        values = {"product_id": self._articles[sku], "product_uom_qty": quantity}
        (number,) = self.ground.made(
            "sale.order", {"partner_id": self._visitor, "order_line": [[0, 0, values]]}
        )
        self._call("sale.order", "action_confirm", ids=[number])

    def _do(self, number: int, act: Callable[[], Any]) -> None:
        with self._lock:
            self._busy += 1
        self._hands[number % PEOPLE].submit(self._guarded, act)

    def _guarded(self, act: Callable[[], Any]) -> None:
        """Who is told that Odoo was busy with the same rows tries again."""
        try:
            for left in reversed(range(TRIES)):
                try:
                    act()
                    return
                except RuntimeError as error:
                    if not left or "SerializationFailure" not in str(error):
                        raise
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
        tidied = time.monotonic()
        while True:
            with contextlib.suppress(RuntimeError, OSError):  # then the picture is a moment older
                await asyncio.to_thread(self.look)
            if time.monotonic() - tidied > TIDY_SECONDS:
                tidied = time.monotonic()
                self._do(0, partial(self._call, "stock.quant", "action_view_inventory"))
            for late in [x for x in self._numbers_due if x[0] <= time.monotonic()]:
                self._do(late[1], partial(self._write_number, *late[1:]))
                self._numbers_due.remove(late)
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
        fields = ["qty_available", "outgoing_qty", "free_qty"]
        found = self._read("product.product", [["id", "in", list(names)]], fields)
        self._stock = {names[x["id"]]: int(x["qty_available"] - x["outgoing_qty"]) for x in found}
        stuck = sum(max(0, int(x["qty_available"] - x["outgoing_qty"] - x["free_qty"])) for x in found)
        self.stuck_units_max = max(self.stuck_units_max, stuck)

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
            own.append(ShopLine(str(line["id"]), sku, quantity, quantity, quantity if released else 0))
        sent = [
            x for x in pickings if x["sale_id"] and x["sale_id"][0] == order["id"] and x["state"] == "done"
        ]
        return ShopOrder(
            remote_id=remote_id, ref=order["client_order_ref"], released=released, cancelled=order["state"] == "cancel",
            created_at=datetime.fromisoformat(order["create_date"]).replace(tzinfo=UTC), lines=tuple(own),
            parcels=tuple(x["carrier_tracking_ref"] for x in sent if x["carrier_tracking_ref"]),
            total=Decimal(f"{order['amount_total']:.2f}"), currency=order["currency_id"][1],
        )  # fmt: skip

    def _less_sent(self, remote_id: str, line: ShopLine) -> ShopLine:
        return replace(line, left=max(0, line.quantity - self._sent.get((remote_id, line.key), 0)))

    def found_wrong(self) -> list[str]:
        """What Odoo's own records say that the world's books do not see: deliveries, contacts, mishaps of people."""
        return [*self.trouble, *self._not_sent(), *self._unnumbered(), *self._contacts()]

    def _not_sent(self) -> list[str]:
        domain: list[Any] = [["sale_line_id.order_id", "in", self._live()], ["state", "=", "done"]]
        gone: dict[str, int] = {}
        for move in self._read("stock.move", domain, ["sale_line_id", "quantity"]):
            key = str(move["sale_line_id"][0])
            gone[key] = gone.get(key, 0) + int(move["quantity"])
        return [
            f"order {order.remote_id}: {gone.get(line.key, 0)} of {line.quantity} {line.sku} have left"
            for order in self._orders
            for line in order.lines
            if not order.cancelled and gone.get(line.key, 0) != line.quantity
        ]

    def _unnumbered(self) -> list[str]:
        domain: list[Any] = [["sale_id", "in", self._live()], ["state", "!=", "cancel"]]
        return [
            f"delivery {x['id']} is {x['state']}, its number {x['carrier_tracking_ref'] or 'none'}"
            for x in self._read("stock.picking", domain, ["state", "carrier_tracking_ref"])
            if x["state"] != "done" or not x["carrier_tracking_ref"]
        ]

    def _contacts(self) -> list[str]:
        found = len(self._read("res.partner", [["ref", "=like", "ms-%"]], ["id"]))
        return [] if found == len(self._orders) else [f"{found} contacts for {len(self._orders)} orders"]

    def _live(self) -> list[int]:
        return [int(order.remote_id) for order in self._orders if not order.cancelled]

    def _read(self, model: str, domain: list[Any], fields: list[str]) -> list[dict[str, Any]]:
        return list(self._call(model, "search_read", domain=domain, fields=fields, order="id"))

    def _call(self, model: str, method: str, **arguments: Any) -> Any:
        return asked(self.ground, model, method, **arguments)


_ORDER = ["client_order_ref", "state", "amount_total", "currency_id", "create_date"]
