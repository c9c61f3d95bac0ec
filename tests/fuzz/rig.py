"""One adapter behind the real client: answers are recorded from its sandbox once, and replayed with one of them spoilt."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import ConnectionId, MerchantId, Sku
from marketsync.domain.orders import Order
from marketsync.errors import InDoubt, MarketsyncError
from marketsync.http import AdapterSpec, BuildContext, client_of
from marketsync.ports import Departure, ProbeSpan, RawOrder, Request, Response
from tests.fuzz.mutations import MARKER

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PRIVATE = frozenset(
    "firstname lastname company street_1 street_2 zip_code city phone customer_notification_email message"
    " first_name last_name address_1 address_2 postcode email street1 street2".split()
)


class Clock:
    """Time moves on by what is waited for."""

    boot_id = "boot"

    def __init__(self, time: float = 1000.0) -> None:
        self.time = time

    def now(self) -> datetime:
        return START + timedelta(seconds=self.time - 1000.0)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += max(0.0, seconds)

    def call_later(self, seconds: float, ring: Callable[[], object]) -> Callable[[], object]:
        raise AssertionError("no loop waits here")


class Chance:
    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2

    def token(self, length: int) -> str:
        return "n" * length


class Ear:
    """An Observer that keeps all that was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def event(self, name: str, /, **fields: Any) -> None:
        self.said.append(f"{name} {fields}")

    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None:
        self.said.append(f"{metric} {labels}")

    def gauge(self, metric: str, value: float, /, **labels: str) -> None:
        self.said.append(f"{metric} {labels}")

    def observe(self, metric: str, seconds: float, /, **labels: str) -> None:
        self.said.append(f"{metric} {labels}")


class Recorded(msgspec.Struct, frozen=True):
    """One exchange of the sandbox. `key` is its method and URL, and behind a # what its body asks for where one address
    serves all."""

    key: str
    write: bool
    response: Response


class Replay:
    """A Transport, with the limit of the real one. What was asked again is answered in the order that was recorded, what is
    spoilt always so; what was not recorded as the same path was, else with a 404."""

    def __init__(self, clock: Clock, answers: Sequence[Recorded], spoilt: Mapping[str, Response]) -> None:
        self._clock = clock
        self._answers: dict[str, list[Response]] = {}
        for recorded in answers:
            self._answers.setdefault(recorded.key, []).append(recorded.response)
        self._answers |= {key: [response] for key, response in spoilt.items()}
        self._paths = {_path(key): responses[-1] for key, responses in self._answers.items()}
        self._paths |= {_path(key): response for key, response in spoilt.items()}
        self.written: list[int] = []

    async def send(self, request: Request) -> Response:
        key = _key(request)
        recorded = self._answers.get(key, [])
        following = recorded.pop(0) if len(recorded) > 1 else next(iter(recorded), None)
        response = following or self._paths.get(_path(key)) or _nothing_there()
        if request.write:
            self.written.append(response.status)
        if len(response.body) > request.body_bytes_max:
            raise InDoubt("the answer is too large")
        return replace(response, received_at=self._clock.monotonic())

    async def close(self) -> None: ...


class Recorder:
    """A Transport over a sandbox."""

    def __init__(self, sandbox: Any, clock: Clock) -> None:
        self._sandbox, self._clock = sandbox, clock
        self.seen: list[Recorded] = []

    async def send(self, request: Request) -> Response:
        response: Response = self._sandbox.handle(request, self._clock.now())
        self.seen.append(
            Recorded(_key(request), request.write, replace(response, body=marked(response.body)))
        )
        return replace(response, received_at=self._clock.monotonic())

    async def close(self) -> None: ...


class Side:
    """An adapter at work for one document."""

    def __init__(
        self, spec: AdapterSpec, settings: Mapping[str, Any], secrets: Mapping[str, str], clock: Clock, transport: Any,
        connection: str = "far",
    ) -> None:  # fmt: skip
        chosen = spec.settings(**settings)
        plan = spec.plan(chosen, secrets)
        self.clock, self.ear = clock, Ear()
        self.written: list[int] = getattr(transport, "written", [])
        self.http = client_of(
            plan, connection, transport=transport, clock=clock, random=Chance(), observer=self.ear
        )
        context = BuildContext(MerchantId("main"), ConnectionId(connection), self.http, clock)
        self.adapter: Any = spec.build(context, chosen)

    def settled(self) -> None:
        """What was written until now was answered for: an error from here on does not speak of it."""
        self.written.clear()

    def departure(self, attempt: int = 1) -> Departure:
        return Departure(attempt, self.clock.monotonic() + 600.0)

    def span(self) -> ProbeSpan:
        return ProbeSpan(START, self.clock.now())


Ask = Callable[[Side], Awaitable[object]]


class Case(msgspec.Struct, frozen=True):
    """One call of an adapter, of whose answers the one named `spoilt` is to be changed."""

    name: str
    ask: Ask
    answers: tuple[Recorded, ...]
    spoilt: Recorded
    at: float
    settings: Mapping[str, Any]
    listed: str | None = None
    stored: bool = False


class Vendor(msgspec.Struct, frozen=True):
    """An adapter and the cases that are made of it. `known` are the names that it reads; `split` and `parse` read a good page.
    `units_min` is the least that a line may say was ordered."""

    name: str
    spec: AdapterSpec
    secrets: Mapping[str, str]
    known: frozenset[str]
    cases: tuple[Case, ...]
    split: Callable[[bytes], Sequence[RawOrder]] = lambda _: ()
    parse: Callable[[bytes], Order] | None = None
    units_min: int = 1


