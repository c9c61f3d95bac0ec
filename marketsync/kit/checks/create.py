"""Orders brought into a shop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from decimal import Decimal

from msgspec.structs import replace

from marketsync.domain.deliveries import Found, Kind, ProbeAnswer, State
from marketsync.domain.ids import RemoteId
from marketsync.domain.orders import Order, TaxCollector, payable
from marketsync.domain.unmarked import by_itself
from marketsync.http import Role
from marketsync.kit.bench import START, Bench, Fresh
from marketsync.kit.doubt import doubt
from marketsync.kit.drive import Drive, Scene
from marketsync.kit.people import an_order, created, line, to_create
from marketsync.kit.registry import CannotShow, Checks
from marketsync.kit.wire import READ_TROUBLES, WRITE_TROUBLES, Trouble
from marketsync.ports import CancelOrder, CreateOrder, ProbeSpan, Request, Response, UpdateOrder
from marketsync.sandbox.kinds import Fault
from marketsync.sandbox.roles import EditsArticles, ShopOrder

check = Checks("create", Role.BACK_OFFICE, Kind.CREATE)

LOST = Trouble(Fault.ANSWER_LOST)
WEB_SALES = 230


@check(rules=("A3", "A8", "A11", "A12", "A14"), failures=(31, 32, 33, 43))
async def lost(fresh: Fresh) -> AsyncIterator[str]:
    """Whatever the network does, the order is in the shop once, whole, and what is said of it is true."""

    async def stage() -> Scene:
        bench = await fresh()
        return scene(bench, Kind.CREATE, await to_create(bench))

    for sentence in await doubt(stage, WRITE_TROUBLES, READ_TROUBLES):
        yield sentence


@check(rules=("A11", "A12"), traces=("A12",))
async def scan(fresh: Fresh) -> AsyncIterator[str]:
    """A record is found behind pages of other orders, in a list that moves or has lost its counts, and by a daemon that
    has just begun; it is never made twice."""
    for name in (
        "behind other orders",
        "in a list that moves",
        "in a list without counts",
        "after a restart",
    ):
        for skew in (0.0, -3 * 3600.0):
            bench = await fresh(clock_skew_seconds=skew)
            for number in range(3):
                await created(bench, an_order(line("1", "KIT-A", 1, "1.00"), order_id=f"KIT-OLD-{number}"))
            if name != "after a restart":
                _sell(bench, WEB_SALES)
            payload = await to_create(bench)
            drive = Drive(scene(bench, Kind.CREATE, payload))
            bench.wire.before = _selling(bench)
            if name == "in a list that moves":
                bench.wire.before = _moving(bench)
            if name == "in a list without counts":
                bench.wire.edit = _without_counts
            if name == "after a restart":
                await drive.move(LOST)
                bench = await fresh(side=bench.side, clock=bench.clock, traits=False)
                drive.bench, drive.writer = bench, bench.adapter.writers[Kind.CREATE]
            row = await drive.to_end(LOST, watched=False)
            where = f"{name}, the shop's clock {skew / 3600:+.0f} h" if skew else name
            held = bench.held(payload.ref)
            if len(held) != 1:
                yield f"{where}: the shop holds the order {len(held)} times"
            if row.state not in (State.DONE, State.PARKED):
                yield f"{where}: it ends {row.state.value}"
            if row.state is State.PARKED and name in ("behind other orders", "after a restart"):
                yield f"{where}: it is parked ({row.error})"


@check(failures=(18,), field=("unknown_last_line_never_shortens_an_order",))
async def whole(fresh: Fresh) -> AsyncIterator[str]:
    """Every article, every unit and every cent reaches the shop, whatever the order is made of."""
    for name, order in _orders():
        bench = await fresh()
        payload = await created(bench, order)
        (held,) = bench.held(payload.ref)
        for sentence in _differences(order, held):
            yield f"{name}: {sentence}"


@check(failures=(22,), field=("unknown_last_line_never_shortens_an_order",))
async def unknown_article(fresh: Fresh) -> AsyncIterator[str]:
    """An article that was deleted since it was resolved never leaves an order short, and never ships without it."""
    bench = await fresh()
    payload = await to_create(bench)
    if isinstance(bench.side, EditsArticles):
        bench.side.forget_article(bench.now, payload.lines[-1].sku)
    else:
        last = replace(payload.lines[-1], remote_id=RemoteId("999999999"))
        payload = replace(payload, lines=(*payload.lines[:-1], last))
    drive = Drive(scene(bench, Kind.CREATE, payload))
    row = await drive.to_end(watched=False)
    if any(order.released for order in bench.held(payload.ref)):
        yield "an order of which one article is gone was released"
    if row.state is not State.PARKED:
        yield f"it ends {row.state.value} instead of parked for a person"


@check(field=("test_mode_creates_nothing_real",))
async def without_effect(fresh: Fresh) -> AsyncIterator[str]:
    """Until its last step an order takes no stock and can't be shipped; then it takes its units once."""
    bench = await fresh()
    drive = Drive(scene(bench, Kind.CREATE, await to_create(bench)))
    if len(drive.steps) < 2:
        raise CannotShow("an order is created in one step, with its effect")
    before = dict(bench.shop_side.stock())
    await drive.part(1)
    if any(order.released for order in bench.held(drive.payload.ref)):
        yield "it is released with its first step"
    if dict(bench.shop_side.stock()) != before:
        yield "it takes stock before it is released"
    await drive.to_end(watched=False)
    taken = {line.sku: line.wanted for line in drive.payload.order.lines}
    now = dict(bench.shop_side.stock())
    if now != {sku: figure - taken.get(sku, 0) for sku, figure in before.items()}:
        yield f"released, it has changed the figures by {_change(before, now)}"


