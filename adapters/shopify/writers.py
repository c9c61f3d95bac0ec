"""The writes: create and cancel; each with its own look afterwards."""

from __future__ import annotations

from typing import NoReturn

from adapters.shopify import orders
from adapters.shopify.api import Api
from adapters.shopify.operations import CANCEL, CREATE, JOB
from adapters.shopify.settings import STOCK_ATTRIBUTE, TAKEN, Settings
from adapters.shopify.wire import (
    CancelData,
    Card,
    CreateData,
    CreatedOrder,
    HeldOrder,
    JobData,
    OrderCreate,
    Reply,
    attribute,
    errors_shown,
    gid,
    is_gid,
    number_of,
    plain,
)
from marketsync.domain.deliveries import Absent, Found, ProbeAnswer, Record, StepSpec, Unknown, WriteClass
from marketsync.domain.ids import Reference, same_order_of_other_installation
from marketsync.errors import InDoubt, MarketsyncError, Park
from marketsync.ports import CancelOrder, CreateOrder, Departure, ProbeSpan, StepDone, StepResult, StepWaiting

SEND_BY_SECONDS = 60.0
POLL_SECONDS = 2.0
ECHOES_MAX = 3
MARK_MAX = 200
LEFT = ("SUCCESS", "OPEN", "PENDING")
"""States of a fulfilment that somebody sent, or is about to."""
CAPPED = "Too many attempts"
"""How a development store says that it takes no more orders this minute: no code tells it."""


