"""The simulated marketplace behaves as real ones were seen to, or are documented to."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from adapters.mirakl import ADAPTER
from adapters.mirakl.rehearsal import open_side
from adapters.mirakl.sandbox import MiraklSandbox
from adapters.mirakl.sandbox_world import Behaviour
from adapters.mirakl.stock_file import multipart
from marketsync.domain.ids import Sku
from marketsync.domain.orders import Party
from marketsync.http import ApiKey
from marketsync.ports import Request, Response, StockItem
from marketsync.sandbox.roles import EditsOrders, Fulfils, MarketplaceSide, SidePlan, Told, Ware

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Shop:
    """Calls the sandbox as a seller would, at a time that the test sets."""

    def __init__(self, **behaviour: Any) -> None:
        self.sandbox = MiraklSandbox({"TEA-1": 500, "MUG-2": 3}, Behaviour(**behaviour))
        self.now = NOW

    def call(
        self, method: str, path: str, body: Any = None, *, key: str = "sandbox-key", **query: Any
    ) -> Response:
        raw, kind = (
            (body[1], body[0]) if isinstance(body, tuple) else (json.dumps(body).encode(), "application/json")
        )
        request = Request(
            connection="mirakl",
            operation="",
            method=method,
            url=f"https://operator.example/api/{path}?{urlencode(query)}",
            headers=(("Authorization", key), ("Content-Type", kind)),
            body=b"" if body is None else raw,
        )
        return self.sandbox.handle(request, self.now)

    def listed(self, **query: Any) -> list[dict[str, Any]]:
        self.now += timedelta(minutes=2)
        response = self.call("GET", "orders", **query)
        assert response.status == 200, response.body
        orders: list[dict[str, Any]] = json.loads(response.body)["orders"]
        return orders

    def place(self, *lines: tuple[str, int]) -> str:
        placed = self.sandbox.place_order(self.now, lines or (("TEA-1", 1),))
        assert placed is not None
        return placed

    def decide(self, order_id: str, **accepted: bool) -> Response:
        lines = [{"id": f"{order_id}-{name[1:]}", "accepted": yes} for name, yes in accepted.items()]
        return self.call("PUT", f"orders/{order_id}/accept", {"order_lines": lines})

    def shipping(self) -> str:
        order_id = self.place()
        assert self.decide(order_id, l1=True).status == 204
        self.now += timedelta(minutes=5)
        return order_id


def code(response: Response) -> str:
    return str(json.loads(response.body)["code"])


def test_a_wrong_key_and_a_foreign_shop_are_refused() -> None:
    shop = Shop()
    assert shop.call("GET", "orders", key="other").status == 401
    assert shop.call("GET", "orders", shop_id=1).status == 403
    assert shop.call("GET", "nothing").status == 404


def test_the_order_list_is_throttled_with_the_seconds_to_wait() -> None:
    shop = Shop(order_list_seconds=900.0)
    assert shop.call("GET", "orders").status == 200
    shop.now += timedelta(seconds=100)
    refused = shop.call("GET", "orders", order_ids="A")
    assert (refused.status, refused.headers["retry-after"]) == (429, "800")
    shop.now += timedelta(seconds=800)
    assert shop.call("GET", "orders").status == 200


def test_pages_have_ten_rows_unless_asked_and_never_more_than_a_hundred() -> None:
    shop = Shop(throttles=False)
    for _ in range(25):
        shop.place()
    assert len(shop.listed()) == 10
    assert len(shop.listed(max=100)) == 25
    assert len(shop.listed(paginate="false")) == 25
    assert shop.call("GET", "orders", max=101).status == 400
    assert shop.call("GET", "orders", offset=-1).status == 400
    middle = shop.call("GET", "orders", max=10, offset=10)
    assert 'rel="next"' in middle.headers["link"]
    assert 'rel="previous"' in middle.headers["link"]
    assert json.loads(middle.body)["total_count"] == 25
    newest = shop.listed(order="desc")[0]["order_id"]
    assert newest == "SBX-00025-A"


@pytest.mark.failure(10)
def test_rows_shift_when_one_leaves_the_window_while_it_is_paged() -> None:
    shop = Shop(throttles=False)
    ids = [shop.place() for _ in range(4)]
    window = {
        "start_update_date": "2026-03-01T11:00:00Z",
        "end_update_date": "2026-03-01T12:00:00Z",
        "max": 2,
    }
    first = [order["order_id"] for order in shop.listed(**window)]
    shop.sandbox.touch(shop.now, ids[0])
    second = [order["order_id"] for order in shop.listed(**window, offset=2)]
    assert (first, second) == (ids[:2], ids[3:])


def test_an_update_window_reaches_below_its_lower_end() -> None:
    shop = Shop(throttles=False, update_delta_seconds=300.0)
    shop.place()
    assert len(shop.listed(start_update_date="2026-03-01T12:04:00Z")) == 1
    assert len(shop.listed(start_update_date="2026-03-01T12:06:00Z")) == 0
    assert len(shop.listed(start_date="2026-03-01T12:04:00Z")) == 0


def test_an_accept_needs_a_decision_on_each_line_once() -> None:
    shop = Shop()
    order_id = shop.place(("TEA-1", 1), ("MUG-2", 1))
    path = f"orders/{order_id}/accept"
    one, two = {"id": f"{order_id}-1", "accepted": True}, {"id": f"{order_id}-2", "accepted": True}
    for lines, expected in [
        ([one], "ORDER_LINE_ACCEPTANCE_DECISION_MISSING"),
        ([one, one, two], "ORDER_LINE_DUPLICATE_ID"),
        ([one, two, {"id": "other", "accepted": True}], "ORDER_LINE_NOT_FOUND"),
        ([one, None], "ORDER_LINE_NULL_ELEMENT"),
    ]:
        assert code(shop.call("PUT", path, {"order_lines": lines})) == expected
    assert code(shop.call("PUT", "orders/none/accept", {"order_lines": []})) == "ORDER_NOT_FOUND"
    assert code(shop.call("PUT", path, [])) == "VALIDATION_ERROR"
    assert shop.call("PUT", path, {"order_lines": [one, two]}).status == 204
    assert code(shop.call("PUT", path, {"order_lines": [one, two]})) == "ORDER_INVALID_STATE"
    assert shop.sandbox.count("accepted", order_id) == 1


def test_the_debit_comes_later_and_discloses_the_address() -> None:
    shop = Shop(debit_seconds=600.0)
    order_id = shop.place()
    shop.decide(order_id, l1=True)
    waiting = shop.listed()[0]
    assert (waiting["order_state"], waiting["customer"]["shipping_address"]) == ("WAITING_DEBIT", None)
    assert code(shop.call("PUT", f"orders/{order_id}/ship")) == "ORDER_INVALID_STATE"
    shop.now += timedelta(minutes=9)
    ready = shop.listed()[0]
    assert ready["order_state"] == "SHIPPING"
    assert ready["customer"]["shipping_address"]["country_iso_code"] == "FRA"
    # Its stamp is when it happened, not when somebody looked.
    assert ready["last_updated_date"] == "2026-03-01T12:10:00Z"


def test_an_order_that_nobody_accepts_is_refused_at_its_deadline() -> None:
    shop = Shop(accept_within_seconds=3600.0, zeroes_offer_on_refusal=True)
    order_id = shop.place()
    shop.now += timedelta(hours=2)
    assert code(shop.decide(order_id, l1=True)) == "ORDER_INVALID_STATE"
    assert shop.sandbox.offers["TEA-1"] == 0
    assert shop.listed()[0]["order_state"] == "REFUSED"


def test_tracking_is_overwritten_and_shipping_happens_once() -> None:
    shop = Shop()
    order_id = shop.shipping()
    path = f"orders/{order_id}/tracking"
    for number in ("T-1", "T-2"):
        assert shop.call("PUT", path, {"carrier_code": "DHL", "tracking_number": number}).status == 204
    assert shop.sandbox.world.orders[order_id].tracking_number == "T-2"
    assert shop.call("PUT", f"orders/{order_id}/ship").status == 204
    assert code(shop.call("PUT", f"orders/{order_id}/ship")) == "ORDER_INVALID_STATE"
    assert shop.sandbox.count("shipped", order_id) == 1


@pytest.mark.failure(42)
@pytest.mark.parametrize(
    "tracking, expected",
    [
        ({}, "VALIDATION_ERROR"),
        ({"carrier_code": "NONE", "tracking_number": "1"}, "CARRIER_NOT_FOUND"),
        ({"carrier_code": "DHL"}, "TRACKING_NUMBER_REQUIRED"),
        ({"carrier_name": "Bike"}, "CARRIER_NOT_ALLOWED"),
    ],
)
def test_a_carrier_is_checked(tracking: dict[str, str], expected: str) -> None:
    shop = Shop(other_carriers=False)
    assert code(shop.call("PUT", f"orders/{shop.shipping()}/tracking", tracking)) == expected


def test_parcels_use_up_the_quantities() -> None:
    shop = Shop(multi_shipment=True)
    order_id = shop.place(("TEA-1", 2))
    shop.decide(order_id, l1=True)
    shop.now += timedelta(minutes=5)
    line = {"order_line_id": f"{order_id}-1", "quantity": 1, "package_reference": "p"}
    body = {"shipments": [{"order_id": order_id, "shipment_lines": [line], "shipped": True}]}
    for successes, errors in [(1, 0), (1, 0), (0, 1)]:
        answer = json.loads(shop.call("POST", "shipments", body).body)
        assert (len(answer["shipment_success"]), len(answer["shipment_errors"])) == (successes, errors)
    assert shop.sandbox.world.orders[order_id].state == "SHIPPED"
    found = json.loads(shop.call("GET", "shipments", order_id=order_id, limit=1).body)
    assert len(found["data"]) == 1
    assert "next_page_token" in found
    assert json.loads(shop.call("GET", "shipments", order_id="other").body) == {"data": []}


def test_without_the_module_there_are_no_parcels() -> None:
    assert Shop().call("POST", "shipments", {"shipments": []}).status == 403


def test_a_sale_lowers_the_listing_and_a_sold_out_one_sells_nothing() -> None:
    shop = Shop()
    shop.place(("MUG-2", 2))
    assert shop.sandbox.offers["MUG-2"] == 1
    assert shop.sandbox.place_order(shop.now, [("MUG-2", 2)]) is None
    assert shop.sandbox.units_sold("MUG-2") == 2


@pytest.mark.parametrize("relists, left", [(True, 3), (False, 1)])
def test_a_cancel_relists_only_where_the_operator_wants_it(relists: bool, left: int) -> None:
    shop = Shop(relists_on_cancel=relists)
    order_id = shop.place(("MUG-2", 2))
    assert shop.sandbox.cancel_order(shop.now, order_id)
    assert not shop.sandbox.cancel_order(shop.now, order_id)
    assert shop.sandbox.offers["MUG-2"] == left
    assert shop.sandbox.units_sold("MUG-2") == 0


def test_a_shipped_order_is_not_cancelled() -> None:
    shop = Shop()
    order_id = shop.shipping()
    shop.call("PUT", f"orders/{order_id}/ship")
    assert not shop.sandbox.cancel_order(shop.now, order_id)


def test_an_import_is_applied_later_and_as_a_whole_figure() -> None:
    shop = Shop(import_takes_seconds=40.0)
    body = multipart((StockItem(Sku("MUG-2"), 9), StockItem(Sku("NONE"), 1)))
    taken = shop.call("POST", "offers/stock/imports", body)
    assert (taken.status, json.loads(taken.body)) == (201, {"import_id": "1"})
    assert shop.call("POST", "offers/stock/imports", body).status == 429
    states = []
    for _ in range(3):
        status = json.loads(shop.call("GET", "offers/stock/imports/1/status").body)
        states.append((status["status"], shop.sandbox.offers["MUG-2"]))
        shop.now += timedelta(seconds=20)
    assert states == [("WAITING", 3), ("RUNNING", 3), ("COMPLETE", 9)]
    shop.now -= timedelta(seconds=15)
    assert shop.call("GET", "offers/stock/imports/1/status").status == 429
    report = shop.call("GET", "offers/stock/imports/1/error_report").body.decode().splitlines()
    assert report[1] == '"2";"The offer does not exist";"NONE";"1";"";""'


def test_a_file_that_is_none_is_refused() -> None:
    shop = Shop(throttles=False)
    assert shop.call("POST", "offers/stock/imports", {"file": "x"}).status == 400
    assert (
        shop.call("POST", "offers/stock/imports", ("multipart/form-data; boundary=x", b"--x--")).status == 400
    )


@pytest.mark.failure(4)
def test_a_skewed_clock_shows_in_stamps_and_in_the_date_header() -> None:
    shop = Shop(clock_skew_seconds=-300.0)
    shop.place()
    response = shop.call("GET", "orders")
    assert response.headers["date"] == "Sun, 01 Mar 2026 11:55:00 GMT"
    assert json.loads(response.body)["orders"][0]["created_date"] == "2026-03-01T11:55:00Z"


def test_the_same_history_gives_the_same_bytes() -> None:
    def play() -> list[bytes]:
        shop = Shop(throttles=False)
        order_id = shop.place(("TEA-1", 2), ("MUG-2", 1))
        answers = [shop.decide(order_id, l1=True, l2=False).body]
        for _ in range(3):
            shop.now += timedelta(seconds=20)
            answers.append(shop.call("GET", "orders").body)
        return answers

    assert play() == play()
    assert len(set(play())) > 2


WARES = (Ware("TEA-1", 5), Ware("MUG-2", 2))


@pytest.mark.parametrize("parcels", [True, False])
def test_the_side_tells_the_truth_of_each_sale(parcels: bool) -> None:
    side = open_side(SidePlan("mirakl", WARES, NOW, parcels=parcels))
    assert isinstance(side, MarketplaceSide)
    order_id = side.place_order(NOW, [("TEA-1", 2)])
    assert order_id is not None
    refused = side.place_order(NOW, [("MUG-2", 1)])
    assert refused is not None
    assert side.listed(NOW) == {"TEA-1": 3, "MUG-2": 1}
    world = side.sandbox.world
    world.decide(world.orders[order_id], [f"{order_id}-1"], NOW, "accepted")
    world.decide(world.orders[refused], [], NOW, "refused")
    later = NOW + timedelta(minutes=5)
    shop = Shop()
    shop.sandbox, shop.now = side.sandbox, later
    if parcels:
        lines = [{"order_line_id": f"{order_id}-1", "quantity": 1}]
        tracking = {"carrier_code": "DHL", "tracking_number": "T-1"}
        body = {"shipments": [{"order_id": order_id, "shipment_lines": lines, "tracking": tracking}]}
        assert shop.call("POST", "shipments", body).status == 201
        assert shop.call("POST", "shipments", body).status == 201
    else:
        tracking = {"carrier_code": "DHL", "tracking_number": "T-1"}
        assert shop.call("PUT", f"orders/{order_id}/tracking", tracking).status == 204
        assert shop.call("PUT", f"orders/{order_id}/ship").status == 204
    sale, other = side.sales(later)
    assert (sale.lines, sale.accepted, sale.payable, sale.live) == ((("TEA-1", 2),), True, True, True)
    assert (sale.told, sale.exact) == ((("T-1", "T-1"), True) if parcels else (("T-1",), False))
    assert sale.shipped == 1
    held = Told("T-1", "DHL", (("TEA-1", 1),)) if parcels else Told("T-1", "DHL")
    assert sale.parcels == ((held, held) if parcels else (held,))
    # 2 * 19.90 and 4.90 for sending them
    assert (sale.amounts, sale.total, sale.currency) == ((Decimal("39.80"),), Decimal("44.70"), "EUR")
    assert (sale.accepted_units, other.accepted_units, sale.created_at) == ((2,), (0,), NOW)
    assert (other.accepted, other.refused, other.shipped) == (False, True, 0)


def test_an_order_that_the_operator_ships_leaves_from_another_centre() -> None:
    side = open_side(SidePlan("mirakl", WARES, NOW))
    assert isinstance(side, Fulfils)
    assert side.place_fulfilled(NOW, [("TEA-1", 9)]) is None
    assert side.place_fulfilled(NOW, [("TEA-1", 1)])
    side.place_order(NOW, [("TEA-1", 1)])
    assert [sale.by_marketplace for sale in side.sales(NOW)] == [True, False]
    shop = Shop()
    shop.sandbox, shop.now = side.sandbox, NOW
    assert shop.call("GET", "orders", max=5).body.count(b'"OPERATOR"') == 1


def test_what_was_edited_and_who_bought_is_told() -> None:
    plan = SidePlan("mirakl", WARES, NOW, buyer=Party("Quill Canary", email="q@buyer.example", phone="555"))
    side = open_side(plan)
    assert isinstance(side, EditsOrders)
    order_id = side.place_order(NOW, [("TEA-1", 2)])
    assert order_id is not None
    assert not side.cancel_units(NOW, order_id, "TEA-1", 3)
    later = NOW + timedelta(seconds=9)
    assert side.cancel_units(later, order_id, "TEA-1", 1)
    (sale,) = side.sales(later)
    assert (sale.lines, sale.changed_at, sale.closed) == ((("TEA-1", 1),), later, False)
    assert not side.receive(later, order_id, False)
    world = side.sandbox.world
    world.decide(world.orders[order_id], [f"{order_id}-1"], later, "accepted")
    later += timedelta(minutes=5)
    (sale,) = side.sales(later)
    shop = Shop()
    shop.sandbox, shop.now = side.sandbox, later
    assert b"Quill" in shop.call("GET", "orders", max=5).body
    world.ship(world.orders[order_id], later)
    assert side.receive(later, order_id, True)
    assert side.sales(later)[0].closed


def test_what_a_connection_to_the_side_says_is_what_the_adapter_takes() -> None:
    side = open_side(SidePlan("mirakl", WARES, NOW, visibility_lag_seconds=40.0))
    settings = msgspec.convert(
        {**side.settings("http://127.0.0.1:8000"), "api_key": "sandbox"}, ADAPTER.settings
    )
    plan = ADAPTER.plan(settings, side.secrets())
    assert plan.base_url == "http://127.0.0.1:8000"
    assert plan.auth == ApiKey("Authorization", "sandbox-key")
    assert plan.credential == "sandbox"
