"""Commands that change something: at the daemon if one runs, else in its store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from marketsync.cli import tables
from marketsync.cli.calling import call, json_option

KINDS = click.Choice(("sku", "carrier"))
PARKED_KINDS = click.Choice(("raw", "order", "delivery", "conflict", "connection", "stock"))


class Moment(click.ParamType[str]):
    """A time with its zone, handed on as text."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.fail(f"{value!r} is no time with its zone, such as 2026-01-01T00:00:00Z", param, ctx)
        return moment.isoformat()


@click.command()
@click.option("--connection", help="This marketplace alone; without it, all.")
@click.option("--order", help="One order: our reference, the marketplace's id, or connection/id.")
@click.option(
    "--from",
    "since",
    type=Moment(),
    help="Begin of the window, such as 2026-01-01T00:00:00Z; without it, import_from.",
)
@click.option("--to", "until", type=Moment(), help="End of the window; without it, now.")
@click.option("--recent-days", type=float, help="Instead of --from: so many days back.")
@click.option("--axis", type=click.Choice(("updated", "created")), default="updated", show_default=True)
@click.option("--wait", is_flag=True, help="Report progress until it is read.")
@json_option
def resync(
    connection: str | None,
    order: str | None,
    since: str | None,
    until: str | None,
    recent_days: float | None,
    axis: str,
    wait: bool,
    as_json: bool,
) -> None:
    """Read a window, an order or a connection once more. Safe beside the daemon."""
    if order and (since or until or recent_days):
        raise click.UsageError("an order has no window: leave out --from, --to and --recent-days")
    args = {
        "connection": connection,
        "order": order,
        "since": since,
        "until": until,
        "recent_days": recent_days,
        "axis": axis,
        "wait": wait,
    }
    call("resync", args, tables.resync, as_json=as_json)


@click.group()
def parked() -> None:
    """What waits for a person, or for its cause to go away."""


@parked.command("list")
@click.option("--kind", type=PARKED_KINDS, help="Of this kind alone.")
@click.option("--connection", help="Of this connection alone.")
@click.option("--limit", type=int, default=200, show_default=True)
@json_option
def parked_list(kind: str | None, connection: str | None, limit: int, as_json: bool) -> None:
    """Newest first, each with its causes."""
    args = {"kind": kind, "connection": connection, "limit": limit}
    call("parked.list", args, tables.parked, as_json=as_json)


@parked.command("retry")
@click.argument("item")
@click.option("--kind", type=PARKED_KINDS, help="Where several kinds have an item of this name.")
@json_option
def parked_retry(item: str, kind: str | None, as_json: bool) -> None:
    """Try ITEM again. What may have arrived already is looked for first."""
    call("parked.retry", {"item": item, "kind": kind}, _settled, as_json=as_json)


@parked.command("skip")
@click.argument("item")
@click.option("--kind", type=PARKED_KINDS, help="Where several kinds have an item of this name.")
@click.option("--reason", help="Why, for whoever reads the history.")
@json_option
def parked_skip(item: str, kind: str | None, reason: str | None, as_json: bool) -> None:
    """Give ITEM up: nothing is sent for it any more."""
    call("parked.skip", {"item": item, "kind": kind, "reason": reason}, _settled, as_json=as_json)


@parked.command("found")
@click.argument("item")
@click.option("--id", "remote_id", default="", help="The far side's own id of it, where it gives one.")
@json_option
def parked_found(item: str, remote_id: str, as_json: bool) -> None:
    """You looked: the write of ITEM that was in doubt is there. It counts as done."""
    call("parked.found", {"item": item, "id": remote_id}, _settled, as_json=as_json)


@parked.command("absent")
@click.argument("item")
@json_option
def parked_absent(item: str, as_json: bool) -> None:
    """You looked: the write of ITEM that was in doubt is not there. It is sent again."""
    call("parked.absent", {"item": item}, _settled, as_json=as_json)


@click.group("map")
def map_() -> None:
    """Which word of one side stands for which of the other's."""


@map_.command("list")
@click.option("--connection", help="Of this connection alone.")
@click.option("--kind", type=KINDS)
@json_option
def map_list(connection: str | None, kind: str | None, as_json: bool) -> None:
    """All maps."""
    call("map.list", {"connection": connection, "kind": kind}, tables.maps, as_json=as_json)


@map_.command("set", short_help="Map SOURCE to VALUE.")
@click.argument("connection")
@click.argument("kind", type=KINDS)
@click.argument("source")
@click.argument("value")
@json_option
def map_set(connection: str, kind: str, source: str, value: str, as_json: bool) -> None:
    """Map SOURCE to VALUE: a marketplace's SKU to the shop's, or the shop's carrier to the marketplace's."""
    args = {"connection": connection, "kind": kind, "source": source, "value": value}
    call("map.set", args, _mapped, as_json=as_json)


@map_.command("drop")
@click.argument("connection")
@click.argument("kind", type=KINDS)
@click.argument("source")
@json_option
def map_drop(connection: str, kind: str, source: str, as_json: bool) -> None:
    """Forget the map of SOURCE."""
    args = {"connection": connection, "kind": kind, "source": source}
    call("map.drop", args, lambda result: f"{result['source']} is no longer mapped", as_json=as_json)


@click.command()
@click.argument("connection")
@click.option("--reason", help="Why, for whoever looks at the status.")
@json_option
def pause(connection: str, reason: str | None, as_json: bool) -> None:
    """Stop reading from and writing to CONNECTION."""
    args = {"connection": connection, "reason": reason}
    call("pause", args, lambda r: f"{r['connection']} is paused: {r['paused']}", as_json=as_json)


@click.command()
@click.argument("connection")
@json_option
def resume(connection: str, as_json: bool) -> None:
    """Let CONNECTION run again."""
    call("resume", {"connection": connection}, lambda r: f"{r['connection']} runs again", as_json=as_json)


@click.command()
@click.option(
    "--since", type=Moment(), required=True, help="When the copy was made, or earlier: 2026-01-01T00:00:00Z."
)
@json_option
def restored(since: str, as_json: bool) -> None:
    """Say that the database is an older copy. What may have been done since then is looked for before it is sent."""
    call("restored", {"since": since}, _restored, as_json=as_json)


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@json_option
def backup(path: Path, as_json: bool) -> None:
    """Write a verified copy of the store to the new file PATH."""
    args = {"path": str(path.absolute())}
    call("backup", args, lambda r: f"{r['path']}: {r['size_bytes']} bytes", as_json=as_json)


def _restored(result: Mapping[str, Any]) -> str:
    return f"what was done from {result['since']} to {result['until']} is looked for before anything is sent"


def _mapped(result: Mapping[str, Any]) -> str:
    woken = f"; {result['woken']} parked items go on" if result["woken"] else ""
    return f"{result['source']} is {result['value']}{woken}"


_settled: Callable[[Mapping[str, Any]], str] = lambda r: f"{r['kind']} {r['item']}: {r['became']}"  # noqa: E731 - one expression, used twice
