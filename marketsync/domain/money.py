"""Money as stated: finite, bounded decimals with an ISO 4217 currency. Never divided, never a float."""

from __future__ import annotations

import functools
import re
from decimal import Decimal, InvalidOperation

import msgspec

AMOUNT_MAX = Decimal(10) ** 12
DECIMALS_MAX = 6

_TEXT_MAX = 40
# The usual amount: every rule below holds for it.
_PLAIN = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,6})?")

_NO_DECIMALS = frozenset("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split())
_THREE_DECIMALS = frozenset("BHD IQD JOD KWD LYD OMR TND".split())

_CODES = frozenset(
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY"
    " COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR"
    " IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR"
    " MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD"
    " SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XCG"
    " XOF XPF YER ZAR ZMW ZWG".split()
)


class BadAmount(ValueError):
    """The text is not an amount that we book: park the order with its path."""


class Money(msgspec.Struct, frozen=True):
    amount: Decimal
    currency: str


def amount(value: Decimal | str | int) -> Decimal:
    """A finite decimal, smaller than 10^12, of at most 6 decimal places; raises BadAmount."""
    text = str(value)
    if _PLAIN.fullmatch(text):
        return Decimal(text)
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
    """A code of ISO 4217; raises BadAmount."""
    if code not in _CODES:
        raise BadAmount("not an ISO 4217 currency code")
    return code


def decimals(code: str) -> int:
    """Minor digits of a currency (ISO 4217): 2 unless it is known to have 0 or 3."""
    if code in _NO_DECIMALS:
        return 0
    return 3 if code in _THREE_DECIMALS else 2


@functools.cache
def smallest_unit(code: str) -> Decimal:
    return Decimal(1).scaleb(-decimals(code))
