"""`marketsync new-adapter` writes what passes the kit as it stands, and never over anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from marketsync.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]


def make(directory: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["new-adapter", *words, "--into", str(directory)])
    return done.exit_code, done.output


def judge(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(directory)))}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=directory, env=surroundings, capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("role", "said"),
    [("marketplace", "reads      base: done 8, todo 4"), ("back_office", "create     base: done 4")],
)
def test_what_it_writes_passes_the_kit_as_it_stands(tmp_path: Path, role: str, said: str) -> None:
    code, output = make(tmp_path, "corner_shop", "--role", role)
    assert code == 0, output
    files = ("__init__.py", "adapter.py", "quality.toml", "side.py")
    assert sorted(x.name for x in (tmp_path / "corner_shop").iterdir()) == list(files)
    test = (tmp_path / "test_corner_shop.py").read_text()
    assert "TestCornerShop = conformance(ADAPTER)" in test
    done = judge(
        tmp_path, "pytest", "-q", "-p", "no:asyncio", "-p", "no:cacheprovider", "test_corner_shop.py"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"corner_shop\n  {said}" in done.stdout


def test_a_wrong_path_of_its_marketplace_is_red(tmp_path: Path) -> None:
    make(tmp_path, "corner_shop")
    file = tmp_path / "corner_shop" / "adapter.py"
    stated = file.read_text()
    assert "/{payload.order_id}/ship" in stated
    file.write_text(stated.replace("/{payload.order_id}/ship", "/{payload.order_id}/shop"))
    done = judge(tmp_path, "marketsync.kit", "corner_shop:ADAPTER", "-k", "confirm.lost")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "RED confirm.lost" in done.stdout


def test_its_files_are_in_the_style_of_this_house(tmp_path: Path) -> None:
    for role in ("marketplace", "back_office"):
        make(tmp_path / role, "corner_shop", "--role", role)
    rules = ("--config", str(ROOT / "pyproject.toml"), "--ignore", "I001,ANN401,TID252,PLR2004,ARG002")
    done = judge(tmp_path, "ruff", "check", *rules, ".")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["Corner", "1st", "class", "a", "a-b", "../x", "x" * 40])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    code, output = make(tmp_path, name)
    assert code == 2
    assert "name of a package" in output
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "test_corner.py").write_text("mine")
    code, output = make(tmp_path, "corner")
    assert code == 2
    assert "there already" in output
    assert (tmp_path / "test_corner.py").read_text() == "mine"
    assert not (tmp_path / "corner").exists()
