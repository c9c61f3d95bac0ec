"""The contract's role of a marketplace: orders come from it, parcels and stock are told to it."""

from __future__ import annotations

from adapters.rest.marketplace.adapter import ADAPTER

__all__ = ["ADAPTER"]
