"""Reads the shop's parcels of open orders and makes a confirmation of each, once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from marketsync.domain.deliveries import Delivery, Kind, State, end, new_delivery, raise_wanted, reopen
from marketsync.domain.doubt import wake
from marketsync.domain.ids import ConnectionId, Reference
from marketsync.domain.orders import Fulfilment, Order
from marketsync.domain.shipments import Shipment
from marketsync.engine.context import BackOfficeLink, Core, Network
from marketsync.engine.payloads import completes, record_of
from marketsync.ports import Aftersale, OpenOrder, ReadsAftersales
from marketsync.store import Unit, deliveries, history, links, orders, parked, shipments, stock
from marketsync.store.deliveries import IN_FLIGHT
from marketsync.store.rows import HeldOrder, HistoryRow, Link, Parked

AFTERSALE = "aftersale"


class Parcels:
    """One per back-office."""

    def __init__(self, core: Core, network: Network, link: BackOfficeLink) -> None:
        self._core = core
        self._network = network
        self._link = link

    async def round(self) -> float:
        """All open orders once, in slices of what one call takes."""
        merchant, name, after, calls = self._core.merchant, self._link.name, "", 0
        while True:
            limit = self._link.adapter.open_orders_max
            held = await self._core.store.read(
                partial(orders.open_orders, merchant=merchant, back_office=name, after_ref=after, limit=limit)
            )
            if not held:
                break
            after = held[-1].ref
            calls += await self._slice(held)
        wait = self._link.settings.shipments_seconds
        return wait if calls else -wait

    async def _slice(self, held: Sequence[HeldOrder]) -> int:
        merchant, name = self._core.merchant, self._link.name
        mine = [row for row in held if row.order.fulfilment is Fulfilment.MERCHANT]
        known = await self._core.store.read(
            lambda unit: links.of_many(unit, merchant, name, [row.ref for row in mine])
        )
        open_orders = [
            OpenOrder(row.ref, remote, row.order)
            for row in mine
            if (remote := record_of(known.get(row.ref, ()), row.ref)) is not None
        ]
        if not open_orders:
            return 0
        adapter, by_ref = self._link.adapter, {row.ref: row for row in mine}
        if isinstance(adapter, ReadsAftersales) and (seen := await adapter.fetch_aftersales(open_orders)):
            await self._core.store.write(lambda unit: self._tell(unit, by_ref, seen))
        found = await adapter.fetch_shipments(open_orders)
        if found:
            self._core.crash.reach("parcels.before_commit")
            told = await self._core.store.write(lambda unit: self._take(unit, by_ref, found))
            self._core.crash.reach("parcels.after_commit")
            self._link.stock.set()
            # Only now: who looks before the commit finds nothing, and looks again much later.
            for marketplace in [x for x in self._network.marketplaces.values() if x.name in told]:
                marketplace.dispatch.set()
        return 1

    async def _tell(self, unit: Unit, held: Mapping[Reference, HeldOrder], seen: Sequence[Aftersale]) -> None:
        """A person is told once of what only a person can tell the marketplace; the marker is never pruned."""
        merchant, name, now = self._core.merchant, self._link.name, self._core.clock.now()
        subjects = [f"aftersale/{x.aftersale_id}" for x in seen]
        known = await links.of_many(unit, merchant, name, subjects)
        for x, subject in zip(seen, subjects, strict=True):
            if known[subject] or x.ref not in held:
                continue
            await links.add(unit, Link(merchant, name, AFTERSALE, subject, x.aftersale_id))
            causes = (f"conflict:{x.ref}",)
            await parked.park(
                unit, Parked(merchant, "conflict", subject, name, f"in the shop: {x.what}", causes, now)
            )
            history.add(unit, HistoryRow(merchant, x.ref, now, "aftersale.was_read", x.what))

    async def _take(
        self, unit: Unit, held: Mapping[Reference, HeldOrder], found: Sequence[Shipment]
    ) -> list[ConnectionId]:
        """The marketplaces that are to be told."""
        merchant = self._core.merchant
        refs = list(dict.fromkeys(parcel.ref for parcel in found))
        seen = await shipments.seen(unit, merchant, refs)
        fresh = [
            parcel
            for parcel in found
            if parcel.ref in held and seen.get((parcel.ref, parcel.shipment_id)) != _hash(parcel)
        ]
        if not fresh:
            return []
        await shipments.put(unit, merchant, [(parcel, _hash(parcel)) for parcel in fresh])
        rows: dict[str, Delivery] = {}
        told = list(dict.fromkeys(held[parcel.ref].key.connection for parcel in fresh))
        for connection in told:
            subjects = [self._subject(parcel) for parcel in fresh]
            rows |= await deliveries.live(unit, merchant, Kind.CONFIRM, connection, subjects)
        for parcel in fresh:
            await self._one(unit, held[parcel.ref], parcel, rows.get(self._subject(parcel)), seen)
        return told

    async def _one(
        self, unit: Unit, held: HeldOrder, parcel: Shipment, row: Delivery | None,
        seen: Mapping[tuple[Reference, str], str],
    ) -> None:  # fmt: skip
        now, merchant = self._core.clock.now(), self._core.merchant
        if parcel.voided:
            await self._voided(unit, held, parcel, row)
            return
        if row is not None:
            await self._raise(unit, row)
        else:
            confirm = new_delivery(
                delivery_id=unit.seq(), merchant=merchant, kind=Kind.CONFIRM, target=held.key.connection,
                subject=self._subject(parcel), order_ref=held.ref, due_at=now.timestamp(), created_seq=unit.seq(),
            )  # fmt: skip
            await deliveries.insert(unit, [confirm])
        if (parcel.ref, parcel.shipment_id) not in seen:
            await self._claims(unit, held, parcel)
        detail = f"parcel {parcel.shipment_id} of {sum(x.quantity for x in parcel.lines)} units"
        history.add(unit, HistoryRow(merchant, held.ref, now, "parcel.was_read", detail))
        self._core.observer.count("marketsync_parcels_read_total", 1, connection=self._link.name)

    async def _raise(self, unit: Unit, row: Delivery) -> None:
        """The shop changed the parcel: what was sent is followed up, what was parked for its old content goes on (A20)."""
        clock, now = self._core.clock, self._core.clock.now()
        if row.state is State.CANCELLED:
            await deliveries.move_many(unit, [(row, reopen(row, now.timestamp()), "delivery.raised")], now)
            return
        raised = raise_wanted(row, row.wanted + 1, now.timestamp())
        after = raised.row
        if raised.drops_payload_causes and not row.unsettled and row.step == 0:
            after = wake(after, (), now=now.timestamp(), mono=clock.monotonic(), boot=clock.boot_id)
            await parked.release(unit, self._core.merchant, "delivery", str(row.id))
        await deliveries.move_many(unit, [(row, after, "delivery.raised")], now)

    async def _claims(self, unit: Unit, held: HeldOrder, parcel: Shipment) -> None:
        claims = await stock.claims_of_orders(unit, self._core.merchant, [held.ref])
        by_line = {claim.line_id: claim for claim in claims}
        units = [
            (line.line_id, by_line[line.line_id].sku, by_line[line.line_id].location, line.quantity)
            for line in parcel.lines
            if line.line_id in by_line
        ]
        await stock.add_parcels(unit, self._core.merchant, held.ref, parcel.shipment_id, units, unit.seq())

    async def _voided(self, unit: Unit, held: HeldOrder, parcel: Shipment, row: Delivery | None) -> None:
        """A parcel that was taken back: not confirmed if that has not left, else a person decides."""
        now = self._core.clock.now()
        if row is None or row.state is State.CANCELLED:
            return
        if (
            row.state in (State.QUEUED, State.PARKED)
            and not row.unsettled
            and row.step == 0
            and row.done == 0
        ):
            await deliveries.move_many(unit, [(row, end(row), "confirm.not_needed")], now)
            await parked.release(unit, self._core.merchant, "delivery", str(row.id))
            return
        text = f"parcel {parcel.shipment_id} was taken back after it was confirmed"
        causes = (f"conflict:{held.ref}",)
        item = Parked(
            self._core.merchant,
            "conflict",
            f"parcel/{parcel.shipment_id}",
            held.key.connection,
            text,
            causes,
            now,
        )
        await parked.park(unit, item)

    def _subject(self, parcel: Shipment) -> str:
        return f"{self._link.name}/{parcel.shipment_id}"


def completing(
    before: Order, order: Order, confirms: Sequence[Delivery], parcels: Sequence[Shipment]
) -> Delivery | None:
    """The confirmation to tell once more, as the one that completes the order: the marketplace may ship it only with that
    parcel, and the units that were left for another one are not wanted any more."""
    if any(row.state is State.QUEUED for row in confirms):
        return None  # It says by itself, when it leaves, whether it completes the order.
    out = [row for row in confirms if row.done or row.unsettled or row.state in IN_FLIGHT]
    told = [x for x in parcels if any(row.subject.endswith(f"/{x.shipment_id}") for row in out)]
    if not told or completes(before, told) or not completes(order, told):
        return None
    ended = (State.DONE, State.CANCELLED)
    return max(out, key=lambda row: (row.state not in ended, row.done_seq or 0, row.id))


def _hash(parcel: Shipment) -> str:
    return hashlib.sha256(msgspec.json.encode(parcel)).hexdigest()[:32]
