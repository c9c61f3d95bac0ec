"""Orders that say something impossible or unheard-of: parked with their causes, beside the others, and never lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from marketsync.ports import Request, Response
from marketsync.sandbox.roles import Ware
from tests.integration.bad_input.rig import Json, Rig, Tamper, respell, spoil

NOTE_BYTES = 10 * 1024 * 1024


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def held_price(order: Json, value: Any) -> None:
    order["order_lines"][0]["price"] = value


def held_quantity(order: Json, value: Any) -> None:
    order["order_lines"][0]["quantity"] = value


def test_the_rig_brings_a_good_order_home(rig: Rig) -> None:
    async def script(rig: Rig) -> None:
        order_id = rig.buy(("SKU-1", 1))
        await rig.until(lambda: rig.pushed(order_id) == 1)
        await rig.until(lambda: not rig.world.unfinished())

    rig.live(script)
    assert rig.ended is None
    assert rig.parked() == {}
    assert rig.ear.counts["marketsync_orders_read_total"] >= 1


SPOILT: list[tuple[str, Callable[[str], Tamper], str, str]] = [
    (
        "a new state",
        lambda x: spoil(x, lambda o: o.update(order_state="TELEPORTED")),
        "order_state has the value TELEPORTED",
        "enum:mirakl.order_state=TELEPORTED",
    ),
    (
        "nothing was ordered",
        lambda x: spoil(x, lambda o: held_quantity(o, 0)),
        "$.order_lines[0].quantity: not between 1 and 1000000",
        "malformed:$.order_lines[0].quantity",
    ),
    (
        "a thousand million were ordered",
        lambda x: spoil(x, lambda o: held_quantity(o, 10**9)),
        "$.order_lines[0].quantity: not between 1 and 1000000",
        "malformed:$.order_lines[0].quantity",
    ),
    (
        "a price that is text",
        lambda x: spoil(x, lambda o: held_price(o, "NaN")),
        "$.order_lines[0].price: not a finite number",
        "malformed:$.order_lines[0].price",
    ),
    (
        "a price that is no JSON",
        lambda x: respell(x, b'"total_price":24.80,"taxes"', b'"total_price":NaN,"taxes"'),
        "$.order_lines[0].total_price: not a finite number",
        "malformed:$.order_lines[0].total_price",
    ),
    (
        "a note of ten megabytes",
        lambda x: spoil(x, lambda o: o.update(customer_note="x" * NOTE_BYTES)),
        "$: larger than 1048576 bytes",
        "malformed:$",
    ),
    (
        "a NUL in an article number",
        lambda x: spoil(x, lambda o: o["order_lines"][0].update(offer_sku="SKU\x00-1")),
        "$.order_lines[0].offer_sku: not a usable id",
        "malformed:$.order_lines[0].offer_sku",
    ),
    (
        "half a character in an article number",
        lambda x: respell(x, b'"offer_sku":"SKU-1"', b'"offer_sku":"SKU-\\ud800"'),
        "$.order_lines[0].offer_sku: not a usable id",
        "malformed:$.order_lines[0].offer_sku",
    ),
    (
        "a currency that is none",
        lambda x: spoil(x, lambda o: o.update(currency_iso_code="Euro")),
        "$.currency_iso_code: not an ISO 4217 currency code",
        "malformed:$.currency_iso_code",
    ),
    (
        "a price below nothing",
        lambda x: spoil(x, lambda o: held_price(o, -1)),
        "$.order_lines[0].price: negative",
        "malformed:$.order_lines[0].price",
    ),
    (
        "a price beyond reason",
        lambda x: spoil(x, lambda o: held_price(o, "1e13")),
        "$.order_lines[0].price: larger than any amount that is booked",
        "malformed:$.order_lines[0].price",
    ),
    (
        "a year that was never",
        lambda x: spoil(x, lambda o: o.update(created_date="2026-13-45T99:00:00Z")),
        "$.created_date: Invalid RFC3339 encoded datetime",
        "malformed:$.created_date",
    ),
    (
        "the text where a list should be",
        lambda x: spoil(x, lambda o: o.update(order_lines="none")),
        "$.order_lines: ",
        "malformed:$.order_lines",
    ),
    (
        "a field that is not there",
        lambda x: spoil(x, lambda o: o.pop("currency_iso_code")),
        "missing required field",
        "malformed:$",
    ),
]


@pytest.mark.failure(5)
@pytest.mark.failure(14)
@pytest.mark.failure(23)
@pytest.mark.failure(25)
@pytest.mark.parametrize(
    ("spoiling", "reason", "cause"), [row[1:] for row in SPOILT], ids=[row[0] for row in SPOILT]
)
def test_a_spoilt_order_is_parked_beside_the_others(
    rig: Rig, spoiling: Callable[[str], Tamper], reason: str, cause: str
) -> None:
    """Read again on a person's word once the marketplace says something else: then it goes its way."""

    async def script(rig: Rig) -> None:
        bad = rig.buy(("SKU-1", 1))
        rig.tamper = spoiling(bad)
        await rig.until(lambda: f"alpha/{bad}" in rig.parked())
        found = rig.parked()[f"alpha/{bad}"]
        assert reason in found[0]
        assert found[1] == cause
        assert rig.rows("SELECT length(body) > 100 FROM raws WHERE order_id = ?", bad) == [(1,)]
        good = rig.buy(("SKU-2", 1))
        await rig.until(lambda: rig.pushed(good) == 1)
        assert rig.pushed(bad) == 0
        rig.tamper = lambda request, response: response
        await rig.command("parked.retry", item=f"alpha/{bad}")
        await rig.until(lambda: rig.pushed(bad) == 1)

    rig.live(script)
    assert rig.parked() == {}
    assert rig.ended is None


