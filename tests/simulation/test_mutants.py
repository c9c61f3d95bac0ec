from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.planting import ROOT, plant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.rule} {mutant.why}")
def test_what_a_mutant_breaks_stands_where_it_says(mutant: Mutant) -> None:
    """Else the rule has moved, and `make mutants` would prove nothing about it."""
    assert (ROOT / mutant.file).read_text().count(mutant.before) == 1
    assert mutant.after != mutant.before
    assert mutant.tests
    assert all((ROOT / test.split("::")[0]).exists() for test in mutant.tests)


def test_a_mutant_is_planted_in_the_copy_alone(tmp_path: Path) -> None:
    mutant = MUTANTS[0]
    (tmp_path / mutant.file).parent.mkdir(parents=True)
    (tmp_path / mutant.file).write_text(f"# {mutant.before}")
    assert plant(mutant.change, tmp_path) == ""
    assert (tmp_path / mutant.file).read_text() == f"# {mutant.after}"
    assert "stands 0 times" in plant(mutant.change, tmp_path)
    assert mutant.before in (ROOT / mutant.file).read_text()
