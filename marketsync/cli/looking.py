"""Commands that look, and what is asked for of an order beside them."""

from __future__ import annotations

import re

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
    """What is held of the marketplaces' orders; cancel or refund one."""


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


class Amount(click.ParamType[str]):
    """A sum, handed on as text."""

    name = "amount"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"\d{1,9}(\.\d{1,3})?", value, re.ASCII):
            self.fail(f"{value!r} is no sum such as 12.50, with a point", param, ctx)
        return value


@orders.command("cancel")
@click.argument("order")
@click.option(
    "--line", "lines", multiple=True, help="This line alone, by the marketplace's id; may be repeated."
)
@click.option(
    "--reason",
    default="",
    help="One of the marketplace's own codes; without it, the usual one (eBay has none: name one).",
)
@json_option
def orders_cancel(order: str, lines: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Cancel ORDER at its marketplace, before it ships. The shop follows when the marketplace says that it is cancelled."""
    args = {"order": order, "lines": list(lines), "reason": reason}
    call("orders.cancel", args, tables.asked, as_json=as_json)


@orders.command("refund")
@click.argument("order")
@click.option("--line", required=True, help="The line, by the marketplace's id (`orders show`).")
@click.option(
    "--amount", type=Amount(), required=True, help="How much, in the order's currency, such as 12.50."
)
@click.option("--reason", default="", help="One of the marketplace's own codes; without it, the usual one.")
@json_option
def orders_refund(order: str, line: str, amount: str, reason: str, as_json: bool) -> None:
    """Give the buyer of ORDER money back at its marketplace. Returned goods are not booked by it."""
    args = {"order": order, "line": line, "amount": amount, "reason": reason}
    call("orders.refund", args, tables.asked, as_json=as_json)


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
