"""What the core asks of the world: the roles of adapters, and clock, chance, network and observation.

Only Protocols and the values that they carry. An adapter says which call to make and what its answer means;
everything else is the core's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

import msgspec

from marketsync.domain.aftersales import CancelSale, RefundSale
from marketsync.domain.coverage import ListTraits, Window
from marketsync.domain.deliveries import Kind, ProbeAnswer, StepSpec
from marketsync.domain.ids import LineId, OrderId, Reference, RemoteId, Sku
from marketsync.domain.orders import Order
from marketsync.domain.shipments import Shipment
from marketsync.domain.stock import StockFacts
from marketsync.domain.unmarked import Unmarked


class Clock(Protocol):
    """Time, in one object. `boot_id` changes when monotonic time starts anew (another boot or host)."""

    @property
    def boot_id(self) -> str: ...
    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class AlarmClock(Clock, Protocol):
    def call_later(self, seconds: float, ring: Callable[[], object]) -> Callable[[], object]:
        """`ring` is called in so many seconds, unless what this returns is called before."""
        ...


class Random(Protocol):
    def uniform(self, low: float, high: float) -> float: ...
    def token(self, length: int) -> str: ...


class Observer(Protocol):
    """Logs and metrics behind one door. Labels are a connection, a kind, a lane: never an order, SKU or person."""

    def event(self, name: str, /, **fields: Any) -> None: ...
    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None: ...
    def gauge(self, metric: str, value: float, /, **labels: str) -> None: ...
    def observe(self, metric: str, seconds: float, /, **labels: str) -> None: ...


class CrashPoints(Protocol):
    """Named boundaries between I/O steps: the simulator and the kill tests end the process there."""

    def reach(self, name: str) -> None: ...


class Request(msgspec.Struct, frozen=True):
    """One HTTP exchange, complete and signed. `send_by` is a monotonic deadline, checked last before the socket (A3)."""

    connection: str
    operation: str
    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    write: bool = False
    send_by: float | None = None
    connect_seconds: float = 10.0
    total_seconds: float = 30.0
    body_bytes_max: int = 8 * 1024 * 1024

    def __repr__(self) -> str:
        return f"Request({self.connection}, {self.operation}, {self.method})"


class Response(msgspec.Struct, frozen=True):
    """`received_at` is monotonic; `headers` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: float

    def __repr__(self) -> str:
        return f"Response({self.status}, {len(self.body)} bytes)"


class Transport(Protocol):
    """Carries one request once: it never redirects, resends or retries.

    Raises errors.TooLate or errors.Retry where the request certainly did not leave, errors.InDoubt where it may have.
    """

    async def send(self, request: Request) -> Response: ...
    async def close(self) -> None: ...


class TokenStore(Protocol):
    """Keeps rotating tokens: the new one is durable before it is used."""

    async def load(self, credential: str) -> str | None: ...
    async def save(self, credential: str, token: str) -> None: ...


class RawOrder(msgspec.Struct, frozen=True):
    """One order of a page, undecoded. `order_id` is "" where even that could not be read."""

    order_id: str
    raw: bytes


class OrderPage(msgspec.Struct, frozen=True):
    """One answer of a list. `total` is what the far side states for the whole window, None if it states none.

    `server_date` is the `Date` header of the answer. `more`: the far side says that it has more, however few these are.
    """

    orders: tuple[RawOrder, ...]
    total: int | None
    server_date: datetime | None = None
    more: bool = False


class Departure(msgspec.Struct, frozen=True):
    """Leave to send one attempt: `send_by` is the monotonic deadline (A3), `attempt` numbers it."""

    attempt: int
    send_by: float


class StepDone(msgspec.Struct, frozen=True):
    """The step was applied. `remote_id` goes into the Link; `checkpoint` (JSON text) is handed to later steps.

    `conflict` says what a person must see although the write was done, "" if nothing.
    """

    remote_id: str = ""
    checkpoint: str = ""
    conflict: str = ""


class StepWaiting(msgspec.Struct, frozen=True):
    """The far side took the work and will say later what became of it: `poll` with this receipt."""

    receipt: str
    poll_after_seconds: float


class ItemResult(msgspec.Struct, frozen=True):
    """What became of one item of a bulk write; `error` is "" if it was applied. `unsure`: nobody can say, but it is over."""

    subject: str
    error: str = ""
    unsure: bool = False


StepResult = StepDone | StepWaiting


class ProbeSpan(msgspec.Struct, frozen=True):
    """What a look-up must cover: creations from the first departure, less the skew, to now (A12)."""

    since: datetime
    now: datetime


