from __future__ import annotations

from adapters.odoo.loading import table


def test_a_record_and_the_first_of_each_list_share_a_row() -> None:
    values = {
        "id": "m.a",
        "name": "Ada",
        "country_id": 7,
        "child_ids": [{"id": "m.b", "type": "invoice"}],
        "sale_order_ids": [
            {"id": "m.c", "order_line": [{"id": "m.d", "product_id": 1, "tax_ids": [2, 3]}, {"id": "m.e", "product_id": 4, "tax_ids": []}]}
        ],
    }  # fmt: skip
    columns, rows = table(values)
    assert columns == [
        "id", "name", "country_id/.id", "child_ids/id", "child_ids/type", "sale_order_ids/id", "sale_order_ids/order_line/id",
        "sale_order_ids/order_line/product_id/.id", "sale_order_ids/order_line/tax_ids/.id",
    ]  # fmt: skip
    assert rows == [
        ["m.a", "Ada", "7", "m.b", "invoice", "m.c", "m.d", "1", "2,3"],
        ["", "", "", "", "", "", "m.e", "4", ""],
    ]
