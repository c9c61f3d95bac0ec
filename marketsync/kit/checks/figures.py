"""The shop's figures, its articles, and what our orders do to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import Sku
from marketsync.domain.orders import Order
from marketsync.domain.stock import Effect, Event, StockFacts
from marketsync.http import Role
from marketsync.kit.bench import Bench, Fresh
from marketsync.kit.checks.create import scene
from marketsync.kit.checks.update import B, ship
from marketsync.kit.drive import Drive
from marketsync.kit.people import an_order, articles_of, created, line, to_cancel, to_create, to_update
from marketsync.kit.registry import CannotShow, Checks
from marketsync.sandbox.roles import EditsArticles, Ware

check = Checks("figures", Role.BACK_OFFICE)

SKUS = (Sku("KIT-A"), Sku("KIT-B"))
CALLS_MAX = 30
MANY = 130


@check(rules=("C3",))
async def facts(fresh: Fresh) -> AsyncIterator[str]:
    """What each event does to the figure of an article is what the adapter declares of it."""
    for name, event, act, units in _events():
        bench = await fresh()
        stated = (await articles_of(bench, SKUS))[Sku("KIT-A")].facts
        before, after = await act(bench)
        if (moved := after - before) != (expected := _expected(stated, event, units)):
            yield f"{name} moves the figure by {moved:+d}, and {expected:+d} is declared"


@check(rules=("C8", "C21"), failures=(46,), field=("older_quantity_never_wins",))
async def read(fresh: Fresh) -> AsyncIterator[str]:
    """By name and by sweep come the figures as they are in the shop, below zero too, at once after whatever moved them."""
    bench = await fresh()
    await created(bench)
    for sentence in await _compared(bench, "after our order"):
        yield sentence
    bench.shop_side.web_sale(bench.now, "KIT-A", 7)
    for sentence in await _compared(bench, "after a web sale"):
        yield sentence
    bench.shop_side.restock(bench.now, "KIT-B", 11)
    for sentence in await _compared(bench, "after goods came"):
        yield sentence
    bench.shop_side.web_sale(bench.now, "KIT-A", 60)
    for sentence in await _compared(bench, "sold below zero"):
        yield sentence


@check(failures=(46,))
async def sweep(fresh: Fresh) -> AsyncIterator[str]:
    """A sweep sees every article once and comes to its end; its articles are those of its figures."""
    wares = tuple(Ware(f"KIT-{number:03d}", number) for number in range(MANY))
    bench = await fresh(wares=wares)
    seen: dict[str, int] = {}
    cursor = ""
    for _ in range(CALLS_MAX):
        page = await bench.patient(lambda cursor=cursor: bench.shop.sweep_stock(cursor))  # type: ignore[misc]
        for figure in page.figures:
            seen[figure.sku] = seen.get(figure.sku, 0) + 1
        if missing := {figure.sku for figure in page.figures} - {article.sku for article in page.articles}:
            yield f"{len(missing)} figures of a page come without their articles"
        cursor = page.next_cursor
        if not cursor:
            break
    else:
        yield f"a sweep of {MANY} articles has no end after {CALLS_MAX} calls"
    if lost := MANY - len(seen):
        yield f"a sweep leaves out {lost} of {MANY} articles"
    if twice := sum(count > 1 for count in seen.values()):
        yield f"a sweep shows {twice} articles more than once"


@check(failures=(22,))
async def resolve(fresh: Fresh) -> AsyncIterator[str]:
    """A SKU is one article, letter by letter; unknown ones and those of two articles are left out."""
    bench = await fresh()
    asked = [Sku("KIT-A"), Sku("kit-b"), Sku("KIT-NONE")]
    found = await bench.patient(lambda: bench.shop.resolve_skus(asked))
    if list(found) != ["KIT-A"]:
        yield f"of one SKU, one in small letters and one unknown {len(found)} are resolved"
    if isinstance(bench.side, EditsArticles):
        bench.side.add_article(bench.now, "KIT-A", 3)
        if Sku("KIT-A") in await bench.patient(lambda: bench.shop.resolve_skus(asked)):
            yield "a SKU that two articles have is resolved"
    many = [Sku(f"KIT-{number:03d}") for number in range(MANY)]
    bench = await fresh(wares=[Ware(sku, 1) for sku in many])
    found = await bench.patient(lambda: bench.shop.resolve_skus(many))
    if len(found) != MANY:
        yield f"of {MANY} SKUs {len(found)} are resolved"


async def _compared(bench: Bench, when: str) -> list[str]:
    await bench.wait(bench.shop.read_lag_seconds)
    truth = {sku: bench.figure(sku) for sku in SKUS}
    articles = list((await articles_of(bench, SKUS)).values())
    named = await bench.patient(lambda: bench.shop.read_stock(articles))
    page = await bench.patient(lambda: bench.shop.sweep_stock(""))
    said = []
    for how, figures in (("by name", named), ("by sweep", page.figures)):
        found = {figure.sku: figure.value for figure in figures}
        said += [
            f"{when}, {how}: {x} is {found.get(x)} instead of {truth[x]}"
            for x in SKUS
            if found.get(x) != truth[x]
        ]
    return said


Act = Callable[[Bench], Awaitable[tuple[int, int]]]


def _events() -> list[tuple[str, Event, Act, int]]:
    return [
        ("creating", Event.CREATE, _creating, 2),
        ("releasing", Event.RELEASE, _releasing, 2),
        ("raising by one", Event.RAISE, lambda bench: _changing(bench, 3), 1),
        ("lowering by one", Event.LOWER, lambda bench: _changing(bench, 1), 1),
        ("cancelling", Event.CANCEL, _cancelling, 2),
        ("a parcel", Event.PARCEL, _sending, 2),
    ]


async def _creating(bench: Bench) -> tuple[int, int]:
    before = bench.figure("KIT-A")
    await created(bench, steps=1)
    return before, bench.figure("KIT-A")


async def _releasing(bench: Bench) -> tuple[int, int]:
    drive = Drive(scene(bench, Kind.CREATE, await to_create(bench)))
    await drive.part(1)
    before = bench.figure("KIT-A")
    await drive.to_end(watched=False)
    return before, bench.figure("KIT-A")


async def _changing(bench: Bench, units: int) -> tuple[int, int]:
    if Kind.UPDATE not in bench.adapter.writers:
        raise CannotShow("the shop's orders can't be changed")
    await created(bench)
    before = bench.figure("KIT-A")
    order: Order = an_order(line("1", "KIT-A", units, f"{units}0.00"), B)
    await Drive(scene(bench, Kind.UPDATE, await to_update(bench, order))).to_end(watched=False)
    return before, bench.figure("KIT-A")


async def _cancelling(bench: Bench) -> tuple[int, int]:
    if Kind.CANCEL not in bench.adapter.writers:
        raise CannotShow("the shop's orders can't be cancelled")
    await created(bench)
    before = bench.figure("KIT-A")
    await Drive(scene(bench, Kind.CANCEL, to_cancel(bench, an_order()))).to_end(watched=False)
    return before, bench.figure("KIT-A")


async def _sending(bench: Bench) -> tuple[int, int]:
    await created(bench)
    before = bench.figure("KIT-A")
    ship(bench, an_order())
    return before, bench.figure("KIT-A")


def _expected(facts: StockFacts, event: Event, units: int) -> int:
    match facts.effects.get(event, Effect.NOTHING):
        case Effect.TAKES:
            return -units
        case Effect.GIVES_BACK:
            return units
        case Effect.NOTHING:
            return 0
