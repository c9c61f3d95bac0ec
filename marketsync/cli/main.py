"""The command line. Commands are imported when they are called, so that `--help` is quick."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from marketsync import __version__

COMMANDS = {
    "run": ("marketsync.cli.daemon", "run", "Run the daemon."),
    "demo": (
        "marketsync.cli.daemon",
        "demo",
        "Simulated marketplaces and shop, and the real daemon between them.",
    ),
    "check": (
        "marketsync.cli.daemon",
        "check",
        "Check configuration, credentials and connections; change nothing.",
    ),
    "status": ("marketsync.cli.looking", "status", "Is everything read, sent and agreed on."),
    "orders": ("marketsync.cli.looking", "orders", "What is held of the orders; cancel or refund one."),
    "explain": ("marketsync.cli.looking", "explain", "The story of one order."),
    "resync": ("marketsync.cli.acting", "resync", "Read a window, an order or a connection once more."),
    "parked": (
        "marketsync.cli.acting",
        "parked",
        "What waits for a person: list, retry, skip, found, absent.",
    ),
    "map": ("marketsync.cli.acting", "map_", "SKUs and carriers of one side and the other."),
    "stock": ("marketsync.cli.looking", "stock", "What is available, and why."),
    "pause": ("marketsync.cli.acting", "pause", "Stop a connection."),
    "resume": ("marketsync.cli.acting", "resume", "Let a connection run again."),
    "restored": ("marketsync.cli.acting", "restored", "Say that the database is an older copy."),
    "backup": ("marketsync.cli.acting", "backup", "A verified copy of the store."),
    "new-adapter": ("marketsync.cli.making", "new_adapter", "The files that a new adapter begins with."),
}


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(),
    help="The configuration; without it /etc/marketsync/config.toml, else ./config.toml.",
)
@click.version_option(__version__, prog_name="marketsync")
def cli(config: str | None) -> None:
    """Brings marketplace orders into one shop back-office exactly once, confirms their shipments, keeps one stock."""


def main(*args: Any, **kwargs: Any) -> None:
    """The console script."""
    cli(*args, **kwargs)
