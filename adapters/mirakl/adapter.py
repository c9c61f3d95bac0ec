"""Mirakl (MMP seller API): how its orders are read, and what is registered under the name `mirakl`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, assert_never

import msgspec

from adapters.mirakl import wire
from adapters.mirakl.mapping import Rules, parse_order
from adapters.mirakl.pages import PAGES
from adapters.mirakl.stock import StockWriter
from adapters.mirakl.writers import AcceptWriter, Account, Api, ConfirmWriter
from marketsync.domain.coverage import Axis, ListTraits, Window
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import OrderId
from marketsync.domain.orders import Order, TaxCollector
from marketsync.http import AdapterSpec, ApiKey, Budget, BuildContext, ConnectionPlan, Operation, Role, decode
from marketsync.ports import OrderPage, Traits, Writer

PAGE_SIZE = 100
ORDER_LIST_SECONDS = {"default": 60.0, "partner": 900.0}
FACT_MAX = 500
# The sweep and the looks for what is in doubt or not accepted yet stand for the one list.
READERS = 3
ORDER_LIST_BYTES_MAX = 32 * 1024 * 1024


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One shop on one operator's marketplace. `api_key` names the credential.

    `order_list_class`: an operator lets a shop's own key list orders once a minute, an external partner's once in
    15 minutes. `accept_within_hours`: when the operator declines by itself. `operator_centers`: fulfilment
    centres from which the operator ships. The three times of writing are assumptions about the far side (A25).
    """

    url: str
    api_key: str
    shop_id: int | None = None
    order_list_class: Literal["default", "partner"] = "default"
    order_tax_mode: Literal["TAX_INCLUDED", "TAX_EXCLUDED"] = "TAX_INCLUDED"
    accept_within_hours: float | None = None
    operator_centers: tuple[str, ...] = ()
    stock_imports: bool = True
    visibility_lag_seconds: float = 30.0
    overlap_seconds: float = 120.0
    lands_within_seconds: float = 60.0
    visible_within_seconds: float = 60.0
    stock_lands_within_seconds: float = 600.0
    allow_private: bool = False


class Mirakl:
    """A Marketplace."""

    def __init__(self, context: BuildContext, settings: Settings) -> None:
        self._settings = settings
        self._api = Api(context.http, settings.shop_id, settings.order_tax_mode)
        self._account = Account(
            context.connection, settings.lands_within_seconds, settings.visible_within_seconds
        )
        hours = settings.accept_within_hours
        self._rules = Rules(
            merchant=context.merchant,
            connection=context.connection,
            tax_mode=settings.order_tax_mode,
            accept_within=None if hours is None else timedelta(hours=hours),
            operator_centers=frozenset(settings.operator_centers),
        )
        self._writers: dict[Kind, Writer] = {
            Kind.ACCEPT: AcceptWriter(self._api, self._account),
            Kind.CONFIRM: ConfirmWriter(self._api, self._account),
        }
        if settings.stock_imports:
            self._writers[Kind.STOCK] = StockWriter(self._api, settings.stock_lands_within_seconds)

    @property
    def updated(self) -> ListTraits:
        """Sorted by creation and id: stable, but an update can bring an older row in. The vendor itself widens
        the lower end of an update window, so a page may hold orders from before it."""
        return self._list(Axis.UPDATED)

    @property
    def created(self) -> ListTraits:
        return self._list(Axis.CREATED)

    @property
    def writers(self) -> Mapping[Kind, Writer]:
        return self._writers

    async def probe_traits(self) -> Traits:
        """PC01 and SH21: what the operator has switched on, and the carriers that it knows."""
        answer = await self._api.read("PC01", "/api/platform/configuration", scoped=False)
        platform = decode(answer, wire.Platform, write=False)
        listed = await self._api.read("SH21", "/api/shipping/carriers", scoped=False)
        carriers = decode(listed, wire.Carriers, write=False)
        features = platform.features
        self._account.learn(features, carriers.carriers)
        by_operator = features.tax_collection.tax_collection_by_operator
        collector = TaxCollector.MARKETPLACE if by_operator else TaxCollector.SELLER
        self._rules = msgspec.structs.replace(self._rules, tax_collector=collector)
        facts = {
            "platform": platform.platform_name,
            "timezone": platform.timezone,
            "multi_shipment": _yes(features.shipment.multi_shipment),
            "other_carriers": _yes(not features.disable_seller_alternative_carrier),
            "carriers": ", ".join(carrier.code for carrier in carriers.carriers),
            "order_acceptance": features.order_workflows.order_acceptance,
            "tax_mode_of_platform": features.order_tax_mode,
            "tax_collected_by": collector.value,
        }
        return Traits(
            facts={name: _shown(fact) for name, fact in facts.items()}, server_date=answer.server_date
        )

    async def fetch_orders(self, window: Window, offset: int) -> OrderPage:
        lo, hi = _stamp(window.lo), _stamp(window.hi)
        match window.axis:
            case Axis.UPDATED:
                bounds = (("start_update_date", lo), ("end_update_date", hi))
            case Axis.CREATED:
                bounds = (("start_date", lo), ("end_date", hi))
            case _:
                assert_never(window.axis)
        return await self._page((*bounds, ("offset", str(offset))))

    @property
    def ids_max(self) -> int:
        """One answer holds no more."""
        return PAGE_SIZE

    async def fetch_orders_by_ids(self, order_ids: Sequence[OrderId]) -> OrderPage:
        if len(order_ids) > PAGE_SIZE:
            raise ValueError(f"at most {PAGE_SIZE} ids at a time")
        return await self._page((("order_ids", ",".join(order_ids)),))

    def parse_order(self, raw: bytes) -> Order:
        return parse_order(raw, self._rules)

    async def _page(self, chosen: tuple[tuple[str, str], ...]) -> OrderPage:
        answer = await self._api.list_orders(chosen)
        orders, total = PAGES.split(answer.body)
        return OrderPage(orders, total, answer.server_date)

    def _list(self, axis: Axis) -> ListTraits:
        return ListTraits(
            axis=axis,
            page_size=PAGE_SIZE,
            operation="OR11",
            lag_seconds=self._settings.visibility_lag_seconds,
            overlap_seconds=self._settings.overlap_seconds,
            states_total=True,
            stable_order=True,
        )


