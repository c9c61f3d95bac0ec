"""What a merchant states about a WooCommerce shop, and the words that we write into it."""

from __future__ import annotations

from typing import Literal

import msgspec

REF_META = "_marketsync_ref"
HASH_META = "_marketsync_hash"
LINE_META = "_marketsync_line"

NOT_RELEASED = ("pending", "failed", "cancelled", "trash", "draft", "auto-draft", "checkout-draft")
GONE = ("cancelled", "trash", "failed")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`url` is the shop's address without `/wp-json`. `consumer_key` and `consumer_secret` name credentials.

    `zero_tax_class` is the slug of a tax class of the shop that has no rate. `edits_move_stock` is False for
    a shop whose figure does not follow when the quantity of a released line is edited (its version or a plugin).
    `carrier_meta` and `tracking_meta` are read where `shipments` is "status".
    """

    url: str
    consumer_key: str
    consumer_secret: str
    released_status: Literal["processing", "on-hold", "completed"] = "processing"
    shipments: Literal["fulfillments", "tracking", "status"] = "fulfillments"
    wait_for_tracking: bool = True
    tracking_meta: str = "_tracking_number"
    carrier_meta: str = "_tracking_provider"
    zero_tax_class: str = "zero-rate"
    tax_fee_name: str = "Marketplace tax"
    fee_name: str = "Marketplace fees"
    payment_title: str = "Paid on the marketplace"
    edits_move_stock: bool = True
    lands_within_seconds: float = 120.0
    visible_within_seconds: float = 5.0
    clock_skew_seconds: float = 120.0
    read_lag_seconds: float = 0.0
    calls_per_minute: int = 180
    allow_private: bool = False
