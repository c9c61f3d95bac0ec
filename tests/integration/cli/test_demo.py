"""The demo as a person meets it: what its first line says works in a second terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 30
MARKETSYNC = [sys.executable, "-m", "marketsync"]


@pytest.fixture
def config(tmp_path: Path) -> Iterator[str]:
    """The configuration that a running demo names in its first line."""
    running = subprocess.Popen(
        [*MARKETSYNC, "demo"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert running.stdout is not None
    with running.stdout:
        said = running.stdout.readline()
        running.stdout.readline()  # the first table: the daemon runs
        yield said.split("--config ")[1].split()[0]
        running.kill()
        running.wait(PATIENCE_SECONDS)


def call(config: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MARKETSYNC, "--config", config, *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_commands_reach_the_demo_as_they_reach_a_daemon(config: str) -> None:
    status = call(config, "status", "--json")
    assert json.loads(status.stdout)["running"], status.stderr
    paused = call(config, "pause", "ebay", "--reason", "a look")
    assert paused.returncode == 0, paused.stderr
    rows = json.loads(call(config, "status", "--json").stdout)["connections"]
    assert [(row["state"], row["reason"]) for row in rows if row["connection"] == "ebay"] == [
        ("paused", "a look")
    ]