class Writer(Protocol):
    """One kind of write of one adapter: its steps, each with its own class and probe (D6).

    `payload` is the struct of that kind, below. `send` makes exactly one write request for the step and raises
    the decisions of `marketsync.errors`; it never resends. `operation` names the operation whose budget a step
    spends: it is reserved before the step is claimed. `probe` looks whether the step took effect.
    """

    def operation(self, step: int) -> str: ...
    def steps(self, payload: Any) -> tuple[StepSpec, ...]: ...
    async def send(self, payload: Any, step: int, checkpoint: str, departure: Departure) -> StepResult: ...
    async def probe(
        self, payload: Any, step: int, checkpoint: str, span: ProbeSpan
    ) -> ProbeAnswer | Unmarked: ...


@runtime_checkable
class RequestWriter(Writer, Protocol):
    """A Writer of what a person asks for: Kind.CANCEL_SALE and Kind.REFUND.

    `objection` says, without a call, why the marketplace would never take it, "" if it may.
    """

    def objection(self, payload: Any) -> str: ...


class PollsReceipts(Protocol):
    """A Writer whose steps may answer StepWaiting."""

    async def poll(self, payload: Any, step: int, receipt: str) -> StepResult: ...


class Batch(msgspec.Struct, frozen=True):
    """How bulk writes leave: `items_max` in one, each one spending the budget of `operation`, `at_once` beside each other."""

    items_max: int
    operation: str
    at_once: int = 1


class BulkWriter(Writer, Protocol):
    """A Writer whose payload has items that are settled one by one, known once the write is done.

    `batch` says how so many items that are due are best sent; how a payload travels may depend on how many items it has.
    """

    def batch(self, due: int) -> Batch: ...
    async def results(self, payload: Any, checkpoint: str) -> tuple[ItemResult, ...]: ...


class AcceptLine(msgspec.Struct, frozen=True):
    line_id: LineId
    accepted: bool


class AcceptOrder(msgspec.Struct, frozen=True):
    """Kind.ACCEPT: our yes or no to every line of an order."""

    order_id: OrderId
    lines: tuple[AcceptLine, ...]


class ResolvedLine(msgspec.Struct, frozen=True):
    """Which article of the shop an order line is. `remote_id` is the shop's own id, in the adapter's form."""

    line_id: LineId
    sku: Sku
    remote_id: RemoteId


class CreateOrder(msgspec.Struct, frozen=True):
    """Kind.CREATE: the order as it is to be in the back-office.

    `takes_stock` and `ships` are False where the marketplace sends it from a stock of its own.
    """

    ref: Reference
    order: Order
    lines: tuple[ResolvedLine, ...]
    takes_stock: bool = True
    ships: bool = True


class UpdateOrder(msgspec.Struct, frozen=True):
    """Kind.UPDATE: bring the linked order to this revision."""

    ref: Reference
    remote_id: RemoteId
    order: Order
    lines: tuple[ResolvedLine, ...]


class CancelOrder(msgspec.Struct, frozen=True):
    """Kind.CANCEL: the linked order is not wanted any more."""

    ref: Reference
    remote_id: RemoteId
    order_id: OrderId


class ConfirmShipment(msgspec.Struct, frozen=True):
    """Kind.CONFIRM: tell the marketplace of one parcel. `carrier` is already mapped; `completes_order` if nothing is left.

    `channel` is `Order.channel`.
    """

    order_id: OrderId
    shipment: Shipment
    carrier: str
    completes_order: bool
    channel: str = ""


class StockItem(msgspec.Struct, frozen=True):
    sku: Sku
    quantity: int


class PublishStock(msgspec.Struct, frozen=True):
    """Kind.STOCK: absolute quantities of several SKUs in one write."""

    items: tuple[StockItem, ...]


class AdjustStock(msgspec.Struct, frozen=True):
    """Kind.ADJUST: a relative change with our key, for a shop that does not decrement by itself (C10)."""

    key: str
    remote_id: RemoteId
    sku: Sku
    delta: int


Payload = (
    AcceptOrder | CreateOrder | UpdateOrder | CancelOrder | ConfirmShipment | PublishStock | AdjustStock
    | CancelSale | RefundSale
)  # fmt: skip


class Traits(msgspec.Struct, frozen=True):
    """What depends on the account, as found by `probe_traits`. `facts` are shown to the operator.

    `problems` are texts for a person; a connection with a problem does not start.
    """

    facts: Mapping[str, str] = {}
    problems: tuple[str, ...] = ()
    server_date: datetime | None = None


