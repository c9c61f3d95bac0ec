"""Money as stated: finite, bounded decimals with an ISO 4217 currency. Never divided, never a float."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

import msgspec

AMOUNT_MAX = Decimal(10) ** 12
DECIMALS_MAX = 6

_TEXT_MAX = 40
_CODE = re.compile(r"[A-Z]{3}", re.ASCII)

_NO_DECIMALS = frozenset("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split())
_THREE_DECIMALS = frozenset("BHD IQD JOD KWD LYD OMR TND".split())


class BadAmount(ValueError):
    """The text is not an amount that we book: park the order with its path."""


class Money(msgspec.Struct, frozen=True):
    amount: Decimal
    currency: str


def amount(value: Decimal | str | int) -> Decimal:
    """A finite decimal, smaller than 10^12, of at most 6 decimal places; raises BadAmount."""
    text = str(value)
    if len(text) > _TEXT_MAX or not text.isascii() or "_" in text:
        raise BadAmount("not a plain decimal number")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise BadAmount("not a number") from None
    if not number.is_finite():
        raise BadAmount("not a finite number")
    if number.adjusted() > AMOUNT_MAX.adjusted() or abs(number) >= AMOUNT_MAX:
        raise BadAmount("larger than any amount that is booked")
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -DECIMALS_MAX and number != round(number, DECIMALS_MAX):
        raise BadAmount(f"more than {DECIMALS_MAX} decimal places")
    return number


def currency(code: str) -> str:
    """An ISO 4217 code by its form (three capital letters); raises BadAmount."""
    if not _CODE.fullmatch(code):
        raise BadAmount("not an ISO 4217 currency code")
    return code


def decimals(code: str) -> int:
    """Minor digits of a currency (ISO 4217): 2 unless it is known to have 0 or 3."""
    if code in _NO_DECIMALS:
        return 0
    return 3 if code in _THREE_DECIMALS else 2


def smallest_unit(code: str) -> Decimal:
    return Decimal(1).scaleb(-decimals(code))
