"""The conformance kit: what every adapter has to pass, its own repository's too.

`TestVendor = conformance(ADAPTER)` in a pytest module, or `python -m marketsync.kit NAME...`.
"""

from __future__ import annotations

from marketsync.kit.score import Scorecard, scorecard
from marketsync.kit.suite import conformance

__all__ = ["Scorecard", "conformance", "scorecard"]
