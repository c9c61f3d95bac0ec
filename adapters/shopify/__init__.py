"""Shopify as the back-office: orders in, parcels and stock out, through its Admin GraphQL API 2026-10."""

from __future__ import annotations

from adapters.shopify.adapter import ADAPTER

__all__ = ["ADAPTER"]
