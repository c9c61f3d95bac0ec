"""FROZEN. The least that a careful person would write by hand for the same work, and the measure of the product.

Pages of 100 orders -> msgspec -> one FULL transaction a page (orders, lines, outbox) -> per order the calls that the
product makes for a create in WooCommerce (POST as pending, GET and compare the total, PUT to release), as many in
flight, by the same connection policy: reads keep connections for 15 s, POST for 2 s, PUT takes a fresh one each
time -> marked as done in groups. No retry, no doubt, no stock, no log, no metrics, no limits.

A test holds the hash of this file: a floor that moves measures nothing.
"""

from __future__ import annotations

import asyncio
import base64
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
    firstname: str = ""
    lastname: str = ""
    street_1: str = ""
    zip_code: str = ""
    city: str = ""
    country_iso_code: str = ""
    phone: str = ""


class Customer(msgspec.Struct):
    firstname: str = ""
    lastname: str = ""
    billing_address: Address | None = None
    shipping_address: Address | None = None


class Tax(msgspec.Struct):
    amount: Decimal


class Line(msgspec.Struct):
    order_line_id: str
    offer_sku: str
    quantity: int
    price: Decimal
    shipping_price: Decimal
    product_title: str = ""
    taxes: list[Tax] = []
    shipping_taxes: list[Tax] = []


class Order(msgspec.Struct):
    order_id: str
    order_state: str
    created_date: str
    last_updated_date: str
    currency_iso_code: str
    total_price: Decimal
    order_lines: list[Line]
    customer: Customer
    customer_notification_email: str = ""
    shipping_type_code: str = ""


class Page(msgspec.Struct):
    orders: list[Order]
    total_count: int


class Product(msgspec.Struct):
    id: int
    sku: str


class Held(msgspec.Struct):
    id: int
    total: str


class Result(msgspec.Struct):
    orders: int
    cpu_seconds: float
    wall_seconds: float


SCHEMA = """
CREATE TABLE orders (id TEXT PRIMARY KEY, state TEXT, updated TEXT, document BLOB);
CREATE TABLE lines (order_id TEXT, line_id TEXT, sku TEXT, quantity INTEGER, price TEXT, PRIMARY KEY (order_id, line_id));
CREATE TABLE outbox (order_id TEXT PRIMARY KEY, body BLOB, done INTEGER NOT NULL DEFAULT 0, remote INTEGER);
CREATE INDEX pending ON outbox (order_id) WHERE done = 0;
"""


