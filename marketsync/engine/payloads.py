"""What a delivery says when it leaves: built inside the transaction that marks it as sent (C14, C15, A17)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, assert_never

import msgspec
from msgspec.structs import replace

from marketsync.domain import allocation
from marketsync.domain.aftersales import CancelSale, RefundSale, Unacceptable, check_cancel, is_over
from marketsync.domain.deliveries import Delivery, Kind, State
from marketsync.domain.ids import ConnectionId, Reference, RemoteId, Sku
from marketsync.domain.lifecycle import Switches, Want, ships, takes_stock, want
from marketsync.domain.orders import Order, Phase, phase
from marketsync.domain.shipments import Shipment
from marketsync.engine.context import BackOfficeLink, Core, MarketplaceLink, Network
from marketsync.engine.levels import Picture, picture
from marketsync.ports import (
    AcceptLine,
    AcceptOrder,
    AdjustStock,
    Article,
    CancelOrder,
    ConfirmShipment,
    CreateOrder,
    Payload,
    PublishStock,
    ResolvedLine,
    UpdateOrder,
)
from marketsync.store import Unit, deliveries, links, maps, orders, private, shipments, stock
from marketsync.store.rows import KEPT, TWIN, HeldOrder, Link, Private

PAYLOADS: Mapping[Kind, type[Any]] = {
    Kind.ACCEPT: AcceptOrder,
    Kind.CREATE: CreateOrder,
    Kind.UPDATE: UpdateOrder,
    Kind.CANCEL: CancelOrder,
    Kind.CONFIRM: ConfirmShipment,
    Kind.STOCK: PublishStock,
    Kind.ADJUST: AdjustStock,
    Kind.CANCEL_SALE: CancelSale,
    Kind.REFUND: RefundSale,
}

WAIT_SECONDS = 30.0
OUT_MAX = 1000
UNSETTLED = (State.SENT, State.IN_DOUBT)
ANY = Switches(import_fulfilled=True)


class Built(msgspec.Struct, frozen=True):
    """`ordered_at` is the order's creation at its marketplace; `elsewhere` says that somebody shipped it already."""

    payload: Payload
    document: bytes
    ordered_at: datetime | None = None
    elsewhere: bool = False

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.document).hexdigest()[:32]


class NotNow(msgspec.Struct, frozen=True):
    """Nothing is wrong: look again after `seconds`."""

    reason: str
    seconds: float = WAIT_SECONDS


class NotWanted(msgspec.Struct, frozen=True):
    """There is nothing to send any more: the delivery ends. `tell`: a person asked for it and hears of it."""

    reason: str
    tell: bool = False


class NotPossible(msgspec.Struct, frozen=True):
    """A person, or a cause that goes away, must come first."""

    reason: str
    causes: tuple[str, ...]


Draft = Built | NotNow | NotWanted | NotPossible


def decode(row: Delivery) -> Payload:
    """The frozen payload of a delivery."""
    payload: Payload = msgspec.json.decode(row.payload, type=PAYLOADS[row.kind])
    return payload


def built(payload: Payload, order: Order | None = None, *, elsewhere: bool = False) -> Built:
    ordered_at = None if order is None else order.created_at
    return Built(payload, msgspec.json.encode(payload), ordered_at, elsewhere)


