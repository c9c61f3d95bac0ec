"""What is written to Mirakl of its orders: accept (OR21), confirm (OR23 and OR24, or ST01)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from adapters.mirakl import wire
from adapters.mirakl.mapping import ORDER_STATES, SHIPPED, UNDECIDED, is_about_state, problem_of
from marketsync.domain.deliveries import Absent, Found, ProbeAnswer, Record, StepSpec, Unknown, WriteClass
from marketsync.domain.ids import ConnectionId, OrderId
from marketsync.errors import InDoubt, Park, PauseConnection, ReadFailed, Refused
from marketsync.http import Answer, Call, Http, decode, segment
from marketsync.http.documents import is_id
from marketsync.ports import (
    AcceptOrder,
    ConfirmShipment,
    Departure,
    ProbeSpan,
    StepDone,
    StepResult,
)

PACKAGE_REFERENCE_MAX = 50
_LEFT = SHIPPED | {"CLOSED"}

Query = tuple[tuple[str, str], ...]
T = TypeVar("T")


class Api:
    """The vendor's calls in our terms: the shop on each, one look at one order."""

    def __init__(self, http: Http, shop_id: int | None, tax_mode: str) -> None:
        self._http = http
        self._shop: Query = () if shop_id is None else (("shop_id", str(shop_id)),)
        self._tax_mode = tax_mode

    async def read(self, operation: str, path: str, query: Query = (), *, scoped: bool = True) -> Answer:
        query = (*query, *self._shop) if scoped else query
        try:
            return await self._http.read(Call(operation=operation, method="GET", path=path, query=query))
        except Refused as refused:
            _pause_if_forbidden(refused)
            raise

    async def write(self, operation: str, path: str, departure: Departure, body: object = None) -> Answer:
        """One request. Also where no answer is awaited but that it was taken, a page for people says nothing (D6). A refusal for a state that the order is not in any more means "look": it may be our own
        earlier attempt that moved it (D6). Any other refusal parks with the vendor's code."""
        method = "POST" if operation.startswith("ST") else "PUT"
        kind, content = body if isinstance(body, tuple) else ("application/json", _json(body))
        call = Call(operation, method, path, query=self._shop, body=content, content_type=kind)
        try:
            answer = await self._http.write(call, departure)
        except Refused as refused:
            _pause_if_forbidden(refused)
            code = problem_of(refused.body)
            if code.endswith("INVALID_STATE") or (not code and is_about_state(refused.body)):
                raise InDoubt(f"{operation}: the order is in another state than expected") from refused
            raise Park(f"{operation} was refused: {code or f'HTTP {refused.status}'}") from refused
        if answer.body.strip() and not _is_json(answer.body):
            raise InDoubt(f"{operation}: the answer is not the marketplace's own")
        return answer

    async def list_orders(self, chosen: Query) -> Answer:
        """OR11, without any filter of state (B6); the tax mode is stated, or the platform's default decides."""
        fixed = (
            ("max", "100"), ("paginate", "true"), ("sort", "dateCreated"), ("order", "asc"),
            ("order_tax_mode", self._tax_mode),
        )  # fmt: skip
        return await self.read("OR11", "/api/orders", (*chosen, *fixed))

    async def order_state(self, order_id: OrderId) -> wire.OrderState | None:
        page = decode(await self.list_orders((("order_ids", order_id),)), wire.OrderStates, write=False)
        found = next((order for order in page.orders if order.order_id == order_id), None)
        if found is not None and found.order_state not in ORDER_STATES:
            # Whoever reads the order parks it; what was done to it is looked at again when its state is understood.
            raise ReadFailed(f"{order_id} is in a state that is not known")
        return found


class Account:
    """What depends on the account. Until `learn`, the least that every operator has: one parcel to an order."""

    def __init__(
        self, connection: ConnectionId, lands_within_seconds: float, visible_within_seconds: float
    ) -> None:
        self.connection = connection
        self.lands_within_seconds = lands_within_seconds
        self.visible_within_seconds = visible_within_seconds
        self.multi_shipment = False
        self.other_carriers = True
        self._codes: dict[str, str] = {}

    def learn(self, features: wire.Features, carriers: Sequence[wire.Carrier]) -> None:
        self.multi_shipment = features.shipment.multi_shipment
        self.other_carriers = not features.disable_seller_alternative_carrier
        by_label = {carrier.label.casefold(): carrier.code for carrier in carriers}
        self._codes = by_label | {carrier.code.casefold(): carrier.code for carrier in carriers}

    def step(
        self, name: str, write_class: WriteClass, *, content: bool = True, second: bool = False
    ) -> StepSpec:
        return StepSpec(
            name=name,
            write_class=write_class,
            lands_within_seconds=self.lands_within_seconds,
            visible_within_seconds=self.visible_within_seconds,
            carries_content=content,
            second_probe=second,
        )

    def tracking(self, payload: ConfirmShipment) -> wire.Tracking:
        """A registered carrier by its code, another by name and link, where the operator allows others."""
        carrier, parcel = payload.carrier.strip(), payload.shipment
        code = self._codes.get(carrier.casefold())
        number = parcel.tracking_number or None
        if code is not None:
            return wire.Tracking(carrier_code=code, tracking_number=number)
        if not carrier or not self.other_carriers:
            reason = f"the carrier {carrier or '(none)'} is not registered with this marketplace: map it to one that is"
            raise Park(reason, (f"carrier:{carrier}@{self.connection}",))
        return wire.Tracking(
            carrier_name=carrier, carrier_url=parcel.tracking_url or None, tracking_number=number
        )


