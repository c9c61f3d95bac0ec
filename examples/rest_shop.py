"""A shop in memory that keeps the contract's role of a shop: `TOKEN=secret python examples/rest_shop.py 8080`.

In yours `orders`, `articles` and `shipments` are tables, `ref` and `order_key` are unique, and each method is one transaction.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import Any

from gateway import Problem, page, serve

Document = dict[str, Any]
FIXED = ("id", "state", "ref", "order_key", "takes_stock", "ships")


class Shop:
    def __init__(self, *articles: Document) -> None:
        self.articles = {article["id"]: article for article in articles}
        self.orders, self.shipments = {}, []

    def now(self) -> datetime:
        return datetime.now(UTC)

    def about_shop(self) -> tuple[int, Document]:
        return 200, {"contract": "1", "name": "Example shop"}

    def create_order(self, body: Document) -> tuple[int, Document]:
        if body["ref"] in self.orders:
            return 200, self.orders[body["ref"]]
        if any(order["order_key"] == body["order_key"] for order in self.orders.values()):
            raise Problem(409, "order_exists")
        return 201, self._write({**body, "id": f"S{len(self.orders) + 1}", "state": "open"})

    def look_up_order(self, ref: str) -> tuple[int, Document]:
        if ref not in self.orders:
            raise Problem(404, "unknown_order")
        return 200, self.orders[ref]

    def update_order(self, ref: str, body: Document) -> tuple[int, Document]:
        order = self._unsent(ref)
        return 200, self._write({**body, **{name: order[name] for name in FIXED}})

    def cancel_order(self, ref: str) -> tuple[int, Document]:
        _, order = self.look_up_order(ref)
        if order["state"] != "cancelled":
            order = self._write({**self._unsent(ref), "state": "cancelled"})
        return 200, order

    def list_shipments(self, since: Any, refs: Any, **paging: Any) -> tuple[int, Document]:
        if bool(refs) == bool(since):
            raise Problem(400, "malformed", "either since or refs")
        found = [x for x in self.shipments if (x["ref"] in refs if refs else x["updated_at"] >= since)]
        return 200, {**page("shipments", found, "updated_at", **paging), "as_of": self.now()}

    def list_articles(self, skus: Any, ids: Any, **paging: Any) -> tuple[int, Document]:
        named = [x for x in self.articles.values() if x["sku"] in (skus or ()) or x["id"] in (ids or ())]
        return 200, page("articles", named if skus or ids else self.articles.values(), "id", **paging)

    def _unsent(self, ref: str) -> Document:
        _, order = self.look_up_order(ref)
        sent = any(parcel["ref"] == ref and not parcel["voided"] for parcel in self.shipments)
        if sent or order["state"] == "cancelled":
            raise Problem(409, "shipped" if sent else "cancelled")
        return order

    def _write(self, order: Document) -> Document:
        """Whole, or not at all: what it took so far goes back, what it takes now is taken."""
        if any(line["article"] not in self.articles for line in order["lines"]):
            raise Problem(422, "unknown_article")
        for sign, written in ((1, self.orders.get(order["ref"])), (-1, order)):
            if written and written["takes_stock"] and written["state"] == "open":
                for line in written["lines"]:
                    self.articles[line["article"]]["available"] += sign * line["quantity"]
        self.orders[order["ref"]] = order
        return order


if __name__ == "__main__":
    lamp = {"id": "1", "sku": "LAMP-01", "available": 10, "price": "19.90"}
    serve(Shop(lamp), os.environ["TOKEN"], int(sys.argv[1])).serve_forever()
