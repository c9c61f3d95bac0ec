"""eBay, by its Fulfillment, Inventory and Notification APIs."""

from __future__ import annotations

from adapters.ebay.adapter import ADAPTER

__all__ = ["ADAPTER"]
