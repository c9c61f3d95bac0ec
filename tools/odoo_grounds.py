"""Where the steps are taken: on the simulated server in process, or on a real one."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from adapters.odoo.rehearsal import _CHARGES
from adapters.odoo.sandbox import OdooSandbox
from adapters.odoo.sandbox_shop import OdooShop, Tax
from marketsync.http.transport import AiohttpTransport
from marketsync.kit.bench import Clock
from marketsync.ops.clock import SystemClock
from marketsync.ports import Request, Response
from tools.odoo_server import OdooServer

WARES = {"MUG": 100, "TEE": 50}
VAT = 20
CALL_SECONDS = 150.0
OK = 200


class Speaks(Protocol):
    def raw(self, model: str, method: str, **arguments: Any) -> tuple[int, Any]: ...


class Simulated:
    """As `Ground` asks for. It is its own transport."""

    def __init__(self) -> None:
        self.url, self.key, self.database, self.login = "https://odoo.example", "key_demo", "demo", "bot"
        shop = OdooShop(charges=_CHARGES)
        for sku, stock in WARES.items():
            shop.add_product(sku, stock)
        self.included, self.on_top = 2, 4
        shop.taxes |= {2: Tax(2, shop.taxes[2].amount, price_include=True)}
        self.sandbox = OdooSandbox(shop)
        self.clock = Clock()
        self.transport = self

    async def send(self, request: Request) -> Response:
        response = self.sandbox.handle(request, self.clock.now())
        await self.clock.sleep(1.0)
        return msgspec.structs.replace(response, received_at=self.clock.monotonic())

    async def close(self) -> None:
        return None

    def raw(self, model: str, method: str, **arguments: Any) -> tuple[int, Any]:
        headers = (("Authorization", f"bearer {self.key}"), ("X-Odoo-Database", self.database))
        body = msgspec.json.encode(arguments)
        request = Request("raw", "raw", "POST", f"{self.url}/json/2/{model}/{method}", headers, body)
        answer = self.sandbox.handle(request, self.clock.now())
        return answer.status, msgspec.json.decode(answer.body)


class Real:
    """A running server; the articles and taxes of the steps are made where it is to be `furnished`."""

    def __init__(self, server: OdooServer, *, furnished: bool = True) -> None:
        self.url, self.key, self.database, self.login = server.url, server.key, server.database, server.login
        self.clock = SystemClock()
        self.transport = AiohttpTransport(self.clock)
        self.included = self.on_top = 0
        if furnished:
            self._furnish()

    def raw(self, model: str, method: str, **arguments: Any) -> tuple[int, Any]:
        headers = {
            "Content-Type": "application/json", "Authorization": f"bearer {self.key}", "X-Odoo-Database": self.database,
        }  # fmt: skip
        url = f"{self.url}/json/2/{model}/{method}"
        request = urllib.request.Request(url, msgspec.json.encode(arguments), headers)  # noqa: S310 - loopback, our own server's
        try:
            with urllib.request.urlopen(request, timeout=CALL_SECONDS) as answer:  # noqa: S310 - the same
                return answer.status, msgspec.json.decode(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, msgspec.json.decode(error.read())

    def made(self, model: str, *values: dict[str, Any], context: dict[str, Any] | None = None) -> list[int]:
        status, ids = self.raw(model, "create", vals_list=list(values), context=context or {})
        if status != OK:
            raise SystemExit(f"{model} could not be made: {status} {ids.get('name')}")
        return list(ids)

    def _furnish(self) -> None:
        furnish(self, WARES)
        self.included, self.on_top = self.made(
            "account.tax",
            {
                "name": "20 in",
                "amount": VAT,
                "type_tax_use": "sale",
                "price_include_override": "tax_included",
            },
            {
                "name": "20 on",
                "amount": VAT,
                "type_tax_use": "sale",
                "price_include_override": "tax_excluded",
            },
        )


def furnish(ground: Real, wares: dict[str, int]) -> dict[str, int]:
    """Articles with their stock, and the three for charges; the ids by SKU."""
    ids = ground.made(
        "product.product",
        *({"name": sku, "default_code": sku, "is_storable": True, "list_price": 19.9} for sku in wares),
        *(
            {"name": sku, "default_code": sku, "type": "service", "taxes_id": [[6, 0, []]]}
            for sku in _CHARGES
        ),
    )
    (place,) = [
        row["lot_stock_id"][0]
        for row in ground.raw("stock.warehouse", "search_read", domain=[], fields=["lot_stock_id"])[1]
    ]
    by_sku = dict(zip(wares, ids, strict=False))
    count(ground, place, {by_sku[sku]: quantity for sku, quantity in wares.items()})
    return by_sku


def count(ground: Real, place: int, quantities: dict[int, int]) -> None:
    """What a count of the shelves says."""
    quants = ground.made(
        "stock.quant",
        *({"product_id": x, "location_id": place, "inventory_quantity": n} for x, n in quantities.items()),
        context={"inventory_mode": True},
    )
    ground.raw("stock.quant", "action_apply_inventory", ids=quants)


def send_parcel(
    ground: Speaks, remote_id: str, units: Mapping[str, int], tracking: str, carrier: int = 0
) -> int:
    """As the shop's people do; what is left becomes a backorder. The delivery's id."""
    domain = [["sale_id", "=", int(remote_id)], ["state", "not in", ["done", "cancel"]]]
    _, pickings = ground.raw(
        "stock.picking", "search_read", domain=domain, fields=["move_ids"], order="id", limit=1
    )
    number: int = pickings[0]["id"]
    domain = [["picking_id", "=", number]]
    _, moves = ground.raw(
        "stock.move", "search_read", domain=domain, fields=["product_id", "product_uom_qty"]
    )
    left = dict(units)
    for move in moves:
        sku = move["product_id"][1].partition("]")[0].removeprefix("[")
        quantity = min(left.get(sku, 0), int(move["product_uom_qty"]))
        left[sku] = left.get(sku, 0) - quantity
        ground.raw(
            "stock.move", "write", ids=[move["id"]], vals={"quantity": quantity, "picked": bool(quantity)}
        )
    noted = {"carrier_tracking_ref": tracking, "carrier_id": carrier}
    ground.raw(
        "stock.picking", "write", ids=[number], vals={name: value for name, value in noted.items() if value}
    )
    ground.raw(
        "stock.picking", "button_validate", ids=[number], context={"skip_backorder": True, "skip_sms": True}
    )
    return number
