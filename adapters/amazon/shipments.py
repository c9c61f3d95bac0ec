"""A parcel told to Amazon (confirmShipment): kept there by a reference of ours, so that a second telling is an edit."""

from __future__ import annotations

import hashlib
import re

from adapters.amazon import wire
from adapters.amazon.api import Api, is_already_fulfilled, refusal
from adapters.amazon.mapping import PENDING, STATES
from marketsync.domain.deliveries import Absent, Found, ProbeAnswer, Record, StepSpec, Unknown, WriteClass
from marketsync.domain.ids import ConnectionId
from marketsync.errors import InDoubt, Park, ReadFailed, Refused
from marketsync.http import segment
from marketsync.ports import ConfirmShipment, Departure, ProbeSpan, StepDone, StepResult

REFERENCE_MAX = 999_999_999
LOOKS_MAX = 3
# Amazon takes any code and confirms nothing by one that it does not know: every other carrier goes by name.
CARRIERS = (
    "AUSTRALIA_POST", "BLUEDART", "BPOST", "BRT", "Canada Post", "Chronopost", "City Link", "Colissimo", "Correos", "CTT",
    "DHL", "DHL eCommerce", "Deutsche Post", "DPD", "DTDC", "Fedex", "FedEx", "GLS", "Hermes", "InPost", "La Poste",
    "Mondial Relay", "MRW", "OnTrac", "Parcelforce", "Poste Italiane", "PostNL", "PostNord", "Royal Mail", "Sagawa", "SDA",
    "SEUR", "TNT", "UPS", "USPS", "Yamato", "Yodel",
)  # fmt: skip


class ConfirmWriter:
    """UPSERT: Amazon keeps one package for each `packageReferenceId` of an order."""

    def __init__(
        self,
        api: Api,
        connection: ConnectionId,
        marketplace_ids: tuple[str, ...],
        lands_within_seconds: float,
        visible_within_seconds: float,
    ) -> None:
        self._api = api
        self._connection = connection
        self._marketplace_ids = marketplace_ids
        self._spec = StepSpec("package", WriteClass.UPSERT, lands_within_seconds, visible_within_seconds)

    def operation(self, step: int) -> str:
        return "confirmShipment"

    def steps(self, payload: ConfirmShipment) -> tuple[StepSpec, ...]:
        return (self._spec,)

    async def send(
        self, payload: ConfirmShipment, step: int, checkpoint: str, departure: Departure
    ) -> StepResult:
        """What another way had already confirmed is looked at before anything is said of it."""
        path = f"/orders/v0/orders/{segment(payload.order_id)}/shipmentConfirmation"
        body = wire.Confirmation(self._store(payload), self._package(payload))
        try:
            answer = await self._api.write("confirmShipment", "POST", path, body, departure)
        except Refused as refused:
            if refused.status == 400 and is_already_fulfilled(refused.body):
                return await self._look(payload, departure, refused)
            raise refusal(refused) from refused
        if answer.status != 204:
            raise InDoubt(f"confirmShipment: HTTP {answer.status} is not Amazon's own answer")
        return StepDone(remote_id=reference(payload))

    async def probe(
        self, payload: ConfirmShipment, step: int, checkpoint: str, span: ProbeSpan
    ) -> ProbeAnswer:
        """Ours with other content is an earlier telling of it: this one has not landed. Where the order is shipped without
        ours, cancelled or unknown, a person decides."""
        order = await self._api.packages(payload.order_id)
        if order is None:
            return Unknown()
        state = order.fulfillment.fulfillment_status
        if state not in STATES:
            # Whoever reads the order parks it; what was told of it is looked at again when its state is understood.
            raise ReadFailed(f"{payload.order_id} is in a state that is not known")
        ours = _ours(order, payload)
        if ours is not None:
            return Found((Record(reference(payload), int(_says(ours, payload))),))
        return Absent() if state in {"UNSHIPPED", "PARTIALLY_SHIPPED"} | PENDING else Unknown()

    async def _look(self, payload: ConfirmShipment, departure: Departure, refused: Refused) -> StepDone:
        try:
            order = await self._api.packages(payload.order_id)
        except (Refused, ReadFailed) as error:
            raise InDoubt("the order was confirmed already, and it can't be read by which package") from error
        ours = None if order is None else _ours(order, payload)
        if ours is not None and _says(ours, payload):
            return StepDone(remote_id=reference(payload))
        if order is not None and order.fulfillment.fulfillment_status == "SHIPPED":
            parcel = payload.shipment.shipment_id
            raise Park(
                f"the order was confirmed already, and not by parcel {parcel} as it is: compare them at Amazon"
            )
        if departure.attempt >= LOOKS_MAX:
            raise refusal(refused) from refused
        raise InDoubt("Amazon says that the order was confirmed already, and does not show it yet")

    def _store(self, payload: ConfirmShipment) -> str:
        if payload.channel:
            return payload.channel
        if len(self._marketplace_ids) != 1:
            raise Park("the order does not say in which store it was placed: read it again")
        return self._marketplace_ids[0]

    def _package(self, payload: ConfirmShipment) -> wire.PackageDetail:
        parcel = payload.shipment
        if not parcel.tracking_number.strip():
            raise Park(
                f"parcel {parcel.shipment_id} has no tracking number, without which Amazon takes none: add it in the shop"
            )
        code, name = self._carrier(payload.carrier.strip())
        now = self._api.server_now()
        shipped_at = min(parcel.shipped_at or now, now)
        return wire.PackageDetail(
            package_reference_id=reference(payload),
            carrier_code=code,
            carrier_name=name,
            tracking_number=parcel.tracking_number.strip(),
            ship_date=shipped_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            order_items=[wire.PackageItem(line.line_id, line.quantity) for line in parcel.lines],
        )

    def _carrier(self, carrier: str) -> tuple[str, str]:
        if not carrier:
            cause = f"carrier:{carrier}@{self._connection}"
            raise Park("the parcel has no carrier: map an empty one to the carrier that it is", (cause,))
        known = {code.casefold(): code for code in CARRIERS}.get(carrier.casefold())
        return ("Other", carrier) if known is None else (known, "")


def reference(payload: ConfirmShipment) -> str:
    """Amazon takes positive numbers alone, as strings; the parcel's own id may be anything."""
    digest = hashlib.sha256(str(payload.shipment.shipment_id).encode()).hexdigest()
    return str(int(digest[:8], 16) % REFERENCE_MAX + 1)


def _ours(order: wire.Packaged, payload: ConfirmShipment) -> wire.Package | None:
    """By our reference. Where nothing is left to tell, also what somebody told by hand: the same number and units. Before
    that, two parcels may well go under one number, and telling ours again does no harm."""
    packages = order.packages or []
    named = next((held for held in packages if held.package_reference_id == reference(payload)), None)
    if named is not None or order.fulfillment.fulfillment_status != "SHIPPED":
        return named
    return next((held for held in packages if _number(payload) and _says(held, payload)), None)


def _says(held: wire.Package, payload: ConfirmShipment) -> bool:
    units = {item.order_item_id: item.quantity for item in held.package_items or ()}
    same_units = units == {line.line_id: line.quantity for line in payload.shipment.lines}
    return same_units and _letters(held.tracking_number) == _letters(_number(payload))


def _number(payload: ConfirmShipment) -> str:
    return payload.shipment.tracking_number


def _letters(number: str | None) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", number or "").casefold()
