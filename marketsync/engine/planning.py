"""What a batch of order revisions asks for: one round of reads, a pure decision, one round of writes (D2, D10).

Always runs inside the transaction that brings the revisions, so that orders, claims, deliveries and parked
items are never true one without the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from marketsync.domain import sequence
from marketsync.domain.deliveries import Delivery, Kind, State, end, new_delivery, raise_wanted, reopen
from marketsync.domain.doubt import wake
from marketsync.domain.gap import Gap
from marketsync.domain.ids import POOL, ConnectionId
from marketsync.domain.lifecycle import (
    ASKED,
    Want,
    cancel_asked,
    problem,
    shop_fingerprint,
    still_open,
    takes_stock,
    want,
)
from marketsync.domain.orders import Phase, phase
from marketsync.domain.publishing import ListingEvent, after_event
from marketsync.domain.stock import Claim
from marketsync.engine.facts import Change, Facts, Scene, read
from marketsync.engine.parcels import completing
from marketsync.store import Unit, deliveries, history, listings, parked, stock
from marketsync.store.rows import HeldOrder, HistoryRow, Link, ListingRow, Parked

TO_SHOP = (Phase.READY, Phase.PARTLY_SHIPPED, Phase.SHIPPED, Phase.CLOSED)


class Effects:
    """What the decision wants written, collected for one round of writes."""

    def __init__(self) -> None:
        self.inserts: list[Delivery] = []
        self.moves: list[tuple[Delivery, Delivery, str]] = []
        self.claims: list[Claim] = []
        self.parks: list[Parked] = []
        self.releases: list[tuple[str, str]] = []
        self.notes: list[HistoryRow] = []
        self.listings: dict[str, ListingRow] = {}
        self.skus: dict[str, None] = {}


async def plan(unit: Unit, scene: Scene, changes: Sequence[Change]) -> None:
    """Decide what the revisions ask for and write it. An order stays with the shop that it was routed to when it was first
    seen, wherever new ones of its marketplace go: in another shop it would be a second order."""
    by_shop: dict[ConnectionId, list[Change]] = {}
    for change in changes:
        by_shop.setdefault(change.held.back_office, []).append(change)
    for back_office, same in by_shop.items():
        routed = scene if back_office == scene.back_office else replace(scene, back_office=back_office)
        facts = await read(unit, routed, same)
        effects = Effects()
        for change in same:
            _decide(unit, routed, facts, change, effects)
        await _write(unit, routed, effects)


def _decide(unit: Unit, scene: Scene, facts: Facts, change: Change, effects: Effects) -> None:
    held = change.held
    if held.external:
        return
    _note_wish(scene, change, effects)
    shop_rows = facts.shop_rows.get(held.ref, ())
    link_ids = [link.remote_id for link in facts.links.get(held.ref, ())]
    pushed = bool(link_ids) or any(row.kind is Kind.CREATE and row.attempt > 0 for row in shop_rows)
    wanted = want(held.order, pushed=pushed, switches=scene.switches)
    _claims(unit, scene, facts, change, effects)
    _withdraw_accept(facts, change, wanted, effects)
    _complete(scene, facts, change, effects)
    if wanted is Want.ACCEPT:
        _want_accept(unit, scene, facts, change, effects)
    elif wanted is Want.CREATE:
        _want_create(unit, scene, facts, change, shop_rows, link_ids, effects)
    elif wanted in (Want.CANCEL, Want.HOLD) and _pushed_unseen(scene, change, shop_rows, link_ids):
        _want_looked_for(unit, scene, change, wanted, effects)
    elif wanted is Want.CANCEL:
        _want_cancel(unit, scene, change, shop_rows, facts.links.get(held.ref, ()), effects)
    elif wanted is Want.HOLD:
        causes = (f"shipped_elsewhere:{held.ref}",)
        _park(scene, held, effects, "it was shipped before it was first seen here", causes)


def _note_wish(scene: Scene, change: Change, effects: Effects) -> None:
    """A buyer asks to cancel: what is not in the shop yet waits (`problem`), of what is a person hears, until it is answered."""
    held, before = change.held, change.before
    if held.order.cancel_asked and want(held.order, pushed=True, switches=scene.switches) is Want.CREATE:
        _park(scene, held, effects, ASKED, (cancel_asked(held.order),))
    elif before is not None and before.order.cancel_asked:
        effects.releases.append(("order", held.ref))


# Claims and listings


def _claims(unit: Unit, scene: Scene, facts: Facts, change: Change, effects: Effects) -> None:
    held, order = change.held, change.held.order
    touches = takes_stock(order, scene.switches)
    waits = phase(order) is Phase.TO_ACCEPT
    every = facts.claims.get(held.ref, ())
    for line in order.lines:
        own = [claim for claim in every if claim.line_id == line.line_id]
        sku = _claimed_sku(own, facts.skus.get(line.sku, line.sku))
        _leave_other_skus(own, sku, effects)
        target = line.wanted if touches else 0
        claim = next((claim for claim in own if claim.sku == sku), None)
        before = 0 if claim is None else claim.target
        if claim is None:
            if not touches:
                continue
            claim = Claim(
                merchant=scene.merchant, order_ref=held.ref, line_id=line.line_id, sku=sku, location=POOL,
                connection=scene.connection, arrival_seq=held.arrival_seq, target=target, needs_acceptance=waits,
                accepted=any(other.accepted for other in own),
            )  # fmt: skip
            effects.claims.append(claim)
        elif claim.target != target or claim.needs_acceptance != waits:
            effects.claims.append(replace(claim, target=target, needs_acceptance=waits))
        else:
            continue
        effects.skus[claim.sku] = None
        # Sold and cancelled before it was first seen is a cancel too: it may or may not be listed again (C17).
        cancelled_unseen = not own and target < line.quantity
        units = target - (line.quantity if cancelled_unseen else before)
        _listing_event(unit, scene, facts, effects, claim.sku, units, order.created_at)


def _claimed_sku(own: Sequence[Claim], mapped: str) -> str:
    """C12: a late map moves the claim, but not from the article that something was sent for."""
    return next((claim.sku for claim in own if claim.steps or claim.held), mapped)


def _leave_other_skus(own: Sequence[Claim], sku: str, effects: Effects) -> None:
    for claim in own:
        if claim.sku != sku and claim.target:
            effects.claims.append(replace(claim, target=0, needs_acceptance=False))
            effects.skus[claim.sku] = None


def _listing_event(
    unit: Unit, scene: Scene, facts: Facts, effects: Effects, sku: str, units: int, sold_at: datetime
) -> None:
    """C16, C17: a sale or a cancel of this marketplace may have changed what it lists."""
    row = effects.listings.get(sku) or facts.listings.get(sku)
    if row is None or units == 0:
        return
    event = ListingEvent.SALE if units > 0 else ListingEvent.CANCEL
    listing = after_event(row.listing, event, abs(units), unit.seq(), scene.coverage_until, sold_at)
    effects.listings[sku] = replace(row, listing=listing, dirty=True)


# Deliveries


def _new(unit: Unit, scene: Scene, kind: Kind, target: str, subject: str, ref: str) -> Delivery:
    return new_delivery(
        delivery_id=unit.seq(), merchant=scene.merchant, kind=kind, target=target, subject=subject, order_ref=ref,
        due_at=scene.now.timestamp(), created_seq=unit.seq(),
    )  # fmt: skip


def _want_accept(unit: Unit, scene: Scene, facts: Facts, change: Change, effects: Effects) -> None:
    held = change.held
    row = next((row for row in facts.own_rows.get(held.ref, ()) if row.kind is Kind.ACCEPT), None)
    if not scene.answers:
        return
    if row is None:
        effects.inserts.append(_new(unit, scene, Kind.ACCEPT, scene.connection, held.ref, held.ref))
    elif row.state is State.CANCELLED and _wanted_again(change, (Phase.TO_ACCEPT,)):
        if _left_before(scene, change, row, effects):
            return
        _reopen(scene, held, row, effects)


def _withdraw_accept(facts: Facts, change: Change, wanted: Want, effects: Effects) -> None:
    """An order that no longer waits for our answer needs none: one that left can have no effect any more, but while it may
    be under way the look says what became of it."""
    if wanted is Want.ACCEPT:
        return
    for row in facts.own_rows.get(change.held.ref, ()):
        idle = row.state is State.PARKED or (row.state is State.QUEUED and not row.unsettled)
        if row.kind is Kind.ACCEPT and idle:
            effects.moves.append((row, end(row), "accept.not_needed"))
            effects.releases.append(("delivery", str(row.id)))


def _complete(scene: Scene, facts: Facts, change: Change, effects: Effects) -> None:
    ref, now = change.held.ref, scene.now.timestamp()
    confirms = [row for row in facts.own_rows.get(ref, ()) if row.kind is Kind.CONFIRM]
    if change.before is None or not still_open(change.held.order):
        return
    last = completing(change.before.order, change.held.order, confirms, facts.parcels.get(ref, ()))
    if last is not None:
        ended = last.state is State.CANCELLED
        raised = reopen(last, now) if ended else raise_wanted(last, last.wanted + 1, now).row
        effects.moves.append((last, raised, "delivery.raised"))


def _want_create(
    unit: Unit, scene: Scene, facts: Facts, change: Change, rows: Sequence[Delivery], link_ids: Sequence[str],
    effects: Effects,
) -> None:  # fmt: skip
    held = change.held
    unknown = [
        sku
        for line in held.order.lines
        if line.wanted and (sku := facts.skus.get(line.sku, line.sku)) not in facts.articles
    ]
    fault = problem(held.order)
    create = next((row for row in rows if row.kind is Kind.CREATE), None)
    ended = create is not None and create.state is State.CANCELLED and not link_ids
    if (create is not None or link_ids) and not ended:
        _want_update(unit, scene, change, create, rows, effects)
        return
    if create is not None and (
        not _wanted_again(change, TO_SHOP) or _left_before(scene, change, create, effects)
    ):
        return
    if fault is not None:
        _park(scene, held, effects, fault[1], (fault[0],))
    elif unknown:
        causes = tuple(f"sku:{sku}@{scene.back_office}" for sku in dict.fromkeys(unknown))
        _park(scene, held, effects, "the shop does not know " + ", ".join(dict.fromkeys(unknown)), causes)
    elif create is not None:
        _reopen(scene, held, create, effects)
    else:
        if change.before is not None:
            effects.releases.append(("order", held.ref))
        effects.inserts.append(_new(unit, scene, Kind.CREATE, scene.back_office, held.ref, held.ref))


def _wanted_again(change: Change, phases: Sequence[Phase]) -> bool:
    """Whether the marketplace wants what it did not want before, or a person who looked does. What a person gave up
    stays given up, however it is edited."""
    if change.before is None or change.before is change.held:
        return True
    return phase(change.before.order) not in phases


def _left_before(scene: Scene, change: Change, row: Delivery, effects: Effects) -> bool:
    """What left once may still arrive: a person looks before it is sent a second time."""
    if row.attempt == 0 or change.before is change.held:
        return False
    reason = f"its {row.kind.value} was sent and ended, and it is wanted again"
    _park(scene, change.held, effects, reason, (f"wanted_again:{change.held.ref}",))
    return True


def _reopen(scene: Scene, held: HeldOrder, row: Delivery, effects: Effects) -> None:
    effects.moves.append((row, reopen(row, scene.now.timestamp()), "delivery.raised"))
    effects.releases.append(("order", held.ref))


def _pushed_unseen(scene: Scene, change: Change, rows: Sequence[Delivery], link_ids: Sequence[str]) -> bool:
    """Whether another life may have brought the order into the shop: it is over already, and new to this database."""
    known = change.before is not None or rows or link_ids
    return not known and _possible_elsewhere(scene.gap, change.held)


def _possible_elsewhere(gap: Gap | None, held: HeldOrder) -> bool:
    return gap is not None and gap.lived and gap.covers(held.order.created_at)


def _want_looked_for(unit: Unit, scene: Scene, change: Change, wanted: Want, effects: Effects) -> None:
    """A create that is never sent: its look adopts what is there, else a cancel or a person ends it."""
    ref = change.held.ref
    effects.inserts.append(_new(unit, scene, Kind.CREATE, scene.back_office, ref, ref))
    if wanted is Want.CANCEL:
        effects.inserts.append(_new(unit, scene, Kind.CANCEL, scene.back_office, ref, ref))


def _want_update(
    unit: Unit, scene: Scene, change: Change, create: Delivery | None, rows: Sequence[Delivery], effects: Effects
) -> None:  # fmt: skip
    """An edit behind the create: what has not left takes it along, what has left is followed by one update."""
    if not _shop_sees(change):
        return
    if create is not None and create.attempt == 0 and create.state is State.QUEUED:
        return
    if create is not None and create.state is State.PARKED and not create.unsettled and create.step == 0:
        raised = raise_wanted(create, create.wanted + 1, scene.now.timestamp()).row
        woken = wake(raised, (), now=scene.now.timestamp(), mono=scene.mono, boot=scene.boot)
        effects.moves.append((create, woken, "delivery.raised"))
        effects.releases.append(("delivery", str(create.id)))
        return
    update = next((row for row in rows if row.kind is Kind.UPDATE), None)
    if update is None:
        effects.inserts.append(
            _new(unit, scene, Kind.UPDATE, scene.back_office, change.held.ref, change.held.ref)
        )
    elif update.state is State.CANCELLED:
        effects.moves.append((update, reopen(update, scene.now.timestamp()), "delivery.raised"))
    else:
        raised_row = raise_wanted(update, update.wanted + 1, scene.now.timestamp()).row
        effects.moves.append((update, raised_row, "delivery.raised"))


def _shop_sees(change: Change) -> bool:
    if change.before is None:
        return False
    old = shop_fingerprint(change.before.order, msgspec.json.encode(change.private_before))
    return old != shop_fingerprint(change.held.order, msgspec.json.encode(change.private))


def _want_cancel(
    unit: Unit, scene: Scene, change: Change, rows: Sequence[Delivery], known: Sequence[Link], effects: Effects
) -> None:  # fmt: skip
    held, link_ids = change.held, [link.remote_id for link in known]
    if any(link.kind == Kind.CANCEL.value for link in known):
        return
    decision = sequence.cancel(rows, link_ids, sent_elsewhere=_possible_elsewhere(scene.gap, held))
    by_id = {row.id: row for row in rows}
    for ended in decision.ended:
        effects.moves.append((by_id[ended.id], ended, "delivery.superseded"))
        effects.releases.append(("delivery", str(ended.id)))
    effects.releases.append(("order", held.ref))
    if decision.send and not any(row.kind is Kind.CANCEL for row in rows):
        effects.inserts.append(_new(unit, scene, Kind.CANCEL, scene.back_office, held.ref, held.ref))


def _park(scene: Scene, held: HeldOrder, effects: Effects, reason: str, causes: tuple[str, ...]) -> None:
    effects.parks.append(
        Parked(scene.merchant, "order", held.ref, scene.connection, reason, causes, scene.now)
    )


async def _write(unit: Unit, scene: Scene, effects: Effects) -> None:
    if effects.moves:
        await deliveries.move_many(unit, effects.moves, scene.now)
    if effects.inserts:
        await deliveries.insert(unit, effects.inserts)
    if effects.claims:
        await stock.put_claims(unit, scene.back_office, effects.claims)
    if effects.listings:
        await listings.put(unit, list(effects.listings.values()))
    if effects.skus:
        await listings.mark_dirty(unit, scene.merchant, list(effects.skus))
    if effects.releases:
        await parked.release_many(unit, scene.merchant, effects.releases)
    for row in effects.parks:
        await parked.park(unit, row)
        history.add(unit, HistoryRow(scene.merchant, row.item, scene.now, "order.was_parked", row.reason))
