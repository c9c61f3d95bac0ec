"""Cancelling a sale on eBay (Post-Order API): the seller's own cancel, or a yes to the buyer who asks for one."""

from __future__ import annotations

import re

from adapters.ebay import wire
from adapters.ebay.api import Api, why
from adapters.ebay.mapping import CANCEL_STATES, CANCELLED, CANCELLING, PAID, REQUEST_STATES
from marketsync.domain.aftersales import CancelSale
from marketsync.domain.deliveries import Absent, Found, ProbeAnswer, Record, StepSpec, Unknown, WriteClass
from marketsync.errors import InDoubt, Park, PauseConnection, ReadFailed, Refused
from marketsync.http import Answer, decode, segment
from marketsync.ports import Departure, ProbeSpan, StepDone, StepResult

CANCELLATIONS = "/post-order/v2/cancellation"
CREATE, APPROVE = "createCancellation", "approveCancellation"
# The look at the order, and the request.
SEND_SECONDS = 20.0
SITES = ("EBAY_US", "EBAY_GB", "EBAY_DE", "EBAY_AU", "EBAY_CA")
REASONS = ("OUT_OF_STOCK_OR_CANNOT_FULFILL", "BUYER_ASKED_CANCEL", "ADDRESS_ISSUES")
SIGNATURE = "sellers of the EU and the UK need a digital signature for it, which is not there: cancel it in Seller Hub"
_CODE = re.compile(r"[A-Z_]{2,60}")


class CancelWriter:
    """LOOKUP by the order itself: what is cancelled can't be cancelled again."""

    def __init__(self, api: Api, lands_within: float, visible_within: float) -> None:
        self._api = api
        self._step = StepSpec(
            "cancel", WriteClass.LOOKUP, lands_within, visible_within, send_by_seconds=SEND_SECONDS
        )

    def objection(self, payload: CancelSale) -> str:
        """A reason is never guessed: one of them costs the seller a mark against his account."""
        if payload.lines:
            return "eBay cancels whole orders only: leave the lines out"
        if payload.channel not in SITES:
            return f"eBay cancels orders of {', '.join(SITES)} only: cancel it in Seller Hub"
        if payload.reason not in REASONS:
            return f"give one of its reasons: {', '.join(REASONS)}"
        return ""

    def operation(self, step: int) -> str:
        return CREATE

    def steps(self, payload: CancelSale) -> tuple[StepSpec, ...]:
        return (self._step,)

    async def send(self, payload: CancelSale, step: int, checkpoint: str, departure: Departure) -> StepResult:
        """Looked at first, for what the buyer has asked, and what somebody has done meanwhile."""
        order = await self._order(payload)
        if order is None:
            raise Park(f"eBay does not know order {payload.order_id} any more")
        if _is_ending(order):
            return StepDone(payload.order_id)
        asked = next((x for x in order.cancel_status.cancel_requests or () if _is_open(x)), None)
        try:
            if asked is None:
                answer = await self._create(payload, order, departure)
                return _taken(answer, payload)
            await self._approve(payload, asked.cancel_request_id or "", departure)
            return StepDone(payload.order_id)
        except Refused as refused:
            raise await self._refused(payload, refused) from refused
        except PauseConnection as refused:
            # Everything else goes on with the same token: it is this call that is not granted.
            raise Park(f"{CREATE}: eBay refuses the access: {SIGNATURE}") from refused

    async def probe(self, payload: CancelSale, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        order = await self._order(payload)
        if order is None:
            return Unknown()
        if _is_ending(order):
            return Found((Record(payload.order_id, 1),))
        if order.order_fulfillment_status != "NOT_STARTED":
            raise Park("it was shipped before it was cancelled")
        waits = any(_is_open(x) for x in order.cancel_status.cancel_requests or ())
        return Absent() if waits or order.cancel_status.cancel_state != CANCELLING else Unknown()

    async def _create(self, payload: CancelSale, order: wire.Cancellable, departure: Departure) -> Answer:
        paid = order.order_payment_status in PAID
        payments = order.payment_summary.payments if order.payment_summary else None
        date = next((x.payment_date for x in payments or () if x.payment_date), None)
        body = wire.NewCancel(
            legacy_order_id=payload.order_id,
            cancel_reason=payload.reason,
            buyer_paid=paid,
            buyer_paid_date=wire.PostOrderDate(date) if paid and date else None,
        )
        return await self._api.after_sale(CREATE, CANCELLATIONS, payload.channel, departure, body)

    async def _approve(self, payload: CancelSale, request_id: str, departure: Departure) -> None:
        if not re.fullmatch(r"[A-Za-z0-9-]{1,60}", request_id):
            raise Park("the buyer asks to cancel it, and eBay names no request: answer it on eBay")
        path = f"{CANCELLATIONS}/{segment(request_id)}/approve"
        answer = await self._api.after_sale(APPROVE, path, payload.channel, departure)
        if answer.body.strip():
            # A yes is answered with nothing: what says something may be a gateway's page.
            raise InDoubt(f"{APPROVE}: the answer is not eBay's, and the order is to be looked at")

    async def _refused(self, payload: CancelSale, refused: Refused) -> Park | InDoubt:
        """It may be refused because an earlier attempt was taken: so it is looked at, and said to be done by the next look."""
        try:
            order = await self._order(payload)
        except (Refused, ReadFailed):
            order = None
        if order is None or _is_ending(order):
            return InDoubt(
                f"{refused.operation} was refused ({why(refused)}), and the order is to be looked at"
            )
        return Park(f"{refused.operation} was refused: {why(refused)}; {SIGNATURE}")

    async def _order(self, payload: CancelSale) -> wire.Cancellable | None:
        found = await self._api.order(payload.order_id)
        if found is None:
            return None
        order = decode(found[0], wire.Cancellable, write=False)
        if order.order_id != payload.order_id:
            raise ReadFailed("getOrder answered with another order")
        status = order.cancel_status
        states = {request.cancel_request_state for request in status.cancel_requests or ()}
        if status.cancel_state not in CANCEL_STATES or not states <= REQUEST_STATES:
            raise ReadFailed(f"{payload.order_id} is in a state of cancelling that is not known")
        return order


def _taken(answer: Answer, payload: CancelSale) -> StepDone:
    """Without an id it may still say why not: such an order is not cancelled."""
    said = decode(answer, wire.Cancelled, write=True)
    if said.cancel_id:
        return StepDone(payload.order_id)
    if said.order_eligibility_result is None:
        raise InDoubt(f"{CREATE}: the answer names no cancellation")
    reason = said.order_eligibility_result.failure_reason or ""
    code = reason if _CODE.fullmatch(reason) else "without a reason"
    raise Park(f"eBay does not let this order be cancelled: {code}")


def _is_ending(order: wire.Cancellable) -> bool:
    """Cancelled, or under way by a request of the seller's or one that he has granted."""
    status = order.cancel_status
    requests = status.cancel_requests or ()
    granted = any(
        x.cancel_request_state == "COMPLETED" or (x.by_seller and x.cancel_request_state == "REQUESTED")
        for x in requests
    )
    return status.cancel_state == CANCELLED or (status.cancel_state == CANCELLING and granted)


def _is_open(request: wire.CancelRequest) -> bool:
    return request.cancel_request_state == "REQUESTED" and not request.by_seller
