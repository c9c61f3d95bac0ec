"""Claims: what each order line takes from a pool, with the shop's writes and the parcels that moved it (rules C)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TypeVar

from marketsync.domain.ids import Reference
from marketsync.domain.stock import Claim, ClaimStep, Event, Parcel
from marketsync.store.rows import ClaimStepRow
from marketsync.store.schema import OPEN_SEQ
from marketsync.store.unit import Row, Unit

_PUT = """INSERT INTO claims (merchant, ref, line_id, sku, location, pool, connection, arrival_seq, target, held,
    allocated, needs_acceptance, accepted, closed, settled_seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (merchant, ref, line_id, sku, location) DO UPDATE SET target = excluded.target, held = excluded.held,
    allocated = excluded.allocated, needs_acceptance = excluded.needs_acceptance, accepted = excluded.accepted,
    closed = excluded.closed"""

# C11: from here on only reports that began earlier must still be held against.
_SETTLE = """UPDATE claims SET settled_seq = ? WHERE merchant = ? AND ref = ANY(?) AND closed = 1 AND settled_seq = ?
    AND NOT EXISTS (SELECT 1 FROM claim_steps s WHERE s.merchant = claims.merchant AND s.ref = claims.ref
        AND s.line_id = claims.line_id AND s.sku = claims.sku AND s.location = claims.location
        AND s.mature_seq IS NULL)
    AND NOT EXISTS (SELECT 1 FROM claim_parcels p WHERE p.merchant = claims.merchant AND p.ref = claims.ref
        AND p.line_id = claims.line_id AND p.sku = claims.sku AND p.location = claims.location
        AND p.mature_seq IS NULL)"""

T = TypeVar("T")


async def put_claims(unit: Unit, pool: str, claims: Sequence[Claim]) -> None:
    """Target, held and flags; steps and parcels have functions of their own."""
    await unit.execute_many(
        _PUT,
        [
            (
                c.merchant, c.order_ref, c.line_id, c.sku, c.location, pool, c.connection, c.arrival_seq, c.target,
                c.held, int(c.allocated), int(c.needs_acceptance), int(c.accepted), int(c.closed), OPEN_SEQ,
            )
            for c in claims
        ],
    )  # fmt: skip
    for merchant in dict.fromkeys(c.merchant for c in claims if c.closed):
        await settle(unit, merchant, [c.order_ref for c in claims if c.closed and c.merchant == merchant])


async def claims_of_orders(unit: Unit, merchant: str, refs: Sequence[str]) -> list[Claim]:
    """With their steps and parcels, in order of arrival."""
    rows = await unit.fetch(
        """SELECT merchant, ref, line_id, sku, location, connection, arrival_seq, target, held, allocated,
            needs_acceptance, accepted, closed FROM claims
            WHERE merchant = ? AND ref = ANY(?) ORDER BY arrival_seq, ref, line_id, sku, location""",
        merchant, list(refs),
    )  # fmt: skip
    return await _assembled(unit, merchant, rows)


async def claims_of_skus(unit: Unit, merchant: str, pool: str, skus: Sequence[str]) -> dict[str, list[Claim]]:
    """What reports must be held against: open claims, and closed ones whose end a held report does not contain yet."""
    rows = await unit.fetch(
        """SELECT c.merchant, c.ref, c.line_id, c.sku, c.location, c.connection, c.arrival_seq, c.target, c.held,
            c.allocated, c.needs_acceptance, c.accepted, c.closed FROM claims c
            WHERE c.merchant = ? AND c.pool = ? AND c.sku = ANY(?) AND c.settled_seq >= COALESCE((SELECT MIN(r.begin_seq)
                FROM reports r WHERE r.merchant = c.merchant AND r.pool = c.pool AND r.sku = c.sku), 0)
            ORDER BY c.arrival_seq, c.ref, c.line_id, c.sku, c.location""",
        merchant, pool, list(skus),
    )  # fmt: skip
    found: dict[str, list[Claim]] = {sku: [] for sku in skus}
    for claim in await _assembled(unit, merchant, rows):
        found[claim.sku].append(claim)
    return found


async def waiting_orders(
    unit: Unit, merchant: str, pool: str
) -> list[tuple[int, Reference, tuple[Claim, ...]]]:
    """C13: (arrival, reference, claims) of the orders that wait for their acceptance, in order of arrival."""
    rows = await unit.fetch(
        """SELECT merchant, ref, line_id, sku, location, connection, arrival_seq, target, held, allocated,
            needs_acceptance, accepted, closed FROM claims
            WHERE merchant = ? AND pool = ? AND needs_acceptance = 1 AND accepted = 0 AND closed = 0
            ORDER BY arrival_seq, ref, line_id, sku, location""",
        merchant, pool,
    )  # fmt: skip
    claims = await _assembled(unit, merchant, rows)
    return [
        (arrival, Reference(ref), tuple(of_order))
        for (arrival, ref), of_order in groupby(
            claims, key=lambda claim: (claim.arrival_seq, claim.order_ref)
        )
    ]


async def set_accepted(unit: Unit, merchant: str, ref: str, accepted: bool = True) -> None:
    """C14: in the transaction that marks the accept as sent; False if it is proved absent or refused."""
    await unit.execute(
        "UPDATE claims SET accepted = ? WHERE merchant = ? AND ref = ?", int(accepted), merchant, ref
    )


async def set_allocated(unit: Unit, merchant: str, allocated: Sequence[str], waiting: Sequence[str]) -> None:
    """C13: the outcome of one allocation, by references."""
    for flag, refs in ((1, allocated), (0, waiting)):
        if refs:
            await unit.execute(
                "UPDATE claims SET allocated = ? WHERE merchant = ? AND ref = ANY(?) AND allocated <> ?",
                flag, merchant, list(refs), flag,
            )  # fmt: skip


async def close_claims(unit: Unit, merchant: str, refs: Sequence[str]) -> None:
    """C11: after the steps that settle the remainder were added."""
    await unit.execute(
        "UPDATE claims SET closed = 1 WHERE merchant = ? AND ref = ANY(?)", merchant, list(refs)
    )
    await settle(unit, merchant, refs)


async def closable(unit: Unit, merchant: str, pool: str, limit: int) -> list[Reference]:
    """Orders that are over and have nothing under way, and whose claims are still open (C11)."""
    rows = await unit.fetch(
        """SELECT DISTINCT c.ref FROM claims c
            WHERE c.merchant = ? AND c.pool = ? AND c.settled_seq = ? AND c.closed = 0
            AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.merchant = c.merchant AND o.back_office = c.pool
                AND o.ref = c.ref AND o.open = 1 AND o.pushed_at IS NOT NULL)
            AND EXISTS (SELECT 1 FROM orders o WHERE o.merchant = c.merchant AND o.ref = c.ref AND o.open = 0)
            AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.merchant = c.merchant AND d.order_ref = c.ref
                AND d.state IN ('queued', 'sent', 'waiting', 'in_doubt', 'parked'))
            AND NOT EXISTS (SELECT 1 FROM parked p WHERE p.merchant = c.merchant AND p.kind = 'order'
                AND p.item = c.ref)
            ORDER BY c.ref LIMIT ?""",
        merchant, pool, OPEN_SEQ, limit,
    )  # fmt: skip
    return [Reference(ref) for (ref,) in rows]


async def add_steps(unit: Unit, steps: Sequence[ClaimStepRow]) -> None:
    """Behind the steps that the claim has already."""
    await unit.execute_many(
        """INSERT INTO claim_steps (merchant, ref, line_id, sku, location, id, delivery, event, taken_before,
            taken_after, held_after, sent_seq, done_seq, mature_seq, in_doubt)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        [
            (
                s.merchant, s.ref, s.line_id, s.sku, s.location, unit.seq(), s.delivery, s.event.value,
                s.taken_before, s.taken_after, s.held_after, s.sent_seq, s.done_seq, s.mature_seq, int(s.in_doubt),
            )
            for s in steps
        ],
    )  # fmt: skip


