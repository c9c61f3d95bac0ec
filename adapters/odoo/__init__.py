"""Odoo, as the shop: JSON-2 (Odoo 19 and later) or JSON-RPC (14 and later)."""

from __future__ import annotations

from adapters.odoo.adapter import ADAPTER

__all__ = ["ADAPTER"]
