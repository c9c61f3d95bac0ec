"""OR11's pages."""

from __future__ import annotations

from marketsync.http.documents import Pages

PAGES = Pages(rows="orders", row_id="order_id", total="total_count")
