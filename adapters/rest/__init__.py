"""Whoever keeps our own contract (`docs/rest.openapi.json`): a shop or ERP of the merchant's, or a marketplace."""

from __future__ import annotations

from adapters.rest.marketplace import ADAPTER
from adapters.rest.shop import ADAPTER as SHOP

__all__ = ["ADAPTER", "SHOP"]
