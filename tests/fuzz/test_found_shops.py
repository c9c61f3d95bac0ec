"""Documents of Shopify and Odoo that broke their adapters once, each as it was found."""

from __future__ import annotations

from typing import Any

import pytest

from marketsync.errors import Park, ReadFailed
from tests.fuzz.test_found import ask, put

SHOPIFY = "POST /admin/api/2026-10/graphql.json"


@pytest.mark.parametrize("quantity", [10**9, 2**63])
def test_a_fulfilment_of_more_than_anything_holds_is_not_believed(quantity: int) -> None:
    """Of Shopify's fulfilments: a quantity went to the marketplace as it stood."""
    path = "data.nodes.0.fulfillments.1.fulfillmentLineItems.nodes.0.quantity"
    found = ask("shopify", f"parcels < {SHOPIFY}#ReadShipments", put(path, quantity))
    assert [x.tracking_number for x in found] == ["T2"]


@pytest.mark.parametrize("number", ["", "9" * 70_000, "x"])
def test_a_fulfilment_without_a_number_is_no_parcel(number: str) -> None:
    """Of Shopify's fulfilments: the number becomes a key, and all without one became the same."""
    change = put("data.nodes.0.fulfillments.1.id", f"gid://shopify/Fulfillment/{number}")
    assert isinstance(ask("shopify", f"parcels < {SHOPIFY}#ReadShipments", change), ReadFailed)


def test_an_order_without_a_number_is_not_found() -> None:
    """Of Shopify's search: the order was adopted under no id."""
    change = put("data.orders.nodes.0.id", "gid://shopify/Order/")
    assert isinstance(ask("shopify", f"create, a look < {SHOPIFY}#FindOrder", change), ReadFailed)


@pytest.mark.parametrize("quantities", [[], [{"name": "on_hand", "quantity": 5}]])
def test_a_level_without_the_figure_adjusts_nothing(quantities: list[Any]) -> None:
    """Of an article's levels at Shopify: the first figure was taken, and where there was none the adapter broke."""
    path = "data.nodes.0.inventoryItem.inventoryLevels.nodes.0.quantities"
    assert isinstance(ask("shopify", f"adjustment < {SHOPIFY}#ReadLevels", put(path, quantities)), Park)


@pytest.mark.parametrize("job", ["x" * 70_000, "gid://shopify/Job/1\u0000", "", ".."])
def test_a_job_that_can_be_no_receipt_is_none(job: str) -> None:
    """Of Shopify's cancel: the job's id is stored as the receipt."""
    waits, _ = ask("shopify", f"cancel < {SHOPIFY}#CancelOrder", put("data.orderCancel.job.id", job))
    assert waits.receipt == ""


@pytest.mark.parametrize("number", ["", "9" * 70_000])
def test_an_article_without_a_number_is_left_out(number: str) -> None:
    """Of Shopify's variants."""
    change = put("data.productVariants.nodes.0.id", f"gid://shopify/ProductVariant/{number}")
    assert [x for x, _ in ask("shopify", f"articles < {SHOPIFY}#ResolveSkus", change)] == ["C"]


ODD = ["sNaN", "NaN", "Infinity", "1e999999999", "-1e400"]


@pytest.mark.parametrize("figure", ODD)
def test_a_figure_that_can_not_be_reckoned_with_is_no_figure(figure: str) -> None:
    """Of Odoo's products: the difference of two such was an overflow, and the sweep broke for ever."""
    (page,) = ask(
        "odoo",
        "stock < POST /json/2/product.product/search_read#default_code",
        put("0.qty_available", figure),
    )
    assert [x.sku for x in page.articles if x.tracked] == ["A", "B"]
    assert [x.sku for x in page.figures] == ["B"]


@pytest.mark.parametrize("figure", ODD)
@pytest.mark.parametrize(
    ("search", "path"),
    [("sale.order/search_read#id", "0.amount_total"), ("sale.order.line/search_read#order_id,display_type", "0.product_uom_qty")],
)  # fmt: skip
def test_an_order_that_can_not_be_reckoned_with_is_not_confirmed(search: str, path: str, figure: str) -> None:
    """Of Odoo's order read back before it is confirmed: comparing broke."""
    assert isinstance(ask("odoo", f"release < POST /json/2/{search}", put(path, figure)), Park)


@pytest.mark.parametrize("rate", ODD)
def test_a_tax_of_no_rate_is_no_tax(rate: str) -> None:
    """Of Odoo's taxes: comparing it with the stated rate broke `check`."""
    found = ask("odoo", "traits < POST /json/2/account.tax/search_read#id", put("0.amount", rate))
    assert found.problems == ("taxes: there is no tax with the id 2 (for 20 %)",)


def test_a_company_that_talks_too_much_is_cut_short() -> None:
    """Of Odoo's company: its words are shown and stored as they come."""
    path = "0.tax_calculation_rounding_method"
    found = ask("odoo", "traits < POST /json/2/res.company/search_read", put(path, "x" * 70_000))
    assert found.facts["tax_rounding"] == "(unprintable)"


@pytest.mark.parametrize(
    ("adapter", "case", "path"),
    [
        ("shopify", f"create, a look < {SHOPIFY}#FindOrder", "data.orders.nodes.0.content.value"),
        ("odoo", "create, a look < POST /json/2/sale.order/search_read#client_order_ref", "0.origin"),
    ],
)
def test_a_mark_of_other_content_is_cut_short(adapter: str, case: str, path: str) -> None:
    """Of an order that is looked for: what stood where our mark should be went on as the hash of its content."""
    (record,) = ask(adapter, case, put(path, "x" * 70_000 + "\u0000")).records
    assert record.content_hash == "x" * 200
