"""The writes: create, update, cancel. Each is under our reference, of which the shop keeps one order."""

from __future__ import annotations

from typing import NoReturn
from urllib.parse import quote

from adapters.rest import wire
from adapters.rest.api import Api, code_of, parked, shown
from adapters.rest.shop.content import content, differences, new_order
from adapters.rest.shop.settings import Settings
from marketsync.domain.deliveries import Absent, Found, ProbeAnswer, Record, StepSpec, WriteClass
from marketsync.domain.ids import Reference
from marketsync.errors import InDoubt, Park, ReadFailed, Refused
from marketsync.http import Answer, decode
from marketsync.ports import CancelOrder, CreateOrder, Departure, ProbeSpan, StepDone, UpdateOrder

STATES = ("open", "shipped", "cancelled")


class CreateWriter:
    """One request, with its effect: `ref` is the key, so what comes twice is there once."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings

    def operation(self, step: int) -> str:
        return "orders.create"

    def steps(self, payload: CreateOrder) -> tuple[StepSpec, ...]:
        lands, visible = self._settings.lands_within_seconds, self._settings.visible_within_seconds
        return (StepSpec("create", WriteClass.UPSERT, lands, visible, second_probe=True),)

    async def send(self, payload: CreateOrder, step: int, checkpoint: str, departure: Departure) -> StepDone:
        order = new_order(payload)
        try:
            answer = await self._api.write("orders.create", "POST", "/shop/orders", departure, order)
        except Refused as refused:
            return await self._judge(payload, refused)
        held = _written(answer, payload.ref)
        if held.mark != order.mark:
            raise InDoubt(f"the shop holds other content as order {held.id}")
        wrong = differences(order, held)
        conflict = f"order {held.id} was created otherwise than asked: {'; '.join(wrong)}" if wrong else ""
        return StepDone(held.id, conflict=conflict)

    async def probe(self, payload: CreateOrder, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        held = await _find(self._api, payload.ref)
        if held is None:
            return Absent()
        other = None if held.mark == content(payload).mark else shown(held.mark)
        return Found((Record(held.id, 1, other),))

    async def _judge(self, payload: CreateOrder, refused: Refused) -> StepDone:
        code = code_of(refused)
        if code == "order_exists":
            held = await _find(self._api, payload.ref)
            if held is not None:
                raise InDoubt("the order is there under our own reference")
            reason = "another installation brought this order into the shop"
            raise Park(reason, (f"foreign:{payload.ref}",)) from refused
        parked(refused, f"total:{payload.ref}")


class UpdateWriter:
    """The whole content anew; our mark tells whether it took effect."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings

    def operation(self, step: int) -> str:
        return "orders.update"

    def steps(self, payload: UpdateOrder) -> tuple[StepSpec, ...]:
        lands, visible = self._settings.lands_within_seconds, self._settings.visible_within_seconds
        return (StepSpec("update", WriteClass.UPSERT, lands, visible),)

    async def send(self, payload: UpdateOrder, step: int, checkpoint: str, departure: Departure) -> StepDone:
        wanted = content(payload)
        try:
            answer = await self._api.write("orders.update", "PUT", _path(payload.ref), departure, wanted)
        except Refused as refused:
            _gone(payload, refused)
        held = _written(answer, payload.ref)
        if held.mark != wanted.mark:
            raise InDoubt("orders.update: the answer does not show the change")
        wrong = differences(wanted, held)
        conflict = f"order {held.id} after its update: {'; '.join(wrong)}" if wrong else ""
        return StepDone(payload.remote_id, conflict=conflict)

    async def probe(self, payload: UpdateOrder, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        held = await _find(self._api, payload.ref)
        if held is None:
            return Absent()
        return Found((Record(held.id, 1 if held.mark == content(payload).mark else 0),))


class CancelWriter:
    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings

    def operation(self, step: int) -> str:
        return "orders.cancel"

    def steps(self, payload: CancelOrder) -> tuple[StepSpec, ...]:
        lands, visible = self._settings.lands_within_seconds, self._settings.visible_within_seconds
        return (StepSpec("cancel", WriteClass.UPSERT, lands, visible, carries_content=False),)

    async def send(self, payload: CancelOrder, step: int, checkpoint: str, departure: Departure) -> StepDone:
        try:
            answer = await self._api.write("orders.cancel", "POST", f"{_path(payload.ref)}/cancel", departure)
        except Refused as refused:
            if refused.status == 404 and code_of(refused) == "unknown_order":
                gone = f"order {payload.remote_id} was deleted in the shop"
                return StepDone(payload.remote_id, conflict=gone)
            _gone(payload, refused)
        if _written(answer, payload.ref).state != "cancelled":
            raise InDoubt("orders.cancel: the answer does not show it cancelled")
        return StepDone(payload.remote_id)

    async def probe(self, payload: CancelOrder, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        held = await _find(self._api, payload.ref)
        return Absent() if held is None else Found((Record(held.id, 1 if held.state == "cancelled" else 0),))


async def _find(api: Api, ref: Reference) -> wire.ShopOrder | None:
    held = await api.find("orders.look", _path(ref), wire.ShopOrder)
    if held is not None and (held.ref != ref or held.state not in STATES):
        raise ReadFailed("orders.look: the answer is not that order")
    return held


def _written(answer: Answer, ref: Reference) -> wire.ShopOrder:
    held = decode(answer, wire.ShopOrder, write=True)
    if held.ref != ref:
        raise InDoubt("the answer is of another order")
    return held


def _gone(payload: UpdateOrder | CancelOrder, refused: Refused) -> NoReturn:
    code = code_of(refused)
    if code in {"shipped", "cancelled", "unknown_order"}:
        state = "deleted" if code == "unknown_order" else code
        cause = "shipped" if code == "shipped" else "gone"
        reason = f"order {payload.remote_id} is {state} in the shop"
        raise Park(reason, (f"{cause}:{payload.ref}",)) from refused
    parked(refused, f"total:{payload.ref}")


def _path(ref: Reference) -> str:
    return f"/shop/orders/{quote(ref, safe='')}"
