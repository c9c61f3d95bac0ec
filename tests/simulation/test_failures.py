"""The scripts that are kept: what once failed passes, and still fails where its cure is taken away.

A file with the name of a planted defect is what is enough to see that defect in a standard seed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.planted import DEFECTS
from tests.simulation.planting import copied, plant, run_python
from tests.simulation.scenario import standard
from tests.simulation.script import load
from tests.simulation.shrink import FOLDER, play

KEPT = sorted(FOLDER.glob("*.json"))
CURED = {defect.name: defect for defect in DEFECTS}
RUN_SECONDS = 120.0


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_once_failed_passes(path: Path) -> None:
    script = load(path)
    assert play(standard(script.seed), script).failures == ()


@pytest.mark.parametrize("name", [path.stem for path in KEPT if path.stem in CURED])
def test_without_its_cure_it_fails_again(name: str) -> None:
    """Else the script has lost what it was kept for: the seed is another one by now, and it must be found anew."""
    path = FOLDER / f"{name}.json"
    with copied() as tree:
        assert [plant(change, tree) for change in CURED[name].changes] == [""] * len(CURED[name].changes)
        done = run_python(["-m", "tests.simulation", "--script", str(path)], tree, RUN_SECONDS)
    assert done is not None
    assert done.returncode == 1
    assert f"FAILED {load(path).failure}" in done.stdout


def test_there_is_one_to_run() -> None:
    assert any(path.stem in CURED for path in KEPT)
