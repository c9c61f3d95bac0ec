"""Amazon's stores: which region serves them, their currency, and whether their prices include the tax.

The identifiers and countries are the vendor's published ones.
"""

from __future__ import annotations

import msgspec

HOSTS = {
    "na": "https://sellingpartnerapi-na.amazon.com",
    "eu": "https://sellingpartnerapi-eu.amazon.com",
    "fe": "https://sellingpartnerapi-fe.amazon.com",
}


class Store(msgspec.Struct, frozen=True):
    country: str
    region: str
    currency: str
    tax_in_prices: bool = True


STORES = {
    "A2EUQ1WTGCTBG2": Store("CA", "na", "CAD", tax_in_prices=False),
    "ATVPDKIKX0DER": Store("US", "na", "USD", tax_in_prices=False),
    "A1AM78C64UM0Y8": Store("MX", "na", "MXN"),
    "A2Q3Y263D00KWC": Store("BR", "na", "BRL"),
    "A28R8C7NBKEWEA": Store("IE", "eu", "EUR"),
    "A1RKKUPIHCS9HS": Store("ES", "eu", "EUR"),
    "A1F83G8C2ARO7P": Store("GB", "eu", "GBP"),
    "A13V1IB3VIYZZH": Store("FR", "eu", "EUR"),
    "AMEN7PMS3EDWL": Store("BE", "eu", "EUR"),
    "A1805IZSGTT6HS": Store("NL", "eu", "EUR"),
    "A1PA6795UKMFR9": Store("DE", "eu", "EUR"),
    "APJ6JRA9NG5V4": Store("IT", "eu", "EUR"),
    "A2NODRKZP88ZB9": Store("SE", "eu", "SEK"),
    "AE08WJ6YKNBMC": Store("ZA", "eu", "ZAR"),
    "A1C3SOZRARQ6R3": Store("PL", "eu", "PLN"),
    "ARBP9OOSHTCHU": Store("EG", "eu", "EGP"),
    "A33AVAJ2PDY3EV": Store("TR", "eu", "TRY"),
    "A17E79C6D8DWNP": Store("SA", "eu", "SAR"),
    "A2VIGQ35RCS4UG": Store("AE", "eu", "AED"),
    "A21TJRUUN4KGV": Store("IN", "eu", "INR"),
    "A19VAU5U5O7RUS": Store("SG", "fe", "SGD"),
    "A39IBJ37TRP1C6": Store("AU", "fe", "AUD"),
    "A1VC38T7YXB528": Store("JP", "fe", "JPY"),
}
