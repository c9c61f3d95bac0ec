from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.mirakl.mapping import ORDER_BYTES_MAX, Rules, parse_order, problem_of
from marketsync.domain.ids import ConnectionId, LineId, MerchantId
from marketsync.domain.orders import Fulfilment, Order, Phase, TaxCollector, imbalance, payable, phase
from marketsync.errors import Malformed, Park

FIXTURES = Path(__file__).parents[4] / "fixtures" / "mirakl"
RULES = Rules(MerchantId("main"), ConnectionId("mirakl"), accept_within=timedelta(hours=24))


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return loaded


def parsed(body: dict[str, Any], rules: Rules = RULES) -> Order:
    return parse_order(json.dumps(body).encode(), rules)


def spoilt(
    change: Callable[[dict[str, Any]], Any], name: str = "order_shipping_partly_refused"
) -> dict[str, Any]:
    body = load(name)
    change(body)
    return body


# state of the order, then per line: accepted, wanted, shipped, refunded
FACTS = {
    "order_waiting_acceptance": (Phase.TO_ACCEPT, [(None, 2, 0, 0), (None, 1, 0, 0)]),
    "order_shipping_partly_refused": (Phase.READY, [(True, 2, 0, 0), (False, 0, 0, 0)]),
    "order_received_refunded": (Phase.CLOSED, [(True, 2, 2, 1)]),
    "order_canceled": (Phase.CANCELLED, [(None, 0, 0, 0)]),
    "order_tax_excluded": (Phase.READY, [(True, 2, 0, 0)]),
    "order_fees_in_total": (Phase.READY, [(True, 1, 0, 0)]),
    "order_fees_beside_total": (Phase.READY, [(True, 1, 0, 0)]),
}


@pytest.mark.parametrize("name", sorted(FACTS))
def test_the_facts_of_each_fixture(name: str) -> None:
    order = parsed(load(name))
    expected_phase, lines = FACTS[name]
    assert phase(order) is expected_phase
    assert [(x.accepted, x.wanted, x.shipped, x.refunded) for x in order.lines] == lines
    assert imbalance(order) == 0


def test_every_fixture_is_covered() -> None:
    assert sorted(path.stem for path in FIXTURES.glob("*.json")) == sorted(FACTS)


def test_the_order_keeps_what_was_stated() -> None:
    order = parsed(load("order_shipping_partly_refused"))
    assert order.created_at == datetime(2026, 2, 10, 8, 15, 30, tzinfo=UTC)
    assert order.accept_by == order.created_at + timedelta(hours=24)
    assert order.ship_by == datetime(2026, 2, 12, 22, 59, 59, 999000, tzinfo=UTC)
    assert (order.accepted, order.paid, order.closed, order.awaits_acceptance) == (True, True, False, False)
    assert order.state_as_stated == "SHIPPING"
    line = order.line(LineId("Z101-A-1"))
    assert line is not None
    assert (line.unit_price, line.line_total, line.shipping) == (
        Decimal("19.9"),
        Decimal("59.7"),
        Decimal("4.9"),
    )
    assert line.taxes[0].amount == Decimal("9.95")
    assert line.taxes[0].rate == 20
    assert order.ship_to is not None
    assert order.ship_to.country == "FR"
    assert order.buyer is not None
    assert order.buyer.company == "Beispiel Example GmbH"


@pytest.mark.failure(24)
def test_fees_count_where_the_lines_own_total_counts_them() -> None:
    assert parsed(load("order_fees_in_total")).fees == Decimal("0.65")
    assert parsed(load("order_fees_beside_total")).fees == 0


def test_tax_excluded_adds_the_tax_on_top() -> None:
    order = parsed(load("order_tax_excluded"))
    # 2 * 16.58 + 4.90, then 6.64 + 0.82 of tax
    assert order.total == Decimal("38.06")
    assert payable(order) == Decimal("45.52")


