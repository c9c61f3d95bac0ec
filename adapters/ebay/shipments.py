"""Packages (shipping fulfilments): one call each, known by their tracking number, and looked for before any resend."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from adapters.ebay import wire
from adapters.ebay.api import Api, error_ids, package_path, why
from marketsync.domain.deliveries import Absent, Found, ProbeAnswer, Record, StepSpec, Unknown, WriteClass
from marketsync.domain.ids import ConnectionId
from marketsync.errors import InDoubt, Park, ReadFailed, Refused
from marketsync.http import Answer
from marketsync.http.documents import is_id
from marketsync.ports import ConfirmShipment, Departure, ProbeSpan, StepDone, StepResult

CREATE = "createShippingFulfillment"
BAD_TRACKING = 32300
# They say that eBay holds something of this package already, or as many numbers as it takes.
HELD_ALREADY = frozenset({34100, 34500})
ANOTHER = "another content than was sent"
_NOT_ALPHANUMERIC = re.compile(r"[^A-Za-z0-9]")


class ConfirmWriter:
    """eBay takes carrier and number together or neither, and of a number only letters and digits."""

    def __init__(
        self, api: Api, connection: ConnectionId, lands_within: float, visible_within: float
    ) -> None:
        self._api = api
        self._connection = connection
        self._step = StepSpec("package", WriteClass.LOOKUP, lands_within, visible_within, second_probe=True)

    def operation(self, step: int) -> str:
        return CREATE

    def steps(self, payload: ConfirmShipment) -> tuple[StepSpec, ...]:
        return (self._step,)

    async def send(
        self, payload: ConfirmShipment, step: int, checkpoint: str, departure: Departure
    ) -> StepResult:
        body = self._package(payload)
        if departure.attempt > 1:
            packages = await self._packages(payload)
            if told := _told(payload, _among(packages, payload)):
                return told
            _refuse_twin(packages, payload)
        try:
            answer = await self._api.write(CREATE, package_path(payload.order_id), departure, body)
        except Refused as refused:
            return await self._refused(payload, refused, departure)
        return StepDone(remote_id=_created(answer))

    async def probe(
        self, payload: ConfirmShipment, step: int, checkpoint: str, span: ProbeSpan
    ) -> ProbeAnswer:
        return await self._look(payload)

    async def _look(self, payload: ConfirmShipment) -> ProbeAnswer:
        return _among(await self._packages(payload), payload)

    async def _packages(self, payload: ConfirmShipment) -> Sequence[wire.Package]:
        try:
            packages = await self._api.packages(payload.order_id)
        except Refused as refused:
            raise ReadFailed(f"the packages of {payload.order_id} can't be read: {why(refused)}") from refused
        if not all(is_id(package.fulfillment_id) for package in packages):
            raise ReadFailed(f"{payload.order_id} has a package with an id that is none")
        return packages

    async def _refused(self, payload: ConfirmShipment, refused: Refused, departure: Departure) -> StepResult:
        """A conflict may be with what an earlier attempt left: so it is looked at, and the first time not taken for the end."""
        ids = error_ids(refused.body)
        if refused.status == 409 or HELD_ALREADY & set(ids):
            if told := _told(payload, await self._look(payload)):
                return told
            if departure.attempt == 1:
                raise InDoubt(f"{CREATE}: eBay holds something of this package ({why(refused)})") from refused
        if BAD_TRACKING in ids:
            reason = f"eBay takes no package with this carrier ({payload.carrier}) and number: map the carrier; a number serves one order"
            raise Park(reason, (self._carrier_cause(payload),)) from refused
        raise Park(f"{CREATE} was refused: {why(refused)}") from refused

    def _package(self, payload: ConfirmShipment) -> wire.NewPackage:
        number, carrier = tracking_of(payload), payload.carrier.strip()
        if number and not carrier:
            raise Park(
                "eBay takes no tracking number without its carrier: map it", (self._carrier_cause(payload),)
            )
        return wire.NewPackage(
            line_items=[wire.NamedLine(line, quantity) for line, quantity in _units(payload).items()],
            shipped_date=self._date(payload.shipment.shipped_at),
            shipping_carrier_code=carrier if number else None,
            tracking_number=number or None,
        )

    def _date(self, shipped_at: datetime | None) -> str | None:
        """eBay refuses what is in its future, and takes now if nothing is said: the shop's clock may be ahead."""
        now = self._api.server_now()
        if shipped_at is None or (now is not None and shipped_at > now):
            return None
        return shipped_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _carrier_cause(self, payload: ConfirmShipment) -> str:
        return f"carrier:{payload.shipment.carrier}@{self._connection}"


