"""eBay: how its orders are read, and what is registered under the name `ebay`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, assert_never

import msgspec

from adapters.ebay import wire
from adapters.ebay.api import INVENTORY, PAGE_SIZE, Api
from adapters.ebay.cancels import CancelWriter
from adapters.ebay.hints import Hints, pushed, read_hint
from adapters.ebay.mapping import CANCELLING, PAGES, Rules, parse_order
from adapters.ebay.shipments import ConfirmWriter
from adapters.ebay.stock import StockWriter
from marketsync.domain.coverage import Axis, ListTraits, Window
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import ConnectionId, OrderId
from marketsync.domain.orders import Order
from marketsync.errors import Refused, Retry
from marketsync.http import AdapterSpec, Budget, BuildContext, ConnectionPlan, OAuth2, Operation, Role, decode
from marketsync.http.documents import is_id
from marketsync.ports import OrderPage, Pushes, RawOrder, Traits, Writer

ITEMS_MAX = 25
HISTORY_DAYS = 729
UNWANTED_AGO = timedelta(days=700)
ORDER_LIST_BYTES_MAX = 32 * 1024 * 1024
TOKEN_PATH = "/identity/v1/oauth2/token"  # noqa: S105 - a path
RENEWALS_A_DAY = 50_000
KEY_READS_A_DAY = 10_000
CANCELS_A_DAY = 1_000
# The Post-Order API takes the same token under another word.
POST_ORDER_PREFIX = "IAF "
# eBay counts by its calendar day, and one day of the year has 25 hours.
DAY_SECONDS = 25 * 3600.0
BURST = 10

Calls = Annotated[int, msgspec.Meta(ge=100)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One seller's account. `client_id` is the application (App ID), `client_secret`, `refresh_token` and `hints_token` name
    credentials. `hints_endpoint` is the address that eBay pushes to, with `hints_token` as its verification token.

    `daily_calls` and `daily_stock_calls` are what eBay grants the application in a day for the Fulfillment and the
    Inventory API, shared by all connections that name the same `client_id`: each must then state the same figures.
    The times of reading and writing are assumptions about the far side (A25).
    """

    client_id: str
    client_secret: str
    refresh_token: str
    url: str = "https://api.ebay.com"
    scope: str = ""
    hints_endpoint: str = ""
    hints_token: str = ""
    daily_calls: Calls = 100_000
    daily_stock_calls: Calls = 2_000_000
    publish_stock: bool = True
    cancels: bool = True
    stock_items_max: Annotated[int, msgspec.Meta(ge=1, le=ITEMS_MAX)] = ITEMS_MAX
    visibility_lag_seconds: float = 60.0
    overlap_seconds: float = 300.0
    lands_within_seconds: float = 60.0
    visible_within_seconds: float = 60.0
    stock_lands_within_seconds: float = 60.0
    allow_private: bool = False


