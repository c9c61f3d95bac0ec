"""The simulated shop's people and books, as a world uses them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from adapters.woocommerce.rehearsal import WooSide, open_side
from adapters.woocommerce.settings import REF_META, Settings
from marketsync.ports import Request
from marketsync.sandbox.roles import EditsArticles, ShopSide, SidePlan, Ware

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def a_side() -> WooSide:
    return open_side(SidePlan("shop", (Ware("A", 10), Ware("B", 5)), NOW))


def ordered(side: WooSide, status: str) -> str:
    line = {"product_id": side.shop.product_of("A").id, "quantity": 3}
    body = {"line_items": [line], "meta_data": [{"key": REF_META, "value": "ms-ref"}], "status": status}
    credentials = "&".join(f"{name}={value}" for name, value in side.secrets().items())
    url = f"https://shop.example/wp-json/wc/v3/orders?{credentials}"
    answer = side.handle(Request("shop", "t", "POST", url, (), json.dumps(body).encode(), write=True), NOW)
    return str(json.loads(answer.body)["id"])


def test_it_plays_the_part_of_a_shop() -> None:
    side = a_side()
    assert isinstance(side, ShopSide)
    stated = {**side.settings("http://127.0.0.1:1"), "consumer_key": "k", "consumer_secret": "s"}
    assert msgspec.convert(stated, Settings).url == "http://127.0.0.1:1"
    assert sorted(side.secrets()) == ["consumer_key", "consumer_secret"]


def test_its_books_show_orders_by_api_and_the_true_stock() -> None:
    side = a_side()
    pending, released = ordered(side, "pending"), ordered(side, "processing")
    side.web_sale(NOW, "B", 2)
    side.restock(NOW, "B", 10)
    assert side.stock() == {"A": 7, "B": 13}
    assert [(x.remote_id, x.ref, x.released) for x in side.orders()] == [
        (pending, "ms-ref", False),
        (released, "ms-ref", True),
    ]


def test_its_books_state_totals_and_its_people_edit_articles() -> None:
    side = a_side()
    assert isinstance(side, EditsArticles)
    remote_id = ordered(side, "pending")
    # 3 * 19.90, and a fifth on top
    assert [(x.remote_id, x.total, x.currency) for x in side.orders()] == [
        (remote_id, Decimal("71.64"), "EUR")
    ]
    side.add_article(NOW, "A", 1)
    side.forget_article(NOW, "B")
    assert [product.sku for product in side.shop.products.values()] == ["A", "A"]


def test_its_people_send_parcels_until_nothing_is_left() -> None:
    side = a_side()
    remote_id = ordered(side, "processing")
    key = side.orders()[0].lines[0].key
    side.ship(NOW, remote_id, [(key, 1)], "T1")
    assert (side.orders()[0].lines[0].left, side.shop.orders[int(remote_id)].status) == (2, "processing")
    side.ship(NOW, remote_id, [(key, 2)], "T2")
    assert (side.orders()[0].parcels, side.shop.orders[int(remote_id)].status) == (("T1", "T2"), "completed")
