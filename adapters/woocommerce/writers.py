"""The writes: create and release, update, cancel; each with its own look afterwards."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from adapters.woocommerce import orders
from adapters.woocommerce.api import PAGE, V3, Api, total_header
from adapters.woocommerce.settings import GONE, HASH_META, NOT_RELEASED, REF_META, Settings
from adapters.woocommerce.shipments import Shipments
from adapters.woocommerce.wire import Created, Listed, WireOrder, meta_text, shown
from marketsync.domain.deliveries import Absent, Found, ProbeAnswer, Record, StepSpec, Unknown, WriteClass
from marketsync.domain.ids import Reference, same_order_of_other_installation
from marketsync.errors import Park, ReadFailed
from marketsync.http import Answer, Http, decode
from marketsync.ports import CancelOrder, CreateOrder, Departure, ProbeSpan, StepDone, UpdateOrder

PAGES_MAX = 100
SEND_BY_SECONDS = 60.0
FRESH_SECONDS = 5.0
MADE_MAX = 256
# Of a mark of content: ours has 64 characters.
HASH_MAX = 100
RELEASE = 1


class _Checkpoint(msgspec.Struct, frozen=True):
    """Also in the form that a probe leaves: every form names the order."""

    remote_id: str


class CreateWriter:
    """Create as `pending`, which has no effect; compare lines and total; release. A wrong order stays without effect."""

    def __init__(self, api: Api, http: Http, settings: Settings) -> None:
        self._api, self._http, self._settings = api, http, settings
        self._scanned: tuple[ProbeSpan, datetime, list[Listed]] | None = None
        self._made: dict[str, Answer] = {}

    def operation(self, step: int) -> str:
        return "orders.update" if step else "orders.create"

    def steps(self, payload: CreateOrder) -> tuple[StepSpec, ...]:
        lands, visible = self._settings.lands_within_seconds, self._settings.visible_within_seconds
        return (
            StepSpec("create", WriteClass.SCAN, lands, visible, second_probe=True),
            StepSpec(
                "release",
                WriteClass.LOOKUP,
                lands,
                visible,
                carries_content=False,
                send_by_seconds=SEND_BY_SECONDS,
            ),
        )

    async def send(self, payload: CreateOrder, step: int, checkpoint: str, departure: Departure) -> StepDone:
        if step == RELEASE:
            return await self._release(payload, _remote_id(checkpoint), departure)
        if not payload.takes_stock:
            raise Park(
                "the marketplace sends it from its own stock, and this shop would take it from its own as well: leave"
                " import_fulfilled off, or let fulfilled_touch_stock say that both are one",
                (f"fulfilled:{payload.ref}",),
            )
        answer = await self._api.create_order(orders.create_body(payload, self._settings), departure)
        remote_id = str(decode(answer, Created, write=True).id)
        if len(self._made) >= MADE_MAX:
            self._made.clear()
        self._made[remote_id] = answer
        return StepDone(remote_id, msgspec.json.encode(_Checkpoint(remote_id)).decode())

    async def probe(self, payload: CreateOrder, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        if step == RELEASE:
            order = await self._api.order(_remote_id(checkpoint))
            return Absent() if order is None else Found((_record(order, payload, self._settings),))
        return await self._scan(payload, span)

    async def _release(self, payload: CreateOrder, remote_id: str, departure: Departure) -> StepDone:
        order = self._just_made(payload, remote_id, departure) or await self._api.order(remote_id)
        if order is None or order.status in GONE:
            state = "deleted" if order is None else order.status
            raise Park(
                f"order {remote_id} was {state} in the shop before its release", (f"gone:{payload.ref}",)
            )
        if _is_released(order.status):
            return StepDone(remote_id)
        if wrong := orders.differences(payload, self._settings, order):
            reason = f"order {remote_id} was not released: {'; '.join(wrong)}"
            raise Park(reason, (f"total:{payload.ref}",))
        wanted = self._settings.released_status if payload.ships else "completed"
        saved = await self._api.update_order(remote_id, {"status": wanted}, departure)
        conflict = (
            ""
            if saved.status == wanted
            else f"order {remote_id} became {shown(saved.status)} instead of {wanted}"
        )
        return StepDone(remote_id, conflict=conflict)

    def _just_made(self, payload: CreateOrder, remote_id: str, departure: Departure) -> WireOrder | None:
        """The order as the shop's answer to the create showed it, if that was a moment ago and is all as it should be;
        whatever it is else is read again."""
        answer = self._made.pop(remote_id, None)
        if answer is None or departure.send_by - SEND_BY_SECONDS - answer.received_at > FRESH_SECONDS:
            return None
        try:
            order = decode(answer, WireOrder, write=False)
        except ReadFailed:
            return None
        right = order.status == "pending" and not orders.differences(payload, self._settings, order)
        return order if right else None

    async def _scan(self, payload: CreateOrder, span: ProbeSpan) -> ProbeAnswer:
        """A12: every order created since the first departure, by our own mark in what comes back.

        The shop can't look for it: it ignores filters that it does not know and answers with every order.
        Looks that share a span share its list.
        """
        if self._scanned is None or self._scanned[0] != span:
            since = span.since - timedelta(seconds=self._settings.clock_skew_seconds)
            marked = await self._marked(span, since)
            if marked is None:
                return Unknown()
            self._scanned = (span, since, marked)
        _, since, marked = self._scanned
        ours = [x for x in marked if _reference(x) == payload.ref]
        theirs = [x for x in marked if same_order_of_other_installation(_reference(x), payload.ref)]
        if ours:
            return Found(tuple(_record(x, payload, self._settings) for x in (*ours, *theirs)))
        if theirs:
            names = ", ".join(f"{x.id} ({_reference(x)})" for x in theirs)
            causes = tuple(f"foreign:{_reference(x)}" for x in theirs)
            raise Park(f"another installation brought this order into the shop: {names}", causes)
        return Absent(read_from_at=since.timestamp(), read_to_at=span.now.timestamp())

    async def _marked(self, span: ProbeSpan, since: datetime) -> list[Listed] | None:
        """Those created since that carry a mark of marketsync; None where the list proves nothing."""
        behind = span.now - await self._server_now(span.now)
        marked: dict[int, Listed] = {}
        # "any" leaves the trash out, and a person may take an order out of it between two lists.
        for status in ("any", "trash", "any"):
            listed = await self._list(since - max(behind, timedelta(0)), status)
            if listed is None:
                return None
            marked |= {x.id: x for x in listed if _reference(x)}
        return list(marked.values())

    async def _server_now(self, now: datetime) -> datetime:
        """The shop stamps by its own clock: after a restart it is asked for first."""
        if self._http.server_now() is None:
            await self._api.fetch("shop.read", "/", _fields="namespaces")
        return self._http.server_now() or now

    async def _list(self, since: datetime, status: str) -> list[Listed] | None:
        """All orders created after `since`, by id; None where the list moved or has no end that we can prove.

        Pages overlap by one row (B8): each begins with the last row of the one before, else a row has left.
        """
        rows: list[Listed] = []
        for _ in range(PAGES_MAX):
            offset = max(len(rows) - 1, 0)
            answer = await self._api.fetch(
                "orders.read", f"{V3}/orders", after=since.strftime("%Y-%m-%dT%H:%M:%S"), dates_are_gmt="true",
                status=status, orderby="id", order="asc", per_page=str(PAGE), offset=str(offset),
                _fields="id,status,meta_data",
            )  # fmt: skip
            page = decode(answer, list[Listed], write=False)
            if rows and (not page or page[0].id != rows[-1].id):
                return None
            rows += page[1:] if rows else page
            total = total_header(answer)
            if total is None or len(rows) > total or (len(page) < PAGE and len(rows) < total):
                return None
            if len(rows) == total:
                return rows
        return None


class UpdateWriter:
    """One absolute write, addressed by the shop's item ids; our content mark tells whether it took effect."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings

    def operation(self, step: int) -> str:
        return "orders.update"

    def steps(self, payload: UpdateOrder) -> tuple[StepSpec, ...]:
        settings = self._settings
        lands, visible = settings.lands_within_seconds, settings.visible_within_seconds
        return (StepSpec("update", WriteClass.UPSERT, lands, visible, send_by_seconds=60.0),)

    async def send(self, payload: UpdateOrder, step: int, checkpoint: str, departure: Departure) -> StepDone:
        order = await self._api.order(payload.remote_id)
        if order is None or order.status in ("completed", "refunded", *GONE):
            state = "deleted" if order is None else order.status
            raise Park(
                f"order {payload.remote_id} is {state} in the shop and can't be changed",
                (f"gone:{payload.ref}",),
            )
        body = orders.update_body(payload, self._settings, order)
        saved = await self._api.update_order(payload.remote_id, body, departure)
        wrong = orders.differences(payload, self._settings, saved)
        conflict = f"order {payload.remote_id} after its update: {'; '.join(wrong)}" if wrong else ""
        return StepDone(payload.remote_id, conflict=conflict)

    async def probe(self, payload: UpdateOrder, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        order = await self._api.order(payload.remote_id)
        if order is None:
            return Absent()
        applied = meta_text(order.meta_data, HASH_META) == orders.content_hash(payload, self._settings)
        return Found((Record(payload.remote_id, 1 if applied else 0),))


class CancelWriter:
    def __init__(self, api: Api, shipments: Shipments, settings: Settings) -> None:
        self._api, self._shipments, self._settings = api, shipments, settings

    def operation(self, step: int) -> str:
        return "orders.update"

    def steps(self, payload: CancelOrder) -> tuple[StepSpec, ...]:
        settings = self._settings
        lands, visible = settings.lands_within_seconds, settings.visible_within_seconds
        return (
            StepSpec(
                "cancel", WriteClass.LOOKUP, lands, visible, carries_content=False, send_by_seconds=60.0
            ),
        )

    async def send(self, payload: CancelOrder, step: int, checkpoint: str, departure: Departure) -> StepDone:
        order = await self._api.order(payload.remote_id)
        if order is None:
            return StepDone(payload.remote_id, conflict=f"order {payload.remote_id} was deleted in the shop")
        if order.status in GONE:
            return StepDone(payload.remote_id)
        if order.status in ("completed", "refunded") or await self._shipments.any_sent(payload.remote_id):
            state = order.status if order.status == "refunded" else "shipped"
            raise Park(f"order {payload.remote_id} is {state} in the shop", (f"shipped:{payload.ref}",))
        saved = await self._api.update_order(payload.remote_id, {"status": "cancelled"}, departure)
        conflict = (
            "" if saved.status == "cancelled" else f"order {payload.remote_id} stayed {shown(saved.status)}"
        )
        return StepDone(payload.remote_id, conflict=conflict)

    async def probe(self, payload: CancelOrder, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        order = await self._api.order(payload.remote_id)
        return (
            Absent()
            if order is None
            else Found((Record(payload.remote_id, 1 if order.status in GONE else 0),))
        )


def _record(order: WireOrder | Listed, payload: CreateOrder, settings: Settings) -> Record:
    """The mark in the shop counts only where it names other content: the engine's own hash is not known here."""
    held = meta_text(order.meta_data, HASH_META)
    other = held[:HASH_MAX] if held != orders.content_hash(payload, settings) else None
    return Record(str(order.id), 2 if _is_released(order.status) else 1, other)


def _is_released(status: str) -> bool:
    # Plugins add states of their own ("packed"): all of them come after the release.
    return status not in NOT_RELEASED


def _reference(order: Listed) -> Reference:
    return Reference(meta_text(order.meta_data, REF_META))


def _remote_id(checkpoint: str) -> str:
    return msgspec.json.decode(checkpoint, type=_Checkpoint).remote_id
