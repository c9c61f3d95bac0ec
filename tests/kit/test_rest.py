from __future__ import annotations

from adapters.rest import ADAPTER, SHOP
from marketsync.kit import conformance

TestRest = conformance(ADAPTER)
TestRestShop = conformance(SHOP)