def plan(settings: Settings, secrets: Mapping[str, str]) -> ConnectionPlan:
    """Budgets are the contract's call frequencies; the order list by ids is metered with the list by time."""
    list_seconds = ORDER_LIST_SECONDS[settings.order_list_class]
    budgets = (
        Budget("orders", 1, list_seconds),
        Budget("writes", 60, 60.0, burst=10),
        Budget("shipments", 60, 60.0, burst=10),
        Budget("stock_import", 1, 60.0),
        Budget("stock_status", 1, 15.0),
        Budget("stock_report", 1, 60.0),
        Budget("account", 6, 60.0, burst=4),
    )
    by_budget = {
        "orders": ("OR11",),
        "writes": ("OR21", "OR23", "OR24", "ST01"),
        "shipments": ("ST11",),
        "stock_import": ("STO01",),
        "stock_status": ("STO02",),
        "stock_report": ("STO03",),
        "account": ("PC01", "SH21"),
    }
    operations = [
        Operation(name, budget) for budget, names in by_budget.items() for name in names if name != "OR11"
    ]
    operations.append(
        Operation(
            "OR11",
            "orders",
            total_seconds=60.0,
            body_bytes_max=ORDER_LIST_BYTES_MAX,
            retries=0,
            budget_wait_seconds=READERS * list_seconds,
        )
    )
    return ConnectionPlan(
        base_url=settings.url,
        auth=ApiKey("Authorization", secrets["api_key"]),
        credential=settings.api_key,
        budgets=budgets,
        operations=tuple(operations),
        allow_private=settings.allow_private,
    )


def build(context: BuildContext, settings: Settings) -> Mirakl:
    return Mirakl(context, settings)


ADAPTER = AdapterSpec(
    name="mirakl",
    role=Role.MARKETPLACE,
    settings=Settings,
    secrets=("api_key",),
    plan=plan,
    build=build,
    sandbox="adapters.mirakl.rehearsal:open_side",
)


def _stamp(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    text = utc.isoformat(timespec="milliseconds" if utc.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def _yes(switch: bool) -> str:
    return "yes" if switch else "no"


def _shown(text: str) -> str:
    return text.replace("\0", "")[:FACT_MAX]
