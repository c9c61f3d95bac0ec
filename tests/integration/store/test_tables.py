"""The other tables: what goes in comes out, and what must not be overwritten is not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from marketsync.domain.coverage import Axis, Coverage, Interval, Window
from marketsync.domain.ids import OrderId, RemoteId, Sku
from marketsync.domain.publishing import Listing, WriteState
from marketsync.domain.shipments import Shipment
from marketsync.store import (
    connections,
    coverage,
    history,
    links,
    listings,
    maps,
    orders,
    parked,
    private,
    shipments,
    tokens,
)
from marketsync.store.rows import ConnectionRow, HistoryRow, Hole, Link, ListingRow, Parked, Private, Resync
from tests.integration.store.conftest import Write
from tests.integration.store.examples import MARKET, MERCHANT, NOW, SHOP, held, order, ref
from tests.integration.store.examples import private as buyer

SECOND = timedelta(seconds=1)


async def test_orders_come_back_without_their_buyer(write: Write, read: Write) -> None:
    told = buyer()
    await write(orders.put, [held(order=order(1, buyer=told.buyer, ship_to=told.ship_to))])
    assert await read(orders.held, MERCHANT, MARKET, ["M-1", "M-2"]) == {"M-1": held()}
    assert b"Ada" not in bytes((await read(lambda unit: unit.fetch("SELECT document FROM orders")))[0][0])


@pytest.mark.rule("B18")
async def test_what_was_decided_at_first_sight_stays(write: Write, read: Write) -> None:
    await write(orders.put, [held(external=True, pushed_at=NOW, read_at=NOW)])
    again = held(
        revision=2, content_hash="new", open=False, external=False, arrival_seq=99, read_at=NOW - SECOND
    )
    await write(orders.put, [again])
    expected = replace(again, external=True, arrival_seq=1, pushed_at=NOW, read_at=NOW)
    assert await read(orders.by_ref, MERCHANT, ref(1)) == expected


async def test_orders_are_found_by_what_people_type(write: Write, read: Write) -> None:
    await write(orders.put, [held(1), held(2)])
    for text in (ref(2), "M-2", "market/M-2"):
        assert [found.ref for found in await read(orders.find, text)] == [ref(2)], text
    assert await read(orders.find, "shop/M-2") == []
    assert list(await read(orders.by_refs, MERCHANT, [ref(1), "no"])) == [ref(1)]


async def test_open_orders_of_both_sides(write: Write, read: Write) -> None:
    rows = [held(1), held(2, read_at=NOW), held(3, open=False), held(4, read_at=NOW - SECOND)]
    await write(orders.put, rows)
    for number in (1, 2, 3):
        await write(orders.mark_pushed, MERCHANT, [ref(number)], NOW)
    assert [row.ref for row in await read(orders.open_orders, MERCHANT, SHOP, "", 9)] == [ref(1), ref(2)]
    assert [row.ref for row in await read(orders.open_orders, MERCHANT, SHOP, ref(1), 9)] == [ref(2)]
    unread = [row.key.order_id for row in await read(orders.open_on, MERCHANT, MARKET, NOW, 9)]
    assert unread == ["M-1", "M-4"]
    await write(orders.touch_read, MERCHANT, MARKET, ["M-1"], NOW)
    await write(orders.set_open, MERCHANT, [ref(4)], False)
    assert await read(orders.open_on, MERCHANT, MARKET, NOW, 9) == []


async def test_orders_are_paged_newest_first(write: Write, read: Write) -> None:
    await write(orders.put, [held(n, open=n != 2) for n in range(1, 5)])

    async def page(**options: object) -> list[int]:
        return [row.arrival_seq for row in await read(orders.page, MERCHANT, limit=2, **options)]

    assert await page() == [4, 3]
    assert await page(before_arrival=3) == [2, 1]
    assert await page(before_arrival=3, open_only=True) == [1]
    assert await page(connection="other") == []


async def test_buyers_are_kept_apart(write: Write, read: Write) -> None:
    keys = [held(n).key for n in (1, 2)]
    await write(private.put_parties, [(keys[0], buyer(1)), (keys[1], Private(None, None, None))])
    await write(private.put_parties, [(keys[1], buyer(2))])
    assert await read(private.parties, keys) == {keys[0]: buyer(1), keys[1]: buyer(2)}
    assert await read(private.party, held(3).key) is None
    await write(private.put_raws, MERCHANT, MARKET, [("M-9", b"{"), ("M-9", b"{\xff")])
    assert await read(private.raw, MERCHANT, MARKET, "M-9") == b"{\xff"
    assert await read(private.raw, MERCHANT, MARKET, "M-8") is None


@pytest.mark.rule("A8")
async def test_links_are_facts(write: Write, read: Write) -> None:
    first = Link(MERCHANT, SHOP, "create", ref(1), "17")
    second = Link(MERCHANT, SHOP, "create", ref(1), "18")
    for link in (first, second, first):
        await write(links.add, link)
    assert await read(links.of, MERCHANT, SHOP, ref(1)) == [first, second]
    assert await read(links.of_many, MERCHANT, SHOP, [ref(1), "x"]) == {ref(1): [first, second], "x": []}
    assert await read(links.by_remote, MERCHANT, SHOP, "18") == [second]


def _parked(item: str, *causes: str, seconds: int = 0) -> Parked:
    return Parked(MERCHANT, "order", item, SHOP, f"waits for {causes}", causes, NOW + seconds * SECOND)


async def test_causes_and_items_are_many_to_many(write: Write, read: Write) -> None:
    one, two, both = _parked("1", "sku:A"), _parked("2", "sku:B"), _parked("3", "sku:A", "sku:B")
    for item in (one, two, both):
        await write(parked.park, item)
    assert await read(parked.by_cause, MERCHANT, "sku:A") == [one, both]
    assert [item.item for item in await write(parked.drop_cause, MERCHANT, "sku:A")] == ["1"]
    assert [item.item for item in await write(parked.drop_cause, MERCHANT, "sku:B")] == ["2", "3"]
    assert await write(parked.drop_cause, MERCHANT, "sku:B") == []
    assert await read(parked.counts, MERCHANT) == {"order": 3}


async def test_parking_again_replaces_reason_and_causes(write: Write, read: Write) -> None:
    await write(parked.park, _parked("1", "sku:A", "sku:A"))
    await write(parked.park, _parked("1", "tax:X", seconds=9))
    assert await read(parked.get, MERCHANT, "order", "1") == replace(_parked("1", "tax:X"), at=NOW)
    assert await read(parked.by_cause, MERCHANT, "sku:A") == []
    await write(parked.release, MERCHANT, "order", "1")
    assert await read(parked.get, MERCHANT, "order", "1") is None
    assert await read(parked.by_cause, MERCHANT, "tax:X") == []


async def test_parked_ones_are_paged_newest_first_and_released_together(write: Write, read: Write) -> None:
    items = [_parked(str(n), "c", seconds=n // 2) for n in range(5)]
    for item in items:
        await write(parked.park, item)
    first = await read(parked.page, MERCHANT, 3)
    assert [item.item for item in first] == ["4", "2", "3"]
    assert [item.item for item in await read(parked.page, MERCHANT, 3, first[-1])] == ["0", "1"]
    await write(parked.release_many, MERCHANT, [("order", "4"), ("order", "9"), ("raw", "3"), ("order", "0")])
    assert [item.item for item in await read(parked.page, MERCHANT, 9)] == ["2", "3", "1"]


@pytest.mark.rule("B4")
@pytest.mark.rule("B14")
async def test_coverage_round_trip(write: Write, read: Write) -> None:
    def window(lo: int, hi: int, axis: Axis = Axis.UPDATED) -> Window:
        return Window(axis, NOW + lo * SECOND, NOW + hi * SECOND)

    for lo, hi in ((0, 10), (20, 30), (10, 15)):
        await write(coverage.add, MERCHANT, MARKET, window(lo, hi), NOW)
    covered = await read(coverage.load, MERCHANT, MARKET, Axis.UPDATED)
    assert [(i.lo, i.hi) for i in covered.intervals] == [
        (NOW, NOW + 15 * SECOND),
        (NOW + 20 * SECOND, NOW + 30 * SECOND),
    ]
    joined = await write(coverage.add, MERCHANT, MARKET, window(15, 20), NOW + SECOND)
    assert joined == await read(coverage.load, MERCHANT, MARKET, Axis.UPDATED)
    await write(coverage.add, MERCHANT, MARKET, window(0, 5, Axis.CREATED), NOW)
    assert sorted(axis.value for _, axis in await read(coverage.all_coverage, MERCHANT)) == [
        "created",
        "updated",
    ]
    cut = Coverage(Axis.UPDATED, (Interval(NOW, NOW + SECOND, NOW),))
    await write(coverage.replace, MERCHANT, MARKET, cut)
    assert await read(coverage.load, MERCHANT, MARKET, Axis.UPDATED) == cut


async def test_holes_are_dropped_when_they_are_read(write: Write, read: Write) -> None:
    small = Hole(MERCHANT, MARKET, "updated", NOW, NOW + SECOND, "cap")
    wide = Hole(MERCHANT, MARKET, "updated", NOW, NOW + 9 * SECOND, "cap")
    for hole in (small, wide, replace(small, cause="spinning")):
        await write(coverage.put_hole, hole)
    assert await read(coverage.holes, MERCHANT, MARKET) == [replace(small, cause="spinning"), wide]
    dropped = await write(coverage.drop_holes, MERCHANT, MARKET, Window(Axis.UPDATED, NOW, NOW + 2 * SECOND))
    assert dropped == 1
    assert await read(coverage.holes, MERCHANT) == [wide]


async def test_resyncs_go_on_where_they_were(write: Write, read: Write) -> None:
    asked = Resync(5, MERCHANT, MARKET, "updated", NOW, NOW + 9 * SECOND, None, None)
    await write(coverage.add_resync, asked)
    await write(coverage.add_resync, replace(asked, id=6))
    await write(coverage.move_resync, 5, NOW + SECOND, None)
    await write(coverage.move_resync, 6, asked.hi, NOW)
    assert await read(coverage.open_resyncs, MERCHANT, MARKET) == [replace(asked, done_to=NOW + SECOND)]
    assert (await read(coverage.resync, 6)).finished_at == NOW


async def test_listings(write: Write, read: Write) -> None:
    row = ListingRow(
        MERCHANT, MARKET, "A", Listing(3, 7, NOW, None, WriteState.IN_FLIGHT, 9), 12, False, "late"
    )
    await write(listings.put, [row, replace(row, sku="B", listing=Listing()), replace(row, connection=SHOP)])
    await write(listings.ensure, MERCHANT, MARKET, ["A", "C", "C"])
    assert await read(listings.get, MERCHANT, MARKET, ["A", "Z"]) == {"A": row}
    assert await read(listings.in_flight, MERCHANT, MARKET) == [row]
    assert [found.sku for found in await read(listings.dirty, MERCHANT, MARKET, 9)] == ["C"]
    await write(listings.mark_dirty, MERCHANT, ["A"])
    assert [found.connection for found in await read(listings.of_skus, MERCHANT, ["A"])] == ["market", "shop"]
    assert [found.sku for found in await read(listings.dirty, MERCHANT, MARKET, 9)] == ["A", "C"]
    assert [found.sku for found in await read(listings.dirty, MERCHANT, MARKET, 9, "A")] == ["C"]
    await write(listings.put, [replace(row, dirty=False)])
    assert (await read(listings.get, MERCHANT, MARKET, ["A"]))["A"] == row


async def test_shipments(write: Write, read: Write) -> None:
    parcel = Shipment(ref(1), RemoteId("77"), (), "dhl", "T1", shipped_at=NOW)
    await write(shipments.put, MERCHANT, [(parcel, "h1")])
    await write(shipments.put, MERCHANT, [(replace(parcel, voided=True), "h2")])
    assert await read(shipments.seen, MERCHANT, [ref(1), ref(2)]) == {(ref(1), "77"): "h2"}
    assert await read(shipments.of_order, MERCHANT, ref(1)) == [replace(parcel, voided=True)]


async def test_maps(write: Write, read: Write) -> None:
    await write(maps.put, MERCHANT, MARKET, "sku", {"a": "A", "b": "B"})
    await write(maps.put, MERCHANT, MARKET, "sku", {"a": "A2"})
    assert await read(maps.get, MERCHANT, MARKET, "sku", ["a", "c"]) == {"a": "A2"}
    assert await read(maps.page, MERCHANT, 9, ("market", "sku", "a")) == [("market", "sku", "b", "B")]
    assert await write(maps.drop, MERCHANT, MARKET, "sku", "a") is True
    assert await write(maps.drop, MERCHANT, MARKET, "sku", "a") is False


async def test_a_pause_outlives_the_daemon_and_keeps_its_first_reason(write: Write, read: Write) -> None:
    row = ConnectionRow(MERCHANT, MARKET, "marketplace", "", "", "{}")
    await write(connections.put, row)
    assert await write(connections.pause, MERCHANT, MARKET, "credentials refused", "daemon") is True
    assert await write(connections.pause, MERCHANT, MARKET, "holiday", "ada") is False
    await write(connections.put, row)
    await write(connections.set_traits, MERCHANT, MARKET, '{"a":1}')
    paused = replace(row, paused="credentials refused", paused_by="daemon", traits='{"a":1}')
    assert await read(connections.all, MERCHANT) == [paused]
    assert await write(connections.resume, MERCHANT, MARKET) is True
    assert await read(connections.get, MERCHANT, MARKET) == replace(row, traits='{"a":1}')


async def test_history_keeps_the_newest_in_order(write: Write, read: Write) -> None:
    rows = [HistoryRow(MERCHANT, "s", NOW, f"event.{n}", "d") for n in range(4)]
    for row in rows:
        await write(history.add, row)
    assert await read(history.of, MERCHANT, "s", 2) == rows[2:]


async def test_tokens_are_replaced(write: Write, read: Write) -> None:
    assert await read(tokens.load, "c") is None
    for text in ("one", "two"):
        await write(tokens.save, "c", text)
    assert await read(tokens.load, "c") == "two"


async def test_merchants_do_not_see_each_other(write: Write, read: Write) -> None:
    await write(orders.put, [held()])
    assert await read(orders.held, "other", MARKET, [OrderId("M-1")]) == {}
    assert await read(orders.by_ref, "other", ref(1)) is None
    assert await read(listings.get, "other", MARKET, [Sku("A")]) == {}