class Read(msgspec.Struct, frozen=True):
    """A page as the engine would take it: each order parsed, or why it was not."""

    raws: tuple[RawOrder, ...]
    orders: tuple[Any, ...]


def read(adapter: Any, raws: Sequence[RawOrder]) -> Read:
    found: list[Any] = []
    for raw in raws:
        try:
            found.append(adapter.parse_order(raw.raw))
        except MarketsyncError as error:
            found.append(error)
    return Read(tuple(raws), tuple(found))


def sends(kind: Kind, payload: Any, *, step: int = 0, checkpoint: str = "", attempt: int = 1) -> Ask:
    async def ask(side: Side) -> object:
        return await side.adapter.writers[kind].send(payload, step, checkpoint, side.departure(attempt))

    return ask


def probes(kind: Kind, payload: Any, *, step: int = 0, checkpoint: str = "") -> Ask:
    async def ask(side: Side) -> object:
        return await side.adapter.writers[kind].probe(payload, step, checkpoint, side.span())

    return ask


def polled(kind: Kind, payload: Any) -> Ask:
    """A file: sent, polled until it is done, its report read where it has one."""

    async def ask(side: Side) -> object:
        writer = side.adapter.writers[kind]
        result = await writer.send(payload, 0, "", side.departure())
        side.settled()
        for _ in range(5):
            if not (receipt := getattr(result, "receipt", None)):
                break
            await side.clock.sleep(result.poll_after_seconds)
            result = await writer.poll(payload, 0, receipt)
        checkpoint = getattr(result, "checkpoint", "")
        reads = checkpoint and hasattr(writer, "results")
        return result, await writer.results(payload, checkpoint) if reads else ()

    return ask


def stock(*skus: str) -> Ask:
    async def ask(side: Side) -> object:
        found = await side.adapter.resolve_skus([Sku(sku) for sku in skus])
        return await side.adapter.read_stock(list(found.values()))

    return ask


async def sweep(side: Side) -> object:
    """To its last page, or as far as a shop that never ends is followed here."""
    pages, cursor = [], ""
    for _ in range(20):
        pages.append(await side.adapter.sweep_stock(cursor))
        cursor = pages[-1].next_cursor
        if not cursor:
            break
    return pages


async def recorded(
    spec: AdapterSpec, secrets: Mapping[str, str], name: str, sandbox: Any, ask: Ask, *,
    settings: Mapping[str, Any], after_seconds: float = 0.0, listed: str | None = None, stored: bool = False,
) -> list[Case]:  # fmt: skip
    """One case for each different answer that the call needs. A call that the sandbox refuses is a case as well."""
    clock = Clock(1000.0 + after_seconds)
    recorder = Recorder(sandbox, clock)
    side = Side(spec, settings, secrets, clock, recorder)
    try:
        await ask(side)
    except Exception:  # noqa: BLE001 - the refusals of the sandbox are documents, too
        assert recorder.seen, name
    seen = {exchange.key: exchange for exchange in reversed(recorder.seen)}
    cases = []
    for key, exchange in reversed(seen.items()):
        # A token, or one of its orders by itself, is no list.
        has_list = listed is not None and f'"{listed}"'.encode() in exchange.response.body
        case = Case(
            f"{name} < {_path(key)}", ask, tuple(recorder.seen), exchange, 1000.0 + after_seconds, settings,
            listed if has_list or not listed else None, stored and has_list,
        )  # fmt: skip
        cases.append(case)
    return cases


def names_of(*modules: Any) -> frozenset[str]:
    """The names that an adapter's wire types read."""
    found = set()
    for module in modules:
        for item in vars(module).values():
            if isinstance(item, type) and issubclass(item, msgspec.Struct):
                found |= {field.encode_name for field in msgspec.structs.fields(item)}
    return frozenset(found)


def marked(body: bytes) -> bytes:
    """The document with a marker wherever a buyer's data stands."""
    try:
        return json.dumps(_marked(json.loads(body))).encode()
    except ValueError:
        return body


def _marked(node: Any, key: str = "") -> Any:
    if isinstance(node, dict):
        return {name: _marked(value, name) for name, value in node.items()}
    if isinstance(node, list):
        return [_marked(value) for value in node]
    return MARKER if key in PRIVATE and isinstance(node, str) else node


def _key(request: Request) -> str:
    asked = _asked(request.body)
    return f"{request.method} {request.url}{'#' if asked else ''}{asked}"


def _asked(body: bytes) -> str:
    """The operation of GraphQL, the model and method of a remote call, the columns that a search compares."""
    try:
        said = msgspec.json.decode(body, type=_Asking)
    except msgspec.MsgspecError:
        return ""
    named = _OPERATION.match(said.query)
    words = [named.group(1)] if named else []
    arguments = said
    if said.params is not None:
        words += [said.params.method, *(x for x in said.params.args[3:5] if isinstance(x, str))]
        arguments = (
            msgspec.convert(said.params.args[-1], _Asking, strict=False) if said.params.args[6:] else said
        )
    return ",".join((*words, *(str(x[0]) for x in arguments.domain if isinstance(x, list) and x)))


class _Remote(msgspec.Struct):
    method: str
    args: list[Any] = []


class _Asking(msgspec.Struct):
    query: str = ""
    params: _Remote | None = None
    domain: list[Any] = []


_OPERATION = re.compile(r"\s*(?:query|mutation)\s+(\w+)")


def _path(key: str) -> str:
    method, _, url = key.partition(" ")
    parts = urlsplit(url)
    return f"{method} {parts.path}{'#' if parts.fragment else ''}{parts.fragment}"


def _nothing_there() -> Response:
    return Response(404, {"content-type": "application/json"}, b'{"code":"rest_no_route","status":404}', 0.0)
