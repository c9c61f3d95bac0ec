"""What a delivery's departure and outcome mean for the claims of its order (C3-C6): written in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from marketsync.domain.deliveries import Delivery, Kind
from marketsync.domain.ids import ConnectionId, MerchantId, Reference, Sku
from marketsync.domain.stock import Claim, Event, StockFacts, plan_step
from marketsync.ports import AcceptOrder, Article, Payload
from marketsync.store import Unit, stock
from marketsync.store.rows import ClaimStepRow

NO_FACTS = StockFacts(effects={})


def event_of(kind: Kind, step: int, before: int, after: int) -> Event | None:
    """Which of the declared events a step is; None for writes that are no business of the shop's figure."""
    match kind:
        case Kind.CREATE:
            return Event.CREATE if step == 0 else Event.RELEASE
        case Kind.UPDATE:
            return Event.RAISE if after > before else Event.LOWER
        case Kind.CANCEL:
            return Event.CANCEL
        case Kind.ADJUST:
            return Event.ADJUSTMENT
        case Kind.ACCEPT | Kind.CONFIRM | Kind.STOCK | Kind.CANCEL_SALE | Kind.REFUND:
            return None


async def departed(
    unit: Unit, merchant: MerchantId, pool: ConnectionId, rows: Sequence[tuple[Delivery, Payload]]
) -> None:
    """The steps of these deliveries are about to leave: from now on the figure may have lost their units."""
    touching = [(row, payload) for row, payload in rows if row.kind in _TOUCHING]
    if not touching:
        return
    refs = [Reference(row.order_ref) for row, _ in touching]
    claims = await stock.claims_of_orders(unit, merchant, list(dict.fromkeys(refs)))
    articles = await stock.articles(unit, merchant, pool, [Sku(c.sku) for c in claims])
    steps: list[ClaimStepRow] = []
    accepted: list[Claim] = []
    for row, payload in touching:
        own = [claim for claim in claims if claim.order_ref == row.order_ref]
        if isinstance(payload, AcceptOrder):
            accepted += _answered(own, payload)
        else:
            steps += _steps(row, own, articles)
    if steps:
        await stock.add_steps(unit, steps)
    if accepted:
        await stock.put_claims(unit, pool, accepted)


def _answered(claims: Iterable[Claim], payload: AcceptOrder) -> list[Claim]:
    """C13, C14: what we say yes to is taken from the moment that the yes may be on its way."""
    if not all(line.accepted for line in payload.lines):
        return []
    return [replace(claim, accepted=True) for claim in claims]


def _steps(row: Delivery, claims: Iterable[Claim], articles: Mapping[Sku, Article]) -> list[ClaimStepRow]:
    steps = []
    for claim in claims:
        article = articles.get(Sku(claim.sku))
        if article is None or not article.tracked:
            continue
        held_before = claim.steps[-1].may_hold if claim.steps else claim.held
        held_after = _held_after(row, claim, held_before)
        event = event_of(row.kind, row.step, held_before, held_after)
        if event is None:
            continue
        step = plan_step(claim, event, held_after, article.facts)
        steps.append(
            ClaimStepRow(
                merchant=MerchantId(row.merchant), ref=Reference(row.order_ref), line_id=claim.line_id, sku=claim.sku,
                location=claim.location, delivery=row.id, event=event, taken_before=step.taken_before,
                taken_after=step.taken_after, held_after=held_after, sent_seq=row.sent_seq or 0,
            )
        )  # fmt: skip
    return steps


def _held_after(row: Delivery, claim: Claim, held_before: int) -> int:
    """A later step says what the first one said, whatever is wanted since (A17)."""
    if row.kind is Kind.CANCEL:
        return 0
    return held_before if row.step > 0 and claim.steps else claim.target


async def not_applied(unit: Unit, merchant: MerchantId, pool: ConnectionId, rows: Sequence[Delivery]) -> None:
    """The steps of these deliveries certainly did nothing: they leave the claims again (C4)."""
    for row in rows:
        if row.kind in (Kind.CREATE, Kind.UPDATE, Kind.CANCEL, Kind.ADJUST):
            await stock.remove_steps(unit, row.id)
    answers = [Reference(row.order_ref) for row in rows if row.kind is Kind.ACCEPT]
    if answers:
        claims = await stock.claims_of_orders(unit, merchant, answers)
        taken_back = [replace(claim, accepted=False) for claim in claims if claim.accepted]
        if taken_back:
            await stock.put_claims(unit, pool, taken_back)


async def applied(unit: Unit, rows: Sequence[Delivery], *, lag_seconds: float) -> None:
    """The steps took effect. Their number is taken after the answer was in hand (C1); without a read lag they are
    mature at once (C7)."""
    settled: list[tuple[int, int, int | None]] = []
    for row in rows:
        if row.kind in (Kind.CREATE, Kind.UPDATE, Kind.CANCEL, Kind.ADJUST):
            seq = unit.seq()
            settled.append((row.id, seq, None if lag_seconds > 0 else seq))
    if settled:
        await stock.settle_many(unit, settled)


_TOUCHING = (Kind.ACCEPT, Kind.CREATE, Kind.UPDATE, Kind.CANCEL, Kind.ADJUST)
