from __future__ import annotations

import pytest

from adapters.mirakl.pages import PAGES
from adapters.mirakl.wire import OrderId
from marketsync.errors import Malformed, ReadFailed
from marketsync.http.documents import document

GOOD = b'{"order_id":"A-1","n":{"x":[1,{"y":"]}"}]}}'


def page(*orders: bytes, tail: bytes = b',"total_count":7}') -> bytes:
    return b'{"orders":[' + b",".join(orders) + b"]" + tail


def test_a_clean_page_is_cut_as_it_came() -> None:
    orders, total = PAGES.split(page(GOOD, b'{"order_id":"A-2"}'))
    assert [order.order_id for order in orders] == ["A-1", "A-2"]
    assert orders[0].raw == GOOD
    assert total == 7


@pytest.mark.failure(14)
@pytest.mark.parametrize(
    "broken",
    [
        b'{"order_id":"BAD","name":"\\ud83d"}',
        b'{"order_id":"BAD","name":"\xff\xfe"}',
        b'{"order_id":"BAD","deep":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"order_id":"BAD","quote":"\\"]}","x":NaN}',
    ],
)
def test_one_broken_order_does_not_cost_the_others(broken: bytes) -> None:
    orders, total = PAGES.split(page(GOOD, broken, b'{"order_id":"A-3"}'))
    assert [order.order_id for order in orders] == ["A-1", "BAD", "A-3"]
    assert total == 7
    orders[1].raw.decode()
    assert document(orders[0].raw, OrderId).order_id == "A-1"


def test_the_total_is_not_read_out_of_an_order() -> None:
    lying = b'{"order_id":"BAD","total_count":99,"name":"\\ud83d"}'
    assert PAGES.split(page(lying))[1] == 7
    with pytest.raises(ReadFailed):
        PAGES.split(page(lying, tail=b"}"))


def test_an_order_without_an_id_has_none() -> None:
    orders, _ = PAGES.split(page(b"{}", b"17", b'{"order_id":17}'))
    assert [order.order_id for order in orders] == ["", "", ""]


def test_an_empty_page_is_a_page() -> None:
    assert PAGES.split(b'{"orders":[],"total_count":0}') == ((), 0)


@pytest.mark.failure(13)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html><title>Sign in</title>",
        b"[]",
        b"null",
        b'{"orders":{}}',
        b'{"orders":[]}',
        b'{"total_count":3}',
        page(GOOD)[:-1],
        page(GOOD)[:30],
        b'{"other":{"orders":[1],"total_count":1}}',
        page(GOOD).decode().encode("utf-16"),
        b"\x00" * 50,
    ],
)
def test_what_is_no_whole_page_is_a_failed_read(body: bytes) -> None:
    with pytest.raises(ReadFailed):
        PAGES.split(body)


def test_a_byte_order_mark_is_looked_over() -> None:
    orders, total = PAGES.split(b"\xef\xbb\xbf" + page(GOOD))
    assert (len(orders), total) == (1, 7)


def test_the_slow_way_of_one_document() -> None:
    assert document(b'{"order_id":"A\xff"}', OrderId).order_id == "A\ufffd"
    with pytest.raises(Malformed):
        document(b'{"order_id":"\\ud83d"', OrderId)
