"""The kit in the hands of somebody outside: a package of their own, one line in a test, no configuration of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from marketsync.http import Role
from marketsync.kit.skeletons import write_skeleton

ROOT = Path(__file__).resolve().parents[2]
ONE_LINE = """
from marketsync.kit import conformance
from minimart import ADAPTER

TestMinimart = conformance(ADAPTER)
"""
BAD = """
from msgspec.structs import replace

from marketsync.errors import InDoubt
from marketsync.kit import conformance
from marketsync.ports import StepDone
from minimart.adapter import ADAPTER, Confirm, build


def careless(context, settings):
    market = build(context, settings)
    send = Confirm.send

    class Careless(Confirm):
        async def send(self, payload, *more):
            try:
                return await send(self, payload, *more)
            except InDoubt:
                return StepDone(payload.order_id)

    market.writers = {kind: Careless(market) for kind in market.writers}
    return market


TestMinimart = conformance(replace(ADAPTER, build=careless), only=["confirm"])
"""


def run(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    if not (directory / "minimart").exists():
        write_skeleton("minimart", Role.MARKETPLACE, directory / "written")
        shutil.move(directory / "written" / "minimart", directory / "minimart")
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(directory)))}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=directory, env=surroundings, capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip


def test_one_line_runs_every_check_and_prints_the_scorecard(tmp_path: Path) -> None:
    (tmp_path / "test_minimart.py").write_text(ONE_LINE)
    done = run(
        tmp_path,
        "pytest",
        "-q",
        "-W",
        "error",
        "-p",
        "no:asyncio",
        "-p",
        "no:cacheprovider",
        "test_minimart.py",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "minimart\n  reads      base: done 8, todo 4" in done.stdout
    assert "exempt net.tokens: the key is fixed: nothing is renewed" in done.stdout


def test_a_bug_of_theirs_is_red_and_says_what_happened(tmp_path: Path) -> None:
    (tmp_path / "test_minimart.py").write_text(BAD)
    done = run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "test_minimart.py")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "request lost: step ship is called done, and the far side shows otherwise" in done.stdout


@pytest.mark.parametrize("arguments, code, text", [
    (("minimart:ADAPTER",), 0, "plan       base: done 4"),
    (("minimart:ADAPTER", "-k", "confirm.lost"), 0, "confirm    base: done 1"),
    (("no_such_adapter",), 1, "no adapter of the name no_such_adapter is installed; say package.module:ADAPTER for one"),
    (("minimart:NOTHING",), 1, "minimart:NOTHING is no AdapterSpec"),
    (("minimart.nothing:ADAPTER",), 1, "there is no module minimart.nothing in this folder or on PYTHONPATH"),
    (("minimart:ADAPTER", "-k", "confirm.lots"), 2, "-k confirm.lots: there is no power and no check of this name"),
])  # fmt: skip
def test_the_command_prints_scorecards(
    tmp_path: Path, arguments: tuple[str, ...], code: int, text: str
) -> None:
    done = run(tmp_path, "marketsync.kit", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert text in done.stdout + done.stderr
