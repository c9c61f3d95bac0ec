"""A shop that keeps the contract, to rehearse with: a stateful, pure server of its calls (D12)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from adapters.rest import wire
from adapters.rest.sandbox_http import (
    Gate,
    Query,
    Refusal,
    answered,
    body_of,
    moment,
    number,
    refused,
    route,
    several,
)
from adapters.rest.shop.sandbox_shop import Article, Order, Parcel, Shop
from marketsync.ports import Request, Response

PAGE_MAX, NAMES_MAX = 100, 50
T = TypeVar("T")


class RestShopSandbox:
    """`clock_skew` is the shop's clock less ours. What is looked up, and new parcels, are shown `list_lag` late; the check for a
    reference that is there is not. The shop's people act through `shop`."""

    def __init__(
        self, shop: Shop | None = None, *, token: str = "sandbox-token", calls_per_minute: int = 300,  # noqa: S107 - of an invented shop
        clock_skew: timedelta = timedelta(0), list_lag: timedelta = timedelta(0), page: int = PAGE_MAX,
    ) -> None:  # fmt: skip
        self.shop = shop or Shop()
        self.clock_skew, self.list_lag = clock_skew, list_lag
        self._gate = Gate(token, calls_per_minute)
        self._page = page

    def clock(self, now: datetime) -> datetime:
        return now.astimezone(UTC) + self.clock_skew

    def handle(self, request: Request, now: datetime) -> Response:
        at = self.clock(now)
        try:
            self._gate.check(request, at)
            status, body = self._answer(request, at)
            return answered(status, body, at)
        except Refusal as refusal:
            return refused(refusal, at)

    def _answer(self, request: Request, at: datetime) -> tuple[int, Any]:
        method, path, query = route(request)
        match (method, path):
            case ("GET", ("shop",)):
                return 200, {"contract": "1", "name": "Simulated shop 1.0"}
            case ("POST", ("shop", "orders")):
                order, fresh = self.shop.create(body_of(request, wire.NewOrder), at)
                return (201 if fresh else 200), _order(order)
            case ("GET", ("shop", "orders", ref)):
                return 200, _order(self._look(ref, at))
            case ("PUT", ("shop", "orders", ref)):
                return 200, _order(self.shop.update(ref, body_of(request, wire.OrderContent), at))
            case ("POST", ("shop", "orders", ref, "cancel")):
                return 200, _order(self.shop.cancel(ref, at))
            case ("GET", ("shop", "shipments")):
                return 200, self._shipments(query, at)
            case ("GET", ("shop", "articles")):
                return 200, self._articles(query)
            case _:
                raise Refusal(404, "unknown_path", "there is nothing here")

    def _look(self, ref: str, at: datetime) -> Order:
        order = self.shop.seen(ref, at - self.list_lag)
        if order is None:
            raise Refusal(404, "unknown_order")
        return order

    def _shipments(self, query: Query, at: datetime) -> dict[str, Any]:
        if ("since" in query) == ("refs" in query):
            raise Refusal(400, "malformed", "either since or refs")
        since, refs = moment(query, "since"), several(query, "refs", NAMES_MAX)
        found = [
            parcel
            for parcel in self.shop.parcels.values()
            if parcel.visible <= at and (parcel.ref in refs if since is None else parcel.updated >= since)
        ]
        keyed = sorted((f"{_stamp(parcel.updated)}|{parcel.id}", parcel) for parcel in found)
        page, following = self._cut(keyed, query)
        return {"shipments": [_parcel(x) for x in page], "as_of": _stamp(at), "next": following}

    def _articles(self, query: Query) -> dict[str, Any]:
        if "skus" in query and "ids" in query:
            raise Refusal(400, "malformed", "skus or ids, not both")
        rows = list(self.shop.articles.values())
        if "skus" in query or "ids" in query:
            skus, ids = several(query, "skus", NAMES_MAX), several(query, "ids", NAMES_MAX)
            named = [x for x in rows if x.sku in skus or x.id in ids]
            return {"articles": [_article(x) for x in named], "next": None}
        page, following = self._cut([(f"{x.id:>20}", x) for x in rows], query)
        return {"articles": [_article(x) for x in page], "next": following}

    def _cut(self, rows: Sequence[tuple[str, T]], query: Query) -> tuple[list[T], str | None]:
        """On from behind the last row that was given."""
        size = min(self._page, number(query, "limit", PAGE_MAX, 1, PAGE_MAX))
        behind = query.get("cursor", [""])[0]
        left = [(key, row) for key, row in rows if key > behind]
        following = left[size - 1][0] if len(left) > size else None
        return [row for _, row in left[:size]], following


def _order(order: Order) -> dict[str, Any]:
    new = order.new
    lines = [{"id": x.id, "article": x.article, "quantity": x.quantity} for x in new.lines]
    return {
        "id": order.id, "ref": new.ref, "state": order.state, "mark": new.mark, "currency": new.currency,
        "total": new.total, "lines": lines,
    }  # fmt: skip


def _parcel(parcel: Parcel) -> dict[str, Any]:
    return {
        "id": parcel.id, "ref": parcel.ref, "updated_at": _stamp(parcel.updated), "voided": parcel.voided,
        "carrier": parcel.carrier, "tracking_number": parcel.tracking,
        "tracking_url": f"https://track.example/{parcel.tracking}" if parcel.tracking else "",
        "shipped_at": _stamp(parcel.updated), "lines": [{"id": key, "quantity": count} for key, count in parcel.lines],
    }  # fmt: skip


def _article(article: Article) -> dict[str, Any]:
    return {
        "id": article.id,
        "sku": article.sku,
        "available": article.available,
        "price": str(article.price),
    }


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
