from __future__ import annotations

from adapters.woocommerce import ADAPTER
from marketsync.kit import conformance

TestWooCommerce = conformance(ADAPTER)
