"""The file of a bulk operation, as Shopify may order it."""

from __future__ import annotations

import msgspec
import pytest

from adapters.shopify.sheet import ROWS_PER_TURN, Sheet
from marketsync.errors import ReadFailed
from tests.fuzz.rig import Clock


def article(number: int) -> dict[str, object]:
    return {"id": f"gid://shopify/ProductVariant/{number}", "sku": f"SKU-{number}", "price": "9.90"}


def level(number: int, units: int) -> dict[str, object]:
    return {
        "id": f"gid://shopify/InventoryLevel/1?inventory_item_id={number}",
        "quantities": [{"name": "on_hand", "quantity": 99}, {"name": "available", "quantity": units}],
        "__parentId": f"gid://shopify/ProductVariant/{number}",
    }


def body(*rows: dict[str, object]) -> bytes:
    return b"\n".join(map(msgspec.json.encode, rows)) + b"\n\n"


async def found(*rows: dict[str, object]) -> dict[str, list[int]]:
    sheet = Sheet()
    await sheet.read(body(*rows), Clock())
    assert sheet.rows == len(rows)
    return {variant.sku or "": figures for variant, figures in sheet.articles()}


async def test_levels_may_stand_anywhere() -> None:
    rows = (level(2, -3), article(1), level(1, 5), article(2), level(2, 4), article(3), level(1, 1))
    assert await found(*rows) == {"SKU-1": [5, 1], "SKU-2": [-3, 4], "SKU-3": []}


@pytest.mark.parametrize("row", [b"[]", b"{", b'{"id":1}', b"\xff", b"[" * 50_000])
async def test_one_line_that_is_none_spoils_the_file(row: bytes) -> None:
    with pytest.raises(ReadFailed, match="not readable"):
        await Sheet().read(body(article(1)) + row, Clock())


async def test_an_article_that_comes_twice_spoils_it() -> None:
    with pytest.raises(ReadFailed, match="twice"):
        await found(article(1), level(1, 5), article(1))


async def test_others_have_their_turn_while_a_large_file_is_read() -> None:
    class Turns(Clock):
        turns = 0

        async def sleep(self, seconds: float) -> None:
            assert seconds == 0
            self.turns += 1

    clock, sheet = Turns(), Sheet()
    await sheet.read(body(*map(article, range(3 * ROWS_PER_TURN + 1))), clock)
    assert (clock.turns, sheet.rows) == (3, 3 * ROWS_PER_TURN + 1)
