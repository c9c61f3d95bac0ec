from __future__ import annotations

from adapters.ebay import ADAPTER
from marketsync.kit import conformance

TestEbay = conformance(ADAPTER)