class Drafts:
    """Everything that the payloads of some deliveries of one target are made of, read in one round."""

    def __init__(self, core: Core, network: Network, link: MarketplaceLink | BackOfficeLink) -> None:
        self._core = core
        self._network = network
        self._link = link

    async def build(self, unit: Unit, rows: Sequence[Delivery]) -> dict[int, Draft]:
        refs = [Reference(row.order_ref) for row in rows]
        held = await orders.by_refs(unit, self._core.merchant, refs)
        drafts: dict[int, Draft] = {}
        shop_rows = [row for row in rows if row.kind in (Kind.CREATE, Kind.UPDATE, Kind.CANCEL)]
        accepts = [row for row in rows if row.kind is Kind.ACCEPT]
        confirms = [row for row in rows if row.kind is Kind.CONFIRM]
        requests = [row for row in rows if row.kind in (Kind.CANCEL_SALE, Kind.REFUND)]
        if shop_rows:
            drafts |= await self._for_shop(unit, shop_rows, held)
        if accepts:
            drafts |= await self._accepts(unit, accepts, held)
        if confirms:
            drafts |= await self._confirms(unit, confirms, held)
        if requests:
            drafts |= await self._requests(unit, requests, held)
        return drafts

    # To the back-office

    async def _for_shop(
        self, unit: Unit, rows: Sequence[Delivery], held: Mapping[Reference, HeldOrder]
    ) -> dict[int, Draft]:
        keys = [held[r].key for row in rows if (r := Reference(row.order_ref)) in held]
        parties = await private.parties(unit, keys)
        known = await links.of_many(
            unit, self._core.merchant, self._link.name, [row.order_ref for row in rows]
        )
        lookup = await self._articles(
            unit, [held[r] for row in rows if (r := Reference(row.order_ref)) in held]
        )
        drafts: dict[int, Draft] = {}
        for row in rows:
            order = held.get(Reference(row.order_ref))
            if order is None:
                drafts[row.id] = NotWanted("its order is not held")
                continue
            remote = record_of(known.get(row.order_ref, ()), row.order_ref)
            drafts[row.id] = self._shop_draft(row, order, parties.get(order.key), remote, lookup)
        return drafts

    async def _articles(self, unit: Unit, held: Sequence[HeldOrder]) -> dict[tuple[str, str], Article]:
        """(marketplace connection, its SKU) -> the shop's article."""
        found: dict[tuple[str, str], Article] = {}
        by_connection: dict[str, list[HeldOrder]] = {}
        for order in held:
            by_connection.setdefault(order.key.connection, []).append(order)
        for same in by_connection.values():
            connection = same[0].key.connection
            stated = list(dict.fromkeys(line.sku for order in same for line in order.order.lines))
            mapped = await maps.get(unit, self._core.merchant, connection, "sku", stated)
            shop = [Sku(mapped.get(sku, sku)) for sku in stated]
            articles = await stock.articles(unit, self._core.merchant, self._link.name, shop)
            for sku, shop_sku in zip(stated, shop, strict=True):
                if shop_sku in articles:
                    found[connection, sku] = articles[shop_sku]
        return found

    def _shop_draft(
        self, row: Delivery, held: HeldOrder, party: Private | None, remote: RemoteId | None,
        articles: Mapping[tuple[str, str], Article],
    ) -> Draft:  # fmt: skip
        ref = held.ref
        if row.kind is Kind.CANCEL:
            if remote is None:
                return NotWanted("it never was in the back-office")
            return built(CancelOrder(ref, remote, held.key.order_id), held.order)
        if row.state is State.QUEUED and remote is None and phase(held.order) is Phase.REFUNDED:
            return NotWanted("it was refunded before it was in the back-office")
        order = _whole(held.order, party)
        lines, unknown = _resolve(held, articles)
        if unknown:
            causes = tuple(f"sku:{sku}@{self._link.name}" for sku in unknown)
            return NotPossible("the shop does not know " + ", ".join(unknown), causes)
        if row.kind is Kind.CREATE:
            gone = remote is None and want(order, pushed=False, switches=ANY) is Want.HOLD
            switches = self._switches(order)
            create = CreateOrder(ref, order, lines, takes_stock(order, switches), ships(order, switches))
            return built(create, order, elsewhere=gone)
        if remote is None:
            return NotWanted("there is no record to update")
        return built(UpdateOrder(ref, remote, order, lines), order)

    def _switches(self, order: Order) -> Switches:
        seller = self._network.marketplaces.get(order.key.connection)
        return ANY if seller is None else seller.settings.switches

    # To the marketplace

    async def _accepts(
        self, unit: Unit, rows: Sequence[Delivery], held: Mapping[Reference, HeldOrder]
    ) -> dict[int, Draft]:
        """Each from the stock of the shop that its order was routed to."""
        assert isinstance(self._link, MarketplaceLink)  # noqa: S101 - accepts go to marketplaces alone
        stated = [x.sku for row in rows if (o := held.get(Reference(row.order_ref))) for x in o.order.lines]
        mapped = await maps.get(
            unit, self._core.merchant, self._link.name, "sku", list(dict.fromkeys(stated))
        )
        drafts: dict[int, Draft] = {}
        by_pool: dict[ConnectionId, list[tuple[int, HeldOrder]]] = {}
        for row in rows:
            order = held.get(Reference(row.order_ref))
            if order is None or phase(order.order) is not Phase.TO_ACCEPT:
                drafts[row.id] = NotWanted("the order no longer waits for an answer")
            else:
                by_pool.setdefault(order.back_office, []).append((row.id, order))
        for pool, asked in by_pool.items():
            skus = [mapped.get(x.sku, x.sku) for _, order in asked for x in order.order.lines]
            scene = await picture(unit, self._core.merchant, pool, skus)
            drafts |= {number: self._accept(self._link, order, scene, mapped) for number, order in asked}
        return drafts

    def _accept(
        self, link: MarketplaceLink, held: HeldOrder, scene: Picture, mapped: Mapping[str, str]
    ) -> Draft:
        unknown = [s for x in held.order.lines if (s := mapped.get(x.sku, x.sku)) not in scene.articles]
        if unknown:
            causes = tuple(f"sku:{sku}@{held.back_office}" for sku in dict.fromkeys(unknown))
            return NotPossible("the shop does not know " + ", ".join(dict.fromkeys(unknown)), causes)
        cheap = self._too_cheap(link, held.order, scene, mapped)
        if cheap:
            return NotPossible(cheap, (f"price:{held.ref}",))
        wanted = next((order for order in scene.waiting if order.order_ref == held.ref), None)
        if wanted is None:
            return _answer(held.order, accepted=True)
        gone = tuple(key[0] for key, _ in wanted.wants if Sku(key[0]) not in scene.articles)
        if gone:
            causes = tuple(f"sku:{sku}@{held.back_office}" for sku in gone)
            return NotPossible("the shop does not know " + ", ".join(gone), causes)
        tracked = tuple((k, n) for k, n in wanted.wants if scene.articles[Sku(k[0])].tracked)
        wanted = replace(wanted, wants=tracked)
        left = allocation.levels_for(wanted, scene.waiting, scene.base)
        decision = allocation.decide_accept(wanted, left, held.order.accept_by, self._core.clock.now())
        match decision:
            case allocation.Accept():
                return _answer(held.order, accepted=True)
            case allocation.Refuse():
                return _answer(held.order, accepted=False)
            case allocation.Wait():
                return NotNow("stock is being read again by name", 10.0)
            case allocation.ParkAtDeadline(uncertain):
                names = ", ".join(sku for sku, _ in uncertain)
                return NotPossible(
                    f"stock of {names} is still uncertain at the deadline", (f"accept:{held.ref}",)
                )
            case _:
                assert_never(decision)

    def _too_cheap(
        self, link: MarketplaceLink, order: Order, scene: Picture, mapped: Mapping[str, str]
    ) -> str:
        tolerance = link.settings.accept.price_tolerance_percent
        if tolerance is None:
            return ""
        for line in order.lines:
            article = scene.articles[Sku(mapped.get(line.sku, line.sku))]
            if article.price is None or line.unit_price is None:
                continue
            if line.unit_price * 100 < article.price * (100 - tolerance):
                return f"{line.sku} was sold at {line.unit_price}, the shop's price is {article.price}"
        return ""

    async def _confirms(
        self, unit: Unit, rows: Sequence[Delivery], held: Mapping[Reference, HeldOrder]
    ) -> dict[int, Draft]:
        drafts: dict[int, Draft] = {}
        refs = list(dict.fromkeys(row.order_ref for row in rows))
        siblings = await deliveries.queues_of(unit, self._core.merchant, self._link.name, refs)
        for row in rows:
            order = held.get(Reference(row.order_ref))
            parcels = await shipments.of_order(unit, self._core.merchant, Reference(row.order_ref))
            parcel = next((p for p in parcels if row.subject.endswith(f"/{p.shipment_id}")), None)
            if order is None or parcel is None or parcel.voided:
                drafts[row.id] = NotWanted("the shop took the parcel back")
                continue
            carriers = await maps.get(unit, self._core.merchant, self._link.name, "carrier", [parcel.carrier])
            carrier = carriers.get(parcel.carrier, parcel.carrier)
            told = {x.subject for x in siblings[row.order_ref] if x.kind is Kind.CONFIRM and x.done > 0}
            sent = [p for p in parcels if any(subject.endswith(f"/{p.shipment_id}") for subject in told)]
            done = completes(order.order, [*(p for p in sent if p is not parcel), parcel])
            drafts[row.id] = built(ConfirmShipment(order.key.order_id, parcel, carrier, done), order.order)
        return drafts

    async def _requests(
        self, unit: Unit, rows: Sequence[Delivery], held: Mapping[Reference, HeldOrder]
    ) -> dict[int, Draft]:
        """What a person asked for is what it says since then. One refund at a time leaves for a marketplace: what it makes
        there may carry nothing of ours, and two that are out can't be told apart."""
        out = await deliveries.in_state(unit, self._core.merchant, self._link.name, UNSETTLED, OUT_MAX)
        busy = any(row.kind is Kind.REFUND and row.step == 0 for row in out)
        drafts: dict[int, Draft] = {}
        for row in rows:
            order = held.get(Reference(row.order_ref))
            if order is None:
                drafts[row.id] = NotWanted("its order is not held", tell=True)
            elif row.state is State.QUEUED and row.kind is Kind.REFUND and busy:
                drafts[row.id] = NotNow("another refund of this marketplace is out")
            else:
                parcels = await shipments.of_order(unit, self._core.merchant, order.ref)
                drafts[row.id] = _request(row, order, parcels)
                busy = busy or row.kind is Kind.REFUND
        return drafts


