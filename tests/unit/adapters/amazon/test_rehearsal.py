"""The simulated Amazon's people and books, as a world uses them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlencode

import pytest

from adapters.amazon.rehearsal import AmazonSide, open_side
from adapters.amazon.sandbox_world import Package
from marketsync.domain.orders import Party
from marketsync.ports import Request
from marketsync.sandbox.roles import (
    EditsOrders,
    Fulfils,
    GivesTokens,
    KeepsJournal,
    KeepsListings,
    MarketplaceSide,
    SidePlan,
    TroubledMarketplace,
    Ware,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def a_side() -> AmazonSide:
    return open_side(SidePlan("amazon", (Ware("A", 10), Ware("B", 5)), NOW, throttles=False))


def test_it_plays_every_part_of_a_marketplace() -> None:
    side = a_side()
    roles = (
        MarketplaceSide,
        KeepsListings,
        KeepsJournal,
        TroubledMarketplace,
        EditsOrders,
        Fulfils,
        GivesTokens,
    )
    for role in roles:
        assert isinstance(side, role)


def test_its_books_tell_sales_and_never_those_that_amazon_ships() -> None:
    side = a_side()
    placed = [side.place_order(NOW, (("A", 1),)) for _ in range(5)]
    assert len(side.sandbox.world.orders) == 6
    assert [sale.order_id for sale in side.sales(NOW)] == placed
    assert not any(sale.accepted for sale in side.sales(NOW))
    assert all(sale.payable and sale.live for sale in side.sales(LATER))
    assert side.listed(LATER) == {"A": 5, "B": 5}
    assert placed[0] is not None
    assert side.cancel_order(LATER, placed[0])
    assert not side.sales(LATER)[0].live
    assert side.journal(11)[-1] == (placed[0], "cancelled")


def test_a_parcel_that_was_told_stands_in_the_sale() -> None:
    side = a_side()
    order_id = side.place_order(NOW, (("A", 2),))
    side.sales(LATER)
    assert order_id is not None
    order = side.sandbox.world.orders[order_id]
    for reference, tracking in (("1", "T-1"), ("2", "T-2")):
        lines = ((order.lines[0].item_id, 1),)
        package = Package(reference, LATER, "DHL", tracking, "2026-03-01T01:00:00Z", lines)
        order = side.sandbox.world.confirm(order, package)
    (sale,) = side.sales(LATER)
    assert (sale.told, sale.shipped, sale.exact) == (("T-1", "T-2"), 1, True)


def listing(side: AmazonSide, now: datetime) -> dict[str, object]:
    form = {
        "grant_type": "refresh_token", "refresh_token": "sandbox-refresh", "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
    }  # fmt: skip
    url = "https://far.example"
    token = side.handle(
        Request("amazon", "", "POST", f"{url}/auth/o2/token", (), urlencode(form).encode()), now
    )
    headers = (("x-amz-access-token", json.loads(token.body)["access_token"]),)
    query = urlencode({"lastUpdatedAfter": "2026-02-28T00:00:00Z"})
    response = side.handle(
        Request("amazon", "", "GET", f"{url}/orders/2026-01-01/orders?{query}", headers), now
    )
    found: dict[str, object] = json.loads(response.body)
    return found


def test_its_people_edit_orders_and_amazon_ships_some() -> None:
    side = a_side()
    own, other = side.place_order(NOW, (("A", 3),)), side.place_fulfilled(NOW, (("B", 1),))
    assert own is not None
    assert other is not None
    assert not side.cancel_units(NOW, own, "A", 1)
    side.sales(LATER)
    assert side.cancel_units(LATER, own, "A", 1)
    assert not side.cancel_units(LATER, own, "A", 3)
    assert not side.refund_units(LATER, own, "A", 1)
    assert not side.receive(LATER, own, False)
    (sale,) = side.sales(LATER)
    assert (sale.lines, sale.amounts, sale.total) == ((("A", 2),), (Decimal("39.80"),), Decimal("44.70"))
    assert side.listed(LATER)["B"] == 5


def test_its_tokens_end_and_its_consent_is_withdrawn() -> None:
    side = a_side()
    listing(side, LATER)
    assert side.issued() == ("sandbox-refresh", "sandbox-access-1")
    side.expire(LATER)
    listing(side, LATER)
    side.revoke(LATER)
    with pytest.raises(KeyError):
        listing(side, LATER)


def test_its_buyer_is_the_plans_and_its_switches_are_the_vendors() -> None:
    plan = SidePlan(
        "amazon", (Ware("A", 10),), NOW, buyer=Party("Canary"), options={"pending_seconds": (1.0, 1.0)}
    )
    side = open_side(plan)
    side.place_order(NOW, (("A", 1),))
    assert side.sales(NOW + timedelta(seconds=1))[0].accepted
    assert side.sandbox.behaviour.buyer == Party("Canary")


def test_a_page_comes_short_once_and_says_that_there_is_more() -> None:
    side = a_side()
    side.place_order(NOW, (("A", 1),))
    side.spoil_page("short")
    short = listing(side, LATER)
    assert short["orders"] == []
    assert "pagination" in short
    assert side.pages_spoilt == {"short": 1}
    assert len(listing(side, LATER)["orders"]) == 1  # type: ignore[arg-type]


def test_what_was_swallowed_is_made_up_by_hand() -> None:
    side = a_side()
    order_id = side.place_order(NOW, (("A", 1),))
    side.sales(LATER)
    assert order_id is not None
    item = side.sandbox.world.orders[order_id].lines[0].item_id
    package = Package("1", LATER, "DHL", "T-1", "2026-03-01T01:00:00Z", ((item, 1),))
    side.sandbox.unconfirmed.append((order_id, package))
    side.sandbox.stock.swallowed.append("A")
    side.swallow("confirm")
    assert side.make_up(LATER) == [("confirm", order_id), ("stock", "A")]
    assert side.make_up(LATER) == []
    assert side.sales(LATER)[0].told == ("T-1",)
