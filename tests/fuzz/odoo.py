"""What the Odoo adapter reads: every call of it in both protocols, over answers of its own sandbox."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from adapters.odoo import ADAPTER, wire
from adapters.odoo.sandbox import OdooSandbox
from adapters.odoo.sandbox_shop import OdooShop
from adapters.odoo.settings import Settings
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import LineId, OrderId, Reference, RemoteId, Sku
from marketsync.ports import CancelOrder, CreateOrder, OpenOrder, ResolvedLine, UpdateOrder
from tests.fuzz.rest import REF, order
from tests.fuzz.rig import (
    Ask,
    Case,
    Clock,
    Recorder,
    Side,
    Vendor,
    names_of,
    probes,
    recorded,
    sends,
    stock,
    sweep,
)

SECRETS = {"api_key": "key_demo"}
SETTINGS = {
    "url": "https://odoo.example",
    "database": "demo",
    "api_key": "key",
    "login": "bot",
    "taxes": {"20": 2},
}
RPC = {"protocol": "json-rpc"}
BY_RPC = (
    "traits",
    "create",
    "create that is refused, plainly",
    "release",
    "update",
    "cancel",
    "parcels",
    "stock",
)
BY_CREATE = {"create_by": "create"}
LATER = 3600.0
A, B = RemoteId("14"), RemoteId("15")
HELD = RemoteId("19")
BOOKS = ("fields_get", "res.company", "account.tax", "default_code,type", "#login")
SPOILS_BOOKS = ("traits", "create", "traits, JSON-RPC", "create, JSON-RPC")
"""Every call reads the books before it: in these cases they suffer, too."""
CHECKPOINT = f'{{"remote_id":"{HELD}"}}'


async def vendor() -> Vendor:
    cases: list[Case] = []
    for name, ask, settings, held in scenes():
        sandbox = await stage(held)
        found = await recorded(
            ADAPTER, SECRETS, name, sandbox, ask, settings={**SETTINGS, **settings}, after_seconds=LATER
        )
        cases += [x for x in found if name in SPOILS_BOOKS or not any(word in x.name for word in BOOKS)]
    return Vendor("odoo", ADAPTER, SECRETS, names_of(wire) | {"result"}, tuple(cases))


async def stage(held: str) -> OdooSandbox:
    """Articles A and B, and two of one reference. Our order is there unless `held` is "": a "draft", confirmed as "open", or
    "shipped" in two deliveries."""
    shop = OdooShop(charges=Settings(url="", database="", api_key="").charge_skus)
    sandbox = OdooSandbox(shop)
    shop.add_product("A", 10)
    shop.add_product("B", -5)
    for _ in range(2):
        shop.add_product("TWIN", 1)
    if not held:
        return sandbox
    clock = Clock()
    side = Side(ADAPTER, SETTINGS, SECRETS, clock, Recorder(sandbox, clock))
    writer = side.adapter.writers[Kind.CREATE]
    done = await writer.send(create(), 0, "", side.departure())
    assert done.remote_id == HELD, done
    if held != "draft":
        await writer.send(create(), 1, done.checkpoint, side.departure())
    if held == "shipped":
        first, second = (line.id for line in shop.orders[int(HELD)].lines[:2])
        shop.ship(int(HELD), clock.now(), {first: 1}, "T1")
        shop.ship(int(HELD), clock.now(), {first: 1, second: 1}, "T2")
    return sandbox


def scenes() -> list[tuple[str, Ask, dict[str, Any], str]]:
    return [
        *_scenes(),
        *(
            (f"{name}, JSON-RPC", ask, {**RPC, **settings}, held)
            for name, ask, settings, held in _scenes()
            if name in BY_RPC
        ),
    ]


def _scenes() -> list[tuple[str, Ask, dict[str, Any], str]]:
    update = UpdateOrder(REF, HELD, order(3), lines())
    cancel = CancelOrder(REF, HELD, OrderId("M-1"))
    gone = replace(create(), lines=(ResolvedLine(LineId("1"), Sku("A"), RemoteId("999")), lines()[1]))
    foreign = replace(create(), ref=Reference("ms-other1-conn-order000000001"))
    confirm = sends(Kind.CREATE, create(), step=1, checkpoint=CHECKPOINT)
    return [
        ("traits", lambda side: side.adapter.probe_traits(), {}, ""),
        ("create", sends(Kind.CREATE, create()), {}, ""),
        ("create, plainly", sends(Kind.CREATE, create()), BY_CREATE, ""),
        ("create that is refused", sends(Kind.CREATE, gone), {}, ""),
        ("create that is refused, plainly", sends(Kind.CREATE, gone), BY_CREATE, ""),
        ("create once more", sends(Kind.CREATE, create(), attempt=2), {}, "draft"),
        ("create, a look", probes(Kind.CREATE, create()), {}, "draft"),
        ("create, a look at nothing", probes(Kind.CREATE, create()), {}, ""),
        ("create, a look at another installation's", probes(Kind.CREATE, foreign), {}, "draft"),
        ("release", confirm, {}, "draft"),
        ("release of what is gone", confirm, {}, ""),
        ("update", sends(Kind.UPDATE, update), {}, "open"),
        ("update of what left", sends(Kind.UPDATE, update), {}, "shipped"),
        ("update, a look", probes(Kind.UPDATE, update), {}, "open"),
        ("cancel", sends(Kind.CANCEL, cancel), {}, "open"),
        ("cancel of what left", sends(Kind.CANCEL, cancel), {}, "shipped"),
        ("cancel, a look", probes(Kind.CANCEL, cancel), {}, "open"),
        ("parcels", _parcels, {}, "shipped"),
        ("aftersales", _aftersales, {}, "open"),
        ("articles", _articles, {}, ""),
        ("stock by name", stock("A", "B"), {}, ""),
        ("stock", sweep, {}, ""),
    ]


def lines() -> tuple[ResolvedLine, ...]:
    return (ResolvedLine(LineId("1"), Sku("A"), A), ResolvedLine(LineId("2"), Sku("B"), B))


def create() -> CreateOrder:
    return CreateOrder(REF, order(), lines())


async def _parcels(side: Side) -> object:
    return await side.adapter.fetch_shipments([OpenOrder(REF, HELD, order())])


async def _aftersales(side: Side) -> object:
    return await side.adapter.fetch_aftersales([OpenOrder(REF, HELD, order())])


async def _articles(side: Side) -> object:
    return tuple((await side.adapter.resolve_skus([Sku("A"), Sku("TWIN"), Sku("NOPE")])).items())