def open_database(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.executescript(SCHEMA)
    return database


def body_of(order: Order, articles: dict[str, int]) -> bytes:
    address = order.customer.shipping_address or Address()
    where = {
        "first_name": address.firstname, "last_name": address.lastname, "address_1": address.street_1,
        "city": address.city, "postcode": address.zip_code, "country": address.country_iso_code[:2],
        "phone": address.phone,
    }  # fmt: skip
    taxes = sum(
        (tax.amount for line in order.order_lines for tax in (*line.taxes, *line.shipping_taxes)), Decimal(0)
    )
    lines = []
    for line in order.order_lines:
        net = str(line.price - sum((tax.amount for tax in line.taxes), Decimal(0)))
        lines.append({
            "product_id": articles[line.offer_sku], "quantity": line.quantity, "subtotal": net, "total": net,
            "name": line.product_title, "tax_class": "zero-rate",
            "meta_data": [{"key": "_floor_line", "value": line.order_line_id}],
        })  # fmt: skip
    shipping = sum(
        (x.shipping_price - sum((t.amount for t in x.shipping_taxes), Decimal(0)) for x in order.order_lines),
        Decimal(0),
    )
    return msgspec.json.encode({
        "billing": {**where, "email": order.customer_notification_email}, "shipping": where, "line_items": lines,
        "shipping_lines": [{"method_id": "floor", "method_title": order.shipping_type_code, "total": str(shipping)}],
        "fee_lines": [{"name": "Marketplace tax", "total": str(taxes), "tax_status": "none"}], "status": "pending",
        "customer_id": 0, "currency": order.currency_iso_code, "payment_method": "floor",
        "transaction_id": order.order_id, "meta_data": [{"key": "_floor_ref", "value": order.order_id}],
    })  # fmt: skip


def commit_page(database: sqlite3.Connection, orders: list[Order], bodies: list[bytes]) -> None:
    database.execute("BEGIN IMMEDIATE")
    database.executemany(
        "INSERT INTO orders VALUES (?, ?, ?, ?)",
        [(o.order_id, o.order_state, o.last_updated_date, msgspec.json.encode(o)) for o in orders],
    )
    database.executemany(
        "INSERT INTO lines VALUES (?, ?, ?, ?, ?)",
        [
            (o.order_id, x.order_line_id, x.offer_sku, x.quantity, str(x.price))
            for o in orders
            for x in o.order_lines
        ],
    )
    database.executemany(
        "INSERT INTO outbox (order_id, body) VALUES (?, ?)",
        [(o.order_id, body) for o, body in zip(orders, bodies, strict=True)],
    )
    database.execute("COMMIT")


def commit_done(database: sqlite3.Connection, done: list[tuple[int, str]]) -> None:
    database.execute("BEGIN IMMEDIATE")
    database.executemany("UPDATE outbox SET done = 1, remote = ? WHERE order_id = ?", done)
    database.execute("COMMIT")


class Shop:
    """Three ways to the shop: a kept connection for reads, one kept for a moment for POST, a fresh one for PUT."""

    def __init__(self, url: str) -> None:
        pair = base64.b64encode(b"ck:cs").decode()
        headers = {
            "Authorization": f"Basic {pair}",
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        self._url = f"{url}/wp-json/wc/v3"
        kept = aiohttp.TCPConnector(limit=16, keepalive_timeout=15.0)
        brief = aiohttp.TCPConnector(limit=16, keepalive_timeout=2.0)
        fresh = aiohttp.TCPConnector(limit=16, force_close=True)
        jar = aiohttp.DummyCookieJar()
        self._read = aiohttp.ClientSession(connector=kept, headers=headers, cookie_jar=jar)
        self._post = aiohttp.ClientSession(connector=brief, headers=headers, cookie_jar=jar)
        self._put = aiohttp.ClientSession(connector=fresh, headers=headers, cookie_jar=jar)

    async def get(self, url: str) -> bytes:
        async with self._read.get(url) as answer:
            answer.raise_for_status()
            return await answer.read()

    async def articles(self) -> dict[str, int]:
        found = msgspec.json.decode(await self.get(f"{self._url}/products?per_page=100"), type=list[Product])
        return {product.sku: product.id for product in found}

    async def push(self, body: bytes, total: Decimal) -> int:
        async with self._post.post(f"{self._url}/orders", data=body) as answer:
            answer.raise_for_status()
            created = msgspec.json.decode(await answer.read(), type=Held)
        held = msgspec.json.decode(await self.get(f"{self._url}/orders/{created.id}"), type=Held)
        if Decimal(held.total) != total:
            raise ValueError("the shop's total is another one")
        async with self._put.put(
            f"{self._url}/orders/{created.id}", data=b'{"status":"processing"}'
        ) as answer:
            answer.raise_for_status()
            msgspec.json.decode(await answer.read(), type=Held)
        return created.id

    async def close(self) -> None:
        for session in (self._read, self._post, self._put):
            await session.close()


async def push_page(
    shop: Shop, database: sqlite3.Connection, orders: list[Order], bodies: list[bytes]
) -> None:
    """Groups of what was in flight together are marked together."""
    work = list(zip(orders, bodies, strict=True))
    for start in range(0, len(work), IN_FLIGHT):
        group = work[start : start + IN_FLIGHT]
        made = await asyncio.gather(*(shop.push(body, order.total_price) for order, body in group))
        commit_done(
            database, [(remote, order.order_id) for remote, (order, _) in zip(made, group, strict=True)]
        )


async def run(url: str, directory: Path) -> Result:
    shop = Shop(url)
    database = open_database(directory / "floor.sqlite3")
    articles = await shop.articles()
    wall, cpu, count = time.monotonic(), time.process_time(), 0
    while True:
        page = msgspec.json.decode(await shop.get(f"{url}/api/orders?max={PAGE}&offset={count}"), type=Page)
        bodies = [body_of(order, articles) for order in page.orders]
        commit_page(database, page.orders, bodies)
        await push_page(shop, database, page.orders, bodies)
        count += len(page.orders)
        if count >= page.total_count:
            break
    result = Result(count, time.process_time() - cpu, time.monotonic() - wall)
    await shop.close()
    database.close()
    return result


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(run(sys.argv[1], Path(sys.argv[2])))).decode())
