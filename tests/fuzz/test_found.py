"""Documents that broke an adapter once, each as it was found."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from marketsync.domain.deliveries import Unknown
from marketsync.errors import InDoubt, Park
from tests.fuzz import run as fuzz
from tests.fuzz.mutations import MARKER
from tests.fuzz.rig import Clock, Replay, Side, Vendor

Change = Callable[[Any], Any]

ORDERS = "/wp-json/wc/v3/orders"


def ask(
    adapter: str,
    name: str,
    change: Change,
    status: int | None = None,
    *,
    headers: Mapping[str, str] = {},
    nth: int = 0,
) -> Any:
    """What the adapter makes of the case's answer once it is changed; an error is returned. `nth` of those of one name."""
    vendor = vendor_of(adapter)

    async def play() -> Any:
        case = [case for case in vendor.cases if case.name.startswith(name)][nth]
        answer = case.spoilt.response
        body = change(json.loads(answer.body or b"null"))
        text = body if isinstance(body, str) else json.dumps(body)
        shown = {**answer.headers, **headers}
        spoilt = replace(answer, body=text.encode(), status=status or answer.status, headers=shown)
        clock = Clock(case.at)
        transport = Replay(clock, case.answers, {case.spoilt.key: spoilt})
        try:
            return await case.ask(Side(vendor.spec, case.settings, vendor.secrets, clock, transport))
        except Exception as error:  # noqa: BLE001 - the error is what is asked for
            return error

    return asyncio.run(play())


@functools.cache
def vendor_of(adapter: str) -> Vendor:
    return asyncio.run(fuzz.VENDORS[adapter]())


def put(path: str, value: Any) -> Change:
    def change(document: Any) -> Any:
        node = document
        *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in way:
            node = node[part]
        node[last] = value
        return document

    return change


@pytest.mark.parametrize("figure", ["1e999999999", "1e400", "-1e12"])
def test_a_figure_that_would_fill_the_memory_is_no_figure(figure: str) -> None:
    """Of a product: `stock_quantity` 1e999999999 was written out in full, for ever."""

    def change(document: Any) -> str:
        document[0]["stock_quantity"] = "@"
        return json.dumps(document).replace('"@"', figure)

    (page, *_) = ask("woocommerce", "stock < GET /wp-json/wc/v3/products", change)
    assert [x.sku for x in page.articles] == ["A", "B"]
    assert [x.sku for x in page.figures] == ["B"]


@pytest.mark.parametrize("sku", ["x" * 3000, "A\u0000B", "  "])
def test_an_article_whose_sku_can_be_no_key_is_left_out(sku: str) -> None:
    """Of a product: PostgreSQL refuses a NUL, and a key of 3,000 characters, and with it the whole page, for ever."""
    (page, *_) = ask("woocommerce", "stock < GET /wp-json/wc/v3/products", put("0.sku", sku))
    assert [x.sku for x in page.articles] == ["B"]


@pytest.mark.parametrize("path", ["line_items.0.quantity", "total"])
def test_a_signalling_nan_differs_like_any_other_wrong_amount(path: str) -> None:
    """Of an order read back: comparing with "sNaN" raises; the release failed without a decision."""
    found = ask("woocommerce", "create < GET", put(path, "sNaN"))
    assert isinstance(found, Park)


def test_a_count_of_five_thousand_digits_is_no_count() -> None:
    """Of a list of orders: Python reads no number so long, and the look ended in an error of ours."""
    long = {"x-wp-total": "9" * 5000}
    found = ask("woocommerce", f"create, a look < GET {ORDERS}", lambda document: document, headers=long)
    assert isinstance(found, Unknown)


def test_our_mark_of_an_orders_content_is_as_long_as_ours() -> None:
    """Of an order that was looked for: 70,000 characters were kept."""

    def change(document: Any) -> Any:
        for entry in document[0]["meta_data"]:
            if entry["key"] == "_marketsync_hash":
                entry["value"] = "x" * 70_000
        return document

    (record,) = ask("woocommerce", f"create, a look < GET {ORDERS}", change, nth=1).records
    assert record.content_hash is not None
    assert len(record.content_hash) < 200


def test_a_parcel_of_more_than_anything_holds_is_not_believed() -> None:
    """Of a fulfilment: `qty` 1000000000 went to the marketplace as it stood."""

    def change(document: Any) -> Any:
        for entry in document[0]["meta_data"]:
            if entry["key"] == "_items":
                entry["value"][0]["qty"] = 10**9
        return document

    assert ask("woocommerce", "parcels < GET /wp-json/wc/v3/orders/16/fulfillments", change) == []


