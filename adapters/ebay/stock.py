"""Stock on eBay: absolute quantities of inventory items, 25 in a call, each with an answer of its own."""

from __future__ import annotations

import msgspec

from adapters.ebay import wire
from adapters.ebay.api import INVENTORY, Api, why
from marketsync.domain.deliveries import ProbeAnswer, StepSpec, Unknown, WriteClass
from marketsync.errors import InDoubt, Refused
from marketsync.http import decode
from marketsync.ports import Batch, Departure, ItemResult, ProbeSpan, PublishStock, StepDone, StepResult

UPDATE = "bulkUpdatePriceQuantity"
PATH = f"{INVENTORY}/bulk_update_price_quantity"
CLEAN_CALLS = 50
_REASONS = {
    25002: "eBay refuses the update (error 25002): the listing may have been revised too often today",
    25702: "eBay has no inventory item of this SKU (error 25702): its listing was made elsewhere",
    25759: "an auction holds more units than this (error 25759)",
}


class StockWriter:
    """`items_max`: the contract's schema has 25 items in a call, its prose one. Where a call of several is refused as a
    whole, the next ones are half as large, until CLEAN_CALLS went well."""

    def __init__(self, api: Api, items_max: int, lands_within: float) -> None:
        self._api = api
        self._items_max = items_max
        self._items = items_max
        self._clean = 0
        self._step = StepSpec("quantities", WriteClass.UPSERT, lands_within)

    def operation(self, step: int) -> str:
        return UPDATE

    def batch(self, due: int) -> Batch:
        return Batch(self._items, UPDATE)

    def steps(self, payload: PublishStock) -> tuple[StepSpec, ...]:
        return (self._step,)

    async def send(
        self, payload: PublishStock, step: int, checkpoint: str, departure: Departure
    ) -> StepResult:
        items = [wire.ItemQuantity(x.sku, wire.Availability(max(0, x.quantity))) for x in payload.items]
        try:
            answer = await self._api.write(UPDATE, PATH, departure, wire.Quantities(items))
        except Refused as refused:
            return self._refused(payload, refused)
        told = decode(answer, wire.ItemAnswers, write=True)
        errors = _judged(payload, told)
        self._clean += 1
        if self._clean >= CLEAN_CALLS:
            self._clean, self._items = 0, min(self._items_max, self._items * 2)
        return StepDone(checkpoint=msgspec.json.encode(errors).decode())

    async def probe(self, payload: PublishStock, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        """A listing can't be told from a sale since, so nothing is looked up: after the wait it is set anew (C16)."""
        return Unknown()

    async def results(self, payload: PublishStock, checkpoint: str) -> tuple[ItemResult, ...]:
        errors = msgspec.json.decode(checkpoint, type=dict[str, str])
        return tuple(ItemResult(item.sku, errors.get(item.sku, "")) for item in payload.items)

    def _refused(self, payload: PublishStock, refused: Refused) -> StepDone:
        """Of several items some may have been set before the refusal: nobody says which."""
        if len(payload.items) > 1:
            self._clean, self._items = 0, max(1, len(payload.items) // 2)
            raise InDoubt(
                f"{UPDATE}: a call of several items was refused as a whole ({why(refused)})"
            ) from refused
        errors = {item.sku: f"eBay refuses the update ({why(refused)})" for item in payload.items}
        return StepDone(checkpoint=msgspec.json.encode(errors).decode())


def _judged(payload: PublishStock, told: wire.ItemAnswers) -> dict[str, str]:
    """By SKU, what was certainly not set, and why. What has no answer, or one that says nothing, is a doubt for all."""
    answers: dict[str, list[wire.ItemAnswer]] = {}
    for answer in told.responses:
        answers.setdefault(answer.sku, []).append(answer)
    errors: dict[str, str] = {}
    for item in payload.items:
        mine = answers.get(item.sku, [])
        refused = [x for x in mine if 400 <= x.status_code < 500 and x.status_code not in {408, 429}]
        if not mine or not all(x in refused or 200 <= x.status_code < 300 for x in mine):
            raise InDoubt(f"{UPDATE}: not every item has an answer that says what became of it")
        if refused:
            ids = [error.error_id for error in refused[0].errors or () if error.error_id]
            code = ids[0] if ids else 0
            errors[item.sku] = (
                _REASONS.get(code) or f"eBay refuses the update (error {code or refused[0].status_code})"
            )
    return errors
