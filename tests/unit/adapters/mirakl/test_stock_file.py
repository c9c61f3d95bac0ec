from __future__ import annotations

import pytest

from adapters.mirakl.stock_file import multipart, read_report
from marketsync.domain.ids import Sku
from marketsync.errors import ReadFailed
from marketsync.ports import ItemResult, StockItem

ITEMS = (StockItem(Sku("TEA-1"), 4), StockItem(Sku("MUG-2"), 0))


def test_the_file_says_what_the_contract_asks_for() -> None:
    content_type, body = multipart(ITEMS)
    boundary = content_type.removeprefix("multipart/form-data; boundary=")
    assert body.startswith(f"--{boundary}\r\n".encode())
    assert body.endswith(f"\r\n--{boundary}--\r\n".encode())
    assert b'name="file"; filename="stock.csv"' in body
    text = body.split(b"\r\n\r\n", 1)[1].removesuffix(f"\r\n--{boundary}--\r\n".encode()).decode()
    assert text.splitlines() == [
        '"offer-sku";"quantity";"warehouse-code";"update-delete"',
        '"TEA-1";"4";"";""',
        '"MUG-2";"0";"";""',
    ]


def test_other_stock_has_another_boundary_and_the_same_has_the_same() -> None:
    assert multipart(ITEMS) == multipart(ITEMS)
    assert multipart(ITEMS)[0] != multipart(ITEMS[:1])[0]


def test_a_report_names_the_items_that_failed() -> None:
    report = '\ufeff"1";"No\x07 such öffer";"MUG-2";"0"\r\n"2";"odd";"other";"1"\r\n'
    assert read_report(report.encode(), ITEMS) == (
        ItemResult(Sku("TEA-1")),
        ItemResult(Sku("MUG-2"), "No such ffer"),
    )


def test_a_report_with_commas_and_an_empty_reason() -> None:
    assert read_report(b"line,reason,offer-sku\n1,,TEA-1\n", ITEMS)[0] == ItemResult(Sku("TEA-1"), "refused")


@pytest.mark.parametrize(
    "body", [b"", b"<html>sign in</html>", b"\xff\xff;\n;;;", b'1;odd;"' + b"x" * 200_000]
)
def test_a_report_that_names_no_item_settles_nothing(body: bytes) -> None:
    with pytest.raises(ReadFailed):
        read_report(body, ITEMS)
