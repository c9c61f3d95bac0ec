"""FROZEN. The least that a careful person would write by hand for the same work, and the measure of the product.

Pages of 100 orders of a marketplace that keeps our contract -> msgspec -> one FULL transaction a page (orders, lines, outbox) ->
per order the call that the product makes for a create in a shop that keeps it (POST under a key, its answer compared), as many in
flight, by the same connection policy: reads keep connections for 15 s, POST for 2 s -> marked as done in groups. No retry, no
doubt, no stock, no log, no metrics, no limits.

A test holds the hash of this file: a floor that moves measures nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import sys
import time
from decimal import Decimal
from pathlib import Path

import aiohttp
import msgspec

IN_FLIGHT = 8
PAGE = 100


class Address(msgspec.Struct):
    first_name: str = ""
    last_name: str = ""
    company: str = ""
    street1: str = ""
    street2: str = ""
    postcode: str = ""
    city: str = ""
    state: str = ""
    country: str = ""
    phone: str = ""


class Buyer(msgspec.Struct):
    name: str = ""
    company: str = ""
    email: str = ""
    phone: str = ""


class Tax(msgspec.Struct):
    name: str
    amount: str
    rate: str | None
    collected_by: str


class Line(msgspec.Struct):
    id: str
    sku: str
    quantity: int
    total: str
    shipping: str
    title: str = ""
    taxes: list[Tax] = []
    shipping_taxes: list[Tax] = []


class Order(msgspec.Struct):
    id: str
    state: str
    created_at: str
    updated_at: str
    currency: str
    total: str
    prices_include_tax: bool
    lines: list[Line]
    buyer: Buyer | None = None
    ship_to: Address | None = None
    shipping_method: str = ""


class Page(msgspec.Struct):
    orders: list[Order]
    total: int


class Article(msgspec.Struct):
    id: str
    sku: str


class Articles(msgspec.Struct):
    articles: list[Article]


class Held(msgspec.Struct):
    id: str
    total: str


class Result(msgspec.Struct):
    orders: int
    cpu_seconds: float
    wall_seconds: float


SCHEMA = """
CREATE TABLE orders (id TEXT PRIMARY KEY, state TEXT, updated TEXT, document BLOB);
CREATE TABLE lines (order_id TEXT, line_id TEXT, sku TEXT, quantity INTEGER, price TEXT, PRIMARY KEY (order_id, line_id));
CREATE TABLE outbox (order_id TEXT PRIMARY KEY, body BLOB, done INTEGER NOT NULL DEFAULT 0, remote TEXT);
CREATE INDEX pending ON outbox (order_id) WHERE done = 0;
"""


def open_database(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.executescript(SCHEMA)
    return database


def body_of(order: Order, articles: dict[str, str]) -> bytes:
    lines = [
        {
            "id": x.id, "sku": x.sku, "title": x.title, "quantity": x.quantity, "article": articles[x.sku],
            "total": x.total, "shipping": x.shipping, "taxes": x.taxes, "shipping_taxes": x.shipping_taxes,
        }
        for x in order.lines
    ]  # fmt: skip
    content = {
        "connection": "floor", "marketplace_order": order.id, "placed_at": order.created_at,
        "currency": order.currency, "total": order.total, "prices_include_tax": order.prices_include_tax,
        "fees": "0", "buyer": order.buyer, "ship_to": order.ship_to, "bill_to": None,
        "shipping_method": order.shipping_method, "lines": lines,
    }  # fmt: skip
    mark = hashlib.sha256(msgspec.json.encode(content)).hexdigest()
    key = hashlib.sha256(order.id.encode()).hexdigest()[:24]
    fixed = {"ref": key, "order_key": key, "takes_stock": True, "ships": True, "mark": mark}
    return msgspec.json.encode({**content, **fixed})


def commit_page(database: sqlite3.Connection, orders: list[Order], bodies: list[bytes]) -> None:
    database.execute("BEGIN IMMEDIATE")
    database.executemany(
        "INSERT INTO orders VALUES (?, ?, ?, ?)",
        [(o.id, o.state, o.updated_at, msgspec.json.encode(o)) for o in orders],
    )
    database.executemany(
        "INSERT INTO lines VALUES (?, ?, ?, ?, ?)",
        [(o.id, x.id, x.sku, x.quantity, x.total) for o in orders for x in o.lines],
    )
    database.executemany(
        "INSERT INTO outbox (order_id, body) VALUES (?, ?)",
        [(o.id, body) for o, body in zip(orders, bodies, strict=True)],
    )
    database.execute("COMMIT")


def commit_done(database: sqlite3.Connection, done: list[tuple[str, str]]) -> None:
    database.execute("BEGIN IMMEDIATE")
    database.executemany("UPDATE outbox SET done = 1, remote = ? WHERE order_id = ?", done)
    database.execute("COMMIT")


class Shop:
    """Two ways to the shop: a kept connection for reads, one kept for a moment for POST."""

    def __init__(self, url: str) -> None:
        headers = {
            "Authorization": "Bearer bench",
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        self._url = url
        kept = aiohttp.TCPConnector(limit=16, keepalive_timeout=15.0)
        brief = aiohttp.TCPConnector(limit=16, keepalive_timeout=2.0)
        jar = aiohttp.DummyCookieJar()
        self._read = aiohttp.ClientSession(connector=kept, headers=headers, cookie_jar=jar)
        self._post = aiohttp.ClientSession(connector=brief, headers=headers, cookie_jar=jar)

    async def get(self, path: str) -> bytes:
        async with self._read.get(self._url + path) as answer:
            answer.raise_for_status()
            return await answer.read()

    async def articles(self) -> dict[str, str]:
        found = msgspec.json.decode(await self.get("/shop/articles?limit=100"), type=Articles)
        return {article.sku: article.id for article in found.articles}

    async def push(self, body: bytes, total: str) -> str:
        async with self._post.post(f"{self._url}/shop/orders", data=body) as answer:
            answer.raise_for_status()
            held = msgspec.json.decode(await answer.read(), type=Held)
        if Decimal(held.total) != Decimal(total):
            raise ValueError("the shop's total is another one")
        return held.id

    async def close(self) -> None:
        for session in (self._read, self._post):
            await session.close()


async def push_page(
    shop: Shop, database: sqlite3.Connection, orders: list[Order], bodies: list[bytes]
) -> None:
    """Groups of what was in flight together are marked together."""
    work = list(zip(orders, bodies, strict=True))
    for start in range(0, len(work), IN_FLIGHT):
        group = work[start : start + IN_FLIGHT]
        made = await asyncio.gather(*(shop.push(body, order.total) for order, body in group))
        commit_done(database, [(remote, order.id) for remote, (order, _) in zip(made, group, strict=True)])


async def run(url: str, directory: Path) -> Result:
    shop = Shop(url)
    database = open_database(directory / "floor.sqlite3")
    articles = await shop.articles()
    wall, cpu, count = time.monotonic(), time.process_time(), 0
    while True:
        page = msgspec.json.decode(
            await shop.get(f"/marketplace/orders?limit={PAGE}&offset={count}"), type=Page
        )
        bodies = [body_of(order, articles) for order in page.orders]
        commit_page(database, page.orders, bodies)
        await push_page(shop, database, page.orders, bodies)
        count += len(page.orders)
        if count >= page.total:
            break
    result = Result(count, time.process_time() - cpu, time.monotonic() - wall)
    await shop.close()
    database.close()
    return result


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(run(sys.argv[1], Path(sys.argv[2])))).decode())