async def send_steps(unit: Unit, delivery_id: int, sent_seq: int) -> None:
    """In the transaction that marks the delivery as sent."""
    await unit.execute(
        """UPDATE claim_steps SET sent_seq = ? WHERE delivery = ? AND sent_seq IS NULL
            AND merchant = (SELECT merchant FROM deliveries WHERE id = ?)""",
        sent_seq, delivery_id, delivery_id,
    )  # fmt: skip


async def settle_steps(unit: Unit, delivery_id: int, done_seq: int, mature_seq: int | None) -> None:
    """The write was applied, and the shop's order now holds what its steps say. The number was taken after the answer
    was in hand (C1); `mature_seq` is None where a read lag must pass first (C7)."""
    await settle_many(unit, [(delivery_id, done_seq, mature_seq)])


async def settle_many(unit: Unit, settled: Sequence[tuple[int, int, int | None]]) -> None:
    """`settle_steps` for several writes: (delivery, done, mature)."""
    changed = await unit.execute_many(
        """UPDATE claim_steps SET done_seq = ?, mature_seq = ?, in_doubt = 0 WHERE delivery = ?
            AND sent_seq IS NOT NULL AND (done_seq IS NULL OR in_doubt = 1)
            AND merchant = (SELECT merchant FROM deliveries WHERE id = ?)""",
        [(done, mature, delivery, delivery) for delivery, done, mature in settled],
    )
    if changed:
        await unit.execute_many(
            """UPDATE claims SET held = COALESCE((SELECT s.held_after FROM claim_steps s
                    WHERE s.merchant = claims.merchant AND s.ref = claims.ref AND s.line_id = claims.line_id
                    AND s.sku = claims.sku AND s.location = claims.location AND s.delivery = ? AND s.done_seq = ?
                    ORDER BY s.id DESC LIMIT 1), held)
                WHERE merchant = (SELECT merchant FROM deliveries WHERE id = ?) AND ref IN (SELECT s.ref
                    FROM claim_steps s WHERE s.delivery = ? AND s.done_seq = ?
                    AND s.merchant = (SELECT merchant FROM deliveries WHERE id = ?))""",
            [(delivery, done, delivery, delivery, done, delivery) for delivery, done, _ in settled],
        )