class AcceptWriter:
    """OR21. The marketplace takes one decision per order, so the state tells whether ours arrived.

    A cancelled order asks for none any more; one that was decided otherwise is left to a person.
    """

    def __init__(self, api: Api, account: Account) -> None:
        self._api = api
        self._account = account

    def operation(self, step: int) -> str:
        return "OR21"

    def steps(self, payload: AcceptOrder) -> tuple[StepSpec, ...]:
        return (self._account.step("accept", WriteClass.LOOKUP),)

    async def send(
        self, payload: AcceptOrder, step: int, checkpoint: str, departure: Departure
    ) -> StepResult:
        decisions = [wire.Decision(id=line.line_id, accepted=line.accepted) for line in payload.lines]
        path = f"/api/orders/{segment(payload.order_id)}/accept"
        await self._api.write("OR21", path, departure, wire.Accept(decisions))
        return StepDone(remote_id=payload.order_id)

    async def probe(self, payload: AcceptOrder, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        order = await self._api.order_state(payload.order_id)
        if order is None:
            return Unknown()
        if order.order_state in UNDECIDED:
            return Absent()
        if order.order_state == "CANCELED":
            return Found((Record(payload.order_id, 1),))
        ours = all(_decided_so(order, line.line_id, accepted=line.accepted) for line in payload.lines)
        return Found((Record(payload.order_id, 1),)) if ours else Unknown()


class ConfirmWriter:
    """One parcel. With the multi-shipment module ST01 takes parcel by parcel; without it an order has one tracking
    (OR23, overwritten by the next parcel) and is shipped as a whole (OR24) with the parcel that completes it.
    A part without tracking is then nothing that the marketplace could be told."""

    def __init__(self, api: Api, account: Account) -> None:
        self._api = api
        self._account = account

    def operation(self, step: int) -> str:
        if self._account.multi_shipment:
            return "ST01"
        return "OR24" if step else "OR23"

    def steps(self, payload: ConfirmShipment) -> tuple[StepSpec, ...]:
        if self._account.multi_shipment:
            return (self._account.step("shipment", WriteClass.LOOKUP, second=True),)
        tracking = self._account.step("tracking", WriteClass.UPSERT)
        ship = self._account.step("ship", WriteClass.LOOKUP, content=_untracked(payload))
        if not payload.completes_order:
            return (tracking,)
        return (ship,) if _untracked(payload) else (tracking, ship)

    async def send(
        self, payload: ConfirmShipment, step: int, checkpoint: str, departure: Departure
    ) -> StepResult:
        if self._account.multi_shipment:
            return await self._send_shipment(payload, departure)
        path = f"/api/orders/{segment(payload.order_id)}"
        if self.steps(payload)[step].name == "ship":
            await self._api.write("OR24", f"{path}/ship", departure)
        elif not _untracked(payload):
            await self._api.write("OR23", f"{path}/tracking", departure, self._account.tracking(payload))
        return StepDone(remote_id=payload.order_id)

    async def probe(
        self, payload: ConfirmShipment, step: int, checkpoint: str, span: ProbeSpan
    ) -> ProbeAnswer:
        if self._account.multi_shipment:
            return await self._probe_shipment(payload)
        order = await self._api.order_state(payload.order_id)
        steps = self.steps(payload)
        if order is None or order.order_state not in _LEFT | {"SHIPPING"}:
            return Unknown()
        if order.order_state in _LEFT:
            return Found((Record(payload.order_id, len(steps)),))
        if step > 0 or (steps[step].name == "tracking" and self._is_tracked(order, payload)):
            return Found((Record(payload.order_id, 1),))
        return Absent()

    def _is_tracked(self, order: wire.OrderState, payload: ConfirmShipment) -> bool:
        return _untracked(payload) or _same_tracking(order, self._account.tracking(payload))

    async def _send_shipment(self, payload: ConfirmShipment, departure: Departure) -> StepResult:
        """A 201 may refuse. It does so, too, where an earlier attempt took the quantities: so it is looked up."""
        tracking = wire.Tracking() if _untracked(payload) else self._account.tracking(payload)
        if departure.attempt > 1 and (told := await self._told_before(payload, tracking)):
            return told
        shipment = _new_shipment(payload, tracking)
        answer = await self._api.write("ST01", "/api/shipments", departure, wire.NewShipments([shipment]))
        made = decode(answer, wire.ShipmentsCreated, write=True)
        for created in made.shipment_success or ():
            if not is_id(created.id):
                raise InDoubt("ST01 answered with an id that is none")
            return StepDone(remote_id=created.id)
        if not made.shipment_errors:
            raise InDoubt("ST01 answered with neither a shipment nor an error")
        match await self._probe_shipment(payload):
            case Found(records=(record,)):
                return StepDone(remote_id=record.remote_id)
            case Absent():
                raise Park(
                    "ST01 was refused: state, quantities or carrier of the order do not allow this parcel"
                )
            case _:
                raise InDoubt("ST01 was refused, and the shipments of the order do not tell why")

    async def _probe_shipment(self, payload: ConfirmShipment) -> ProbeAnswer:
        mine, more = await self._shipments_of(payload)
        if mine:
            return Found(tuple(Record(made.id, 1) for made in mine))
        return Unknown() if more else Absent()

    async def _told_before(self, payload: ConfirmShipment, tracking: wire.Tracking) -> StepDone | None:
        """ST01 has no key of ours: while units of the order are left, a parcel that is told again ships them too."""
        mine, more = await self._shipments_of(payload)
        if not mine:
            if more:
                raise InDoubt("the order has more shipments than one answer shows")
            return None
        changed = f"parcel {payload.shipment.shipment_id} was changed after it was confirmed: correct it at the marketplace"
        return StepDone(mine[0].id, conflict="" if _says(mine[0], payload, tracking) else changed)

    async def _shipments_of(self, payload: ConfirmShipment) -> tuple[list[wire.Shipment], bool]:
        """Those of this parcel, and whether there are more shipments of the order than were read. By our package
        reference; a server that dropped it still has the tracking number."""
        answer = await self._api.read("ST11", "/api/shipments", (("order_id", payload.order_id),))
        page = decode(answer, wire.Shipments, write=False)
        mine = [made for made in page.data if made.order_id == payload.order_id and _is_parcel(made, payload)]
        if not all(is_id(made.id) for made in mine):
            raise ReadFailed("ST11 answered with an id that is none")
        return mine, bool(page.next_page_token)


def _pause_if_forbidden(refused: Refused) -> None:
    if refused.status == 403:
        raise PauseConnection(f"{refused.operation}: the API key may not do this (HTTP 403)") from refused


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _untracked(payload: ConfirmShipment) -> bool:
    return not payload.carrier.strip() and not payload.shipment.tracking_number


def _json(body: object) -> bytes:
    return b"" if body is None else msgspec.json.encode(body)


def _decided_so(order: wire.OrderState, line_id: str, *, accepted: bool) -> bool:
    """A line cancelled later was accepted if the order was ever decided upon."""
    state = next((line.order_line_state for line in order.order_lines if line.order_line_id == line_id), "")
    if state == "CANCELED":
        return accepted and order.acceptance_decision_date is not None
    return bool(state) and accepted == (state != "REFUSED")


def _same_tracking(order: wire.OrderState, tracking: wire.Tracking) -> bool:
    carrier = order.shipping_carrier_code if tracking.carrier_code else order.shipping_company
    wanted = tracking.carrier_code or tracking.carrier_name
    return (carrier or "") == (wanted or "") and (order.shipping_tracking or "") == (
        tracking.tracking_number or ""
    )


def _new_shipment(payload: ConfirmShipment, tracking: wire.Tracking) -> wire.NewShipment:
    url, tracking.carrier_url = tracking.carrier_url, None
    tracking.tracking_url = url
    mark = _package_reference(payload)
    lines = [
        wire.ShipmentLine(order_line_id=line.line_id, quantity=line.quantity, package_reference=mark)
        for line in payload.shipment.lines
    ]
    return wire.NewShipment(order_id=payload.order_id, shipment_lines=lines, tracking=tracking, shipped=True)


def _package_reference(payload: ConfirmShipment) -> str:
    known = str(payload.shipment.shipment_id)
    return known if len(known) <= PACKAGE_REFERENCE_MAX else hashlib.sha256(known.encode()).hexdigest()[:40]


def _says(made: wire.Shipment, payload: ConfirmShipment, tracking: wire.Tracking) -> bool:
    held = made.tracking or wire.Tracking()
    units = {line.order_line_id: line.quantity for line in made.shipment_lines or ()}
    same_units = units == {line.line_id: line.quantity for line in payload.shipment.lines}
    return same_units and (held.tracking_number or "") == (tracking.tracking_number or "")


def _is_parcel(made: wire.Shipment, payload: ConfirmShipment) -> bool:
    marks = {line.package_reference for line in made.shipment_lines or () if line.package_reference}
    if marks:
        return _package_reference(payload) in marks
    number = made.tracking.tracking_number if made.tracking else None
    return bool(number) and number == payload.shipment.tracking_number