@check(rules=("A11",), failures=(34,))
async def two_records(fresh: Fresh) -> AsyncIterator[str]:
    """What the path delivered twice is seen as two records, or the shop has it once."""
    bench = await fresh()
    drive = Drive(scene(bench, Kind.CREATE, await to_create(bench)))
    await drive.to_end(Trouble(Fault.DUPLICATE, late=1.0), watched=False)
    await bench.wait(drive.steps[0].lands_within_seconds + drive.steps[0].visible_within_seconds)
    held = bench.held(drive.payload.ref)
    answer = await _looked(drive)
    found = len(answer.records) if isinstance(answer, Found) else 0
    if found != len(held):
        yield f"the shop holds {len(held)} records, and a look finds {found}"


@check(rules=("A11",), failures=(60,))
async def foreign(fresh: Fresh) -> AsyncIterator[str]:
    """The same order, written by another installation, is seen: it is neither adopted nor passed over."""
    bench = await fresh()
    theirs = await to_create(bench, installation="other")
    await Drive(scene(bench, Kind.CREATE, theirs)).to_end(watched=False)
    drive = Drive(scene(bench, Kind.CREATE, await to_create(bench)))
    row = await drive.to_end(Trouble(Fault.REQUEST_LOST), watched=False)
    if row.state is State.DONE and not drive.conflicts:
        made = len(bench.held(drive.payload.ref))
        yield f"an order that another installation had created was {'created again' if made else 'adopted'}"


def scene(bench: Bench, kind: Kind, payload: CreateOrder | UpdateOrder | CancelOrder) -> Scene:
    """Of what the shop holds of an order its own ids are left out, but not how many there are."""

    def watch() -> object:
        held = [
            (
                x.released,
                x.cancelled,
                x.parcels,
                x.total,
                [(y.sku, y.quantity, y.left, y.taken) for y in x.lines],
            )
            for x in bench.held(payload.ref)
        ]
        return held, dict(bench.shop_side.stock())

    return Scene(bench, kind, payload, watch)


def _orders() -> list[tuple[str, Order]]:
    mine = line("1", "KIT-A", 1, "10.00", "2.00", shipping=Decimal("3.50"))
    theirs = line("2", "KIT-B", 1, "7.00", "0.70", collector=TaxCollector.MARKETPLACE)
    return [
        ("an order", an_order()),
        ("tax on top, shipping, fees", an_order(mine, theirs, prices_include_tax=False, fees=Decimal("0.65"))),
        ("units taken off", an_order(line("1", "KIT-A", 3, "20.00", cancelled=1), line("2", "KIT-B", 1, "0.00", refused=1))),
        ("one article on two lines", an_order(line("1", "KIT-A", 1, "10.00"), line("2", "KIT-A", 2, "19.00"))),
        ("a buyer without a name", an_order(buyer=None)),
        ("amounts that do not divide", an_order(line("1", "KIT-A", 3, "10.00", "1.67"))),
    ]  # fmt: skip


def _differences(order: Order, held: ShopOrder) -> list[str]:
    said = []
    wanted = sorted((line.sku, line.wanted) for line in order.lines if line.wanted)
    if (found := sorted((line.sku, line.quantity) for line in held.lines)) != wanted:
        said.append(f"the shop holds {found} instead of {wanted}")
    total = payable(replace(order, lines=tuple(line for line in order.lines if line.wanted)))
    if held.total is not None and held.total != total:
        said.append(f"the shop's total is {held.total} instead of {total}")
    if held.currency and held.currency != order.currency:
        said.append(f"the shop's currency is {held.currency}")
    return said


def _sell(bench: Bench, count: int) -> None:
    for _ in range(count):
        bench.shop_side.web_sale(bench.now, "KIT-B", 1)


def _selling(bench: Bench) -> Callable[[Request], None]:
    """What is created meanwhile comes behind the record, or in front of it."""
    return lambda request: _sell(bench, WEB_SALES // 2) if request.write else None


def _moving(bench: Bench) -> Callable[[Request], None]:
    """Between two pages an older order goes and a newer one comes."""
    old = [order.remote_id for order in bench.shop_side.orders()]

    def move(request: Request) -> None:
        if not request.write and old:
            bench.troubled_shop.trash(bench.now, old.pop(0))
            _sell(bench, 1)

    return move


def _without_counts(request: Request, response: Response) -> Response:
    kept = ("content-type", "date", "retry-after")
    headers = {name: value for name, value in response.headers.items() if name in kept}
    return replace(response, headers=headers)


async def _looked(drive: Drive) -> ProbeAnswer:
    span = ProbeSpan(START, drive.bench.now)
    return by_itself(await drive.bench.patient(lambda: drive.writer.probe(drive.payload, 0, "", span)), ())


def _change(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {sku: after[sku] - figure for sku, figure in before.items() if after[sku] != figure}
