from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest

from marketsync.cli.main import COMMANDS, cli
from marketsync.commands.table import COMMANDS as ACTIONS
from tools.reference import PAGE, document

ROOT = Path(__file__).parents[3]
HELP_RATIO_MAX = 1.7


def test_the_page_says_what_the_code_says() -> None:
    assert PAGE.read_text() == document(), "run `python -m tools.reference`"


def test_every_command_says_what_it_does() -> None:
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert command.help
        leaves = command.commands.values() if isinstance(command, click.Group) else [command]
        assert all(leaf.help for leaf in leaves)


def test_every_action_can_be_reached_from_the_command_line() -> None:
    reached = set()
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        inner = (
            [f"{name}.{leaf}" for leaf in command.commands] if isinstance(command, click.Group) else [name]
        )
        reached.update(inner)
    assert set(ACTIONS) <= reached
    assert reached - set(ACTIONS) == {"run", "demo", "check", "new-adapter"}


def test_help_imports_nothing_that_is_slow() -> None:
    code = "import sys; from marketsync.cli.main import cli; cli(['--help'], standalone_mode=False); print(sorted(sys.modules))"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout
    for slow in ("aiohttp", "aiosqlite", "pydantic", "structlog", "prometheus_client", "msgspec", "asyncio"):
        assert f"'{slow}'" not in shown


def cpu_seconds(*words: str) -> float:
    """Of a whole process, the best of five: the machine may be busy."""
    spent = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], capture_output=True, cwd=ROOT, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent)


def test_help_costs_little_more_than_the_interpreter_and_its_parser_of_options() -> None:
    assert cpu_seconds("-m", "marketsync", "--help") < HELP_RATIO_MAX * cpu_seconds("-c", "import click")


@pytest.mark.parametrize("words", [["nonsense"], ["orders"], ["map", "set", "a"], ["resync", "--axis", "x"]])
def test_a_wrong_command_line_is_2(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "marketsync", *words], capture_output=True, cwd=ROOT, check=False
    )
    assert done.returncode == 2
