"""Mirakl-run marketplaces, by their seller API."""

from __future__ import annotations

from adapters.mirakl.adapter import ADAPTER

__all__ = ["ADAPTER"]
