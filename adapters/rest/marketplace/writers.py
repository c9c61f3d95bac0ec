"""What is told to the marketplace: our yes or no, parcels, stock. Every write is absolute and under a key of ours."""

from __future__ import annotations

import hashlib

import msgspec

from adapters.rest import wire
from adapters.rest.api import Api, carrier_cause, code_of, parked, shown
from adapters.rest.marketplace.mapping import UNDECIDED
from adapters.rest.marketplace.settings import Settings
from marketsync.domain.deliveries import Absent, Found, ProbeAnswer, Record, StepSpec, Unknown, WriteClass
from marketsync.domain.ids import ConnectionId
from marketsync.errors import InDoubt, Park, ReadFailed, Refused
from marketsync.http import decode
from marketsync.ports import (
    AcceptOrder,
    Batch,
    ConfirmShipment,
    Departure,
    ItemResult,
    ProbeSpan,
    PublishStock,
    StepDone,
)

SHIPMENT_LENGTH = 32


class AcceptWriter:
    """The same decision again is answered as the first was; another one is refused."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings

    def operation(self, step: int) -> str:
        return "orders.accept"

    def steps(self, payload: AcceptOrder) -> tuple[StepSpec, ...]:
        lands, visible = self._settings.lands_within_seconds, self._settings.visible_within_seconds
        return (StepSpec("accept", WriteClass.UPSERT, lands, visible),)

    async def send(self, payload: AcceptOrder, step: int, checkpoint: str, departure: Departure) -> StepDone:
        body = wire.Acceptance(tuple(wire.Decision(x.line_id, x.accepted) for x in payload.lines))
        path = f"{_path(payload.order_id)}/acceptance"
        try:
            answer = await self._api.write("orders.accept", "PUT", path, departure, body)
        except Refused as refused:
            if refused.status == 409 and isinstance(await self._look(payload), Found):
                return StepDone(payload.order_id)
            parked(refused)
        order = decode(answer, wire.OrderState, write=True)
        if order.id != payload.order_id or not _decided_so(order, payload):
            raise InDoubt("orders.accept: the answer does not show the decision")
        return StepDone(payload.order_id)

    async def probe(self, payload: AcceptOrder, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        return await self._look(payload)

    async def _look(self, payload: AcceptOrder) -> ProbeAnswer:
        """A cancelled order asks for no answer any more; one that was decided otherwise is left to a person."""
        order = await _state(self._api, payload.order_id)
        if order.state == "cancelled":
            return Found((Record(payload.order_id, 1),))
        if order.state in UNDECIDED:
            return Absent()
        return Found((Record(payload.order_id, 1),)) if _decided_so(order, payload) else Unknown()


class ConfirmWriter:
    """One parcel under an id of ours: told again it is replaced, and the order is shipped with its last unit by itself."""

    def __init__(self, api: Api, connection: ConnectionId, settings: Settings) -> None:
        self._api, self._connection, self._settings = api, connection, settings

    def operation(self, step: int) -> str:
        return "orders.ship"

    def steps(self, payload: ConfirmShipment) -> tuple[StepSpec, ...]:
        lands, visible = self._settings.lands_within_seconds, self._settings.visible_within_seconds
        return (StepSpec("shipment", WriteClass.UPSERT, lands, visible, second_probe=True),)

    async def send(
        self, payload: ConfirmShipment, step: int, checkpoint: str, departure: Departure
    ) -> StepDone:
        if not payload.shipment.lines:
            raise Park(f"parcel {payload.shipment.shipment_id} has nothing in it")
        key = shipment_key(payload)
        path = f"{_path(payload.order_id)}/shipments/{key}"
        try:
            answer = await self._api.write("orders.ship", "PUT", path, departure, _parcel(payload))
        except Refused as refused:
            await self._judge(payload, refused)
            return StepDone(key)
        order = decode(answer, wire.OrderState, write=True)
        if order.id != payload.order_id or not _is_told(order, payload):
            raise InDoubt("orders.ship: the answer does not show the parcel")
        return StepDone(key)

    async def probe(
        self, payload: ConfirmShipment, step: int, checkpoint: str, span: ProbeSpan
    ) -> ProbeAnswer:
        order = await _state(self._api, payload.order_id)
        return Found((Record(shipment_key(payload), 1),)) if _is_told(order, payload) else Absent()

    async def _judge(self, payload: ConfirmShipment, refused: Refused) -> None:
        """Returns where an earlier attempt of ours had told this very parcel."""
        if code_of(refused) == "unknown_carrier":
            parked(refused, carrier_cause(payload.carrier.strip(), self._connection))
        if refused.status == 409 and _is_told(await _state(self._api, payload.order_id), payload):
            return
        parked(refused)


class StockWriter:
    """Absolute quantities, in force when they are answered."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings

    def operation(self, step: int) -> str:
        return "stock.set"

    def batch(self, due: int) -> Batch:
        return Batch(wire.ITEMS_MAX, "stock.set")

    def steps(self, payload: PublishStock) -> tuple[StepSpec, ...]:
        lands = self._settings.stock_lands_within_seconds
        return (StepSpec("stock", WriteClass.UPSERT, lands, path_may_duplicate=False),)

    async def send(self, payload: PublishStock, step: int, checkpoint: str, departure: Departure) -> StepDone:
        body = wire.StockLevels(tuple(wire.StockLevel(x.sku, x.quantity) for x in payload.items))
        try:
            answer = await self._api.write("stock.set", "PUT", "/marketplace/stock", departure, body)
        except Refused as refused:
            parked(refused)
        results = decode(answer, wire.StockResults, write=True).items
        if [x.sku for x in results] != [x.sku for x in payload.items]:
            raise InDoubt("stock.set: the answer is not one of these items")
        return StepDone(checkpoint=msgspec.json.encode({x.sku: x.error for x in results if x.error}).decode())

    async def probe(self, payload: PublishStock, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        """A listing can't be told from a sale since, so nothing is looked up: after the wait it is set anew (C16)."""
        return Unknown()

    async def results(self, payload: PublishStock, checkpoint: str) -> tuple[ItemResult, ...]:
        errors = msgspec.json.decode(checkpoint, type=dict[str, str])
        return tuple(ItemResult(item.sku, errors.get(item.sku, "")) for item in payload.items)


def shipment_key(payload: ConfirmShipment) -> str:
    """The shop's id of a parcel may be any text; this one may stand in a path."""
    return hashlib.sha256(payload.shipment.shipment_id.encode()).hexdigest()[:SHIPMENT_LENGTH]


async def _state(api: Api, order_id: str) -> wire.OrderState:
    page = await api.get("orders.look", "/marketplace/orders", wire.StatePage, (("ids", order_id),))
    order = next((order for order in page.orders if order.id == order_id), None)
    if order is None:
        raise ReadFailed("orders.look: the order is not shown")
    return order


def _path(order_id: str) -> str:
    """The contract's ids need no encoding; what is read from it was checked."""
    return f"/marketplace/orders/{order_id}"


def _decided_so(order: wire.OrderState, payload: AcceptOrder) -> bool:
    held = {line.id: line.accepted for line in order.lines}
    return order.state not in UNDECIDED and all(held.get(x.line_id) is x.accepted for x in payload.lines)


def _is_told(order: wire.OrderState, payload: ConfirmShipment) -> bool:
    wanted, key = _parcel(payload), shipment_key(payload)
    held = next((parcel for parcel in order.shipments if parcel.id == key), None)
    return held is not None and (held.carrier, held.tracking_number, _units(held.lines)) == (
        wanted.carrier,
        wanted.tracking_number,
        _units(wanted.lines),
    )


def _units(lines: tuple[wire.ShippedLine, ...]) -> dict[str, int]:
    return {line.id: line.quantity for line in lines}


def _parcel(payload: ConfirmShipment) -> wire.Parcel:
    """A parcel may name a line twice: the contract's has it once."""
    units: dict[str, int] = {}
    for line in payload.shipment.lines:
        units[line.line_id] = units.get(line.line_id, 0) + line.quantity
    return wire.Parcel(
        carrier=shown(payload.carrier, wire.CARRIER_MAX),
        tracking_number=shown(payload.shipment.tracking_number, wire.CARRIER_MAX),
        tracking_url=shown(payload.shipment.tracking_url, wire.URL_MAX),
        shipped_at=payload.shipment.shipped_at,
        lines=tuple(wire.ShippedLine(key, count) for key, count in units.items()),
    )
