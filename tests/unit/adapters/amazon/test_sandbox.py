"""The simulated Amazon behaves as the real one is documented to, or was seen to."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from adapters.amazon.sandbox import AmazonSandbox
from adapters.amazon.sandbox_json import INCLUDED
from adapters.amazon.sandbox_world import LEAD_DAYS, Behaviour
from marketsync.ports import Request, Response

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOST = "https://sellingpartnerapi-eu.example"
ORDERS = "orders/2026-01-01/orders"
DE = "A1PA6795UKMFR9"


class Seller:
    """Calls the sandbox as an application would, at a time that the test sets."""

    def __init__(self, **behaviour: Any) -> None:
        settings: dict[str, Any] = {"throttles": False, "stale_seconds": 0.0, **behaviour}
        self.sandbox = AmazonSandbox({"TEA-1": 500, "MUG-2": 3}, Behaviour(**settings))
        self.now = NOW
        self.token = self.renew()

    def renew(self, **form: str) -> str:
        stated = {
            "grant_type": "refresh_token", "refresh_token": "sandbox-refresh", "client_id": "sandbox-client",
            "client_secret": "sandbox-secret",
        }  # fmt: skip
        response = self.send("POST", f"{HOST}/auth/o2/token", urlencode({**stated, **form}).encode())
        return str(json.loads(response.body).get("access_token", response.status))

    def send(self, method: str, url: str, body: bytes = b"", kind: str = "application/json") -> Response:
        headers = (("x-amz-access-token", getattr(self, "token", "")), ("Content-Type", kind))
        return self.sandbox.handle(Request("amazon", "", method, url, headers, body), self.now)

    def call(self, method: str, path: str, body: Any = None, **query: str) -> Response:
        raw = b"" if body is None else json.dumps(body).encode()
        return self.send(method, f"{HOST}/{path}?{urlencode(query)}", raw)

    def stamp(self, seconds: float) -> str:
        return (self.now + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")

    def search(self, **query: str) -> Response:
        chosen = {"lastUpdatedAfter": self.stamp(-7200), "includedData": ",".join(INCLUDED), **query}
        return self.call("GET", ORDERS, None, **chosen)

    def ids(self, **query: str) -> list[str]:
        response = self.search(**query)
        assert response.status == 200, response.body
        return [order["orderId"] for order in json.loads(response.body)["orders"]]

    def get(self, order_id: str) -> Any:
        response = self.call("GET", f"{ORDERS}/{order_id}", None, includedData=",".join(INCLUDED))
        assert response.status == 200, response.body
        return json.loads(response.body)["order"]

    def place(self, *lines: tuple[str, int], by_amazon: bool = False) -> str:
        placed = self.sandbox.place_order(self.now, lines or (("TEA-1", 2),), by_amazon=by_amazon)
        assert placed is not None
        return placed

    def paid(self, *lines: tuple[str, int]) -> str:
        order_id = self.place(*lines)
        self.later(3600)
        return order_id

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.sandbox.expire_tokens(self.now)
        self.token = self.renew()

    def confirm(self, order_id: str, count: int = 2, **changes: Any) -> Response:
        item = self.sandbox.world.orders[order_id].lines[0].item_id
        package = {
            "packageReferenceId": "1", "carrierCode": "DHL", "trackingNumber": "T-1", "shipDate": "2026-03-01T13:00:00Z",
            "orderItems": [{"orderItemId": item, "quantity": count}], **changes,
        }  # fmt: skip
        path = f"orders/v0/orders/{order_id}/shipmentConfirmation"
        return self.call("POST", path, {"marketplaceId": DE, "packageDetail": package})

    def patch(self, sku: str, quantity: Any, op: str = "merge") -> Any:
        entry = {"fulfillment_channel_code": "DEFAULT", "quantity": quantity}
        patch = {"op": op, "path": "/attributes/fulfillment_availability", "value": [entry]}
        path = f"listings/2021-08-01/items/A2SANDBOXSELLER/{sku}"
        body = {"productType": "PRODUCT", "patches": [patch]}
        response = self.call("PATCH", path, body, marketplaceIds=DE)
        assert response.status == 200, response.body
        return json.loads(response.body)


def code(response: Response) -> str:
    return str(json.loads(response.body)["errors"][0]["code"])


def test_a_token_lives_an_hour_and_a_wrong_one_is_forbidden() -> None:
    seller = Seller()
    assert seller.search().status == 200
    seller.now += timedelta(hours=1)
    refused = seller.search()
    assert (refused.status, code(refused)) == (403, "Unauthorized")
    assert seller.renew(client_secret="other") == "401"
    assert seller.renew(refresh_token="other") == "400"


def test_a_refresh_token_may_be_rotated() -> None:
    seller = Seller(rotates_refresh_token=True)
    assert seller.renew() == "400"
    assert seller.renew(refresh_token="sandbox-refresh-1").startswith("sandbox-access")


@pytest.mark.parametrize(
    "query",
    [
        {"createdAfter": "2026-03-01T10:00:00Z"},
        {"createdBefore": "2026-03-01T10:00:00Z"},
        {"lastUpdatedBefore": "2026-03-01T11:58:01Z"},
        {"lastUpdatedBefore": "2026-03-01T09:00:00Z"},
        {"lastUpdatedAfter": "yesterday"},
        {"maxResultsPerPage": "101"},
        {"includedData": "BUYER,SECRETS"},
        {"paginationToken": "bm90aGluZw=="},
        {"sort": "asc"},
    ],
)
def test_what_the_contract_forbids_is_refused(query: dict[str, str]) -> None:
    refused = Seller().search(**query)
    assert (refused.status, code(refused)) == (400, "InvalidInput")


def test_the_list_is_late_and_a_read_by_id_is_not() -> None:
    seller = Seller(visibility_lag_seconds=100.0)
    order_id = seller.place()
    assert seller.ids() == []
    assert seller.get(order_id)["orderId"] == order_id
    seller.now += timedelta(seconds=130)
    assert seller.ids() == [order_id]


def test_a_read_by_id_may_be_stale_for_a_moment() -> None:
    seller = Seller(stale_seconds=20.0)
    orders = [seller.paid(("TEA-1", 1)) for _ in range(12)]
    for order_id in orders:
        seller.confirm(order_id, 1)
    stale = [x for x in orders if seller.get(x)["fulfillment"]["fulfillmentStatus"] == "UNSHIPPED"]
    assert 0 < len(stale) < len(orders)
    seller.now += timedelta(seconds=20)
    assert all(seller.get(x)["fulfillment"]["fulfillmentStatus"] == "SHIPPED" for x in orders)


def test_a_list_goes_on_by_its_token_with_the_same_query_alone() -> None:
    seller = Seller(visibility_lag_seconds=0.0)
    placed = {seller.place(("TEA-1", 1)) for _ in range(5)}
    seller.now += timedelta(seconds=150)
    first = json.loads(seller.search(maxResultsPerPage="3").body)
    token = first["pagination"]["nextToken"]
    rest = json.loads(seller.search(maxResultsPerPage="3", paginationToken=token).body)
    assert {order["orderId"] for order in (*first["orders"], *rest["orders"])} == placed
    assert "pagination" not in rest
    assert seller.search(maxResultsPerPage="2", paginationToken=token).status == 400


def test_a_short_page_may_have_a_token_and_no_order_is_kept() -> None:
    seller = Seller(visibility_lag_seconds=0.0, short_page_every=1)
    for _ in range(6):
        seller.place(("TEA-1", 1))
    seller.now += timedelta(seconds=150)
    shown = json.loads(seller.search().body)
    assert len(shown["orders"]) == 3
    assert shown["pagination"]["nextToken"]
    seller.sandbox.set_behaviour(short_page_every=0)
    orders = []
    for _ in range(4):
        orders.append(tuple(seller.ids()))
        seller.now += timedelta(seconds=1)
    assert len(set(orders)) > 1


def test_budgets_are_buckets_and_a_429_says_no_time() -> None:
    seller = Seller(throttles=True)
    answers = [seller.search() for _ in range(21)]
    assert [x.status for x in answers] == [200] * 20 + [429]
    assert (code(answers[-1]), "retry-after" in answers[-1].headers) == ("QuotaExceeded", False)
    assert "x-amzn-ratelimit-limit" not in answers[-1].headers
    assert answers[0].headers["x-amzn-ratelimit-limit"] == "0.0056"
    seller.now += timedelta(seconds=180)
    assert seller.search().status == 200
    assert seller.search().status == 429


def test_a_pending_order_lowers_the_listing_and_shows_no_money_and_nobody() -> None:
    seller = Seller(pending_seconds=(60.0, 60.0))
    order_id = seller.place()
    assert seller.sandbox.offers["TEA-1"] == 498
    order = seller.get(order_id)
    assert order["fulfillment"]["fulfillmentStatus"] == "PENDING"
    assert not {"proceeds", "buyer", "recipient"} & set(order)
    assert "price" not in order["orderItems"][0]["product"]
    seller.now += timedelta(seconds=60)
    order = seller.get(order_id)
    assert order["fulfillment"]["fulfillmentStatus"] == "UNSHIPPED"
    assert order["proceeds"]["grandTotal"] == {"amount": "44.70", "currencyCode": "EUR"}
    assert order["recipient"]["deliveryAddress"]["countryCode"] == "DE"


def test_only_what_was_asked_for_is_shown() -> None:
    seller = Seller()
    order_id = seller.paid()
    bare = json.loads(seller.call("GET", f"{ORDERS}/{order_id}").body)["order"]
    assert not {"fulfillment", "proceeds", "buyer", "recipient", "packages"} & set(bare)


def test_some_payments_fail_and_some_orders_are_amazons() -> None:
    seller = Seller(payment_fails_every=1, fba_every=1)
    order_id = seller.paid()
    assert seller.get(order_id)["fulfillment"]["fulfillmentStatus"] == "CANCELLED"
    other = next(x for x in seller.sandbox.world.orders if x != order_id)
    assert seller.get(other)["fulfillment"]["fulfilledBy"] == "AMAZON"
    assert seller.sandbox.offers["TEA-1"] == 498


def test_a_package_is_kept_by_its_reference() -> None:
    seller = Seller()
    order_id = seller.paid()
    assert seller.confirm(order_id, 1).status == 204
    assert seller.get(order_id)["fulfillment"]["fulfillmentStatus"] == "PARTIALLY_SHIPPED"
    assert seller.confirm(order_id, 1, trackingNumber="T-2").status == 204
    (package,) = seller.get(order_id)["packages"]
    assert (package["trackingNumber"], package["packageReferenceId"]) == ("T-2", "1")
    assert seller.confirm(order_id, 1, packageReferenceId="2").status == 204
    assert seller.get(order_id)["fulfillment"]["fulfillmentStatus"] == "SHIPPED"
    late = seller.confirm(order_id, 1, packageReferenceId="3")
    assert late.status == 400
    assert b"PackageToUpdateNotFound" in late.body
    assert seller.sandbox.count("package", order_id) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"packageReferenceId": 1},
        {"packageReferenceId": "P-1"},
        {"packageReferenceId": "0"},
        {"trackingNumber": ""},
        {"carrierCode": "Other"},
        {"shipDate": None},
        {"orderItems": []},
        {"orderItems": [{"orderItemId": "1", "quantity": 1}]},
        {"orderItems": [{"orderItemId": "1", "quantity": "1"}]},
    ],
)
def test_a_package_that_is_not_complete_is_refused(changes: dict[str, Any]) -> None:
    seller = Seller()
    order_id = seller.paid()
    assert seller.confirm(order_id, 2, **changes).status == 400
    assert seller.confirm(order_id, 3).status == 400
    assert seller.get(order_id)["fulfillment"]["fulfillmentStatus"] == "UNSHIPPED"


def test_an_unknown_carrier_is_taken_and_confirms_nothing() -> None:
    seller = Seller()
    order_id = seller.paid()
    assert seller.confirm(order_id, carrierCode="Pigeon").status == 204
    assert seller.get(order_id)["fulfillment"]["fulfillmentStatus"] == "UNSHIPPED"
    assert seller.confirm(order_id, carrierCode="Other", carrierName="Pigeon").status == 204
    assert seller.get(order_id)["fulfillment"]["fulfillmentStatus"] == "SHIPPED"


def test_what_is_pending_cancelled_or_amazons_can_not_be_confirmed() -> None:
    seller = Seller()
    pending, gone, other = seller.place(), seller.place(), seller.place(by_amazon=True)
    assert seller.sandbox.cancel_order(seller.now, gone)
    assert [seller.confirm(x).status for x in (pending, gone, other)] == [400, 400, 400]
    assert seller.confirm(seller.paid(), 2).status == 204
    assert seller.call("POST", "orders/v0/orders/302-1/shipmentConfirmation", {}).status == 404


def test_a_cancel_comes_while_nothing_has_left() -> None:
    seller = Seller(cancelled_states_nothing=True, relists_on_cancel=True)
    first, second = seller.paid(), seller.paid()
    seller.confirm(second, 1)
    assert seller.sandbox.cancel_order(seller.now, first)
    assert not seller.sandbox.cancel_order(seller.now, second)
    order = seller.get(first)
    assert order["orderItems"][0]["quantityOrdered"] == 0
    assert "proceeds" not in order
    assert seller.sandbox.offers["TEA-1"] == 498
    seller.sandbox.ask_cancel(seller.now, second)
    asked = seller.get(second)["orderItems"][0]["cancellation"]["cancellationRequest"]
    assert asked["requester"] == "BUYER"
    item = seller.sandbox.world.orders[second].lines[0].item_id
    seller.sandbox.cancel_units(seller.now, second, item, 1)
    assert seller.get(second)["fulfillment"]["fulfillmentStatus"] == "SHIPPED"


def test_a_patch_is_accepted_and_lands_later_in_its_order() -> None:
    seller = Seller()
    assert seller.patch("TEA-1", 7)["status"] == "ACCEPTED"
    assert seller.patch("TEA-1", 9)["status"] == "ACCEPTED"
    assert seller.sandbox.offers["TEA-1"] == 500
    seen = []
    for _ in range(60):
        seller.later(10)
        seller.sandbox.arrive(seller.now)
        seen.append(seller.sandbox.offers["TEA-1"])
    assert [x for i, x in enumerate(seen) if i == 0 or x != seen[i - 1]] in ([500, 7, 9], [500, 9])
    assert seller.sandbox.world.listings["TEA-1"].lead_days == LEAD_DAYS


def test_replace_wipes_what_merge_keeps() -> None:
    seller = Seller()
    seller.patch("TEA-1", 7, op="replace")
    seller.later(600)
    seller.sandbox.arrive(seller.now)
    assert seller.sandbox.world.listings["TEA-1"].lead_days is None


@pytest.mark.parametrize("sku, quantity", [("NONE", 1), ("TEA-1", -1), ("TEA-1", "5")])
def test_a_200_may_say_that_it_is_invalid(sku: str, quantity: Any) -> None:
    seller = Seller()
    shown = seller.patch(sku, quantity)
    assert shown["status"] == "INVALID"
    assert shown["issues"][0]["severity"] == "ERROR"


def uploaded(seller: Seller, *messages: tuple[str, int], seller_id: str = "A2SANDBOXSELLER") -> Response:
    made = json.loads(
        seller.call("POST", "feeds/2021-06-30/documents", {"contentType": "application/json"}).body
    )
    feed = {
        "header": {"sellerId": seller_id, "version": "2.0"},
        "messages": [
            {
                "messageId": i,
                "sku": sku,
                "operationType": "PATCH",
                "productType": "PRODUCT",
                "patches": [
                    {
                        "op": "merge",
                        "path": "/attributes/fulfillment_availability",
                        "value": [{"fulfillment_channel_code": "DEFAULT", "quantity": quantity}],
                    }
                ],
            }
            for i, (sku, quantity) in enumerate(messages, 1)
        ],
    }
    assert urlsplit(made["url"]).netloc == urlsplit(HOST).netloc
    assert seller.send("PUT", made["url"], json.dumps(feed).encode()).status == 200
    specification = {
        "feedType": "JSON_LISTINGS_FEED",
        "marketplaceIds": [DE],
        "inputFeedDocumentId": made["feedDocumentId"],
    }
    return seller.call("POST", "feeds/2021-06-30/feeds", specification)


def test_a_feed_ends_later_and_its_report_says_what_was_refused() -> None:
    seller = Seller()
    for turn in range(2):
        taken = uploaded(seller, ("TEA-1", 40 + turn), ("NONE", 1))
        assert taken.status == 202
        path = f"feeds/2021-06-30/feeds/{json.loads(taken.body)['feedId']}"
        states: list[str] = []
        feed: dict[str, str] = {}
        while not states or states[-1] != "DONE":
            feed = json.loads(seller.call("GET", path).body)
            states.append(feed["processingStatus"])
            seller.later(10)
        assert list(dict.fromkeys(states)) == ["IN_QUEUE", "IN_PROGRESS", "DONE"]
        assert seller.sandbox.offers["TEA-1"] == 40 + turn
        where = json.loads(
            seller.call("GET", f"feeds/2021-06-30/documents/{feed['resultFeedDocumentId']}").body
        )
        body = seller.send("GET", where["url"]).body
        packed = where.get("compressionAlgorithm") == "GZIP"
        assert packed == (turn == 0)
        report = json.loads(gzip.decompress(body) if packed else body)
        assert [(x["messageId"], x["sku"]) for x in report["issues"]] == [(2, "NONE")]
        assert report["summary"]["messagesAccepted"] == 1
        seller.now += timedelta(seconds=301)
        assert seller.send("GET", where["url"]).status == 403


def test_an_address_of_a_document_dies_and_is_for_one_content_type() -> None:
    seller = Seller()
    made = json.loads(
        seller.call("POST", "feeds/2021-06-30/documents", {"contentType": "application/json"}).body
    )
    assert seller.send("PUT", made["url"], b"{}", "text/plain").status == 403
    assert seller.send("PUT", f"{made['url']}0", b"{}").status == 403
    seller.later(300)
    assert seller.send("PUT", made["url"], b"{}").status == 403


def test_a_feed_that_is_none_is_fatal_and_an_empty_document_is_refused() -> None:
    seller = Seller()
    foreign = json.loads(uploaded(seller, ("TEA-1", 4), seller_id="OTHER").body)["feedId"]
    seller.later(1500)
    feed = json.loads(seller.call("GET", f"feeds/2021-06-30/feeds/{foreign}").body)
    assert (feed["processingStatus"], "resultFeedDocumentId" in feed) == ("FATAL", False)
    assert seller.sandbox.offers["TEA-1"] == 500
    empty = {"feedType": "JSON_LISTINGS_FEED", "marketplaceIds": [DE], "inputFeedDocumentId": "none"}
    assert seller.call("POST", "feeds/2021-06-30/feeds", empty).status == 400
    assert seller.call("GET", "feeds/2021-06-30/feeds/1").status == 404


def test_a_fatal_feed_may_have_done_a_part() -> None:
    seller = Seller(feed_ends="FATAL")
    uploaded(seller, ("TEA-1", 4), ("MUG-2", 9))
    seller.later(1500)
    seller.sandbox.arrive(seller.now)
    assert (seller.sandbox.offers["TEA-1"], seller.sandbox.offers["MUG-2"]) == (4, 3)