def completes(order: Order, parcels: Sequence[Shipment]) -> bool:
    """Whether nothing is left to ship after these parcels: those that the marketplace was told of, and this one."""
    sent: dict[str, int] = {}
    for shipped in (x for p in parcels if not p.voided for x in p.lines):
        sent[shipped.line_id] = sent.get(shipped.line_id, 0) + shipped.quantity
    return all(sent.get(line.line_id, 0) >= line.wanted for line in order.lines)


def _request(row: Delivery, held: HeldOrder, parcels: Sequence[Shipment]) -> Draft:
    """What became impossible while it waited ends, so that it is in nobody's way."""
    payload = decode(row)
    if row.state is State.QUEUED and isinstance(payload, CancelSale):
        if is_over(held.order, payload.lines):
            return NotWanted("it is cancelled already")
        sent = {x.line_id for parcel in parcels if not parcel.voided for x in parcel.lines}
        try:
            check_cancel(held.order, payload.lines, sent)
        except Unacceptable as error:
            return NotWanted(f"it was not cancelled: {error}", tell=True)
    return Built(payload, row.payload, held.order.created_at)


def _answer(order: Order, *, accepted: bool) -> Built:
    lines = tuple(AcceptLine(line.line_id, accepted) for line in order.lines)
    return built(AcceptOrder(order.key.order_id, lines), order)


def _whole(order: Order, party: Private | None) -> Order:
    if party is None:
        return order
    return replace(order, buyer=party.buyer, ship_to=party.ship_to, bill_to=party.bill_to)


def _resolve(
    held: HeldOrder, articles: Mapping[tuple[str, str], Article]
) -> tuple[tuple[ResolvedLine, ...], tuple[str, ...]]:
    lines, unknown = [], []
    for line in held.order.lines:
        article = articles.get((held.key.connection, line.sku))
        if article is not None:
            lines.append(ResolvedLine(line.line_id, article.sku, article.remote_id))
        elif line.wanted:
            unknown.append(str(line.sku))
    return tuple(lines), tuple(dict.fromkeys(unknown))


def record_of(known: Sequence[Link], ref: str) -> RemoteId | None:
    """The far side's record of a subject: where several came to be, the one that a person keeps, else the one that came first."""
    ranked = sorted(known, key=lambda link: (link.kind != KEPT, link.kind == TWIN))
    return next((RemoteId(link.remote_id) for link in ranked if link.remote_id != ref), None)
