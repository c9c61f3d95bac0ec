"""eBay, by its Fulfillment, Inventory and Notification APIs."""

from __future__ import annotations
