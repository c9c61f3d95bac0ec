"""A Mirakl whose lists come in pages of a few rows and may be asked for often, so that a small day is paged at all."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from adapters.mirakl import ADAPTER
from adapters.mirakl.adapter import Mirakl, Settings
from adapters.mirakl.writers import Api, Query
from marketsync.domain.coverage import Axis, ListTraits
from marketsync.http import AdapterSpec, Answer, Budget, BuildContext, ConnectionPlan, Http

ROWS = 4
LIST_SECONDS = 4.0


def small_pages() -> AdapterSpec:
    return replace(ADAPTER, plan=_plan, build=_SmallPages)


def _plan(settings: Settings, secrets: Mapping[str, str]) -> ConnectionPlan:
    plan: ConnectionPlan = ADAPTER.plan(settings, secrets)
    budgets = [Budget("orders", 1, LIST_SECONDS) if x.name == "orders" else x for x in plan.budgets]
    return replace(plan, budgets=tuple(budgets))


class _SmallPages(Mirakl):
    def __init__(self, context: BuildContext, settings: Settings) -> None:
        super().__init__(context, settings)
        self._api = _Few(context.http, settings)

    def _list(self, axis: Axis) -> ListTraits:
        return replace(super()._list(axis), page_size=ROWS)


class _Few(Api):
    """What is asked for by ids comes whole."""

    def __init__(self, http: Http, settings: Settings) -> None:
        super().__init__(http, settings.shop_id, settings.order_tax_mode)
        self._rows = ROWS

    async def list_orders(self, chosen: Query) -> Answer:
        if chosen[0][0] == "order_ids":
            return await super().list_orders(chosen)
        fixed = (
            ("max", str(self._rows)), ("paginate", "true"), ("sort", "dateCreated"), ("order", "asc"),
            ("order_tax_mode", self._tax_mode),
        )  # fmt: skip
        return await self.read("OR11", "/api/orders", (*chosen, *fixed))