class CreateWriter:
    """One request, with its effect. Shopify has no key for it: an order metafield of type id holds our reference, and it is
    looked for by that. That a second order with the same one is refused is not relied on."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings

    def operation(self, step: int) -> str:
        return "orders.create"

    def steps(self, payload: CreateOrder) -> tuple[StepSpec, ...]:
        lands, visible = self._settings.lands_within_seconds, self._settings.visible_within_seconds
        return (StepSpec("create", WriteClass.LOOKUP, lands, visible, second_probe=True),)

    async def send(self, payload: CreateOrder, step: int, checkpoint: str, departure: Departure) -> StepDone:
        if departure.attempt > 1 and (made := (await self._look(payload))[0]):
            return self._there(made)
        data = await self._api.write(
            "orders.create", CREATE, Reply[CreateData], departure,
            order=orders.create_input(payload, self._settings),
            options=orders.create_options(payload, self._settings),
        )  # fmt: skip
        answer = data.order_create or OrderCreate()
        if answer.order is None:
            await self._refused(payload, answer, departure)
        return self._made(payload, answer.order, answer)

    async def probe(self, payload: CreateOrder, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        ours, theirs, whole = await self._look(payload)
        if ours:
            return Found(tuple(self._record(card, payload) for card in (*ours, *theirs)))
        if theirs:
            names = ", ".join(f"{number_of(card.id)} ({_foreign(card, payload)})" for card in theirs)
            causes = tuple(f"foreign:{_foreign(card, payload)}" for card in theirs)
            raise Park(f"another installation brought this order into the shop: {names}", causes)
        return Absent() if whole else Unknown()

    def _made(self, payload: CreateOrder, held: CreatedOrder, answer: OrderCreate) -> StepDone:
        """The order is live, whatever stands beside it in the answer."""
        number = number_of(held.id)
        if held.source_identifier != payload.ref or not number:
            # Seen: a client that was given an older order, again and again.
            raise InDoubt("orders.create: the answer shows an order that is not the one that was sent")
        wrong = orders.create_differences(payload, held)
        if answer.user_errors:
            wrong.append(f"Shopify says {errors_shown(answer.user_errors)}")
        conflict = f"order {number} was made, but {'; '.join(wrong)}" if wrong else ""
        return StepDone(number, conflict=conflict)

    def _there(self, made: list[Card]) -> StepDone:
        """Before anything is sent again it is looked for: nothing else keeps a second one out for sure."""
        numbers = [number_of(card.id) for card in made]
        conflict = f"there are {len(numbers)} orders: {', '.join(numbers)}" if len(numbers) > 1 else ""
        return StepDone(numbers[0], conflict=conflict)

    async def _refused(self, payload: CreateOrder, answer: OrderCreate, departure: Departure) -> NoReturn:
        """An answer with errors and no order says nothing of what was written: it is looked for."""
        if any(error.message.startswith(CAPPED) for error in answer.user_errors):
            self._api.hold_creates("orders.create")
        said = errors_shown(answer.user_errors) or "no reason"
        echo = any("metafields" in (error.field or ()) for error in answer.user_errors)
        if not answer.user_errors or (echo and departure.attempt <= ECHOES_MAX):
            raise InDoubt(f"orders.create: refused ({said}), perhaps because it is there already")
        try:
            ours, _, whole = await self._look(payload)
        except MarketsyncError:
            raise InDoubt(f"orders.create: refused ({said}), and it can't be looked for now") from None
        if ours or not whole:
            raise InDoubt(f"orders.create: refused ({said}), and there is one")
        raise Park(f"orders.create was refused: {said}")

    async def _look(self, payload: CreateOrder) -> tuple[list[Card], list[Card], bool]:
        """(ours, another installation's, all was seen). What comes back is compared: a filter may be ignored, and only the
        search shows a second order where the metafield's values are not unique."""
        cards, whole = await self._api.find(payload.ref, payload.order.key.order_id)
        ours = [card for card in cards if payload.ref in card.refs]
        theirs = [card for card in cards if _foreign(card, payload)]
        return ours, theirs, whole

    def _record(self, card: Card, payload: CreateOrder) -> Record:
        """The mark in the shop counts only where it names other content: the engine's own hash is not known here."""
        held = card.content.value if card.content else ""
        other = held if held != orders.content_hash(payload, self._settings) else None
        return Record(number_of(card.id), 1, plain(other)[:MARK_MAX] or None)


class CancelWriter:
    """The shop takes the job and does it a moment later: the order's own state says when."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings

    def operation(self, step: int) -> str:
        return "orders.cancel"

    def steps(self, payload: CancelOrder) -> tuple[StepSpec, ...]:
        lands, visible = self._settings.lands_within_seconds, self._settings.visible_within_seconds
        return (
            StepSpec(
                "cancel", WriteClass.LOOKUP, lands, visible, carries_content=False, send_by_seconds=SEND_BY_SECONDS
            ),
        )  # fmt: skip

    async def send(
        self, payload: CancelOrder, step: int, checkpoint: str, departure: Departure
    ) -> StepResult:
        order = await self._api.order(payload.remote_id)
        if order is None:
            return StepDone(payload.remote_id, conflict=f"order {payload.remote_id} was deleted in the shop")
        if order.cancelled_at:
            return StepDone(payload.remote_id)
        if has_left(order):
            raise Park(f"order {payload.remote_id} has left the shop", (f"shipped:{payload.ref}",))
        data = await self._api.write(
            "orders.cancel", CANCEL, Reply[CancelData], departure, id=gid("Order", payload.remote_id),
            restock=restocks(order), note=f"Cancelled on the marketplace ({payload.ref})",
        )  # fmt: skip
        answer = data.order_cancel
        if answer is not None and answer.job is not None and is_gid(answer.job.id):
            return StepWaiting(answer.job.id, POLL_SECONDS)
        if answer is None or answer.job is not None or not answer.order_cancel_user_errors:
            # Seen: neither a job nor an error, and the order was cancelled.
            return StepWaiting("", POLL_SECONDS)
        await self._settle_refusal(payload)
        raise Park(
            f"order {payload.remote_id} can't be cancelled: {errors_shown(answer.order_cancel_user_errors)}"
        )

    async def poll(self, payload: CancelOrder, step: int, receipt: str) -> StepResult:
        if not receipt:
            order = await self._api.order(payload.remote_id)
            if order is None or order.cancelled_at:
                return StepDone(payload.remote_id)
            raise InDoubt(f"order {payload.remote_id} is not cancelled, and no job says why")
        data = await self._api.read(
            "orders.read", JOB, Reply[JobData], job=receipt, order=gid("Order", payload.remote_id)
        )
        if data.order is None or data.order.cancelled_at:
            return StepDone(payload.remote_id)
        if data.job is not None and not data.job.done:
            return StepWaiting(receipt, POLL_SECONDS)
        raise Park(f"order {payload.remote_id} was not cancelled although the shop began to")

    async def probe(self, payload: CancelOrder, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        order = await self._api.order(payload.remote_id)
        if order is None:
            return Absent()
        return Found((Record(payload.remote_id, 1 if order.cancelled_at else 0),))

    async def _settle_refusal(self, payload: CancelOrder) -> None:
        """What is cancelled can't be cancelled again: the refusal may be the echo of our own."""
        try:
            order = await self._api.order(payload.remote_id)
        except MarketsyncError:
            order = None
        if order is None or order.cancelled_at:
            raise InDoubt(
                f"orders.cancel: order {payload.remote_id} was refused, perhaps as cancelled already"
            )


def has_left(order: HeldOrder) -> bool:
    return any(parcel.status in LEFT for parcel in order.fulfillments)


def restocks(order: HeldOrder) -> bool:
    """Only what the order took is given back: one that took nothing would add units that nobody has."""
    return attribute(order.custom_attributes, STOCK_ATTRIBUTE) == TAKEN


def _foreign(card: Card, payload: CreateOrder) -> Reference | None:
    return next(
        (Reference(ref) for ref in card.refs if same_order_of_other_installation(ref, payload.ref)), None
    )
