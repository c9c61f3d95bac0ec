"""`new-adapter`: the files that an author of an adapter begins with."""

from __future__ import annotations

from pathlib import Path

import click

from marketsync.cli.exits import Exit
from marketsync.errors import ConfigError


@click.command("new-adapter")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(("marketplace", "back_office")),
    default="marketplace",
    help="What it is to be.",
)
@click.option(
    "--into", type=click.Path(path_type=Path), default=Path(), help="The folder; without it this one."
)
def new_adapter(name: str, role: str, into: Path) -> None:
    """Write the beginning of an adapter: a package with its simulated server and quality.toml, and a test with the kit's one line."""
    from marketsync.http import Role
    from marketsync.kit.skeletons import write_skeleton

    try:
        written = write_skeleton(name, Role(role), into)
    except ConfigError as error:
        click.echo(f"marketsync: {error}", err=True)
        raise SystemExit(Exit.USAGE) from None
    for path in written:
        click.echo(path)
    click.echo(
        f"Judge it: python -m pytest {written[-1]}   (pip install 'marketsync[kit]' brings what that needs)"
    )
