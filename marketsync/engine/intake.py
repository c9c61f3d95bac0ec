"""From a page as it was read to orders, claims, deliveries and parked items, in one transaction (D1, D2)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from marketsync.domain.coverage import Coverage
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import OrderId, reference
from marketsync.domain.lifecycle import fingerprint, still_open
from marketsync.domain.orders import Order, without_private
from marketsync.domain.versions import (
    Find,
    Version,
    VersionVerdict,
    is_external,
    judge_find,
    judge_version,
    version_after,
)
from marketsync.engine import planning
from marketsync.engine.context import Core, MarketplaceLink, Network
from marketsync.engine.facts import Change, Scene
from marketsync.errors import Malformed, Park
from marketsync.ports import OrderPage, RawOrder
from marketsync.store import Unit, history, orders, parked, private
from marketsync.store.rows import HeldOrder, HistoryRow, Parked, Private

# In JSON: an escape that is not itself escaped.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class ReadMark(msgspec.Struct, frozen=True):
    """Around one read: its numbers in the global sequence (B13) and when it ended."""

    begin_seq: int
    end_seq: int
    at: datetime


class Taken(msgspec.Struct, frozen=True):
    """What a page brought: how many new and changed orders, and the ids that must be read once more (B13)."""

    new: int
    changed: int
    parked: int
    read_again: tuple[OrderId, ...]


class _Batch(msgspec.Struct):
    """A page after parsing, before the transaction."""

    good: dict[OrderId, Order]
    bad: list[tuple[RawOrder, Park]]


class Intake:
    """The way in for every order that is read, whoever asked for it. `asked` are ids to be read by name, by connection."""

    def __init__(self, core: Core, network: Network) -> None:
        self._core = core
        self._network = network
        self.asked: dict[str, list[OrderId]] = {}

    async def take(
        self,
        link: MarketplaceLink,
        page: OrderPage,
        mark: ReadMark,
        coverage_until: datetime | None,
        also: Callable[[Unit], Awaitable[None]] | None = None,
        *,
        live: Coverage | None = None,
    ) -> Taken:
        """Commit a page. `also` writes what belongs to the same transaction: the progress of the sweep; it waits
        where a version is unclear, for then the window is not read yet. `live` counts what the live sweep missed (B15)."""
        batch = self._parse(link, page)
        if not batch.good and not batch.bad and also is None:
            return Taken(0, 0, 0, ())

        async def unit_of_work(unit: Unit) -> Taken:
            taken = await self._commit(unit, link, batch, mark, coverage_until, live)
            if also is not None and not taken.read_again:
                await also(unit)
            return taken

        taken = await self._core.store.write(unit_of_work)
        self._report(link, taken)
        return taken

    def _parse(self, link: MarketplaceLink, page: OrderPage) -> _Batch:
        """One bad order is parked with its raw document; it never stops the page or the others (D1)."""
        batch = _Batch({}, [])
        for raw in page.orders:
            try:
                order = _storable(link.adapter.parse_order(raw.raw))
            except Park as error:
                batch.bad.append((raw, error))
            except Exception as error:  # noqa: BLE001 - an adapter's fault parks one order, with its type as the reason
                reason = f"the adapter failed with {type(error).__name__}"
                batch.bad.append((raw, Park(reason, (f"adapter:{link.name}",))))
            else:
                if order.lines:
                    batch.good[order.key.order_id] = order
                else:
                    # Without lines it would read as cancelled.
                    batch.bad.append((raw, Park("it has no lines", (f"adapter:{link.name}",))))
        return batch

    async def _commit(
        self, unit: Unit, link: MarketplaceLink, batch: _Batch, mark: ReadMark, coverage_until: datetime | None,
        live: Coverage | None,
    ) -> Taken:  # fmt: skip
        merchant = self._core.merchant
        held = await orders.held(unit, merchant, link.name, list(batch.good))
        changes, seen, read_again = await self._judge(unit, link, batch, held, mark)
        if live is not None:
            self._count_finds(link, changes, live)
        if changes:
            await orders.put(unit, [change.held for change in changes])
            await private.put_parties(
                unit, [(c.held.key, c.private) for c in changes if c.private is not None]
            )
            self._note(unit, changes, mark.at)
            await planning.plan(unit, self.scene(link, coverage_until), changes)
        if seen:
            await orders.touch_read(unit, merchant, link.name, seen, mark.at)
            same = [i for i in seen if self._same(held[i], batch.good[i])]
            await orders.confirm_read(unit, merchant, link.name, same, mark.begin_seq, mark.end_seq)
        await self._park_unreadable(unit, link, batch, mark.at)
        await self._release_readable(unit, link, batch)
        new = sum(change.before is None for change in changes)
        return Taken(new, len(changes) - new, len(batch.bad), tuple(read_again))

    def _same(self, held: HeldOrder, order: Order) -> bool:
        return held.order.updated_at == order.updated_at and held.content_hash == fingerprint(order)

    def scene(self, link: MarketplaceLink, coverage_until: datetime | None) -> Scene:
        clock = self._core.clock
        return Scene(
            merchant=self._core.merchant, connection=link.name, back_office=link.settings.back_office,
            switches=link.settings.switches,
            answers=link.settings.accept.automatic and Kind.ACCEPT in link.adapter.writers, now=clock.now(), mono=clock.monotonic(), boot=clock.boot_id,
            coverage_until=coverage_until, gap=self._core.store.gap,
        )  # fmt: skip

    async def _judge(
        self, unit: Unit, link: MarketplaceLink, batch: _Batch, held: dict[OrderId, HeldOrder], mark: ReadMark
    ) -> tuple[list[Change], list[OrderId], list[OrderId]]:
        """B13: which of the read orders are newer than what is held."""
        changes: list[Change] = []
        seen: list[OrderId] = []
        read_again: list[OrderId] = []
        known = [held[i].key for i in batch.good if i in held]
        before_private = await private.parties(unit, known) if known else {}
        for order_id, order in batch.good.items():
            before = held.get(order_id)
            version = Version(order.updated_at, fingerprint(order), mark.begin_seq, mark.end_seq)
            verdict = judge_version(_version(before), version)
            if verdict is VersionVerdict.TAKE:
                old = None if before is None else before_private.get(before.key)
                changes.append(self._change(unit, link, order, before, old, version, mark.at))
            elif verdict is VersionVerdict.READ_BY_ID:
                read_again.append(order_id)
            elif before is not None:
                seen.append(order_id)
        return changes, seen, read_again

    def _change(
        self, unit: Unit, link: MarketplaceLink, order: Order, before: HeldOrder | None, old: Private | None,
        version: Version, at: datetime,
    ) -> Change:  # fmt: skip
        told = Private(order.buyer, order.ship_to, order.bill_to)
        kept = _kept(told, old)
        bare = without_private(replace(order, ship_to=kept.ship_to))
        version = version_after(_version(before), version)
        if before is None:
            external = is_external(order.created_at, link.settings.import_from)
            held = HeldOrder(
                key=order.key, ref=reference(self._core.store.installation, order.key),
                back_office=link.settings.back_office, order=bare, content_hash=version.content_hash,
                read_begin_seq=version.begin_seq, read_end_seq=version.end_seq, arrival_seq=unit.seq(), revision=1,
                external=external, open=still_open(order) and not external, imported_at=at, read_at=at,
            )  # fmt: skip
        else:
            held = replace(
                before, order=bare, content_hash=version.content_hash, read_begin_seq=version.begin_seq,
                read_end_seq=version.end_seq, revision=before.revision + 1,
                open=still_open(order) and not before.external, read_at=at,
            )  # fmt: skip
        return Change(held, before, kept, old)

    def _count_finds(self, link: MarketplaceLink, changes: Sequence[Change], live: Coverage) -> None:
        for change in changes:
            order = change.held.order
            read = Version(
                order.updated_at,
                change.held.content_hash,
                change.held.read_begin_seq,
                change.held.read_end_seq,
            )
            find = judge_find(_version(change.before), read, live)
            if find is not Find.KNOWN:
                self._core.observer.count(
                    "marketsync_late_orders_total", 1, connection=link.name, ground=find.value
                )
            if find is Find.LIVE_MISSED:
                self._core.observer.event("sweep.had_missed_an_order", connection=link.name)

    def _note(self, unit: Unit, changes: Sequence[Change], at: datetime) -> None:
        for change in changes:
            held = change.held
            event = "order.was_imported" if change.before is None else "order.was_revised"
            if held.external and change.before is None:
                event = "order.is_external"
            detail = f"revision {held.revision}, {held.order.state_as_stated}"
            history.add(unit, HistoryRow(self._core.merchant, held.ref, at, event, detail))
            if change.before is None:
                self._core.observer.event(
                    "order.was_imported", connection=held.key.connection, correlation=held.ref
                )
            else:
                self._core.observer.event(
                    "order.was_revised", connection=held.key.connection, correlation=held.ref
                )

    async def _park_unreadable(self, unit: Unit, link: MarketplaceLink, batch: _Batch, at: datetime) -> None:
        for raw, error in batch.bad:
            known = raw.order_id and "\0" not in raw.order_id
            name = raw.order_id if known else hashlib.sha256(raw.raw).hexdigest()[:16]
            reason, causes = _shown(error.reason), tuple(map(_shown, error.causes))
            item = f"{link.name}/{name}"
            await private.put_raws(unit, self._core.merchant, link.name, [(OrderId(name), raw.raw)])
            row = Parked(self._core.merchant, "raw", item, link.name, reason, causes, at)
            await parked.park(unit, row)
            history.add(unit, HistoryRow(self._core.merchant, item, at, "order.was_unreadable", reason))

    async def _release_readable(self, unit: Unit, link: MarketplaceLink, batch: _Batch) -> None:
        items = [("raw", f"{link.name}/{order_id}") for order_id in batch.good]
        await parked.release_many(unit, self._core.merchant, items)

    def _report(self, link: MarketplaceLink, taken: Taken) -> None:
        observer = self._core.observer
        for outcome, number in (("new", taken.new), ("changed", taken.changed), ("parked", taken.parked)):
            if number:
                observer.count("marketsync_orders_read_total", number, connection=link.name, outcome=outcome)
        if taken.new or taken.changed or taken.parked:
            observer.event(
                "orders.were_read",
                connection=link.name,
                new=taken.new,
                changed=taken.changed,
                parked=taken.parked,
            )
            back_office = self._network.back_offices.get(link.settings.back_office)
            link.dispatch.set()
            link.publish.set()
            if back_office is not None:
                back_office.dispatch.set()
                back_office.stock.set()


def _storable(order: Order) -> Order:
    """PostgreSQL takes no NUL in a text: the whole page would be refused, and read again for ever."""
    document = msgspec.json.encode(order)
    if b"\\u0000" in document and _NUL.search(document):
        raise Malformed("$", "a text holds a NUL character")
    return order


def _shown(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _version(held: HeldOrder | None) -> Version | None:
    if held is None:
        return None
    return Version(held.order.updated_at, held.content_hash, held.read_begin_seq, held.read_end_seq)


def _kept(told: Private, old: Private | None) -> Private:
    """A marketplace may tell less in a later state (addresses are dropped): what was told once is kept."""
    if old is None:
        return told
    return Private(told.buyer or old.buyer, told.ship_to or old.ship_to, told.bill_to or old.bill_to)
