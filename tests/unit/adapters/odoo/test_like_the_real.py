"""What a real Odoo 19 showed, step by step, the simulated one shows: `python -m tools.real_odoo --record` wrote it down."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tools.odoo_grounds import Simulated
from tools.odoo_steps import observed

RECORD = json.loads((Path(__file__).parents[4] / "fixtures" / "odoo" / "steps.json").read_text())


@pytest.fixture(scope="module")
def simulated() -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(json.dumps(asyncio.run(observed(Simulated()))))
    return shown


@pytest.mark.parametrize("name", sorted(RECORD))
def test_a_step_shows_what_the_real_server_showed(simulated: dict[str, Any], name: str) -> None:
    assert simulated[name] == RECORD[name]


def test_every_step_was_taken_on_the_real_server(simulated: dict[str, Any]) -> None:
    assert sorted(simulated) == sorted(RECORD)
