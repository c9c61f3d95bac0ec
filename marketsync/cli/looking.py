"""Commands that change nothing."""

from __future__ import annotations

import click

from marketsync.cli import tables
from marketsync.cli.calling import call, json_option


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Is everything read, sent and agreed on."""
    call("status", {}, tables.status, as_json=as_json)


@click.group()
def orders() -> None:
    """What is held of the marketplaces' orders."""


@orders.command("list")
@click.option("--connection", help="Of this marketplace alone.")
@click.option("--open", "open_only", is_flag=True, help="Only those that may still change.")
@click.option(
    "--before", "before_arrival", type=int, help="Continue a list: the `arrival` of its last order."
)
@click.option("--limit", type=int, default=50, show_default=True)
@json_option
def orders_list(
    connection: str | None, open_only: bool, before_arrival: int | None, limit: int, as_json: bool
) -> None:
    """The newest orders."""
    args = {
        "connection": connection,
        "open_only": open_only,
        "before_arrival": before_arrival,
        "limit": limit,
    }
    call("orders.list", args, tables.orders, as_json=as_json)


@orders.command("show", short_help="One order.")
@click.argument("order")
@json_option
def orders_show(order: str, as_json: bool) -> None:
    """One order: ORDER is our reference, the marketplace's id, or connection/id."""
    call("orders.show", {"order": order}, tables.order, as_json=as_json)


@click.command()
@click.argument("order")
@json_option
def explain(order: str, as_json: bool) -> None:
    """The story of one order, from the poll to the confirmation of its last parcel."""
    call("explain", {"order": order}, tables.explanation, as_json=as_json)


@click.group()
def stock() -> None:
    """What is available, and why."""


@stock.command("show")
@click.argument("sku", required=False)
@click.option("--back-office", help="Of this shop alone.")
@click.option("--after", default="", help="Continue a list after this SKU.")
@click.option("--limit", type=int, default=100, show_default=True)
@json_option
def stock_show(sku: str | None, back_office: str | None, after: str, limit: int, as_json: bool) -> None:
    """One SKU, or all that the shop reported."""
    args = {"sku": sku, "back_office": back_office, "after": after, "limit": limit}
    call("stock.show", args, tables.stock, as_json=as_json)
