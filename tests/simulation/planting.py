"""Plants a piece of text in a copy of the code, and runs Python there: the tree itself is never touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
PARTS = ("marketsync", "adapters", "tests", "tools", "fixtures", "pyproject.toml", "config.example.toml")


class Change(msgspec.Struct, frozen=True):
    """`before` stands in `file` exactly once."""

    file: str
    before: str
    after: str


class Defect(msgspec.Struct, frozen=True):
    """`why` is what it allows; `within` so many seeds of `scenario` it must be seen, `rule` "" for none of its own."""

    name: str
    rule: str
    why: str
    scenario: str
    within: int
    changes: tuple[Change, ...]


def plant(change: Change, tree: Path) -> str:
    """ "" if it is planted, else why it could not be: a rule may have moved, and what breaks it must follow it."""
    path = tree / change.file
    text = path.read_text()
    found = text.count(change.before)
    if found != 1:
        return f"its text stands {found} times in {change.file}"
    path.write_text(text.replace(change.before, change.after))
    return ""


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the project, which lives as long as the block."""
    with tempfile.TemporaryDirectory(prefix="marketsync-planted-") as folder:
        tree = Path(folder)
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, tree / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            elif source.exists():
                shutil.copy(source, tree / part)
        yield tree


def run_python(words: Sequence[str], tree: Path, seconds: float) -> subprocess.CompletedProcess[str] | None:
    """In the copy, which comes first on the path; no byte code, which could be that of the text before. None where it
    did not end in time."""
    environment = {
        **os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "CI": "1",
    }  # fmt: skip
    try:
        return subprocess.run(
            [sys.executable, *words], cwd=tree, env=environment, capture_output=True, text=True, timeout=seconds,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