@pytest.mark.parametrize("line", ["x" * 70_000, "\u0000", "3"])
def test_a_parcel_names_only_lines_of_the_order(line: str) -> None:
    """Of an order read for its parcels: our mark on a line was taken for a line's id, whatever it said."""

    def change(document: Any) -> Any:
        document[0]["line_items"][0]["meta_data"][0]["value"] = line
        return document

    (parcel,) = ask("woocommerce", "parcels < GET /wp-json/wc/v3/orders", change)
    assert [x.line_id for x in parcel.lines] == ["2"]


def test_a_tracking_number_of_a_megabyte_is_cut() -> None:
    """Of a fulfilment."""

    def change(document: Any) -> Any:
        for entry in document[0]["meta_data"]:
            if entry["key"] == "_tracking_number":
                entry["value"] = "1" * 1_200_000 + "\u0000"
        return document

    (parcel,) = ask("woocommerce", "parcels < GET /wp-json/wc/v3/orders/16/fulfillments", change)
    assert len(parcel.tracking_number) == 500


def test_a_refusal_that_quotes_a_buyer_is_not_repeated() -> None:
    """Of an error: a code that was a name stood in the reason."""
    found = ask(
        "woocommerce",
        "create that is refused < POST",
        lambda _: {"code": MARKER, "data": {"params": {MARKER: 1}}},
        400,
    )
    assert isinstance(found, Park)
    assert "Canary" not in found.reason


def test_a_status_that_quotes_a_buyer_is_not_repeated() -> None:
    """Of an order written: its `status` stood in the conflict, and in 1.2 million characters once."""
    _, done = ask("woocommerce", "create < PUT", put("status", MARKER * 1000))
    assert done.conflict
    assert "Canary" not in done.conflict


@pytest.mark.parametrize("receipt", [MARKER, "x" * 300, "", "1\u0000", ".", ".."])
def test_a_receipt_that_is_no_id_is_a_doubt(receipt: str) -> None:
    """Of a stock import: the receipt becomes part of a URL, and stood in the log with it."""
    assert isinstance(ask("mirakl", "stock < POST", put("import_id", receipt)), InDoubt)


@pytest.mark.parametrize("shipment", ["x" * 1_200_000, "\u0000", ""])
def test_a_shipment_whose_id_can_be_no_key_is_a_doubt(shipment: str) -> None:
    """Of ST01's answer: the id becomes a Link."""
    assert isinstance(ask("mirakl", "shipment < POST", put("shipment_success.0.id", shipment)), InDoubt)


def test_a_platform_that_talks_too_much_is_cut_short() -> None:
    """Of PC01: its texts are shown and stored as they come."""
    found = ask("mirakl", "traits < GET /api/platform", put("platform_name", "x" * 70_000 + "\u0000"))
    assert len(found.facts["platform"]) == 500


def test_an_exponent_beyond_any_decimal_parks_its_order_alone() -> None:
    """Of an order that is no strict JSON as well: the slow way met an exponent that no Decimal has."""

    def change(document: Any) -> str:
        document["orders"][0]["total_price"] = "@"
        document["orders"][0]["odd"] = "#"
        return json.dumps(document).replace('"@"', "1E+9999999999999999999").replace('"#"', "NaN")

    read = ask("mirakl", "page < GET", change)
    assert isinstance(read.orders[0], Park)
    assert [isinstance(order, Park) for order in read.orders[1:]] == [False, False, False]


def test_an_answer_without_end_to_its_nesting_is_a_doubt() -> None:
    """Of OR21's answer: asking whether it is JSON at all went too deep."""
    assert isinstance(ask("mirakl", "accept < PUT", lambda _: "[" * 20_000 + "]" * 20_000), InDoubt)


@pytest.mark.parametrize("text", ["", ".", "..", "\u2003", ".\u00a0"])
def test_an_order_that_is_named_like_no_place_costs_its_page_nothing(text: str) -> None:
    """eBay: a row that was to be read by itself made an address of `..`, and the page was lost."""

    def change(document: Any) -> Any:
        row = next(x for x in document["orders"] if x["cancelStatus"]["cancelState"] == "IN_PROGRESS")
        row["orderId"] = text
        return document

    found = ask("ebay", "page < GET /sell/fulfillment/v1/order", change)
    assert [isinstance(order, Park) for order in found.orders].count(True) == 1
    assert len(found.orders) == 4