async def remove_steps(unit: Unit, delivery_id: int) -> None:
    """C4: proved absent, or refused: the figure never lost anything for them."""
    await unit.execute(
        """DELETE FROM claim_steps WHERE delivery = ? AND done_seq IS NULL
            AND merchant = (SELECT merchant FROM deliveries WHERE id = ?)""",
        delivery_id, delivery_id,
    )  # fmt: skip


async def unmatured(unit: Unit, merchant: str, pool: str) -> list[tuple[int, int]]:
    """C7: (delivery, done_seq) of what was committed in this pool and is not certain for any report yet, the oldest first."""
    rows = await unit.fetch(
        """SELECT DISTINCT s.delivery, s.done_seq FROM claim_steps s
            JOIN claims c ON c.merchant = s.merchant AND c.ref = s.ref AND c.line_id = s.line_id AND c.sku = s.sku
                AND c.location = s.location
            WHERE s.merchant = ? AND c.pool = ? AND s.mature_seq IS NULL AND s.done_seq IS NOT NULL AND s.in_doubt = 0
            ORDER BY s.done_seq, s.delivery""",
        merchant, pool,
    )  # fmt: skip
    return [(delivery, done_seq) for delivery, done_seq in rows]


async def mature_steps(unit: Unit, merchant: str, events: Sequence[tuple[int, int]], mature_seq: int) -> None:
    """C7: entries of `unmatured` whose read lag has passed since their commit."""
    await unit.execute_many(
        """UPDATE claim_steps SET mature_seq = ? WHERE merchant = ? AND delivery = ? AND done_seq = ?
            AND mature_seq IS NULL AND in_doubt = 0""",
        [(mature_seq, merchant, delivery, done_seq) for delivery, done_seq in events],
    )
    rows = await unit.fetch(
        """SELECT DISTINCT ref FROM claim_steps WHERE merchant = ? AND delivery = ANY(?) AND mature_seq = ?
            ORDER BY ref""",
        merchant, list(dict.fromkeys(delivery for delivery, _ in events)), mature_seq,
    )  # fmt: skip
    await settle(unit, merchant, [ref for (ref,) in rows])


async def add_parcels(
    unit: Unit,
    merchant: str,
    ref: str,
    shipment_id: str,
    units: Sequence[tuple[str, str, str, int]],
    seq: int,
) -> None:
    """(line, SKU, location, quantity) of one parcel; a parcel that is known already stays as it was seen first."""
    await unit.execute_many(
        """INSERT INTO claim_parcels (merchant, ref, line_id, sku, location, shipment_id, quantity, seq, mature_seq)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)
            ON CONFLICT (merchant, ref, line_id, sku, location, shipment_id) DO NOTHING""",
        [
            (merchant, ref, line, sku, location, shipment_id, quantity, seq)
            for line, sku, location, quantity in units
        ],
    )


async def unmatured_parcels(unit: Unit, merchant: str, pool: str) -> list[int]:
    """C7: the numbers under which parcels of this pool were seen that are not certain for any report yet."""
    rows = await unit.fetch(
        """SELECT DISTINCT p.seq FROM claim_parcels p
            JOIN claims c ON c.merchant = p.merchant AND c.ref = p.ref AND c.line_id = p.line_id AND c.sku = p.sku
                AND c.location = p.location
            WHERE p.merchant = ? AND c.pool = ? AND p.mature_seq IS NULL ORDER BY p.seq""",
        merchant, pool,
    )  # fmt: skip
    return [seq for (seq,) in rows]


