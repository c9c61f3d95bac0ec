"""Amazon, by its Selling Partner API."""

from __future__ import annotations
