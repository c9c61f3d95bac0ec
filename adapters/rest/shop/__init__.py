"""The contract's role of a shop: orders are created in it, parcels and stock read from it."""

from __future__ import annotations

from adapters.rest.shop.adapter import ADAPTER

__all__ = ["ADAPTER"]
