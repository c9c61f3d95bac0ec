"""Amazon, by its Selling Partner API."""

from __future__ import annotations

from adapters.amazon.adapter import ADAPTER

__all__ = ["ADAPTER"]
