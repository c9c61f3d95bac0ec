from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from marketsync.domain.coverage import Axis, ListTraits, Window
from marketsync.domain.deliveries import (
    Absent,
    Found,
    Kind,
    ProbeAnswer,
    Record,
    StepSpec,
    Unknown,
    WriteClass,
)
from marketsync.domain.ids import LineId, OrderId, OrderKey, Sku
from marketsync.domain.money import BadAmount, amount, currency
from marketsync.domain.orders import Address, Order, OrderLine
from marketsync.errors import InDoubt, Malformed, Park, ReadFailed, Refused
from marketsync.http import (
    AdapterSpec,
    ApiKey,
    Budget,
    BuildContext,
    Call,
    ConnectionPlan,
    Operation,
    Role,
    decode,
)
from marketsync.ports import (
    ConfirmShipment,
    Departure,
    OrderPage,
    ProbeSpan,
    RawOrder,
    StepDone,
    Traits,
    Writer,
)

STATES = ("paid", "shipped", "cancelled")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: str
    key: str


class WireLine(msgspec.Struct):
    id: str
    sku: str
    quantity: int
    price: str


class WireOrder(msgspec.Struct):
    id: str
    state: str
    created: datetime
    updated: datetime
    total: str
    currency: str
    street: str
    lines: list[WireLine]
    number: str = ""


class WirePage(msgspec.Struct):
    orders: list[msgspec.Raw]
    total: int


class Named(msgspec.Struct):
    id: str


class Minimart:
    ids_max = 20

    def __init__(self, context: BuildContext, settings: Settings) -> None:
        del settings
        self._context, self._http = context, context.http
        self.writers: Mapping[Kind, Writer] = {Kind.CONFIRM: Confirm(self)}

    @property
    def updated(self) -> ListTraits:
        return ListTraits(
            axis=Axis.UPDATED, page_size=50, states_total=True, stable_order=True, overlap_seconds=60.0
        )

    @property
    def created(self) -> ListTraits:
        return ListTraits(axis=Axis.CREATED, page_size=50, states_total=True, stable_order=True)

    async def probe_traits(self) -> Traits:
        return Traits(server_date=(await self._list(("ids", "-"))).server_date)

    async def fetch_orders(self, window: Window, offset: int) -> OrderPage:
        ends = [f"{end.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" for end in (window.lo, window.hi)]
        return await self._list(
            ("axis", window.axis.value), ("from", ends[0]), ("to", ends[1]), ("offset", str(offset))
        )

    async def fetch_orders_by_ids(self, order_ids: Sequence[OrderId]) -> OrderPage:
        if len(order_ids) > self.ids_max:
            raise ValueError(f"at most {self.ids_max} ids")
        return await self._list(("ids", ",".join(order_ids)))

    def parse_order(self, raw: bytes) -> Order:
        try:
            stated = msgspec.json.decode(raw, type=WireOrder)
            return self._order(stated)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
            raise Malformed("$", "not an order") from None
        except BadAmount as error:
            raise Malformed("$.total", str(error)) from None

    def _order(self, stated: WireOrder) -> Order:
        if stated.state not in STATES:
            raise Park("state has a value that is new", ("enum:minimart.state",))
        if not stated.lines or not stated.id.strip() or min(x.quantity for x in stated.lines) < 1:
            raise Malformed("$.lines", "no usable lines")
        gone, sent = stated.state == "cancelled", stated.state == "shipped"
        lines = tuple(
            OrderLine(
                LineId(x.id), Sku(x.sku), x.quantity, _price(x.price) * x.quantity, unit_price=_price(x.price),
                cancelled=x.quantity if gone else 0, shipped=x.quantity if sent else 0,
            )
            for x in stated.lines
        )  # fmt: skip
        return Order(
            key=OrderKey(self._context.merchant, self._context.connection, OrderId(stated.id)),
            created_at=_utc(stated.created), updated_at=_utc(stated.updated), currency=currency(stated.currency),
            total=_price(stated.total), prices_include_tax=True, lines=lines, paid=True, state_as_stated=stated.state,
            ship_to=Address("A", "Buyer", stated.street, "Paris", "75001", "FR"),
        )  # fmt: skip

    async def _list(self, *query: tuple[str, str]) -> OrderPage:
        answer = await self._http.read(Call("list", "GET", "/orders", query))
        page = decode(answer, WirePage, write=False)
        rows = [RawOrder(msgspec.json.decode(raw, type=Named).id, bytes(raw)) for raw in page.orders]
        return OrderPage(tuple(rows), page.total, answer.server_date)


class Confirm:
    def __init__(self, market: Minimart) -> None:
        self._market = market

    def operation(self, step: int) -> str:
        del step
        return "ship"

    def steps(self, payload: ConfirmShipment) -> tuple[StepSpec, ...]:
        del payload
        return (StepSpec("ship", WriteClass.LOOKUP, 60.0),)

    async def send(
        self, payload: ConfirmShipment, step: int, checkpoint: str, departure: Departure
    ) -> StepDone:
        del step, checkpoint
        body = msgspec.json.encode({"number": payload.shipment.tracking_number})
        call = Call("ship", "PUT", f"/orders/{payload.order_id}/ship", body=body)
        try:
            answer = await self._market._http.write(call, departure)
        except Refused as refused:
            if refused.status == 409:
                raise InDoubt("the order is not as it was: it may be our own doing") from refused
            raise Park(f"refused with HTTP {refused.status}") from refused
        decode(answer, Named, write=True)
        return StepDone(payload.order_id)

    async def probe(
        self, payload: ConfirmShipment, step: int, checkpoint: str, span: ProbeSpan
    ) -> ProbeAnswer:
        del step, checkpoint, span
        page = await self._market.fetch_orders_by_ids([payload.order_id])
        if not page.orders:
            raise ReadFailed("the order is not shown")
        stated = msgspec.json.decode(page.orders[0].raw, type=WireOrder)
        if stated.state == "shipped" and stated.number == payload.shipment.tracking_number:
            return Found((Record(payload.order_id, 1),))
        return Absent() if stated.state == "paid" else Unknown()


def plan(settings: Settings, secrets: Mapping[str, str]) -> ConnectionPlan:
    return ConnectionPlan(
        base_url=settings.url, auth=ApiKey("X-Key", secrets["key"]), credential=settings.key,
        budgets=(Budget("calls", 60, 60.0, 5),), operations=(Operation("list", "calls"), Operation("ship", "calls")),
    )  # fmt: skip


def build(context: BuildContext, settings: Any) -> Minimart:
    return Minimart(context, settings)


def _price(text: str) -> Decimal:
    value = amount(text)
    if value < 0:
        raise Malformed("$.total", "negative")
    return value


def _utc(stamp: datetime) -> datetime:
    return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)


ADAPTER = AdapterSpec(
    name="minimart", role=Role.MARKETPLACE, settings=Settings, secrets=("key",), plan=plan, build=build,
    sandbox=f"{__package__}.side:open_side",
)  # fmt: skip
