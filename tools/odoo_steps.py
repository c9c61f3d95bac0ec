"""One script of steps on an Odoo, real or simulated: what the adapter and its simulated server rest on, observed.

Both must show the same, step by step. What a step shows holds no id, no time and no text of Odoo's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
from msgspec.structs import replace

from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import RemoteId, Sku, reference
from marketsync.domain.orders import Order, TaxCollector
from marketsync.ports import CancelOrder
from tools.odoo_shelf_steps import oversold, picked_first, shipped, taken_back
from tools.odoo_stage import Ground, Shown, Stage, deliveries, line, said, told

VAT = Decimal(20)


# Errors


async def errors(stage: Stage) -> Shown:
    calls: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("res.nobody", "search_read", {"domain": [], "fields": ["id"]}),
        ("res.partner", "nothing", {"ids": [1]}),
        ("res.partner", "_write", {"ids": [1], "vals": {}}),
        ("res.partner", "search_read", {"domain": [["nothing", "=", 1]], "fields": ["id"]}),
        ("res.partner", "search_read", {"domain": [], "fields": ["nothing"]}),
        ("res.partner", "write", {"ids": [999_999], "vals": {"name": "x"}}),
        ("res.partner", "create", {"vals_list": [{"name": "x", "nothing": "x"}]}),
        ("res.partner", "create", {"vals_list": [{"name": False}]}),
        ("sale.order", "action_confirm", {"ids": [999_999]}),
    )
    return [told(stage.raw(model, method, **arguments)) for model, method, arguments in calls]


async def wrong_key(stage: Stage) -> Shown:
    ground = stage.ground
    own, ground.key = ground.key, "another"
    try:
        other = Stage(ground, stage.name)
        return [await said(other.adapter.sweep_stock("")) for _ in range(2)]
    finally:
        ground.key = own


async def traits(stage: Stage) -> Shown:
    found = await stage.adapter.probe_traits()
    return [dict(found.facts), list(found.problems)]


# Orders


async def quotation(stage: Stage) -> Shown:
    """Without effect, then compared and confirmed; again without effect."""
    order = stage.order("q")
    payload = await stage.payload(order)
    shown: list[Any] = [await stage.figures()]
    done = await stage.send(Kind.CREATE, payload)
    shown += [stage.held(order), await stage.figures()]
    for _ in range(2):
        await stage.send(Kind.CREATE, payload, 1, done.checkpoint)
        shown += [stage.held(order), await stage.figures()]
    shown.append(told(stage.raw("sale.order", "action_confirm", ids=[int(done.remote_id)])))
    return shown


async def twice(stage: Stage) -> Shown:
    """The same write again, as a path that duplicates would bring it."""
    order = stage.order("t")
    payload = await stage.payload(order)
    for _ in range(2):
        await stage.send(Kind.CREATE, payload)
    return stage.held(order)


async def at_once(stage: Stage) -> Shown:
    """The same write several times at one moment: however many of them are told to come again, one order is there."""
    order = stage.order("p")
    payload = await stage.payload(order)
    answers = await asyncio.gather(*(said(stage.send(Kind.CREATE, payload)) for _ in range(6)))
    return ["StepDone" in answers, sorted(set(answers) - {"StepDone", "Retry"}), stage.held(order)]


async def gone_article(stage: Stage) -> Shown:
    order = stage.order("g")
    payload = await stage.payload(order)
    last = replace(payload.lines[-1], remote_id=RemoteId("999999"))
    broken = replace(payload, lines=(*payload.lines[:-1], last))
    return [await said(stage.send(Kind.CREATE, broken)), stage.held(order)]


async def default_tax(stage: Stage) -> Shown:
    """What comes of a line that says nothing of taxes."""
    article = (await stage.adapter.resolve_skus([Sku("MUG")]))[Sku("MUG")].remote_id
    values = {"product_id": int(article), "product_uom_qty": 1, "price_unit": 12.5}
    order = stage.order("d")
    ref = reference("steps", order.key)
    stage.raw("res.partner", "create", vals_list=[
        {"name": "x", "sale_order_ids": [[0, 0, {"client_order_ref": ref, "order_line": [[0, 0, values]]}]]}
    ])  # fmt: skip
    return stage.held(order)


async def totals(stage: Stage) -> Shown:
    return [stage.held(order) for order in [x for x in _priced(stage) if await stage.created(x)]]


async def included(stage: Stage) -> Shown:
    return await _with_taxes(stage, stage.ground.included)


async def on_top(stage: Stage) -> Shown:
    return await _with_taxes(stage, stage.ground.on_top)


async def changed(stage: Stage) -> Shown:
    order = stage.order("u")
    remote_id = await stage.created(order)
    shown: list[Any] = [await stage.figures()]
    tee = line("2", "TEE", 1, "5.90", "0.98")
    for changes in (
        (line("1", "MUG", 5, "50.00", "8.33"), tee),
        (line("1", "MUG", 1, "10.00", "1.67"), tee),
        (line("1", "MUG", 1, "10.00", "1.67", cancelled=1), tee),
        (line("1", "MUG", 2, "20.00", "3.33"), tee, line("3", "TEE", 2, "9.00", "1.50")),
    ):
        done = await stage.update(stage.order("u", *changes), remote_id)
        shown += [done.conflict, stage.held(order), await stage.figures(), deliveries(stage, remote_id)]
    return shown


async def cancelled(stage: Stage) -> Shown:
    shown = []
    for number, confirmed in (("c1", False), ("c2", True)):
        order = stage.order(number)
        payload = await stage.payload(order)
        done = await stage.send(Kind.CREATE, payload)
        if confirmed:
            await stage.send(Kind.CREATE, payload, 1, done.checkpoint)
        for _ in range(2):
            cancel = CancelOrder(payload.ref, RemoteId(done.remote_id), order.key.order_id)
            await stage.send(Kind.CANCEL, cancel)
            shown += [stage.held(order), await stage.figures()]
    return shown


STEPS: tuple[Callable[[Stage], Awaitable[Shown]], ...] = (
    errors, wrong_key, traits, quotation, twice, at_once, gone_article, default_tax, totals, included, on_top, changed,
    cancelled, shipped, picked_first, taken_back, oversold,
)  # fmt: skip
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "json2": {},
    "rpc": {"protocol": "json-rpc", "create_by": "create"},
}
AGAIN = (wrong_key, quotation, changed, cancelled)  # by the older protocol as well, and by `create`


async def observed(ground: Ground, tell: Callable[[str], None] = lambda _: None) -> dict[str, Shown]:
    """What each step shows, by its name."""
    shown: dict[str, Shown] = {}
    for variant, settings in VARIANTS.items():
        for step in STEPS if variant == "json2" else AGAIN:
            name = f"{variant}.{step.__name__}"
            tell(name)
            stage = Stage(ground, name, **settings)
            shown[name] = msgspec.to_builtins(await step(stage))
    return shown


def _priced(stage: Stage) -> list[Order]:
    mine = line("1", "MUG", 1, "10.00", "2.00", shipping=Decimal("3.50"))
    theirs = line("2", "TEE", 1, "7.00", "0.70", collector=TaxCollector.MARKETPLACE)
    return [
        stage.order("m1"),
        stage.order(
            "m2", mine, theirs, prices_include_tax=False, fees=Decimal("0.65"), shipping_method="Express"
        ),
        stage.order("m3", line("1", "MUG", 3, "10.00", "1.67")),
    ]


async def _with_taxes(stage: Stage, record: int) -> Shown:
    """Amounts that round one way line by line and another way in all."""
    taxed = Stage(stage.ground, stage.name, taxes={"20": record})
    orders = [
        taxed.order("x1", line("1", "MUG", 2, "20.00", "3.33", rate=VAT)),
        taxed.order("x2", *(line(str(n), "MUG", 1, "9.99", "1.67", rate=VAT) for n in range(1, 6))),
        taxed.order("x3", line("1", "MUG", 3, "10.00", "1.67")),
        taxed.order("x4", line("1", "MUG", 1, "8.33", "1.67", rate=VAT), prices_include_tax=False),
    ]
    shown: list[Any] = []
    for order in orders:
        answer = await said(taxed.created(order))
        shown.append([answer, taxed.held(order)])
    return shown