class Marketplace(Protocol):
    """Sells the stock: orders are read from it, parcels confirmed to it, stock published on it.

    `writers` has Kind.CONFIRM, and Kind.ACCEPT, Kind.STOCK, Kind.CANCEL_SALE and Kind.REFUND where the marketplace has those
    powers. `ids_max` is how many ids one call of `fetch_orders_by_ids` takes: few where each costs a request of its own.
    """

    @property
    def ids_max(self) -> int: ...

    @property
    def updated(self) -> ListTraits: ...
    @property
    def created(self) -> ListTraits: ...
    @property
    def writers(self) -> Mapping[Kind, Writer]: ...
    async def probe_traits(self) -> Traits: ...
    async def fetch_orders(self, window: Window, offset: int) -> OrderPage: ...
    async def fetch_orders_by_ids(self, order_ids: Sequence[OrderId]) -> OrderPage: ...
    def parse_order(self, raw: bytes) -> Order: ...


class ReadsHints(Protocol):
    """A Marketplace that is told of changes as they happen. A hint only says which orders to read now: it is no order, it may
    be lost, doubled, late or forged, and nothing rests on it.

    Raises errors.Malformed where a message says nothing that can be used.
    """

    def read_hint(self, message: bytes) -> tuple[OrderId, ...]: ...


class Hint(msgspec.Struct, frozen=True):
    """One message as it came. `receipt` is its source's own, for `done`."""

    body: bytes
    receipt: str = ""


class HintSource(Protocol):
    """Brings a marketplace's messages, from a queue or the like. `receive` waits a while for the first of them.

    Raises Retry where the source can't be asked. What was not `done` may come again.
    """

    async def receive(self) -> Sequence[Hint]: ...
    async def done(self, hints: Sequence[Hint]) -> None: ...
    async def close(self) -> None: ...


class Pushes(Protocol):
    """Messages that a marketplace brings to an address of ours by itself. Anybody can send one: `verify_hint` tells whether it
    is the marketplace's own, and raises Retry where that can't be known now; `headers` with lower-case names.

    `answer_challenge` is the JSON by which the marketplace knows the address for ours, None where it has not asked.
    """

    def answer_challenge(self, query: Mapping[str, str]) -> bytes | None: ...
    async def verify_hint(self, headers: Mapping[str, str], body: bytes) -> bool: ...


class Article(msgspec.Struct, frozen=True):
    """What the shop knows of a SKU. `price` is its own list price, None if it has none.

    `facts` say what each event does to the figure of this very SKU (C3); `tracked` is False where the shop
    keeps no stock for it.
    """

    sku: Sku
    remote_id: RemoteId
    tracked: bool
    facts: StockFacts
    price: Decimal | None = None


class StockFigure(msgspec.Struct, frozen=True):
    """One figure as the shop states it; `value` may be negative where the shop reports so."""

    sku: Sku
    location: str
    value: int


class StockPage(msgspec.Struct, frozen=True):
    """`next_cursor` is "" on the last page. `articles` come along where the sweep sees them."""

    figures: tuple[StockFigure, ...]
    articles: tuple[Article, ...] = ()
    next_cursor: str = ""


class OpenOrder(msgspec.Struct, frozen=True):
    """An order that may still get parcels: how the shop knows it, and what was ordered, by line."""

    ref: Reference
    remote_id: RemoteId
    order: Order


class Aftersale(msgspec.Struct, frozen=True):
    """What the shop's people did to an order of ours beside its parcels: a cancellation, a refund, a return.

    `aftersale_id` never changes. `what` is said to a person, without a word of the buyer's.
    """

    ref: Reference
    aftersale_id: RemoteId
    what: str


@runtime_checkable
class ReadsAftersales(Protocol):
    """A BackOffice that tells of such things. Each time all that it sees, but for our own cancels: the core finds what is new."""

    async def fetch_aftersales(self, orders: Sequence[OpenOrder]) -> Sequence[Aftersale]: ...


class BackOffice(Protocol):
    """The shop: orders are created in it, parcels and stock read from it.

    `writers` has Kind.CREATE, and Kind.UPDATE, Kind.CANCEL and Kind.ADJUST where the shop has those powers.
    `open_orders_max` is how many orders one call of `fetch_shipments` takes. `read_lag_seconds`: how long after a
    write a read of the stock may still answer from before it (C7).
    """

    @property
    def writers(self) -> Mapping[Kind, Writer]: ...
    @property
    def open_orders_max(self) -> int: ...
    @property
    def read_lag_seconds(self) -> float: ...
    async def probe_traits(self) -> Traits: ...
    async def resolve_skus(self, skus: Sequence[Sku]) -> Mapping[Sku, Article]: ...
    async def fetch_shipments(self, orders: Sequence[OpenOrder]) -> Sequence[Shipment]: ...
    async def sweep_stock(self, cursor: str) -> StockPage: ...
    async def read_stock(self, articles: Sequence[Article]) -> Sequence[StockFigure]: ...
