from __future__ import annotations

from adapters.odoo import ADAPTER
from marketsync.kit import conformance

TestOdoo = conformance(ADAPTER)
