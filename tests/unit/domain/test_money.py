"""What is money and what only looks like it (failures 23 and 25)."""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsync.domain.money import AMOUNT_MAX, BadAmount, amount, currency, decimals, smallest_unit

PLAIN = [
    ("0", Decimal(0)),
    ("-0", Decimal(0)),
    ("19.90", Decimal("19.90")),
    ("+4.5", Decimal("4.5")),
    ("-12.345", Decimal("-12.345")),
    (".5", Decimal("0.5")),
    ("1e2", Decimal(100)),
    ("25E-2", Decimal("0.25")),
    ("0.000001", Decimal("0.000001")),
    ("1.1000000000", Decimal("1.1")),
    ("999999999999.999999", Decimal("999999999999.999999")),
    (7, Decimal(7)),
    (Decimal("64.60"), Decimal("64.60")),
]

BAD = [
    "", "-", "abc", "12,50", "1 000", "0x10", "1.2.3", "€5", "--1",
    "NaN", "-nan", "sNaN", "NaN123", "Infinity", "-Infinity", "inf",
    "1_0", "1_000.00",
    "\u0661\u0662", "\uff11", "1\u0660", "\u221212",
    "1e999999999", "-1e999999999", "1e9999999999999999999", "0e999999999", "1e12", "1000000000000", "-1000000000000",
    "1e-999999999", "0.0000001", "1.12345678", "1e-7",
    "1234567890123456789012345678", "0.1234567890123456789012345678",
    "1" * 41, "0." + "0" * 60,
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), PLAIN)
def test_a_plain_number_is_kept_as_it_is_stated(text: str | int | Decimal, expected: Decimal) -> None:
    assert amount(text) == expected


def test_stated_digits_are_kept() -> None:
    assert str(amount("19.90")) == "19.90"


@pytest.mark.failure(23)
@pytest.mark.failure(25)
@pytest.mark.parametrize("text", BAD)
def test_what_only_looks_like_an_amount_is_refused(text: str) -> None:
    with pytest.raises(BadAmount):
        amount(text)


@pytest.mark.failure(25)
@pytest.mark.parametrize(
    "value", [Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), Decimal("1E+999999")]
)
def test_a_decimal_that_is_no_amount_is_refused_as_well(value: Decimal) -> None:
    with pytest.raises(BadAmount):
        amount(value)


def test_a_refusal_does_not_repeat_what_was_stated() -> None:
    with pytest.raises(BadAmount) as refused:
        amount("Erika Beispiel")
    assert "Erika" not in str(refused.value)


def test_whatever_is_refused_is_refused_as_a_value_error() -> None:
    """Who decodes a vendor's JSON turns a ValueError into a parked order."""
    assert issubclass(BadAmount, ValueError)


@pytest.mark.failure(25)
@given(st.text(max_size=60))
def test_no_text_does_anything_but_pass_or_be_refused(text: str) -> None:
    try:
        number = amount(text)
    except BadAmount:
        return
    assert number.is_finite()
    assert abs(number) < AMOUNT_MAX
    assert number * 10**6 == (number * 10**6).to_integral_value()


MICROS = st.integers(-(10**18) + 1, 10**18 - 1)


@pytest.mark.failure(23)
@given(st.lists(MICROS, max_size=200))
def test_sums_of_amounts_are_exact_in_28_digits(micros: list[int]) -> None:
    """12 digits before the point and 6 behind it leave room for ten thousand million summands."""
    amounts = [amount(Decimal(x).scaleb(-6)) for x in micros]
    with localcontext(Context(prec=28, traps=[Inexact])):
        total = sum(amounts, Decimal(0))
        assert total * 10**6 == sum(micros)


@pytest.mark.failure(23)
def test_the_largest_sum_of_a_long_order_is_exact() -> None:
    with localcontext(Context(prec=28, traps=[Inexact])):
        total = sum([amount("999999999999.999999")] * 10_000, Decimal(0))
    assert total == Decimal("9999999999999999.990000")


@pytest.mark.failure(23)
@pytest.mark.parametrize(
    ("code", "digits", "unit"),
    [
        ("EUR", 2, "0.01"), ("USD", 2, "0.01"), ("GBP", 2, "0.01"), ("CNY", 2, "0.01"), ("HUF", 2, "0.01"),
        ("JPY", 0, "1"), ("KRW", 0, "1"), ("CLP", 0, "1"), ("XOF", 0, "1"), ("ISK", 0, "1"),
        ("KWD", 3, "0.001"), ("BHD", 3, "0.001"), ("TND", 3, "0.001"), ("OMR", 3, "0.001"),
    ],
)  # fmt: skip
def test_minor_digits_are_the_currencys_own(code: str, digits: int, unit: str) -> None:
    assert currency(code) == code
    assert decimals(code) == digits
    assert smallest_unit(code) == Decimal(unit)


@pytest.mark.failure(23)
@pytest.mark.parametrize(
    "code", ["", "eur", "EUR ", "EU", "EURO", "XXX", "XTS", "XAU", "BTC", "\u20ac", "ЕUR", "12A"]
)
def test_a_code_that_is_no_currency_is_refused(code: str) -> None:
    with pytest.raises(BadAmount):
        currency(code)
