"""Writes docs/reference.md from the code: commands, exit codes, configuration, metrics, events.

`python -m tools.reference` writes the page; a test fails while the page and the code differ.
"""

from __future__ import annotations

import re
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from inspect import getsourcefile
from typing import Any

import click
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from marketsync.cli import exits
from marketsync.cli.main import COMMANDS, cli
from marketsync.config import BackOfficeConfig, DaemonConfig, MarketplaceConfig
from marketsync.ops.events import EVENTS
from marketsync.ops.metrics import METRICS
from tools.lint import ROOT

PAGE = ROOT / "docs" / "reference.md"
EXAMPLE = ROOT / "config.example.toml"
SECTIONS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("daemon", "[daemon]", DaemonConfig),
    ("market", "[connections.NAME] of a marketplace: it names its back_office", MarketplaceConfig),
    ("shop", "[connections.NAME] of a shop", BackOfficeConfig),
)


COMMANDS_TEXT = """Each takes `--json` where it prints a table. With a running daemon a command goes through its control
socket; without one it opens the store itself, and one that changes something takes the store's lock."""
CONFIGURATION_TEXT = """TOML: `--config`, else `/etc/marketsync/config.toml`, else `./config.toml`. Nothing is taken from the environment,
and an unknown key is an error that names it. `config.example.toml` holds every key. `[connections.NAME.settings]` is the
adapter's own: see its page. A secret is only named: `cred:NAME` is the file NAME in `$CREDENTIALS_DIRECTORY`, `file:/path` a file
of mode 0600 that belongs to the user who runs the program."""
METRICS_TEXT = """On `daemon.listen`, at `/metrics`. No label ever holds an order, a SKU or a person. `/healthz`: the event loop
turned within 5 seconds. `/readyz`: the store took a commit within the last minute."""
EVENTS_TEXT = """Log lines, as JSON or as text on stderr. Each has `timestamp`, `level`, `event` and flat fields; a field that is
not on the list of what may be shown reads `(hidden)`."""


def document() -> str:
    parts = (
        "# Reference",
        "Made from the code by `python -m tools.reference`.",
        "## Commands",
        COMMANDS_TEXT,
        _table(("command", "what it does", "options"), _commands()),
        "## Exit codes",
        _table(("code", "name", "meaning"), _exits()),
        "## Configuration",
        CONFIGURATION_TEXT,
        *_configuration(),
        "## Metrics",
        METRICS_TEXT,
        _table(("metric", "type", "labels", "meaning"), _metrics()),
        "## Events",
        EVENTS_TEXT,
        _table(
            ("event", "level", "meaning"), ((f"`{name}`", e.level, e.meaning) for name, e in EVENTS.items())
        ),
    )
    return "\n\n".join(parts) + "\n"


def comments() -> dict[tuple[str, str], str]:
    """(section, key) -> the comment above the key in the example."""
    found: dict[tuple[str, str], str] = {}
    section = ""
    said: list[str] = []
    for line in EXAMPLE.read_text().splitlines():
        if header := re.match(r"\[(.+)\]", line):
            section, said = header[1].removeprefix("connections."), []
        elif key := re.match(r"(?:# )?([a-z_]+) = ", line):
            found[section, key[1]] = " ".join(said)
            said = []
        elif line.startswith("# "):
            said.append(line.removeprefix("# "))
        else:
            said = []
    return found


def example() -> dict[str, Any]:
    return tomllib.loads(EXAMPLE.read_text())


def _commands() -> Iterator[tuple[str, ...]]:
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        if isinstance(command, click.Group):
            for inner, leaf in command.commands.items():
                yield _command(f"{name} {inner}", leaf)
        elif command is not None:
            yield _command(name, command)


def _command(name: str, command: click.Command) -> tuple[str, ...]:
    arguments = [
        p.make_metavar(click.Context(command)) for p in command.params if isinstance(p, click.Argument)
    ]
    options = [p.opts[-1] for p in command.params if isinstance(p, click.Option) and p.opts[-1] != "--json"]
    text = " ".join((command.help or "").split())
    return (f"`{' '.join((name, *arguments))}`", text, ", ".join(f"`{option}`" for option in options) or "-")


def _exits() -> Iterator[tuple[str, ...]]:
    """The meaning stands as a comment beside each code."""
    source = getsourcefile(exits)
    said = {}
    if source is not None:
        with open(source, "rb") as file:  # noqa: PTH123 - the tokenizer wants the open file
            said = {
                t.line.split("=")[0].strip(): t.string.removeprefix("# ") for t in _comments(file.readline)
            }
    for code in exits.Exit:
        yield str(code.value), code.name, said.get(code.name, "all is well")


def _comments(readline: Any) -> list[tokenize.TokenInfo]:
    return [token for token in tokenize.tokenize(readline) if token.type == tokenize.COMMENT]


def _configuration() -> Iterator[str]:
    said = comments()
    for section, title, model in SECTIONS:
        rows = [
            (f"`{key}`", _default(model, key), said.get((section, key), "")) for key in model.model_fields
        ]
        yield f"### `{title.partition(']')[0]}]`{title.partition(']')[2]}"
        yield _table(("key", "default", "meaning"), rows)


def _default(model: type[BaseModel], key: str) -> str:
    default = model.model_fields[key].default
    if default is PydanticUndefined:
        return "must be given"
    match default:
        case None:
            return "none"
        case "":
            return "empty"
        case bool():
            return f"`{str(default).lower()}`"
        case _:
            return f"`{default}`"


def _metrics() -> Iterator[tuple[str, ...]]:
    for metric in METRICS:
        yield f"`{metric.name}`", metric.sort.value, ", ".join(metric.labels) or "-", metric.help


def _table(headers: tuple[str, ...], rows: Any) -> str:
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(document())
    sys.exit(0)