async def mature_parcels(unit: Unit, merchant: str, seqs: Sequence[int], mature_seq: int) -> None:
    rows = await unit.fetch(
        """SELECT DISTINCT ref FROM claim_parcels WHERE merchant = ? AND mature_seq IS NULL AND seq = ANY(?)
            ORDER BY ref""",
        merchant, list(seqs),
    )  # fmt: skip
    await unit.execute(
        "UPDATE claim_parcels SET mature_seq = ? WHERE merchant = ? AND mature_seq IS NULL AND seq = ANY(?)",
        mature_seq, merchant, list(seqs),
    )  # fmt: skip
    await settle(unit, merchant, [ref for (ref,) in rows])


async def skus_due_by_name(
    unit: Unit, merchant: str, pool: str, limit: int, after_sku: str = ""
) -> list[str]:
    """C8: SKUs with an open claim and no report that began after its last certain event; `due_by_name` then judges.
    By SKU, those after `after_sku`."""
    rows = await unit.fetch(
        """SELECT DISTINCT c.sku FROM claims c
            WHERE c.merchant = ? AND c.pool = ? AND c.settled_seq = ? AND c.sku > ?
            AND COALESCE((SELECT MIN(r.begin_seq) FROM reports r
                WHERE r.merchant = c.merchant AND r.pool = c.pool AND r.sku = c.sku), -1)
            <= COALESCE((SELECT MAX(seen) FROM (
                SELECT s.mature_seq AS seen FROM claim_steps s WHERE s.merchant = c.merchant AND s.ref = c.ref
                    AND s.line_id = c.line_id AND s.sku = c.sku AND s.location = c.location
                UNION ALL
                SELECT p.mature_seq AS seen FROM claim_parcels p WHERE p.merchant = c.merchant AND p.ref = c.ref
                    AND p.line_id = c.line_id AND p.sku = c.sku AND p.location = c.location) marks), -1)
            ORDER BY c.sku LIMIT ?""",
        merchant, pool, OPEN_SEQ, after_sku, limit,
    )  # fmt: skip
    return [sku for (sku,) in rows]


async def settle(unit: Unit, merchant: str, refs: Sequence[str]) -> None:
    """Closed claims of which everything is certain are read only against reports older than now."""
    if refs:
        await unit.execute(_SETTLE, unit.seq(), merchant, list(refs), OPEN_SEQ)


async def _assembled(unit: Unit, merchant: str, rows: Sequence[Row]) -> list[Claim]:
    refs = list(dict.fromkeys(row[1] for row in rows))
    if not refs:
        return []
    steps = await unit.fetch(
        """SELECT merchant, ref, line_id, sku, location, event, taken_before, taken_after, sent_seq, done_seq,
            mature_seq, in_doubt, held_after FROM claim_steps WHERE merchant = ? AND ref = ANY(?) ORDER BY id""",
        merchant, refs,
    )  # fmt: skip
    parcels = await unit.fetch(
        """SELECT merchant, ref, line_id, sku, location, quantity, seq, mature_seq FROM claim_parcels
            WHERE merchant = ? AND ref = ANY(?) ORDER BY seq, shipment_id""",
        merchant, refs,
    )  # fmt: skip
    steps_of = _by_claim((row[:5], _step(row)) for row in steps)
    parcels_of = _by_claim((row[:5], Parcel(*row[5:])) for row in parcels)
    return [_claim(row, tuple(steps_of.get(row[:5], ())), tuple(parcels_of.get(row[:5], ()))) for row in rows]


def _by_claim(pairs: Iterable[tuple[Row, T]]) -> dict[Row, list[T]]:
    found: dict[Row, list[T]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def _step(row: Row) -> ClaimStep:
    event, before, after, sent_seq, done_seq, mature_seq, in_doubt, held_after = row[5:]
    return ClaimStep(Event(event), before, after, sent_seq, done_seq, mature_seq, bool(in_doubt), held_after)


def _claim(row: Row, steps: tuple[ClaimStep, ...], parcels: tuple[Parcel, ...]) -> Claim:
    merchant, ref, line_id, sku, location, connection, arrival_seq, target, held, *flags = row
    allocated, needs_acceptance, accepted, closed = map(bool, flags)
    return Claim(
        merchant, ref, line_id, sku, location, connection, arrival_seq, target, held, steps, parcels,
        allocated, needs_acceptance, accepted, closed,
    )  # fmt: skip
