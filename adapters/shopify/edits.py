"""A newer revision of an order, and an adjustment of a figure that no order moves."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.shopify import orders
from adapters.shopify.api import Api
from adapters.shopify.operations import ADJUST, EDIT_BEGIN, EDIT_COMMIT, EDIT_QUANTITY, LEVELS, UPDATE
from adapters.shopify.settings import LINE_PROPERTY, Settings
from adapters.shopify.wire import (
    Changed,
    ChangeData,
    HeldLine,
    HeldOrder,
    Reply,
    attribute,
    errors_shown,
    gid,
)
from adapters.shopify.wire_stock import LevelsData
from adapters.shopify.writers import SEND_BY_SECONDS, has_left, restocks
from marketsync.domain.deliveries import Absent, Found, ProbeAnswer, Record, StepSpec, Unknown, WriteClass
from marketsync.domain.ids import LineId
from marketsync.errors import InDoubt, MarketsyncError, Park, ReadFailed, Retry
from marketsync.ports import AdjustStock, Departure, ProbeSpan, StepDone, UpdateOrder

MARK = 1
STALE = "CHANGE_FROM_QUANTITY_STALE"


class UpdateWriter:
    """First the quantities, by an edit that is drafted without effect and then committed; then address and content mark.

    Prices can't be changed by it: where the total is another in the end, a person is told.
    """

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings

    def operation(self, step: int) -> str:
        return "orders.update"

    def steps(self, payload: UpdateOrder) -> tuple[StepSpec, ...]:
        lands, visible = self._settings.lands_within_seconds, self._settings.visible_within_seconds
        return (
            StepSpec("edit", WriteClass.UPSERT, lands, visible, send_by_seconds=SEND_BY_SECONDS),
            StepSpec("mark", WriteClass.UPSERT, lands, visible, carries_content=False),
        )

    async def send(self, payload: UpdateOrder, step: int, checkpoint: str, departure: Departure) -> StepDone:
        if step == MARK:
            return await self._mark(payload, departure)
        order = await self._changeable(payload)
        changes = self._changes(payload, order)
        if not changes:
            return StepDone(payload.remote_id)
        draft = await self._drafted(order, changes)
        data = await self._api.write(
            "orders.update", EDIT_COMMIT, Reply[ChangeData], departure, id=draft, note=payload.ref
        )
        if (wrong := data.change or Changed()).order is None:
            await self._settle_refusal(payload, errors_shown(wrong.user_errors) or "no reason")
        return StepDone(payload.remote_id)

    async def probe(self, payload: UpdateOrder, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        order = await self._api.order(payload.remote_id)
        if order is None:
            return Absent()
        marked = order.content is not None and order.content.value == orders.content_hash(
            payload, self._settings
        )
        done = 2 if marked else 0 if self._changes(payload, order) else 1
        return Found((Record(payload.remote_id, done),))

    async def _mark(self, payload: UpdateOrder, departure: Departure) -> StepDone:
        data = await self._api.write(
            "orders.update", UPDATE, Reply[ChangeData], departure, input=orders.update_input(payload, self._settings)
        )  # fmt: skip
        change = data.change or Changed()
        if change.order is None:
            reason = errors_shown(change.user_errors) or "no reason"
            raise Park(f"order {payload.remote_id} can't be changed: {reason}")
        held = change.order
        wrong = orders.money_differences(payload.order, held.current_total_price_set, held.currency_code)
        if change.user_errors:
            wrong.append(f"Shopify says {errors_shown(change.user_errors)}")
        conflict = f"order {payload.remote_id} after its update: {'; '.join(wrong)}" if wrong else ""
        return StepDone(payload.remote_id, conflict=conflict)

    async def _changeable(self, payload: UpdateOrder) -> HeldOrder:
        order = await self._api.order(payload.remote_id)
        if order is None or order.cancelled_at or has_left(order):
            state = "deleted" if order is None else "cancelled" if order.cancelled_at else "shipped in part"
            raise Park(
                f"order {payload.remote_id} is {state} in the shop and can't be changed",
                (f"gone:{payload.ref}",),
            )
        if order.line_items.page_info.has_next_page:
            raise Park(
                f"order {payload.remote_id} has more lines than can be changed at once",
                (f"line:{payload.ref}",),
            )
        return order

    def _changes(self, payload: UpdateOrder, order: HeldOrder) -> dict[LineId, tuple[HeldLine, int]]:
        """By line, what the shop holds and how many units are wanted of it. Raises Park where a line is new."""
        held = {orders.line_of(line): line for line in order.line_items.nodes if orders.line_of(line)}
        wanted = {line.line_id: line.wanted for line in payload.order.lines}
        for line_id, quantity in wanted.items():
            if quantity and line_id not in held:
                raise Park(
                    f"order {payload.remote_id} does not hold line {line_id}: add it in the shop",
                    (f"line:{payload.ref}",),
                )
        return {
            line_id: (line, wanted.get(line_id, 0))
            for line_id, line in held.items()
            if line.current_quantity != wanted.get(line_id, 0)
        }

    async def _drafted(self, order: HeldOrder, changes: Mapping[LineId, tuple[HeldLine, int]]) -> str:
        """A draft of the edit: it has no effect on the order before it is committed."""
        begun = (await self._api.read("orders.edit", EDIT_BEGIN, Reply[ChangeData], id=order.id)).change
        if begun is None or begun.calculated_order is None:
            raise ReadFailed("orders.edit: the edit can't be begun")
        draft = begun.calculated_order
        lines = {attribute(x.custom_attributes, LINE_PROPERTY): x.id for x in draft.line_items.nodes}
        for line_id, (_, quantity) in changes.items():
            if line_id not in lines:
                raise ReadFailed("orders.edit: the edit does not show our line")
            data = await self._api.read(
                "orders.edit", EDIT_QUANTITY, Reply[ChangeData],
                id=draft.id, line=lines[line_id], quantity=quantity, restock=restocks(order),
            )  # fmt: skip
            if data.change is None or data.change.calculated_line_item is None:
                raise ReadFailed("orders.edit: a quantity was not taken")
        return draft.id

    async def _settle_refusal(self, payload: UpdateOrder, reason: str) -> None:
        """Returns where the order is as wanted all the same."""
        try:
            order = await self._api.order(payload.remote_id)
        except MarketsyncError:
            raise InDoubt(f"orders.update: refused ({reason}), and the order can't be read") from None
        if order is None or self._changes(payload, order):
            raise Park(f"order {payload.remote_id} can't be changed: {reason}")


class AdjustWriter:
    """One change of `available` at one location, against the figure that was read just before, under a key for that figure.

    Where the same key came twice, Shopify was seen to compare the figure anew instead of repeating its answer: so a lost
    answer is a person's to judge.
    """

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings

    def operation(self, step: int) -> str:
        return "stock.adjust"

    def steps(self, payload: AdjustStock) -> tuple[StepSpec, ...]:
        lands = self._settings.lands_within_seconds
        return (StepSpec("adjust", WriteClass.BLIND, lands, send_by_seconds=SEND_BY_SECONDS),)

    async def send(self, payload: AdjustStock, step: int, checkpoint: str, departure: Departure) -> StepDone:
        location = gid("Location", self._settings.location)
        item, figure = await self._figure(payload, location)
        change = {
            "delta": payload.delta, "inventoryItemId": item, "locationId": location, "changeFromQuantity": figure,
        }  # fmt: skip
        data = await self._api.write(
            "stock.adjust", ADJUST, Reply[ChangeData], departure, idempotencyKey=f"{payload.key}:{figure}",
            input={"name": "available", "reason": "correction", "changes": [change]},
        )  # fmt: skip
        answer = data.change or Changed()
        if answer.inventory_adjustment_group is not None:
            return StepDone(payload.key)
        if departure.attempt == 1 and any(error.code == STALE for error in answer.user_errors):
            raise Retry("stock.adjust: the figure moved between its reading and the write")
        raise InDoubt(f"stock.adjust: {errors_shown(answer.user_errors) or 'no reason'}")

    async def probe(self, payload: AdjustStock, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        return Unknown()

    async def _figure(self, payload: AdjustStock, location: str) -> tuple[str, int]:
        ids = [gid("ProductVariant", payload.remote_id)]
        data = await self._api.read("stock.read", LEVELS, Reply[LevelsData], ids=ids)
        item = next((x.inventory_item for x in data.nodes if x is not None and x.inventory_item), None)
        levels = item.inventory_levels.nodes if item else []
        kept = (x.quantities for x in levels if x.location.id == location)
        figure = next((x.quantity for quantities in kept for x in quantities if x.name == "available"), None)
        if item is None or figure is None:
            raise Park(f"{payload.sku} is not kept at this location", (f"sku:{payload.sku}",))
        return item.id, figure