def tracking_of(payload: ConfirmShipment) -> str:
    return _bare(payload.shipment.tracking_number)


def _among(packages: Sequence[wire.Package], payload: ConfirmShipment) -> ProbeAnswer:
    number = tracking_of(payload)
    return _by_number(packages, payload, number) if number else _without_number(packages, payload)


def _by_number(packages: Sequence[wire.Package], payload: ConfirmShipment, number: str) -> ProbeAnswer:
    mine = [x for x in packages if _bare(x.shipment_tracking_number or "").casefold() == number.casefold()]
    if not mine:
        return Absent()
    return Found(tuple(_record(package, payload) for package in mine))


def _without_number(packages: Sequence[wire.Package], payload: ConfirmShipment) -> ProbeAnswer:
    """Only its lines and its date tell such a package: another one with the same lines proves nothing."""
    same = [x for x in packages if not x.shipment_tracking_number and _lines(x) == _units(payload)]
    if not same:
        return Absent()
    dated = [x for x in same if _second(x.shipped_date) == _second(payload.shipment.shipped_at)]
    if len(same) == 1 and dated and payload.shipment.shipped_at is not None:
        return Found((Record(dated[0].fulfillment_id, 1),))
    return Unknown()


def _refuse_twin(packages: Sequence[wire.Package], payload: ConfirmShipment) -> None:
    """A number that the shop corrected after it was told would be another package to eBay, which changes none."""
    left_at = payload.shipment.shipped_at
    for package in packages if tracking_of(payload) and left_at is not None else ():
        if _lines(package) == _units(payload) and _second(package.shipped_date) == _second(left_at):
            raise Park(
                f"eBay holds package {package.fulfillment_id} with the same lines and date: if it is parcel"
                f" {payload.shipment.shipment_id}, correct its number there"
            )


def _record(package: wire.Package, payload: ConfirmShipment) -> Record:
    return Record(package.fulfillment_id, 1, None if _lines(package) == _units(payload) else ANOTHER)


def _told(payload: ConfirmShipment, seen: ProbeAnswer) -> StepDone | None:
    match seen:
        case Found(records=(record,)):
            changed = f"parcel {payload.shipment.shipment_id} was changed after it was confirmed: correct it on eBay"
            return StepDone(record.remote_id, conflict=changed if record.content_hash else "")
        case Absent():
            return None
        case _:
            raise InDoubt("the packages of the order do not tell whether this one is among them")


def _created(answer: Answer) -> str:
    """Its id stands in the Location alone. An answer without one is not eBay's."""
    path = urlsplit(answer.headers.get("location", "")).path
    head, _, name = path.rpartition("/")
    found = unquote(name)
    if answer.status != 201 or not head.endswith("/shipping_fulfillment") or not is_id(found):
        raise InDoubt(f"{CREATE}: the answer (HTTP {answer.status}) names no package")
    return found


def _units(payload: ConfirmShipment) -> dict[str, int]:
    """A line is named once, whatever the shop's parcel looks like."""
    units: dict[str, int] = {}
    for line in payload.shipment.lines:
        units[line.line_id] = units.get(line.line_id, 0) + line.quantity
    return units


def _lines(package: wire.Package) -> dict[str, int]:
    units: dict[str, int] = {}
    for line in package.line_items or ():
        units[line.line_item_id] = units.get(line.line_item_id, 0) + line.quantity
    return units


def _bare(number: str) -> str:
    return _NOT_ALPHANUMERIC.sub("", number)


def _second(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC).replace(microsecond=0)