def test_the_settings_decide_who_ships_and_who_collects_the_tax() -> None:
    rules = Rules(
        MerchantId("main"),
        ConnectionId("mirakl"),
        operator_centers=frozenset({"DEFAULT"}),
        tax_collector=TaxCollector.MARKETPLACE,
    )
    order = parsed(load("order_tax_excluded"), rules)
    assert order.fulfilment is Fulfilment.MARKETPLACE
    assert order.lines[0].taxes[0].collector is TaxCollector.MARKETPLACE
    assert parsed(load("order_tax_excluded")).fulfilment is Fulfilment.MERCHANT


def test_a_debit_that_is_awaited_is_not_paid() -> None:
    body = spoilt(lambda x: x.update(order_state="WAITING_DEBIT_PAYMENT"))
    assert parsed(body).paid is False
    assert phase(parsed(body)) is Phase.ACCEPTED


def put(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(body: Any) -> None:
        for step in path[:-1]:
            body = body[step]
        body[path[-1]] = value

    return change


MALFORMED = [
    (put("order_lines", 0, "quantity", value=0), "$.order_lines[0].quantity"),
    (put("order_lines", 0, "quantity", value=-1), "$.order_lines[0].quantity"),
    (put("order_lines", 0, "quantity", value=10**9), "$.order_lines[0].quantity"),
    (put("order_lines", 0, "quantity", value="two"), "$.order_lines[0].quantity"),
    (put("order_lines", 0, "price", value=-1), "$.order_lines[0].price"),
    (put("order_lines", 0, "price", value="NaN"), "$.order_lines[0].price"),
    (put("order_lines", 1, "taxes", 0, "amount", value="Infinity"), "$.order_lines[1].taxes[0].amount"),
    (put("order_lines", 0, "offer_sku", value=""), "$.order_lines[0].offer_sku"),
    (put("order_lines", 0, "offer_sku", value="A\x00B"), "$.order_lines[0].offer_sku"),
    (put("order_lines", 0, "offer_sku", value="x" * 300), "$.order_lines[0].offer_sku"),
    (put("order_lines", 1, "order_line_id", value="Z101-A-1"), "$.order_lines"),
    (put("order_lines", value=[]), "$.order_lines"),
    (
        put("order_lines", 0, "cancelations", 0, "quantity", value=-3),
        "$.order_lines[0].cancelations[0].quantity",
    ),
    (put("currency_iso_code", value="eur"), "$.currency_iso_code"),
    (put("total_price", value="1e30"), "$.total_price"),
    (put("created_date", value="2026-02-10T08:15:30"), "$.created_date"),
    (put("created_date", value="2026-06-30T23:59:60Z"), "$.created_date"),
    (put("created_date", value="0001-01-01T00:00:00+14:00"), "$.created_date"),
    (put("created_date", value="9999-12-31T23:59:59Z"), "$.created_date"),
    (put("customer", "shipping_address", "country_iso_code", value=""), None),
]


@pytest.mark.failure(25)
@pytest.mark.failure(5)
@pytest.mark.failure(14)
@pytest.mark.parametrize("change, path", MALFORMED)
def test_what_is_out_of_range_is_parked_with_its_path(change: Any, path: str | None) -> None:
    with pytest.raises(Park) as held:
        parsed(spoilt(change))
    if path is not None:
        assert isinstance(held.value, Malformed)
        assert held.value.path == path


@pytest.mark.failure(14)
def test_a_missing_field_is_named() -> None:
    with pytest.raises(Malformed) as held:
        parsed(spoilt(lambda body: body["order_lines"][1].pop("offer_sku")))
    assert held.value.path == "$.order_lines[1]"
    assert "offer_sku" in held.value.reason or "a value" in held.value.reason


@pytest.mark.failure(14)
@pytest.mark.parametrize(
    "change, cause",
    [
        (put("order_state", value="TELEPORTED"), "enum:mirakl.order_state=TELEPORTED"),
        (put("order_lines", 0, "order_line_state", value="LOST"), "enum:mirakl.order_line_state=LOST"),
        (put("order_tax_mode", value="MIXED"), "enum:mirakl.order_tax_mode=MIXED"),
        (
            put("customer", "shipping_address", "country_iso_code", value="ZZZ"),
            "enum:mirakl.country_iso_code=ZZZ",
        ),
        (put("order_state", value="<b>ü"), "enum:mirakl.order_state=an unprintable value"),
    ],
)
def test_a_new_value_of_an_enum_waits_for_its_mapping(change: Any, cause: str) -> None:
    with pytest.raises(Park) as held:
        parsed(spoilt(change))
    assert held.value.causes == (cause,)


@pytest.mark.failure(14)
def test_new_fields_are_ignored_and_nulls_are_absences() -> None:
    def change(body: dict[str, Any]) -> None:
        body["brand_new"] = {"deep": [1, 2]}
        body["order_lines"][0]["refunds"] = None
        body["order_lines"][0]["price_unit"] = None
        body["customer"]["organization"] = None

    order = parsed(spoilt(change))
    assert order.lines[0].unit_price is None


@pytest.mark.failure(25)
def test_texts_are_bounded_and_cleaned_and_the_rest_is_kept() -> None:
    def change(body: dict[str, Any]) -> None:
        address = body["customer"]["shipping_address"]
        address["lastname"] = "\u202eאב 🙂 O\x00'Brien"
        address["street_1"] = "s" * 5000
        body["customer"]["firstname"] = "\ud83d"

    order = parsed(spoilt(change))
    assert order.ship_to is not None
    assert order.ship_to.last_name == "\u202eאב 🙂 O'Brien"
    assert len(order.ship_to.street1) == 500
    assert order.buyer is not None
    assert order.buyer.name == "Beispiel"


@pytest.mark.failure(25)
def test_an_order_of_ten_megabytes_is_parked() -> None:
    with pytest.raises(Malformed) as held:
        parsed(spoilt(put("note", value="n" * 10 * ORDER_BYTES_MAX)))
    assert held.value.path == "$"


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"[]", b'{"order_id": "x"', b"[" * 5000, b'{"a":' * 5000])
def test_what_is_no_order_is_malformed_and_never_a_crash(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_order(raw, RULES)


def test_numbers_beyond_reason_are_parked() -> None:
    raw = (
        json.dumps(load("order_canceled"))
        .encode()
        .replace(b'"total_price": 24.8,', b'"total_price": 1e999999999,')
    )
    assert b"1e999999999" in raw
    with pytest.raises(Malformed):
        parse_order(raw, RULES)


@pytest.mark.requirement("R19")
def test_a_parking_reason_never_holds_what_was_read() -> None:
    with pytest.raises(Malformed) as held:
        parsed(spoilt(put("customer", "firstname", value=["Ada Beispiel"])))
    assert "Beispiel" not in str(held.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(), lambda x: st.lists(x, max_size=3)
    )
)
def test_any_value_in_any_field_is_an_order_or_parked(value: Any) -> None:
    for name in (
        "order_lines",
        "customer",
        "total_price",
        "created_date",
        "order_state",
        "fulfillment",
        "order_id",
    ):
        body = load("order_waiting_acceptance")
        body[name] = value
        for change in (body, {**load("order_waiting_acceptance"), "order_lines": [value]}):
            try:
                parsed(change)
            except Park:
                continue


@pytest.mark.parametrize(
    "body, code",
    [
        (b'{"code":"ORDER_INVALID_STATE","message":"Ada Beispiel"}', "ORDER_INVALID_STATE"),
        (b'{"status":400,"message":"Ada Beispiel"}', ""),
        (b'{"code":"Ada Beispiel"}', ""),
        (b"<html>", ""),
        (b"", ""),
        (b"\xff", ""),
    ],
)
def test_only_a_code_is_taken_from_an_error(body: bytes, code: str) -> None:
    assert problem_of(body) == code
