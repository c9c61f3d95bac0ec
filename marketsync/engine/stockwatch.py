"""Watches one shop's stock: sweeps it, reads by name what is open, lets events mature, closes claims, finds articles (rules C)."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import msgspec

from marketsync.domain.ids import POOL, MerchantId, Reference, Sku
from marketsync.domain.stock import Claim, Report, close_claim, matures
from marketsync.engine.context import BackOfficeLink, Core, Network
from marketsync.engine.effects import NO_FACTS
from marketsync.engine.release import Release
from marketsync.ports import Article, StockFigure
from marketsync.store import Unit, listings, parked, stock
from marketsync.store.rows import ClaimStepRow

NAMES_MAX = 100
PAGES_MAX = 10_000
# Reports of one transaction: a page may be the whole shop, and nobody else writes meanwhile.
TAKEN_MAX = 1000
# Whoever changes something wakes the watch; this is for what nobody says, such as an order that a person let go on.
IDLE_SECONDS = 30.0
# An article that the shop does not have is asked for again only so often.
RESOLVE_SECONDS = 60.0


class Look(msgspec.Struct, frozen=True):
    """Why orders wait for articles; which steps (`stock.unmatured`) and parcels may not be certain for any report yet; orders
    that are over; the articles that are to be read by name, and up to which SKU they were looked for."""

    causes: Sequence[str]
    steps: Sequence[tuple[int, int]]
    parcels: Sequence[int]
    over: Sequence[Reference]
    tracked: Sequence[Article]
    named_to: str


class StockWatch:
    """One per back-office: its stock is one pool."""

    def __init__(self, core: Core, network: Network, link: BackOfficeLink, release: Release) -> None:
        self._core = core
        self._network = network
        self._link = link
        self._release = release
        self._swept_at: float | None = None
        self._turned_at = -inf
        self._committed: dict[int, float] = {}
        self._parcels_seen: dict[int, float] = {}
        self._named_to = ""
        self._asked: dict[Sku, float] = {}
        self._started = core.clock.monotonic()

    async def round(self) -> float:
        """One turn. Returns the seconds to wait, negative where no call was made. Every order that is done wakes it:
        what is open is read by name once per period, however many they are."""
        early = self._turned_at + self._link.settings.stock_by_name_seconds - self._core.clock.monotonic()
        if early > 0:
            return -early
        self._turned_at = self._core.clock.monotonic()
        look = await self._core.store.read(self._look)
        calls = await self._resolve(look.causes)
        if self._until_sweep() <= 0:
            await self._sweep()
            calls += 1
        ripe, ripening = await self._mature(look)
        if calls or ripe:
            look = await self._core.store.read(self._look)
        if look.over:
            await self._close(look.over)
        self._named_to = look.named_to
        if look.tracked:
            await self._by_name(look.tracked)
            calls += 1
        soon = self._link.settings.stock_by_name_seconds
        if calls or ripening or look.over:
            return soon if calls else -soon
        return -max(soon, min(IDLE_SECONDS, self._until_sweep()))

    async def _look(self, unit: Unit) -> Look:
        merchant, name = self._core.merchant, self._link.name
        lags = self._link.adapter.read_lag_seconds > 0
        tracked, named_to = await self._due_by_name(unit)
        return Look(
            causes=await parked.causes_with(unit, merchant, "sku:", f"@{name}"),
            steps=await stock.unmatured(unit, merchant, name) if lags else [],
            parcels=await stock.unmatured_parcels(unit, merchant, name),
            over=await stock.closable(unit, merchant, name, NAMES_MAX),
            tracked=tracked,
            named_to=named_to,
        )

    # Reports

    def _until_sweep(self) -> float:
        if self._swept_at is None:
            return 0.0
        return self._swept_at + self._link.settings.stock_sweep_seconds - self._core.clock.monotonic()

    async def _sweep(self) -> None:
        """Every article and figure of the shop, page by page; each page has numbers of its own (C1)."""
        cursor = ""
        for _ in range(PAGES_MAX):
            begin = self._core.store.next_seq()
            page = await self._link.adapter.sweep_stock(cursor)
            end = self._core.store.next_seq()
            for start in range(0, max(len(page.figures), len(page.articles)), TAKEN_MAX):
                part = slice(start, start + TAKEN_MAX)
                await self._take(page.figures[part], begin, end, page.articles[part])
            cursor = page.next_cursor
            if not cursor:
                break
        self._swept_at = self._core.clock.monotonic()
        self._core.observer.event("stock.was_swept", connection=self._link.name)

    async def _by_name(self, tracked: Sequence[Article]) -> None:
        """C8: what is open is read by name until its two ends meet."""
        begin = self._core.store.next_seq()
        self._core.crash.reach("stock.before_read")
        figures = await self._link.adapter.read_stock(tracked)
        end = self._core.store.next_seq()
        await self._take(figures, begin, end, ())

    async def _due_by_name(self, unit: Unit) -> tuple[list[Article], str]:
        """What one call takes, and from where the call before ended: SKUs that the shop has no figure for are passed over."""
        merchant, name, named_to = self._core.merchant, self._link.name, self._named_to
        tracked: list[Article] = []
        while len(tracked) < NAMES_MAX:
            due = await stock.skus_due_by_name(unit, merchant, name, NAMES_MAX, named_to)
            known = await stock.articles(unit, merchant, name, due)
            for sku in due:
                article = known.get(Sku(sku))
                if len(tracked) == NAMES_MAX:
                    break
                named_to = sku
                if article is not None and article.tracked:
                    tracked.append(article)
            if len(due) < NAMES_MAX and (not due or named_to == due[-1]):
                named_to = ""
                break
        return tracked, named_to

    async def _take(
        self, figures: Sequence[StockFigure], begin: int, end: int, articles: Sequence[Article]
    ) -> None:
        """A report replaces the held one only if it began later (C2). The listings of all that was read are looked at: a route,
        or what the configuration keeps back, may have changed where no figure did."""
        if not figures and not articles:
            return
        merchant, name, at = self._core.merchant, self._link.name, self._core.clock.now()
        reports = [Report(f.sku, f.location or POOL, f.value, begin, end) for f in figures]

        async def unit_of_work(unit: Unit) -> None:
            if articles:
                await stock.put_articles(unit, merchant, name, articles, at)
            await stock.put_reports(unit, merchant, name, reports, at)
            await self._offer(unit, [article.sku for article in articles if article.tracked])
            await listings.mark_dirty(unit, merchant, list(dict.fromkeys(r.sku for r in reports)))

        await self._core.store.write(unit_of_work)
        self._core.crash.reach("stock.after_report")
        self._wake_marketplaces()

    async def _offer(self, unit: Unit, skus: Sequence[Sku]) -> None:
        for marketplace in self._network.marketplaces.values():
            if marketplace.settings.back_office == self._link.name and skus:
                await listings.ensure(unit, self._core.merchant, marketplace.name, skus)

    def _wake_marketplaces(self) -> None:
        for marketplace in self._network.marketplaces.values():
            if marketplace.settings.back_office == self._link.name:
                marketplace.publish.set()

    # Maturity and closing

    async def _mature(self, look: Look) -> tuple[bool, bool]:
        """C7: an event counts as read only by reads that begin once the shop's read lag is over since its commit. Whether some
        of them do now, and whether some wait for that."""
        lag, waiting = self._link.adapter.read_lag_seconds, look.steps
        parcels = await self._mature_parcels(lag, look.parcels)
        merchant, mono = self._core.merchant, self._core.clock.monotonic()
        seen = {delivery: self._committed.get(delivery, mono) for delivery, *_ in waiting}
        self._committed = seen
        ripe = [event for event in waiting if matures(seen[event[0]], lag, mono, started_mono=self._started)]
        if ripe:
            await self._core.store.write(lambda unit: stock.mature_steps(unit, merchant, ripe, unit.seq()))
        waits = parcels < len(look.parcels) or len(ripe) < len(waiting)
        return bool(parcels or ripe), waits

    async def _mature_parcels(self, lag: float, waiting: Sequence[int]) -> int:
        """How many are ripe."""
        merchant, mono = self._core.merchant, self._core.clock.monotonic()
        self._parcels_seen = {seq: self._parcels_seen.get(seq, mono) for seq in waiting}
        ripe = [
            seq
            for seq, seen in self._parcels_seen.items()
            if matures(seen, lag, mono, started_mono=self._started)
        ]
        if ripe:
            await self._core.store.write(lambda unit: stock.mature_parcels(unit, merchant, ripe, unit.seq()))
        return len(ripe)

    async def _close(self, over: Sequence[Reference]) -> None:
        """C11: the claims of an order that is over are settled as a step; once a report contains it, they are closed."""
        merchant, name = self._core.merchant, self._link.name
        self._core.crash.reach("stock.before_close")

        async def unit_of_work(unit: Unit) -> None:
            claims = await stock.claims_of_orders(unit, merchant, over)
            articles = await stock.articles(unit, merchant, name, list(dict.fromkeys(c.sku for c in claims)))
            rows, closed = [], []
            for claim in claims:
                article = articles.get(Sku(claim.sku))
                done = close_claim(claim, unit.seq(), NO_FACTS if article is None else article.facts)
                rows.append(_row(done))
                closed.append(done)
            await stock.add_steps(unit, rows)
            await stock.put_claims(unit, name, closed)

        await self._core.store.write(unit_of_work)

    # Articles

    async def _resolve(self, causes: Sequence[str]) -> int:
        """SKUs that orders wait for are looked for in the shop; what is found releases them."""
        merchant, name, mono = self._core.merchant, self._link.name, self._core.clock.monotonic()
        wanted = [Sku(cause.removeprefix("sku:").removesuffix(f"@{name}")) for cause in causes]
        self._asked = {
            sku: self._asked[sku] for sku in wanted if mono - self._asked.get(sku, -inf) < RESOLVE_SECONDS
        }
        skus = [sku for sku in wanted if sku not in self._asked][:NAMES_MAX]
        if not skus:
            return 0
        found = await self._link.adapter.resolve_skus(skus)
        self._asked |= dict.fromkeys(skus, mono)
        if found:
            at = self._core.clock.now()

            async def unit_of_work(unit: Unit) -> None:
                await stock.put_articles(unit, merchant, name, list(found.values()), at)
                await self._offer(unit, [article.sku for article in found.values() if article.tracked])
                for sku in found:
                    await self._release.cause_went(unit, f"sku:{sku}@{name}")

            await self._core.store.write(unit_of_work)
            self._release.wake_all()
        return 1


def _row(claim: Claim) -> ClaimStepRow:
    step = claim.steps[-1]
    seq = step.sent_seq or 0
    return ClaimStepRow(
        merchant=MerchantId(claim.merchant), ref=Reference(claim.order_ref), line_id=claim.line_id, sku=claim.sku,
        location=claim.location, delivery=seq, event=step.event, taken_before=step.taken_before,
        taken_after=step.taken_after, held_after=step.held_after or 0, sent_seq=seq, done_seq=step.done_seq,
        mature_seq=step.mature_seq,
    )  # fmt: skip
