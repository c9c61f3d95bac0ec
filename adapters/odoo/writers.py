"""The writes: create and confirm, update, cancel; each with its own look afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from adapters.odoo import orders
from adapters.odoo.api import Api, Fault
from adapters.odoo.books import Library
from adapters.odoo.loading import table
from adapters.odoo.settings import CONFIRMED, DRAFT, GONE, Settings
from adapters.odoo.shipments import Shipments
from adapters.odoo.wire import Loaded, WireLine, WireOrder, id_of, shown, text
from marketsync.domain.deliveries import Absent, Found, ProbeAnswer, Record, StepSpec, WriteClass
from marketsync.domain.ids import Reference, same_order_of_other_installation
from marketsync.errors import InDoubt, MarketsyncError, Park
from marketsync.http import Answer, decode
from marketsync.ports import CancelOrder, Clock, CreateOrder, Departure, ProbeSpan, StepDone, UpdateOrder

CONFIRM = 1
SEND_BY_SECONDS = 60.0
ORDERS_MAX = 20
LINES_MAX = 1000
MARK_MAX = 200
_ORDER = ["state", "client_order_ref", "origin", "amount_total", "currency_id", "partner_id"]
_LINE = ["product_id", "name", "product_uom_qty", "price_unit"]


class _Checkpoint(msgspec.Struct, frozen=True):
    """Also in the form that a probe leaves: every form names the order."""

    remote_id: str


class Orders:
    """Reads orders of ours, and says what a write really did. What it did may show `visible_seconds` late."""

    def __init__(self, api: Api, clock: Clock, visible_seconds: float) -> None:
        self._api, self._clock, self._visible_seconds = api, clock, visible_seconds

    async def by_id(self, remote_id: str) -> WireOrder | None:
        """None where Odoo has no such order, or not any more."""
        domain = [["id", "=", int(remote_id)]]
        found = await self._api.search("orders.read", "sale.order", domain, _ORDER, WireOrder, limit=1)
        return next((order for order in found if str(order.id) == remote_id), None)

    async def by_ref(self, ref: Reference) -> tuple[list[WireOrder], list[WireOrder]]:
        """(ours, another installation's of the same marketplace order), by the reference that comes back."""
        head, _, tail = ref.partition("-")
        pattern = f"{head}-%-{tail.partition('-')[2]}"
        found = await self._api.search(
            "orders.read", "sale.order", [["client_order_ref", "=like", pattern]], _ORDER, WireOrder,
            limit=ORDERS_MAX, order="id",
        )  # fmt: skip
        ours = [order for order in found if text(order.client_order_ref) == ref]
        theirs = [x for x in found if same_order_of_other_installation(text(x.client_order_ref), ref)]
        return ours, theirs

    async def cancelled(self, remote_ids: Sequence[str]) -> list[str]:
        domain = [["id", "in", [int(x) for x in remote_ids]], ["state", "in", list(GONE)]]
        found = await self._api.search(
            "orders.read", "sale.order", domain, ["state"], WireOrder, limit=len(remote_ids)
        )
        return [str(order.id) for order in found]

    async def lines(self, remote_id: str) -> list[WireLine]:
        domain = [["order_id", "=", int(remote_id)], ["display_type", "=", False]]
        return await self._api.search(
            "orders.read", "sale.order.line", domain, _LINE, WireLine, limit=LINES_MAX, order="id"
        )

    async def shown(self, effect: Callable[[], Awaitable[StepDone | None]]) -> StepDone | None:
        """A look that shows nothing may be one at a copy: it counts once the effect must show."""
        done = await effect()
        if done is None:
            await self._clock.sleep(self._visible_seconds)
            done = await effect()
        return done

    async def judged(self, fault: Fault, effect: Callable[[], Awaitable[StepDone | None]]) -> StepDone:
        """An error of Odoo ends its transaction, whichever way: so nothing else is waited for than what it did to show."""
        try:
            done = await self.shown(effect)
        except MarketsyncError as error:
            raise InDoubt(
                f"{fault.operation}: Odoo says {fault.name}, and could not be asked what it did"
            ) from error
        if done is not None:
            return done
        raise fault.decision(write=True) from None


class CreateWriter:
    """Create as a quotation, which has no effect; compare lines and total; confirm. A wrong order stays a quotation."""

    def __init__(self, api: Api, held: Orders, library: Library, settings: Settings) -> None:
        self._api, self._orders, self._library, self._settings = api, held, library, settings

    def operation(self, step: int) -> str:
        return "orders.confirm" if step else "orders.create"

    def steps(self, payload: CreateOrder) -> tuple[StepSpec, ...]:
        lands, visible = self._settings.lands_within_seconds, self._settings.visible_within_seconds
        return (
            StepSpec(
                "create", WriteClass.LOOKUP, lands, visible, send_by_seconds=SEND_BY_SECONDS, second_probe=True
            ),
            StepSpec(
                "confirm", WriteClass.LOOKUP, lands, visible, carries_content=False, send_by_seconds=SEND_BY_SECONDS
            ),
        )  # fmt: skip

    async def send(self, payload: CreateOrder, step: int, checkpoint: str, departure: Departure) -> StepDone:
        if step == CONFIRM:
            return await self._confirm(payload, _remote_id(checkpoint), departure)
        if not (payload.takes_stock and payload.ships):
            raise Park(
                "the marketplace sends it from its own stock, and Odoo would make a delivery of it: leave import_fulfilled off",
                (f"fulfilled:{payload.ref}",),
            )
        if departure.attempt > 1 and (made := await self._made(payload)) is not None:
            return made
        content = await orders.content_of(payload, self._library, self._settings)
        try:
            answer = await self._create(payload, content, departure)
        except Fault as fault:
            return await self._orders.judged(fault, lambda: self._made(payload))
        return await self._known(payload, answer)

    async def probe(self, payload: CreateOrder, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        ours, theirs = await self._orders.by_ref(payload.ref)
        if not ours and theirs:
            raise _foreign(theirs)
        if not ours:
            return Absent()
        content = await orders.content_of(payload, self._library, self._settings)
        return Found(tuple(_record(order, payload, content) for order in (*ours, *theirs)))

    async def _create(self, payload: CreateOrder, content: orders.Content, departure: Departure) -> Answer:
        books = await self._library.books()
        values = orders.create_values(payload, content, books, self._settings)
        if self._settings.create_by == "create":
            vals = [orders.commands(values)]
            return await self._api.write(
                "orders.create", departure, "res.partner", "create", vals_list=vals, context=_QUIET
            )
        columns, rows = table(values)
        return await self._api.write(
            "orders.create", departure, "res.partner", "load", fields=columns, data=rows, context=_QUIET
        )

    async def _known(self, payload: CreateOrder, answer: Answer) -> StepDone:
        """Odoo tells the contact's id: the order's is asked for. What `load` refuses it tells under a good answer."""
        if self._settings.create_by == "load":
            loaded = decode(answer, Loaded, write=True)
            if not loaded.ids:
                return await self._not_loaded(payload, loaded)
        else:
            decode(answer, list[int], write=True)
        try:
            made = await self._orders.shown(lambda: self._made(payload))
        except MarketsyncError as error:
            raise InDoubt("orders.create: done, and the order's number could not be asked for") from error
        if made is None:
            raise InDoubt("orders.create: done, and no order is there")
        return made

    async def _not_loaded(self, payload: CreateOrder, loaded: Loaded) -> StepDone:
        """Others at the same rows show in the words alone: `load` takes what its database says for a bad row."""
        busy = any(_BUSY_WORDS in str(message.get("message", "")) for message in loaded.messages)
        fault = Fault("orders.create", "SerializationFailure" if busy else "load")
        try:
            return await self._orders.judged(fault, lambda: self._made(payload))
        except Park:
            fields = sorted({shown(str(message.get("field", ""))) for message in loaded.messages})
            raise Park(f"orders.create was refused by Odoo for {', '.join(fields) or 'no reason'}") from None

    async def _made(self, payload: CreateOrder) -> StepDone | None:
        ours, theirs = await self._orders.by_ref(payload.ref)
        if not ours and theirs:
            raise _foreign(theirs)
        if not ours:
            return None
        if len(ours) > 1:
            raise InDoubt("orders.create: several orders have this reference")
        remote_id = str(ours[0].id)
        return StepDone(remote_id, msgspec.json.encode(_Checkpoint(remote_id)).decode())

    async def _confirm(self, payload: CreateOrder, remote_id: str, departure: Departure) -> StepDone:
        order = await self._orders.by_id(remote_id)
        if order is None or order.state in GONE:
            state = "deleted" if order is None else "cancelled"
            raise Park(
                f"order {remote_id} was {state} in the shop before it was confirmed", (f"gone:{payload.ref}",)
            )
        if order.state in CONFIRMED:
            return StepDone(remote_id)
        content = await orders.content_of(payload, self._library, self._settings)
        wrong = orders.differences(payload, content, order, await self._orders.lines(remote_id))
        if wrong:
            raise Park(f"order {remote_id} was not confirmed: {'; '.join(wrong)}", (f"total:{payload.ref}",))
        try:
            await self._api.write(
                "orders.confirm",
                departure,
                "sale.order",
                "action_confirm",
                ids=[int(remote_id)],
                context=_QUIET,
            )
        except Fault as fault:
            return await self._orders.judged(fault, lambda: self._shows(remote_id, CONFIRMED))
        return StepDone(remote_id)

    async def _shows(self, remote_id: str, states: Sequence[str]) -> StepDone | None:
        order = await self._orders.by_id(remote_id)
        return StepDone(remote_id) if order is not None and order.state in states else None


class UpdateWriter:
    """One absolute write, addressed by Odoo's line ids; the digest beside the order's number tells whether it took effect."""

    def __init__(
        self, api: Api, held: Orders, shipments: Shipments, library: Library, settings: Settings
    ) -> None:
        self._api, self._orders, self._shipments = api, held, shipments
        self._library, self._settings = library, settings

    def operation(self, step: int) -> str:
        return "orders.update"

    def steps(self, payload: UpdateOrder) -> tuple[StepSpec, ...]:
        lands, visible = self._settings.lands_within_seconds, self._settings.visible_within_seconds
        return (StepSpec("update", WriteClass.UPSERT, lands, visible, send_by_seconds=SEND_BY_SECONDS),)

    async def send(self, payload: UpdateOrder, step: int, checkpoint: str, departure: Departure) -> StepDone:
        remote_id = payload.remote_id
        order = await self._orders.by_id(remote_id)
        if order is None or order.state in GONE:
            state = "deleted" if order is None else "cancelled"
            raise Park(
                f"order {remote_id} is {state} in the shop and can't be changed", (f"gone:{payload.ref}",)
            )
        if await self._shipments.any_sent(remote_id):
            raise Park(
                f"order {remote_id} has left in part or whole in the shop", (f"shipped:{payload.ref}",)
            )
        books = await self._library.books()
        content = await orders.content_of(payload, self._library, self._settings)
        changes = orders.update_values(payload, content, books, await self._orders.lines(remote_id))
        model, number, values = await self._addressed(payload, order, content, changes)
        try:
            await self._api.write(
                "orders.update", departure, model, "write", ids=[number], vals=values, context=_QUIET
            )
        except Fault as fault:
            return await self._orders.judged(fault, lambda: self._applied(payload, content))
        return await self._compared(payload, content)

    async def probe(self, payload: UpdateOrder, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        order = await self._orders.by_id(payload.remote_id)
        if order is None:
            return Absent()
        content = await orders.content_of(payload, self._library, self._settings)
        return Found((Record(payload.remote_id, int(_is_content(order, payload, content))),))

    async def _addressed(
        self, payload: UpdateOrder, order: WireOrder, content: orders.Content, changes: orders.Values
    ) -> tuple[str, int, orders.Values]:
        """With its contact, where that is still the one that we made: another one is the merchant's own."""
        contact = id_of(order.partner_id)
        domain = [["id", "=", contact], ["ref", "=", payload.ref]]
        found = await self._api.call("orders.read", "res.partner", "search_count", int, domain=domain)
        if not found:
            return "sale.order", order.id, changes
        return "res.partner", contact, {**content.contact, "sale_order_ids": [[1, order.id, changes]]}

    async def _applied(self, payload: UpdateOrder, content: orders.Content) -> StepDone | None:
        order = await self._orders.by_id(payload.remote_id)
        return (
            StepDone(payload.remote_id)
            if order is not None and _is_content(order, payload, content)
            else None
        )

    async def _compared(self, payload: UpdateOrder, content: orders.Content) -> StepDone:
        wrong: tuple[str, ...] = ()

        async def right() -> StepDone | None:
            nonlocal wrong
            order = await self._orders.by_id(payload.remote_id)
            lines = await self._orders.lines(payload.remote_id)
            wrong = () if order is None else orders.differences(payload, content, order, lines)
            return None if wrong else StepDone(payload.remote_id)

        try:
            done = await self._orders.shown(right)
        except MarketsyncError as error:
            raise InDoubt("orders.update: done, and the order could not be compared") from error
        told = f"order {payload.remote_id} after its update: {'; '.join(wrong)}"
        return done or StepDone(payload.remote_id, conflict=told)


class CancelWriter:
    def __init__(self, api: Api, held: Orders, shipments: Shipments, settings: Settings) -> None:
        self._api, self._orders, self._shipments, self._settings = api, held, shipments, settings

    def operation(self, step: int) -> str:
        return "orders.cancel"

    def steps(self, payload: CancelOrder) -> tuple[StepSpec, ...]:
        lands, visible = self._settings.lands_within_seconds, self._settings.visible_within_seconds
        return (
            StepSpec(
                "cancel", WriteClass.LOOKUP, lands, visible, carries_content=False, send_by_seconds=SEND_BY_SECONDS
            ),
        )  # fmt: skip

    async def send(self, payload: CancelOrder, step: int, checkpoint: str, departure: Departure) -> StepDone:
        remote_id = payload.remote_id
        order = await self._orders.by_id(remote_id)
        if order is None:
            return StepDone(remote_id, conflict=f"order {remote_id} was deleted in the shop")
        if order.state in GONE:
            return StepDone(remote_id)
        if order.state not in DRAFT and await self._shipments.any_sent(remote_id):
            raise Park(f"order {remote_id} is shipped in the shop", (f"shipped:{payload.ref}",))
        try:
            await self._api.write(
                "orders.cancel", departure, "sale.order", "action_cancel", ids=[order.id], context=_QUIET
            )
        except Fault as fault:
            return await self._orders.judged(fault, lambda: self._is_cancelled(remote_id))
        return await self._checked(remote_id)

    async def probe(self, payload: CancelOrder, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        order = await self._orders.by_id(payload.remote_id)
        return Absent() if order is None else Found((Record(payload.remote_id, int(order.state in GONE)),))

    async def _is_cancelled(self, remote_id: str) -> StepDone | None:
        order = await self._orders.by_id(remote_id)
        return StepDone(remote_id) if order is None or order.state in GONE else None

    async def _checked(self, remote_id: str) -> StepDone:
        """Odoo answers with a dialogue, and does nothing, where it would ask a person first."""
        try:
            done = await self._orders.shown(lambda: self._is_cancelled(remote_id))
        except MarketsyncError as error:
            raise InDoubt("orders.cancel: done, and the order's state could not be asked for") from error
        if done is None:
            raise Park(f"order {remote_id} was not cancelled: Odoo asks a person first")
        return done


_BUSY_WORDS = "could not serialize access"
_QUIET = {"disable_cancel_warning": True, "mail_create_nosubscribe": True}
"""Context of our writes: no dialogue, and our user does not follow each order."""


def _record(order: WireOrder, payload: CreateOrder, content: orders.Content) -> Record:
    """The digest in Odoo counts only where it names other content: the engine's own hash is not known here."""
    held = text(order.origin)
    other = None if held == orders.origin(payload, content) else held[:MARK_MAX] or "none"
    return Record(str(order.id), 2 if order.state in CONFIRMED else 1, other)


def _is_content(order: WireOrder, payload: UpdateOrder, content: orders.Content) -> bool:
    return text(order.origin) == orders.origin(payload, content)


def _foreign(theirs: Sequence[WireOrder]) -> Park:
    names = ", ".join(f"{x.id} ({text(x.client_order_ref)})" for x in theirs)
    causes = tuple(f"foreign:{text(x.client_order_ref)}" for x in theirs)
    return Park(f"another installation brought this order into the shop: {names}", causes)


def _remote_id(checkpoint: str) -> str:
    return msgspec.json.decode(checkpoint, type=_Checkpoint).remote_id
