from __future__ import annotations

from adapters.shopify import ADAPTER
from marketsync.kit import conformance

TestShopify = conformance(ADAPTER)
