"""What an adapter declares: its settings, budgets, steps; and the far side that it is judged by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from marketsync.domain.deliveries import Kind, StepSpec, WriteClass
from marketsync.domain.ids import Sku
from marketsync.errors import MarketsyncError
from marketsync.http import Role
from marketsync.kit.bench import ORIGIN, Bench, Fresh
from marketsync.kit.people import (
    an_order,
    created,
    parcel_of,
    ready_order,
    to_cancel,
    to_cancel_sale,
    to_create,
    to_refund,
    to_update,
    yes_to,
)
from marketsync.kit.reading import everything
from marketsync.kit.registry import Checks
from marketsync.ports import PublishStock, StockItem

check = Checks("plan", None)

BAD_URLS = (
    "kit.example",
    "ftp://kit.example",
    "https://",
    "https://user@kit.example",
    "https://kit.example/?a=1",
)


@check()
async def settings(fresh: Fresh) -> AsyncIterator[str]:
    """Settings are frozen and know their own names; an address that is none is refused before anything is sent."""
    config = fresh.spec.settings.__struct_config__
    if not config.frozen or not config.forbid_unknown_fields:
        yield "the settings are not frozen, or take names that they do not know"
    fields = fresh.spec.settings.__struct_fields__
    yielded = [name for name in fresh.spec.secrets if name not in fields]
    if yielded:
        yield f"{yielded[0]} is named as a secret and is no field of the settings"
    side = fresh.side()
    optional = {field.name for field in msgspec.structs.fields(fresh.spec.settings) if field.default == ""}
    known = side.secrets()
    if set(known) - set(fresh.spec.secrets) or set(fresh.spec.secrets) - optional - set(known):
        yield "the far side's secrets are not those that the adapter names"
    for url in BAD_URLS:
        stated = {
            **dict.fromkeys(fresh.spec.secrets, "kit"),
            **side.settings(ORIGIN),
            **fresh.quality.kit.setup.settings,
        }
        try:
            Bench(fresh.spec, fresh.quality, side, (await fresh()).clock, {**stated, "url": url})
        except (MarketsyncError, msgspec.ValidationError):
            continue
        yield f"the address {url} is taken"


@check()
async def budgets(fresh: Fresh) -> AsyncIterator[str]:
    """Every operation has its budget, and the budgets are no looser than the vendor's published figures."""
    plan = (await fresh()).plan
    known = {budget.name: budget for budget in plan.budgets}
    yield_names = [operation.name for operation in plan.operations if operation.budget not in known]
    if yield_names:
        yield f"the operation {yield_names[0]} has no budget"
    names = [operation.name for operation in plan.operations]
    if len(names) != len(dict.fromkeys(names)):
        yield "two operations have one name"
    for name, (calls, seconds) in fresh.quality.vendor.budgets.items():
        budget = known.get(name)
        if budget is None:
            yield f"[vendor.budgets] {name}: the adapter has no such budget"
        elif budget.calls / budget.per_seconds > calls / seconds * 1.0001:
            yield f"the budget {name} lets {budget.calls} in {budget.per_seconds:g} s, the vendor {calls} in {seconds:g} s"


@check(rules=("A3", "A4", "A13", "A21"))
async def steps(fresh: Fresh) -> AsyncIterator[str]:
    """The steps of a write are the same each time, named, metered, and declare how long they may still land."""
    bench = await fresh()
    operations = [operation.name for operation in bench.plan.operations]
    assumed = " ".join(f"{key} {text}" for key, text in fresh.quality.assumptions.items())
    for kind, payload in (await _payloads(bench)).items():
        writer = bench.adapter.writers[kind]
        declared = writer.steps(payload)
        if declared != writer.steps(payload):
            yield f"{kind.value}: the same payload has other steps the second time"
        names = [spec.name for spec in declared]
        if not names or len(names) != len(dict.fromkeys(names)):
            yield f"{kind.value}: its steps have no names of their own"
        for number, spec in enumerate(declared):
            if writer.operation(number) not in operations:
                yield f"{kind.value}: step {spec.name} spends {writer.operation(number)}, which is no operation of the plan"
            for sentence in _declared(kind, spec, assumed):
                yield f"{kind.value}: step {spec.name} {sentence}"


@check()
async def side(fresh: Fresh) -> AsyncIterator[str]:
    """The far side is a pure function: the same history gives the same bytes, and no two of them share anything."""
    bodies = []
    for _ in range(2):
        bench = await fresh()
        await fresh()
        bodies.append(await _history(bench))
    if bodies[0] != bodies[1]:
        yield "the same history of the far side gives other answers the second time"


def _declared(kind: Kind, spec: StepSpec, assumed: str) -> list[str]:
    said = []
    if spec.lands_within_seconds <= 0 and spec.write_class is not WriteClass.BLIND:
        said.append("says that nothing which left can still land")
    if spec.send_by_seconds <= 0:
        said.append("may never be sent")
    if min(spec.visible_within_seconds, spec.applied_after_seconds) < 0:
        said.append("has a time below zero")
    if spec.write_class is WriteClass.SCAN and not (spec.second_probe or kind is Kind.CREATE):
        said.append("is a scan and is not looked at once more")
    if not spec.path_may_duplicate and "path" not in assumed:
        said.append(
            "says that the path delivers nothing twice: [assumptions] does not say why (a key with `path`)"
        )
    return said


async def _payloads(bench: Bench) -> dict[Kind, Any]:
    """One of each kind that the adapter writes."""
    writers = bench.adapter.writers
    made: dict[Kind, Any] = {}
    if bench.spec.role is Role.MARKETPLACE:
        if Kind.ACCEPT in writers:
            made[Kind.ACCEPT] = yes_to(await bench.read(bench.place()))
        order = await ready_order(bench)
        made[Kind.CONFIRM] = parcel_of(bench, order)
        made[Kind.STOCK] = PublishStock((StockItem(Sku("KIT-A"), 3),))
        if Kind.CANCEL_SALE in writers:
            made[Kind.CANCEL_SALE] = to_cancel_sale(bench, order)
        if Kind.REFUND in writers:
            made[Kind.REFUND] = to_refund(bench, order, order.lines[0].line_total)
    else:
        made[Kind.CREATE] = await to_create(bench)
        await created(bench)
        made[Kind.UPDATE] = await to_update(bench, an_order())
        made[Kind.CANCEL] = to_cancel(bench, an_order())
    return {kind: payload for kind, payload in made.items() if kind in writers}


async def _history(bench: Bench) -> list[Any]:
    if bench.spec.role is Role.BACK_OFFICE:
        await created(bench)
        swept = await bench.patient(lambda: bench.shop.sweep_stock(""))
        return [swept.figures, bench.shop_side.orders(), swept.articles]
    first = bench.place()
    await bench.wait(3600.0)
    page = await bench.patient(lambda: bench.marketplace.fetch_orders(everything(bench), 0))
    return [first, [(row.order_id, row.raw) for row in page.orders], page.server_date]
