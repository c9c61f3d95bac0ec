"""What the shop's people did to orders of ours beside their parcels: cancellations, refunds, returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from adapters.shopify.api import Api
from adapters.shopify.operations import AFTERSALES
from adapters.shopify.settings import Settings
from adapters.shopify.wire import AftersaleOrder, AftersalesData, Reply, gid, number_of, shown
from marketsync.domain.ids import RemoteId
from marketsync.ports import Aftersale, OpenOrder

CAME_TO_NOTHING = ("CANCELED", "DECLINED")


class Aftersales:
    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings

    async def fetch(self, wanted: Sequence[OpenOrder]) -> list[Aftersale]:
        by_id = {gid("Order", order.remote_id): order for order in wanted}
        found: list[Aftersale] = []
        ids, size = list(by_id), self._settings.orders_per_call
        for start in range(0, len(ids), size):
            batch = ids[start : start + size]
            data = await self._api.read("shipments.read", AFTERSALES, Reply[AftersalesData], ids=batch)
            for held in data.nodes:
                if held is not None and held.id in by_id:
                    found += _of(by_id[held.id], held)
        return found


def _of(wanted: OpenOrder, held: AftersaleOrder) -> Iterator[Aftersale]:
    """A cancel brings refunds of its own: of a cancelled order that alone is told, and of our own cancels nothing."""
    order = wanted.remote_id
    if held.cancelled_at:
        note = (held.cancellation.staff_note if held.cancellation else None) or ""
        if wanted.ref not in note:
            yield Aftersale(wanted.ref, RemoteId(f"{order}:cancel"), f"order {order} was cancelled")
        return
    for refund in held.refunds:
        units = sum(row.quantity for row in refund.refund_line_items.nodes)
        money = refund.total_refunded_set.shop_money if refund.total_refunded_set else None
        amount = f"{shown(money.amount)} {shown(money.currency_code)}" if money else "an amount"
        told = f"{units} units of order {order} were refunded with {amount}"
        yield Aftersale(wanted.ref, RemoteId(f"{order}:refund:{number_of(refund.id)}"), told)
    for back in held.returns.nodes:
        if back.status not in CAME_TO_NOTHING:
            told = f"a return of {back.total_quantity} units of order {order} was opened"
            yield Aftersale(wanted.ref, RemoteId(f"{order}:return:{number_of(back.id)}"), told)
