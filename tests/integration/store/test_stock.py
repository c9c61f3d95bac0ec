"""Reports, claims, their steps and parcels: the facts that stock is computed from."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from marketsync.domain.ids import RemoteId, Sku
from marketsync.domain.stock import ClaimStep, Effect, Event, Parcel, Report, StockFacts
from marketsync.ports import Article
from marketsync.store import Violated, deliveries, stock
from marketsync.store.rows import ClaimStepRow
from tests.integration.store.conftest import Write
from tests.integration.store.examples import MERCHANT, NOW, SHOP, claim, delivery, ref


def step(number: int = 1, **changes: Any) -> ClaimStepRow:
    made = ClaimStepRow(
        merchant=MERCHANT, ref=ref(number), line_id="1", sku="SKU-1", location="pool", delivery=number,
        event=Event.CREATE, taken_before=0, taken_after=2, held_after=2, sent_seq=10,
    )  # fmt: skip
    return replace(made, **changes)


async def test_articles(write: Write, read: Write) -> None:
    facts = StockFacts({Event.CREATE: Effect.TAKES, Event.CANCEL: Effect.GIVES_BACK}, read_lag_seconds=2.5)
    article = Article(Sku("A"), RemoteId("7"), True, facts, Decimal("9.90"))
    await write(stock.put_articles, MERCHANT, SHOP, [article, replace(article, sku=Sku("B"))], NOW)
    await write(stock.put_articles, MERCHANT, SHOP, [replace(article, tracked=False)], NOW)
    assert await read(stock.articles, MERCHANT, SHOP, ["A", "Z"]) == {"A": replace(article, tracked=False)}
    assert [found.sku for found in await read(stock.article_page, MERCHANT, SHOP, "A", 9)] == ["B"]


@pytest.mark.rule("C2")
async def test_a_report_that_began_earlier_never_replaces(write: Write, read: Write) -> None:
    held = Report("A", "main", 10, begin_seq=5, end_seq=6)
    assert await write(stock.put_reports, MERCHANT, SHOP, [held, Report("A", "other", 1, 5, 6)], NOW) == 2
    for stale in (Report("A", "main", 99, 4, 9), Report("A", "main", 99, 5, 9)):
        assert await write(stock.put_reports, MERCHANT, SHOP, [stale], NOW) == 0
    newer = Report("A", "main", -3, 6, 8)
    assert await write(stock.put_reports, MERCHANT, SHOP, [newer], NOW) == 1
    assert await read(stock.reports, MERCHANT, SHOP, ["A", "B"]) == {
        "A": [newer, Report("A", "other", 1, 5, 6)],
        "B": [],
    }
    assert await read(stock.reported_skus, MERCHANT, SHOP, "", 9) == ["A"]


@pytest.mark.rule("C1")
async def test_a_report_that_ended_before_it_began_is_refused(write: Write) -> None:
    with pytest.raises(Violated):
        await write(stock.put_reports, MERCHANT, SHOP, [Report("A", "main", 1, begin_seq=6, end_seq=5)], NOW)


async def test_claims_come_back_with_steps_and_parcels(write: Write, read: Write) -> None:
    await write(deliveries.insert, [delivery(1), delivery(2)])
    await write(stock.put_claims, SHOP, [claim(1), claim(2, sku="SKU-2", location="north")])
    await write(stock.add_steps, [step(1)])
    await write(stock.add_steps, [step(1, event=Event.RAISE, taken_before=2, taken_after=3, held_after=3)])
    for _ in range(2):
        await write(stock.add_parcels, MERCHANT, ref(1), "p1", [("1", "SKU-1", "pool", 2)], 30)
    first, second = await read(stock.claims_of_orders, MERCHANT, [ref(1), ref(2)])
    assert first == claim(
        1,
        steps=(
            ClaimStep(Event.CREATE, 0, 2, sent_seq=10, held_after=2),
            ClaimStep(Event.RAISE, 2, 3, sent_seq=10, held_after=3),
        ),
        parcels=(Parcel(2, 30),),
    )
    assert second == claim(2, sku="SKU-2", location="north")


@pytest.mark.rule("C4")
async def test_settled_steps_say_what_the_shop_holds(write: Write, read: Write) -> None:
    await write(deliveries.insert, [delivery(1), delivery(2)])
    await write(stock.put_claims, SHOP, [claim(1), claim(2)])
    await write(stock.add_steps, [step(1), step(2)])
    await write(stock.settle_steps, 1, 20, None)
    first, second = await read(stock.claims_of_orders, MERCHANT, [ref(1), ref(2)])
    assert (first.held, first.steps[0].done_seq, first.steps[0].mature_seq) == (2, 20, None)
    assert (second.held, second.steps[0].done_seq) == (0, None)
    await write(stock.remove_steps, 1)
    await write(stock.remove_steps, 2)
    first, second = await read(stock.claims_of_orders, MERCHANT, [ref(1), ref(2)])
    assert (len(first.steps), len(second.steps)) == (1, 0)


async def test_a_queued_step_is_sent_with_its_delivery(write: Write, read: Write) -> None:
    await write(deliveries.insert, [delivery(1)])
    await write(stock.put_claims, SHOP, [claim(1)])
    await write(stock.add_steps, [step(1, sent_seq=None)])
    await write(stock.settle_steps, 1, 9, 9)
    await write(stock.send_steps, 1, 11)
    (found,) = await read(stock.claims_of_orders, MERCHANT, [ref(1)])
    assert (found.steps[0].sent_seq, found.steps[0].done_seq, found.held) == (11, None, 0)


@pytest.mark.rule("C7")
async def test_what_is_committed_matures_once(write: Write, read: Write) -> None:
    await write(deliveries.insert, [delivery(1), delivery(2)])
    await write(stock.put_claims, SHOP, [claim(1), claim(2)])
    await write(stock.add_steps, [step(1), step(2)])
    await write(stock.add_parcels, MERCHANT, ref(1), "p", [("1", "SKU-1", "pool", 1)], 31)
    assert await read(stock.unmatured, MERCHANT, SHOP) == []
    await write(stock.settle_steps, 2, 21, None)
    await write(stock.settle_steps, 1, 22, None)
    assert await read(stock.unmatured, MERCHANT, SHOP) == [(2, 21), (1, 22)]
    assert await read(stock.unmatured_parcels, MERCHANT, SHOP) == [31]
    await write(stock.mature_steps, MERCHANT, [(2, 21)], 40)
    await write(stock.mature_parcels, MERCHANT, [31], 41)
    await write(stock.mature_steps, MERCHANT, [(2, 21)], 50)
    assert await read(stock.unmatured, MERCHANT, SHOP) == [(1, 22)]
    assert await read(stock.unmatured_parcels, MERCHANT, SHOP) == []
    first, second = await read(stock.claims_of_orders, MERCHANT, [ref(1), ref(2)])
    assert (second.steps[0].mature_seq, first.parcels[0].mature_seq) == (40, 41)


async def test_putting_a_claim_again_changes_target_and_flags_only(write: Write, read: Write) -> None:
    await write(stock.put_claims, SHOP, [claim(1, arrival_seq=5)])
    await write(stock.add_steps, [step(1)])
    await write(stock.put_claims, SHOP, [claim(1, arrival_seq=9, target=1, held=2, allocated=True)])
    (found,) = await read(stock.claims_of_orders, MERCHANT, [ref(1)])
    assert (found.arrival_seq, found.target, found.held, found.allocated, len(found.steps)) == (
        5,
        1,
        2,
        True,
        1,
    )


@pytest.mark.rule("C13")
async def test_orders_wait_for_acceptance_in_order_of_arrival(write: Write, read: Write) -> None:
    waiting = [claim(n, needs_acceptance=True) for n in (3, 1, 2)]
    two_lines = claim(1, line_id="2", needs_acceptance=True)
    await write(stock.put_claims, SHOP, [*waiting, two_lines, claim(4)])
    found = await read(stock.waiting_orders, MERCHANT, SHOP)
    assert [(arrival, order_ref, len(claims)) for arrival, order_ref, claims in found] == [
        (1, ref(1), 2), (2, ref(2), 1), (3, ref(3), 1),
    ]  # fmt: skip
    await write(stock.set_accepted, MERCHANT, ref(2))
    await write(stock.close_claims, MERCHANT, [ref(3)])
    await write(stock.set_allocated, MERCHANT, [ref(1)], [ref(4)])
    ((arrival, _, claims),) = await read(stock.waiting_orders, MERCHANT, SHOP)
    assert (arrival, all(held.allocated for held in claims)) == (1, True)
    await write(stock.set_accepted, MERCHANT, ref(2), False)
    assert len(await read(stock.waiting_orders, MERCHANT, SHOP)) == 2


@pytest.mark.rule("C11")
async def test_a_closed_claim_counts_until_a_report_contains_its_end(write: Write, read: Write) -> None:
    await write(stock.put_reports, MERCHANT, SHOP, [Report("SKU-1", "main", 10, 1, 1)], NOW)
    await write(stock.put_claims, SHOP, [claim(1), claim(2)])
    ending = step(1, delivery=0, event=Event.COUNT, sent_seq=8, done_seq=8, mature_seq=None)
    await write(stock.add_steps, [ending])
    await write(stock.close_claims, MERCHANT, [ref(1)])

    async def counted() -> list[str]:
        return [
            held.order_ref for held in (await read(stock.claims_of_skus, MERCHANT, SHOP, ["SKU-1"]))["SKU-1"]
        ]

    await write(stock.put_reports, MERCHANT, SHOP, [Report("SKU-1", "main", 9, 1000, 1001)], NOW)
    assert await counted() == [ref(1), ref(2)], "not certain for any report yet"
    await write(stock.mature_steps, MERCHANT, [(0, 8)], 1100)
    assert await counted() == [ref(2)], "settled behind the report's number"
    assert [held.closed for held in await read(stock.claims_of_orders, MERCHANT, [ref(1)])] == [True]


@pytest.mark.rule("C11")
async def test_a_report_from_before_the_end_still_holds_it_back(write: Write, read: Write) -> None:
    await write(stock.put_claims, SHOP, [claim(1)])
    await write(
        stock.add_steps, [step(1, delivery=0, event=Event.COUNT, sent_seq=8, done_seq=8, mature_seq=8)]
    )
    await write(stock.put_reports, MERCHANT, SHOP, [Report("SKU-1", "main", 10, 1, 1)], NOW)
    await write(stock.put_claims, SHOP, [claim(1, closed=True)])
    assert len((await read(stock.claims_of_skus, MERCHANT, SHOP, ["SKU-1", "Z"]))["SKU-1"]) == 1


@pytest.mark.rule("C8")
async def test_skus_are_due_by_name_until_a_report_contains_their_events(write: Write, read: Write) -> None:
    await write(deliveries.insert, [delivery(1), delivery(2)])
    await write(stock.put_claims, SHOP, [claim(1), claim(2, sku="SKU-2")])

    async def due() -> list[str]:
        return list(await read(stock.skus_due_by_name, MERCHANT, SHOP, 9))

    assert await due() == ["SKU-1", "SKU-2"], "never reported"
    reports = [Report("SKU-1", "main", 5, 10, 10), Report("SKU-2", "main", 5, 10, 10)]
    await write(stock.put_reports, MERCHANT, SHOP, reports, NOW)
    assert await due() == []
    await write(stock.add_steps, [step(1)])
    await write(stock.settle_steps, 1, 20, None)
    assert await due() == [], "a read now could not prove it"
    await write(stock.mature_steps, MERCHANT, [(1, 20)], 21)
    assert await due() == ["SKU-1"]
    await write(stock.put_reports, MERCHANT, SHOP, [Report("SKU-1", "main", 3, 22, 23)], NOW)
    assert await due() == []
