from __future__ import annotations

from adapters.mirakl import ADAPTER
from marketsync.kit import conformance

TestMirakl = conformance(ADAPTER)