class Ebay:
    """A Marketplace."""

    def __init__(self, context: BuildContext, settings: Settings) -> None:
        self._settings = settings
        self._api = Api(context.http)
        self._clock = context.clock
        self._rules = Rules(context.merchant, context.connection)
        self._hints = Hints(self._api, context.clock)
        self._writers: dict[Kind, Writer] = {
            Kind.CONFIRM: ConfirmWriter(
                self._api, context.connection, settings.lands_within_seconds, settings.visible_within_seconds
            )
        }
        if settings.cancels:
            self._writers[Kind.CANCEL_SALE] = CancelWriter(
                self._api, settings.lands_within_seconds, settings.visible_within_seconds
            )
        if settings.publish_stock:
            self._writers[Kind.STOCK] = StockWriter(
                self._api, settings.stock_items_max, settings.stock_lands_within_seconds
            )

    @property
    def connection(self) -> ConnectionId:
        return self._rules.connection

    @property
    def updated(self) -> ListTraits:
        """No order of rows is promised: only a window that comes in one answer is covered (B7, B10)."""
        return self._list(Axis.UPDATED)

    @property
    def created(self) -> ListTraits:
        return self._list(Axis.CREATED)

    @property
    def writers(self) -> Mapping[Kind, Writer]:
        return self._writers

    @property
    def ids_max(self) -> int:
        """Each id is a call of its own: together, one that fails would cost what the others have told."""
        return 1

    async def probe_traits(self) -> Traits:
        """One look by each consent that is needed. That at the orders is meant to find none: it reads nobody's data."""
        moment = self._clock.now() - UNWANTED_AGO
        orders = await self._api.list_orders(_criterion(Window(Axis.CREATED, moment, moment)), 0)
        facts: dict[str, str] = {}
        if self._settings.publish_stock:
            items = await self._api.read(
                "getInventoryItems", f"{INVENTORY}/inventory_item", (("limit", "1"),)
            )
            count = decode(items, wire.Listed, write=False).total
            facts["inventory_items"] = str(count)
            if not count:
                facts["stock"] = "none can be published: no listing was made by the Inventory API"
        return Traits(facts=facts, server_date=orders.server_date)

    async def fetch_orders(self, window: Window, offset: int) -> OrderPage:
        """One page; a row whose cancelling is under way is read by itself, since the list leaves out who asked for what.
        Where it is over, the requests decide nothing any more."""
        answer = await self._api.list_orders(_criterion(window), offset)
        rows, total = PAGES.split(answer.body)
        orders = list(rows)
        for i, row in enumerate(rows):
            try:
                orders[i] = await self._whole(row)
            except Refused:
                # What the list has told is not lost for what it left out: the look at the open order brings that.
                continue
            except Retry:
                break
        return OrderPage(tuple(orders), total, answer.server_date)

    async def fetch_orders_by_ids(self, order_ids: Sequence[OrderId]) -> OrderPage:
        (order_id,) = order_ids
        found = await self._api.order(order_id)
        if found is None:
            return OrderPage((), 0)
        return OrderPage((found[1],), 1, found[0].server_date)

    def parse_order(self, raw: bytes) -> Order:
        return parse_order(raw, self._rules)

    def read_hint(self, message: bytes) -> tuple[OrderId, ...]:
        return read_hint(message)

    async def verify_hint(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether eBay itself has signed this message; `headers` with lower-case names."""
        return await self._hints.verify(headers.get("x-ebay-signature", ""), body)

    async def _whole(self, row: RawOrder) -> RawOrder:
        try:
            stated = msgspec.json.decode(row.raw, type=wire.Row)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return row
        asked = stated.cancel_status is not None and stated.cancel_status.cancel_state == CANCELLING
        if not asked or not is_id(stated.order_id):
            return row
        found = await self._api.order(stated.order_id)
        return found[1] if found else row

    def _list(self, axis: Axis) -> ListTraits:
        return ListTraits(
            axis=axis,
            page_size=PAGE_SIZE,
            operation="getOrders",
            granule_seconds=0.001,
            shortest_seconds=0.001,
            lag_seconds=self._settings.visibility_lag_seconds,
            overlap_seconds=self._settings.overlap_seconds,
            states_total=True,
            stable_order=False,
            history_days=HISTORY_DAYS,
        )


def plan(settings: Settings, secrets: Mapping[str, str]) -> ConnectionPlan:
    """Budgets are the application's own, of a day: whoever shares the application shares them."""
    url = settings.url.rstrip("/")
    return ConnectionPlan(
        base_url=url,
        auth=OAuth2(
            token_url=url + TOKEN_PATH,
            client_id=settings.client_id,
            client_secret=secrets["client_secret"],
            refresh_token=secrets["refresh_token"],
            scope=settings.scope,
        ),
        credential=f"ebay application {settings.client_id}",
        budgets=(
            daily("fulfillment", settings.daily_calls),
            daily("inventory", settings.daily_stock_calls),
            daily("notification", KEY_READS_A_DAY),
            daily("post_order", CANCELS_A_DAY),
            daily("identity", RENEWALS_A_DAY),
        ),
        operations=(
            Operation("getOrders", "fulfillment", total_seconds=60.0, body_bytes_max=ORDER_LIST_BYTES_MAX),
            Operation("getOrder", "fulfillment", total_seconds=10.0),
            Operation("getShippingFulfillments", "fulfillment"),
            Operation("createShippingFulfillment", "fulfillment"),
            Operation("getInventoryItems", "inventory"),
            Operation("bulkUpdatePriceQuantity", "inventory"),
            Operation("getPublicKey", "notification"),
            Operation("createCancellation", "post_order", auth_prefix=POST_ORDER_PREFIX),
            Operation("approveCancellation", "post_order", auth_prefix=POST_ORDER_PREFIX),
            Operation("token", "identity"),
        ),
        allow_private=settings.allow_private,
    )


def daily(name: str, calls: int) -> Budget:
    """A day's calls as a steady rate: never more in any day, whenever it begins. The period is a minute at least, which is
    also how long a 429 stops everybody: it can last until midnight in California."""
    interval = DAY_SECONDS / (calls - BURST)
    at_once = max(BURST, math.ceil(60.0 / interval))
    return Budget(name, at_once, at_once * interval, burst=BURST)


def build(context: BuildContext, settings: Settings) -> Ebay:
    return Ebay(context, settings)


def pushes(settings: Settings, secrets: Mapping[str, str], ebay: Ebay) -> Pushes | None:
    return pushed(ebay.verify_hint, secrets.get("hints_token", ""), settings.hints_endpoint, ebay.connection)


ADAPTER = AdapterSpec(
    name="ebay",
    role=Role.MARKETPLACE,
    settings=Settings,
    secrets=("client_secret", "refresh_token", "hints_token"),
    plan=plan,
    build=build,
    pushes=pushes,
    sandbox="adapters.ebay.rehearsal:open_side",
    # A listing may be revised so often a day, and the day ends at midnight in California.
    defaults={"stock_writes_per_day": 250, "stock_day_zone": "America/Los_Angeles"},
)


def _criterion(window: Window) -> str:
    """Both ends are inclusive, in milliseconds: what is finer than that is no stamp of eBay's."""
    match window.axis:
        case Axis.UPDATED:
            name = "lastmodifieddate"
        case Axis.CREATED:
            name = "creationdate"
        case _:
            assert_never(window.axis)
    return f"{name}:[{_stamp(window.lo)}..{_stamp(window.hi)}]"


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
