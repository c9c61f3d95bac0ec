from __future__ import annotations

from adapters.amazon import ADAPTER
from marketsync.kit import conformance

TestAmazon = conformance(ADAPTER)