@pytest.mark.failure(24)
def test_totals_that_do_not_add_up_are_parked_with_the_difference(rig: Rig) -> None:
    """A corrected total at the marketplace is a revision: nobody has to do anything here."""

    async def script(rig: Rig) -> None:
        bad = rig.buy(("SKU-1", 1))
        rig.tamper = spoil(bad, lambda o: o.update(total_price=round(o["total_price"] + 3.33, 2)))
        await rig.until(rig.parked)
        ((reason, cause),) = rig.parked().values()
        assert "do not add up to its total: +3.33 EUR" in reason
        assert cause == f"imbalance:alpha/{bad}"
        assert rig.rows("SELECT SUM(target) FROM claims") == [(1,)]
        rig.tamper = lambda request, response: response
        rig.market.touch(rig.clock.now(), bad)
        await rig.until(lambda: rig.pushed(bad) == 1)

    rig.live(script)
    assert rig.parked() == {}


@pytest.mark.failure(25)
def test_text_that_only_looks_odd_goes_through(rig: Rig) -> None:
    """NUL, half a character and text from right to left, in what is only text: what no shop can hold is left out."""

    def strange(request: Request, response: Response) -> Response:
        body = response.body.replace(b'"Sampleville"', b'"\\u202e\\u05ea\\u0000 \\ud800\\u05d0"')
        return replace(response, body=body) if request.operation == "OR11" else response

    async def script(rig: Rig) -> None:
        rig.tamper = strange
        order_id = rig.buy(("SKU-1", 1))
        await rig.until(lambda: rig.pushed(order_id) == 1)

    rig.live(script)
    (order,) = rig.shop.shop.orders.values()
    assert order.shipping["city"].startswith("\u202e\u05ea ")
    assert order.shipping["city"].endswith("\u05d0")
    assert "\x00" not in order.shipping["city"]
    order.shipping["city"].encode()
    assert rig.parked() == {}


@pytest.mark.failure(22)
@pytest.mark.parametrize("by_map", [True, False])
def test_an_unknown_sku_waits_for_its_article_or_its_map(tmp_path: Path, by_map: bool) -> None:
    rig = Rig(tmp_path, market=(Ware("SKU-1", 9), Ware("SKU-X", 9)), shop=(Ware("SKU-1", 9),))

    async def script(rig: Rig) -> None:
        strange, known = rig.buy(("SKU-X", 1)), rig.buy(("SKU-1", 1))
        await rig.until(lambda: rig.pushed(known) == 1)
        ((reason, cause),) = rig.parked().values()
        assert reason == "the shop does not know SKU-X"
        assert cause == "sku:SKU-X@shop"
        assert rig.pushed(strange) == 0
        if by_map:
            changed = await rig.command(
                "map.set", connection="alpha", kind="sku", source="SKU-X", value="SKU-1"
            )
            assert changed["woken"] == 1
        else:
            rig.shop.shop.add_product("SKU-X", 5, rig.clock.now())
        await rig.until(lambda: rig.pushed(strange) == 1)
        await rig.until(lambda: not rig.world.unfinished())

    rig.live(script)
    assert rig.parked() == {}
    assert rig.shop.stock()["SKU-1"] == (7 if by_map else 8)


@pytest.mark.failure(13)
@pytest.mark.parametrize(
    "body",
    [b"<!doctype html><title>Sign in</title>", b"", b'{"orders": [{"order_id": "1', b"\xff\xfe{\x00}\x00"],
    ids=["HTML", "empty", "cut", "charset"],
)
def test_a_marketplace_that_answers_something_else_is_down_and_comes_back(rig: Rig, body: bytes) -> None:
    """Said once when it goes down, once when it is back; the coverage does not move meanwhile."""

    async def script(rig: Rig) -> None:
        first = rig.buy(("SKU-1", 1))
        await rig.until(lambda: rig.pushed(first) == 1)

        def login(request: Request, response: Response) -> Response:
            if request.connection != "alpha":
                return response
            return replace(response, status=200, headers={"content-type": "text/html"}, body=body)

        rig.tamper = login
        missed = rig.buy(("SKU-2", 1))
        await rig.until(lambda: rig.ear.said("connection.went_down"))
        assert rig.ear.gauges["marketsync_connection_up", "alpha"] == 0
        await rig.sleep(timedelta(hours=1).total_seconds())
        assert len(rig.ear.said("connection.went_down")) == 1
        assert rig.pushed(missed) == 0
        rig.tamper = lambda request, response: response
        await rig.until(lambda: rig.pushed(missed) == 1)
        assert len(rig.ear.said("connection.came_back")) == 1
        assert rig.ear.gauges["marketsync_connection_up", "alpha"] == 1

    rig.live(script)
    assert rig.parked() == {}
