"""What was seen on real servers (WooCommerce 11.0.1 on WordPress 7.1), row by row, on the simulated shop."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from adapters.woocommerce.sandbox import WooSandbox
from adapters.woocommerce.sandbox_shop import Order, WooShop
from marketsync.http.auth import OAuth1
from marketsync.ports import Request, Response

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
BASIC = "Basic " + base64.b64encode(b"ck_demo:cs_demo").decode()


class Client:
    def __init__(self) -> None:
        self.shop = WooShop()
        self.sandbox = WooSandbox(self.shop)
        self.now = NOW
        self.shop.add_product("A", 100, NOW)

    def raw(self, method: str, path: str, body: Any = None, **query: Any) -> Response:
        text = "&".join(f"{name}={quote(str(value))}" for name, value in query.items())
        url = f"https://shop.example/wp-json/wc/v3{path}" + (f"?{text}" if text else "")
        content = json.dumps(body).encode() if body is not None else b""
        request = Request("shop", "test", method, url, (("Authorization", BASIC),), content)
        return self.sandbox.handle(request, self.now)

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        return json.loads(self.raw(method, path, body, **query).body)

    def order(self, **changes: Any) -> Any:
        line = {"product_id": self.shop.product_of("A").id, "quantity": 1}
        return self.call("POST", "/orders", {"line_items": [line], **changes})

    def ids(self, **query: Any) -> list[int]:
        return [row["id"] for row in self.call("GET", "/orders", **query)]

    def stored(self, order: Any) -> Order:
        return self.shop.orders[order["id"]]

    @property
    def stock(self) -> int:
        return self.shop.stock_of("A")


@pytest.fixture
def client() -> Client:
    return Client()


# Who may


@pytest.mark.parametrize("method, verb", [("GET", "view"), ("POST", "create")])
def test_seen_basic_over_plain_http_is_ignored_and_looks_like_a_lack_of_rights(
    client: Client, method: str, verb: str
) -> None:
    url = "http://shop.example/wp-json/wc/v3/orders"
    answer = client.sandbox.handle(
        Request("shop", "test", method, url, (("Authorization", BASIC),), b"{}"), NOW
    )
    assert (answer.status, json.loads(answer.body)["code"]) == (401, f"woocommerce_rest_cannot_{verb}")


def oauth(
    nonce: str, *, secret: str = "cs_demo", at: datetime = NOW, query: tuple[tuple[str, str], ...] = (),  # noqa: S107 - of an invented shop
) -> Request:  # fmt: skip
    url = "http://shop.example/wp-json/wc/v3/orders"
    headers = OAuth1("ck_demo", secret).sign("GET", url, query, b"", now=at, nonce=nonce)
    text = "&".join(f"{name}={value}" for name, value in query)
    return Request("shop", "test", "GET", url + (f"?{text}" if text else ""), headers)


def test_seen_oauth_works_over_plain_http(client: Client) -> None:
    assert client.sandbox.handle(oauth("n1", query=(("per_page", "5"),)), NOW).status == 200


@pytest.mark.parametrize(
    "request_",
    [oauth("n2", secret="wrong"), oauth("n2", at=NOW - timedelta(hours=1)), oauth("n1")],
    ids=["wrong secret", "old stamp", "used nonce"],
)
def test_seen_an_oauth_request_that_is_not_fresh_and_ours_is_refused(
    client: Client, request_: Request
) -> None:
    client.sandbox.handle(oauth("n1"), NOW)
    answer = client.sandbox.handle(request_, NOW)
    assert (answer.status, json.loads(answer.body)["code"]) == (401, "woocommerce_rest_authentication_error")


def test_seen_the_next_link_repeats_the_spent_nonce(client: Client) -> None:
    for _ in range(3):
        client.order()
    signed = dict(oauth("n1").headers)["Authorization"].removeprefix("OAuth ").replace('"', "").split(", ")
    url = "http://shop.example/wp-json/wc/v3/orders?" + "&".join(signed)
    bare = client.sandbox.handle(Request("shop", "test", "GET", url), NOW)
    assert bare.status == 200
    for _ in range(10):
        client.order()
    first = Request("shop", "test", "GET", url.replace("n1", "n3"))
    assert client.sandbox.handle(first, NOW).status == 401  # the nonce is part of what is signed
    fresh = dict(oauth("n4").headers)["Authorization"].removeprefix("OAuth ").replace('"', "").split(", ")
    page = client.sandbox.handle(
        Request("shop", "test", "GET", "http://shop.example/wp-json/wc/v3/orders?" + "&".join(fresh)), NOW
    )
    link = page.headers["link"].partition(">")[0].removeprefix("<")
    assert "oauth_nonce=n4" in link
    assert client.sandbox.handle(Request("shop", "test", "GET", link), NOW).status == 401


# Looking for an order


@pytest.mark.parametrize("name", ["transaction_id", "meta_key", "meta_value", "reference"])
def test_seen_an_unknown_parameter_is_ignored_and_every_order_comes(client: Client, name: str) -> None:
    client.order(transaction_id="ref-1")
    client.order(transaction_id="ref-2")
    assert len(client.ids(**{name: "ref-1"})) == 2


def test_seen_search_finds_an_email_but_neither_transaction_id_nor_meta(client: Client) -> None:
    order = client.order(
        transaction_id="ref-1",
        billing={"email": "ada@buyer.example"},
        meta_data=[{"key": "_ref", "value": "ref-1"}],
    )
    assert client.ids(search="ref-1") == []
    assert client.ids(search="ada@buyer.example") == [order["id"]]


def test_seen_created_via_is_a_filter(client: Client) -> None:
    order = client.order()
    client.shop.web_sale("A", 1, NOW)
    assert client.ids(created_via="rest-api") == [order["id"]]


@pytest.mark.parametrize("times", [2, 8])
def test_seen_one_reference_makes_as_many_orders_as_requests(client: Client, times: int) -> None:
    for _ in range(times):
        client.order(transaction_id="ref-1")
    assert len(client.shop.orders) == times


def test_seen_an_id_in_a_create_is_refused(client: Client) -> None:
    assert client.raw("POST", "/orders", {"id": 5}).status == 400


# Lines, money


@pytest.mark.parametrize("line", [{"sku": "NOPE", "quantity": 1}, {"product_id": 999, "quantity": 1}])
def test_seen_an_unknown_product_is_accepted_as_product_0_for_nothing(
    client: Client, line: dict[str, Any]
) -> None:
    answer = client.raw("POST", "/orders", {"line_items": [line]})
    (item,) = json.loads(answer.body)["line_items"]
    assert (answer.status, item["product_id"], item["total"]) == (201, 0, "0.00")


def test_seen_an_unknown_product_that_is_paid_is_completed_at_once(client: Client) -> None:
    order = client.call("POST", "/orders", {"line_items": [{"sku": "NOPE", "quantity": 1}], "set_paid": True})
    assert order["status"] == "completed"
    assert client.order(set_paid=True)["status"] == "processing"


def test_seen_the_sku_wins_over_the_product_id(client: Client) -> None:
    other = client.shop.add_product("B", 5, NOW)
    line = {"sku": "A", "product_id": other.id, "quantity": 1}
    order = client.call("POST", "/orders", {"line_items": [line]})
    assert order["line_items"][0]["product_id"] == client.shop.product_of("A").id


def test_seen_an_oversell_is_accepted(client: Client) -> None:
    line = {"product_id": client.shop.product_of("A").id, "quantity": 100005}
    assert client.raw("POST", "/orders", {"line_items": [line], "status": "processing"}).status == 201
    assert client.stock == -99905


def test_seen_a_quantity_that_is_no_number_is_refused(client: Client) -> None:
    answer = client.raw("POST", "/orders", {"line_items": [{"product_id": 11, "quantity": "x"}]})
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "rest_invalid_param")


def test_seen_amounts_are_rounded_half_up_and_price_is_a_float(client: Client) -> None:
    line = {
        "product_id": client.shop.product_of("A").id,
        "quantity": 1,
        "total": "30.005",
        "tax_class": "zero-rate",
    }
    (item,) = client.call("POST", "/orders", {"line_items": [line]})["line_items"]
    assert (item["total"], item["price"]) == ("30.01", 30.01)
    assert isinstance(item["price"], float)


def test_seen_tax_is_computed_from_totals_without_tax(client: Client) -> None:
    line = {"product_id": client.shop.product_of("A").id, "quantity": 1, "total": "10.00"}
    assert client.call("POST", "/orders", {"line_items": [line]})["total"] == "12.00"
    free = client.call(
        "POST", "/orders",
        {
            "line_items": [{**line, "tax_class": "zero-rate"}],
            "fee_lines": [{"name": "Tax", "total": "1.67", "tax_status": "none"}],
        },
    )  # fmt: skip
    assert free["total"] == "11.67"


# Stock


def test_seen_stock_falls_at_processing_and_comes_back_at_cancelled(client: Client) -> None:
    order = client.order()
    seen = [client.stock]
    for status in ("processing", "on-hold", "completed", "cancelled", "cancelled"):
        client.call("PUT", f"/orders/{order['id']}", {"status": status})
        seen.append(client.stock)
    assert seen == [100, 99, 99, 99, 100, 100]


@pytest.mark.parametrize("status", ["processing", "on-hold", "completed"])
def test_seen_stock_falls_in_each_released_state(client: Client, status: str) -> None:
    client.order(status=status)
    assert client.stock == 99


def test_seen_going_back_to_pending_gives_the_stock_back(client: Client) -> None:
    order = client.order(status="processing")
    client.call("PUT", f"/orders/{order['id']}", {"status": "pending"})
    assert client.stock == 100


def test_seen_stock_is_exact_under_many_orders(client: Client) -> None:
    for _ in range(80):
        client.order(status="processing")
    assert client.stock == 20
    assert sum(event.quantity for event in client.shop.log if event.what == "stock_taken") == 80


def test_a_quantity_edited_after_the_release_moves_the_stock_and_an_added_line_does_not(
    client: Client,
) -> None:
    order = client.order(status="processing")
    item = order["line_items"][0]["id"]
    client.call("PUT", f"/orders/{order['id']}", {"line_items": [{"id": item, "quantity": 3}]})
    assert client.stock == 97
    added = {"product_id": client.shop.product_of("A").id, "quantity": 5}
    client.call("PUT", f"/orders/{order['id']}", {"line_items": [added]})
    assert client.stock == 97
    client.call("PUT", f"/orders/{order['id']}", {"line_items": [{"id": item, "quantity": 0}]})
    assert client.stock == 100


def test_a_sale_does_not_move_the_product_s_stamp_and_a_hand_does(client: Client) -> None:
    client.now += timedelta(hours=1)
    client.order(status="processing")
    since = {"modified_after": NOW.strftime("%Y-%m-%dT%H:%M:%S"), "dates_are_gmt": "true"}
    assert client.call("GET", "/products", **since) == []
    client.shop.set_stock("A", 50, client.now)
    assert [row["stock_quantity"] for row in client.call("GET", "/products", **since)] == [50]


# Parcels


def test_seen_is_fulfilled_is_true_when_posted_and_text_when_read(client: Client) -> None:
    order = client.order(status="processing")
    path = f"/orders/{order['id']}/fulfillments"
    meta = [{"key": "_items", "value": [{"item_id": order["line_items"][0]["id"], "qty": 1}]}]
    posted = client.call("POST", path, {"is_fulfilled": True, "meta_data": meta})
    assert posted["is_fulfilled"] is True
    (read,) = client.call("GET", path)
    assert (read["is_fulfilled"], read["meta_data"][0]["key"]) == ("1", "_items")


def test_seen_a_fulfilment_does_not_move_the_order_s_stamp(client: Client) -> None:
    order = client.order(status="processing")
    client.now += timedelta(hours=1)
    client.shop.ship(order["id"], client.now)
    since = {"modified_after": NOW.strftime("%Y-%m-%dT%H:%M:%S"), "dates_are_gmt": "true"}
    assert client.ids(**since) == []
    client.shop.set_status(order["id"], "completed", client.now)
    assert client.ids(**since) == [order["id"]]


def test_seen_without_the_feature_there_is_no_route(client: Client) -> None:
    client.shop.fulfillments_enabled = False
    answer = client.raw("GET", f"/orders/{client.order()['id']}/fulfillments")
    assert (answer.status, json.loads(answer.body)["code"]) == (404, "rest_no_route")


# Lists


@pytest.mark.parametrize("seconds, found", [(-1, True), (0, False), (1, False)])
def test_seen_modified_after_is_strict_in_whole_seconds(client: Client, seconds: int, found: bool) -> None:
    order = client.order()
    client.stored(order).modified = NOW + timedelta(milliseconds=900)
    bound = (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    assert client.ids(modified_after=bound, dates_are_gmt="true") == ([order["id"]] if found else [])


def test_seen_dates_are_the_site_s_own_unless_said_otherwise(client: Client) -> None:
    order = client.order()  # 12:00 GMT is 07:00 at the site
    assert (order["date_created"], order["date_created_gmt"]) == (
        "2026-03-01T07:00:00",
        "2026-03-01T12:00:00",
    )
    assert client.ids(after="2026-03-01T06:59:59") == [order["id"]]
    assert client.ids(after="2026-03-01T07:00:00") == []
    assert client.ids(after="2026-03-01T07:00:00", dates_are_gmt="true") == [order["id"]]


def test_edits_of_lines_alone_do_not_move_the_stamp(client: Client) -> None:
    order = client.order()
    client.now += timedelta(minutes=1)
    client.call(
        "PUT", f"/orders/{order['id']}", {"line_items": [{"id": order["line_items"][0]["id"], "quantity": 2}]}
    )
    assert client.stored(order).modified == NOW


def test_seen_totals_and_the_next_page_stand_in_headers(client: Client) -> None:
    for _ in range(5):
        client.order()
    answer = client.raw("GET", "/orders", per_page=2, page=2)
    assert (answer.headers["x-wp-total"], answer.headers["x-wp-totalpages"]) == ("5", "3")
    assert "page=3" in answer.headers["link"]
    assert "link" not in client.raw("GET", "/orders", per_page=2, page=3).headers


@pytest.mark.parametrize("size, status", [(100, 200), (101, 400), (0, 400)])
def test_seen_a_page_has_a_hundred_rows_at_most(client: Client, size: int, status: int) -> None:
    assert client.raw("GET", "/orders", per_page=size).status == status


def test_seen_an_unknown_id_has_its_own_code(client: Client) -> None:
    answer = client.raw("GET", "/orders/999")
    assert (answer.status, json.loads(answer.body)["code"]) == (404, "woocommerce_rest_shop_order_invalid_id")


def test_seen_a_batch_is_one_200_with_a_result_per_item(client: Client) -> None:
    good = {"line_items": [{"product_id": client.shop.product_of("A").id, "quantity": 1}]}
    bad = {"line_items": [{"sku": "NOPE", "quantity": 1}]}
    answer = client.raw("POST", "/orders/batch", {"create": [good, bad, {"id": 7}]})
    first, second, third = json.loads(answer.body)["create"]
    assert answer.status == 200
    assert first["id"] in client.shop.orders
    assert second["id"] in client.shop.orders  # the bad product was created here too
    assert third["error"]["code"] == "woocommerce_rest_shop_order_exists"


def test_any_state_leaves_the_trash_out(client: Client) -> None:
    order = client.order()
    client.call("DELETE", f"/orders/{order['id']}")
    assert client.ids(status="any") == []
    assert client.ids(status="trash") == [order["id"]]
    client.call("DELETE", f"/orders/{order['id']}", force="true")
    assert client.shop.orders == {}


def test_an_empty_email_is_refused(client: Client) -> None:
    assert client.raw("POST", "/orders", {"billing": {"email": ""}}).status == 400


# Faults that can be switched on


@pytest.mark.parametrize(
    "fault, status", [({"maintenance": 1}, 503), ({"waf": 1}, 403), ({"waf_blocks": b"SELECT"}, 403)]
)
def test_a_page_that_is_no_json_comes_before_anything_is_applied(
    client: Client, fault: dict[str, Any], status: int
) -> None:
    for name, value in fault.items():
        setattr(client.sandbox.faults, name, value)
    answer = client.raw("POST", "/orders", {"customer_note": "SELECT"})
    assert (answer.status, answer.body[:1], client.shop.orders) == (status, b"<", {})


def test_seen_php_notices_come_before_json_although_the_order_exists(client: Client) -> None:
    client.sandbox.faults.notices = 1
    answer = client.raw("POST", "/orders", {})
    assert (answer.status, answer.body.startswith(b"<br />"), len(client.shop.orders)) == (201, True, 1)
