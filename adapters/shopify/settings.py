"""What a merchant states about a Shopify shop, and the words that we write into it."""

from __future__ import annotations

from typing import Literal

import msgspec

API_VERSION = "2026-10"
LINE_PROPERTY = "_marketsync_line"
STOCK_ATTRIBUTE = "_marketsync_stock"
TAKEN, UNTOUCHED = "taken", "untouched"
CONTENT_KEY = "content"
TAG = "marketsync"
BYPASS = "bypass"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`url` is `https://NAME.myshopify.com`. `access_token` names the credential with the app's offline token.

    `inventory` is Shopify's inventoryBehaviour, chosen once: with `bypass` our orders take nothing from the shop's stock.
    `namespace` and `reference_key` name the order metafield of type id that holds our reference. `points_per_second` is the
    plan's, `creates_per_minute` a trial or development store's five. `location` is the number of the one that adjustments
    are for, where `inventory` is `bypass`.
    """

    url: str
    access_token: str
    inventory: Literal["decrement_ignoring_policy", "decrement_obeying_policy", "bypass"] = (
        "decrement_ignoring_policy"
    )
    namespace: str = "marketsync"
    reference_key: str = "reference"
    location: str = ""
    wait_for_tracking: bool = True
    raises_take_stock: bool = True
    gateway: str = "Paid on the marketplace"
    fee_name: str = "Marketplace fees and rounding"
    lands_within_seconds: float = 120.0
    visible_within_seconds: float = 60.0
    read_lag_seconds: float = 5.0
    sweep_within_seconds: float = 900.0
    orders_per_call: int = 10
    points_per_second: int = 100
    creates_per_minute: int = 120
    allow_private: bool = False
