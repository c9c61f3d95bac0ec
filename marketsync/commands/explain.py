"""`explain ORDER`: the story of one order from the poll that brought it to the confirmation of its last parcel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from marketsync.commands.desk import Desk
from marketsync.commands.orders import OrderArgs, OrderView, one_order, order_view
from marketsync.domain.deliveries import Delivery, State
from marketsync.domain.ids import POOL, ConnectionId, Sku
from marketsync.domain.stock import Claim, Report, StockFacts, hold_range, subtracts
from marketsync.ports import Article
from marketsync.store import Unit, deliveries, history, links, parked, shipments, stock
from marketsync.store.rows import HeldOrder, HistoryRow, Link, Parked

HISTORY_MAX = 500


class Moment(msgspec.Struct, frozen=True):
    at: datetime
    event: str
    detail: str


class ClaimView(msgspec.Struct, frozen=True):
    line_id: str
    sku: str
    location: str
    wanted: int
    held: int
    why: str


class DeliveryRow(msgspec.Struct, frozen=True):
    id: int
    kind: str
    target: str
    subject: str
    state: str
    attempts: int
    step: int
    wanted: int
    sent: int
    done: int
    last_departure_at: datetime | None
    error: str
    waits_for: str


class LinkRow(msgspec.Struct, frozen=True):
    target: str
    kind: str
    remote_id: str


class ParcelRow(msgspec.Struct, frozen=True):
    shipment_id: str
    carrier: str
    tracking_number: str
    shipped_at: datetime | None
    voided: bool


class ParkedRow(msgspec.Struct, frozen=True):
    kind: str
    item: str
    connection: str
    reason: str
    causes: tuple[str, ...]
    at: datetime


class Explanation(msgspec.Struct, frozen=True):
    order: OrderView
    claims: tuple[ClaimView, ...]
    deliveries: tuple[DeliveryRow, ...]
    links: tuple[LinkRow, ...]
    parcels: tuple[ParcelRow, ...]
    parked: tuple[ParkedRow, ...]
    history: tuple[Moment, ...]


class _Facts(msgspec.Struct, frozen=True):
    held: HeldOrder
    claims: Sequence[Claim]
    reports: Mapping[str, Sequence[Report]]
    articles: Mapping[Sku, Article]
    rows: Sequence[Delivery]
    links: Sequence[Link]
    parcels: tuple[ParcelRow, ...]
    parked: Sequence[Parked]
    history: Sequence[HistoryRow]


async def explain(desk: Desk, args: OrderArgs) -> Explanation:
    async def look(unit: Unit) -> _Facts:
        return await _facts(unit, desk, await one_order(unit, desk, args.order))

    facts = await desk.core.store.read(look)
    return Explanation(
        order=order_view(facts.held),
        claims=tuple(_claim(claim, facts) for claim in facts.claims),
        deliveries=tuple(_delivery(row, facts.rows) for row in facts.rows),
        links=tuple(LinkRow(link.target, link.kind, link.remote_id) for link in facts.links),
        parcels=facts.parcels,
        parked=tuple(parked_row(item) for item in facts.parked),
        history=tuple(Moment(row.at, row.event, row.detail) for row in _in_order(facts.history)),
    )


def parked_row(item: Parked) -> ParkedRow:
    return ParkedRow(item.kind, item.item, item.connection, item.reason, item.causes, item.at)


async def _facts(unit: Unit, desk: Desk, held: HeldOrder) -> _Facts:
    merchant, ref, pool = desk.merchant, held.ref, held.back_office
    claims = await stock.claims_of_orders(unit, merchant, [ref])
    skus = list(dict.fromkeys(Sku(claim.sku) for claim in claims))
    rows = await deliveries.of_order(unit, merchant, ref)
    return _Facts(
        held=held,
        claims=claims,
        reports=await stock.reports(unit, merchant, pool, skus),
        articles=await stock.articles(unit, merchant, pool, skus),
        rows=rows,
        links=await _links(unit, desk, held, rows),
        parcels=tuple(
            ParcelRow(s.shipment_id, s.carrier, s.tracking_number, s.shipped_at, s.voided)
            for s in await shipments.of_order(unit, merchant, ref)
        ),
        parked=await _parked(unit, desk, held, rows),
        history=await history.of(unit, merchant, ref, HISTORY_MAX),
    )


async def _links(unit: Unit, desk: Desk, held: HeldOrder, rows: Sequence[Delivery]) -> list[Link]:
    """By the order itself and by each delivery's subject: links outlive the deliveries that made them."""
    found: list[Link] = []
    own = [(held.back_office, str(held.ref)), (held.key.connection, str(held.ref))]
    for target, subject in dict.fromkeys([*own, *((ConnectionId(row.target), row.subject) for row in rows)]):
        found += await links.of(unit, desk.merchant, target, subject)
    return found


async def _parked(unit: Unit, desk: Desk, held: HeldOrder, rows: Sequence[Delivery]) -> list[Parked]:
    names = [("order", held.ref), ("order", f"{held.key.connection}/{held.key.order_id}")]
    names += [("delivery", str(row.id)) for row in rows]
    names += [("conflict", f"{row.kind.value}/{row.subject}") for row in rows]
    found = [await parked.get(unit, desk.merchant, kind, item) for kind, item in names]
    return [item for item in found if item is not None]


def _claim(claim: Claim, facts: _Facts) -> ClaimView:
    article = facts.articles.get(Sku(claim.sku))
    known = StockFacts(effects={}) if article is None else article.facts
    why = _why(claim, facts.reports.get(claim.sku, ()), known)
    return ClaimView(claim.line_id, claim.sku, claim.location, claim.target, claim.held, why)


def _why(claim: Claim, reports: Sequence[Report], facts: StockFacts) -> str:
    if not subtracts(claim):
        return "waits for its acceptance and takes nothing from others until it is allocated"
    report = next((r for r in reports if claim.location in {POOL, r.location}), None)
    if report is None:
        return "the shop has not reported this SKU yet: nothing is published"
    span = hold_range(claim, report, facts)
    if span.max == 0:
        return "the shop's figure certainly contains it" if claim.target else "nothing is wanted any more"
    if span.min == span.max:
        return f"{span.max} held back: the shop's figure cannot contain it yet"
    return f"{span.min} to {span.max} held back until the SKU is read again"


def _delivery(row: Delivery, rows: Sequence[Delivery]) -> DeliveryRow:
    departed = row.last_departure_at
    return DeliveryRow(
        id=row.id,
        kind=row.kind.value,
        target=row.target,
        subject=row.subject,
        state=row.state.value,
        attempts=row.attempt,
        step=row.step,
        wanted=row.wanted,
        sent=row.sent,
        done=row.done,
        last_departure_at=None if departed is None else datetime.fromtimestamp(departed, UTC),
        error=row.error,
        waits_for=_waits_for(row, rows),
    )


def _waits_for(row: Delivery, rows: Sequence[Delivery]) -> str:
    """A1: what is in flight, in doubt or parked holds what is behind it, for this order and target."""
    if row.state is not State.QUEUED:
        return ""
    for other in rows:
        holds = other.state in {State.SENT, State.WAITING, State.IN_DOUBT, State.PARKED}
        if other.target == row.target and other.id != row.id and holds:
            return f"{other.kind.value} {other.id} ({other.state.value})"
    return ""


def _in_order(rows: Iterable[HistoryRow]) -> list[HistoryRow]:
    return sorted(rows, key=lambda row: row.at)
