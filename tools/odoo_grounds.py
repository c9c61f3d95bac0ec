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

    def deliver_in(self, steps: int) -> None:
        self.sandbox.shop.delivery_steps = steps

    def take_back(self, delivery: int, units: Mapping[str, int]) -> None:
        self.sandbox.shop.take_back(delivery, units, self.clock.now())

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

    def deliver_in(self, steps: int) -> None:
        _, found = self.raw("stock.warehouse", "search_read", domain=[], fields=["id"])
        named = {1: "ship_only", 2: "pick_ship"}[steps]
        self.raw("stock.warehouse", "write", ids=[row["id"] for row in found], vals={"delivery_steps": named})

    def take_back(self, delivery: int, units: Mapping[str, int]) -> None:
        (number,) = self.made("stock.return.picking", {"picking_id": delivery})
        domain = [["wizard_id", "=", number]]
        fields = ["product_id"]
        _, lines = self.raw("stock.return.picking.line", "search_read", domain=domain, fields=fields)
        for row in lines:
            sku = row["product_id"][1].partition("]")[0].removeprefix("[")
            vals = {"quantity": units.get(sku, 0)}
            self.raw("stock.return.picking.line", "write", ids=[row["id"]], vals=vals)
        _, opened = self.raw("stock.return.picking", "action_create_returns", ids=[number])
        move(self, opened["res_id"], units)

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
    ground: Speaks,
    remote_id: str,
    units: Mapping[str, int],
    tracking: str,
    carrier: int = 0,
    *,
    outgoing: bool = True,
) -> int:
    """As the shop's people do; what is left becomes a backorder. Not `outgoing`: it is picked. The delivery's id."""
    code = "outgoing" if outgoing else "internal"
    domain = [
        ["sale_id", "=", int(remote_id)], ["state", "not in", ["done", "cancel"]], ["picking_type_id.code", "=", code],
    ]  # fmt: skip
    pickings = asked(
        ground, "stock.picking", "search_read", domain=domain, fields=["state"], order="id", limit=1
    )
    number: int = pickings[0]["id"]
    noted = {"carrier_tracking_ref": tracking, "carrier_id": carrier}
    if said := {name: value for name, value in noted.items() if value}:
        asked(ground, "stock.picking", "write", ids=[number], vals=said)
    move(ground, number, units)
    return number


def move(ground: Speaks, number: int, units: Mapping[str, int]) -> None:
    """So much of it, and it is done. Where that is all, nobody counts: Odoo takes what it reserved."""
    domain = [["picking_id", "=", number]]
    moves = asked(
        ground, "stock.move", "search_read", domain=domain, fields=["product_id", "product_uom_qty"]
    )
    left, wanted = dict(units), []
    for row in moves:
        sku = row["product_id"][1].partition("]")[0].removeprefix("[")
        quantity = min(left.get(sku, 0), int(row["product_uom_qty"]))
        left[sku] = left.get(sku, 0) - quantity
        wanted.append((row, quantity))
    if any(quantity < row["product_uom_qty"] for row, quantity in wanted):
        for row, quantity in wanted:
            vals = {"quantity": quantity, "picked": bool(quantity)}
            asked(ground, "stock.move", "write", ids=[row["id"]], vals=vals)
    context = {"skip_backorder": True, "skip_sms": True}
    if asked(ground, "stock.picking", "button_validate", ids=[number], context=context) is not True:
        raise RuntimeError(f"delivery {number} is not validated: Odoo asks a person first")


def asked(ground: Speaks, model: str, method: str, **arguments: Any) -> Any:
    status, answer = ground.raw(model, method, **arguments)
    if status != OK:
        raise RuntimeError(f"{model}.{method}: HTTP {status} {answer.get('name')}")
    return answer
