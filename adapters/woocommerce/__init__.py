"""WooCommerce as the back-office: orders in, parcels and stock out, through its REST API v3."""

from __future__ import annotations

from adapters.woocommerce.adapter import ADAPTER

__all__ = ["ADAPTER"]
