"""From a command line to a command's result, and from an error to its exit code."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from marketsync.cli.exits import Exit, code_of_kind

Render = Callable[[Any], str]


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document instead of tables.")(
        command
    )


def call(command: str, args: Mapping[str, Any], render: Render, *, as_json: bool) -> None:
    """Run the command, at the daemon if one runs, and print what it says."""
    result = guarded(lambda: _result(command, {k: v for k, v in args.items() if v is not None}))
    click.echo(json.dumps(result, ensure_ascii=False) if as_json else render(result))


def guarded(work: Callable[[], Any]) -> Any:
    """Every error of ours ends here: its text on stderr, its exit code to the shell."""
    from marketsync.errors import MarketsyncError

    try:
        return work()
    except MarketsyncError as error:
        click.echo(f"marketsync: {error}", err=True)
        sys.exit(exit_code(error))


def exit_code(error: Exception) -> Exit:
    from marketsync.commands.desk import NeedsDaemon, UsageError
    from marketsync.errors import ConfigError, StoreLocked

    match error:
        case UsageError():
            return Exit.USAGE
        case NeedsDaemon():
            return Exit.NO_DAEMON
        case StoreLocked():
            return Exit.LOCKED
        case ConfigError():
            return Exit.CONFIG
        case _:
            return Exit.FAILURE


def config_path() -> Path | None:
    chosen = click.get_current_context().find_root().params.get("config")
    return None if chosen is None else Path(chosen)


@functools.cache
def _loaded(path: Path | None) -> Any:
    from marketsync.config import load

    return load(path)


def load_config() -> Any:
    """ConfigError if it cannot be used."""
    return _loaded(config_path())


def _result(command: str, args: Mapping[str, Any]) -> Any:
    from marketsync.cli.client import Failed, Unreachable, ask

    config = load_config()
    try:
        return ask(config.daemon.state_dir, command, args, lambda text: click.echo(text, err=True))
    except Failed as error:
        click.echo(f"marketsync: {error}", err=True)
        sys.exit(code_of_kind(error.kind))
    except Unreachable:
        import asyncio

        from marketsync.cli.offline import run_offline

        return asyncio.run(run_offline(config, command, args))
