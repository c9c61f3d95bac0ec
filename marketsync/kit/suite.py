"""The kit as one line of a pytest module: `TestVendor = conformance(ADAPTER)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marketsync.http import AdapterSpec
from marketsync.kit.quality import BASE
from marketsync.kit.registry import Check
from marketsync.kit.score import Outcome, Runs, lines


def conformance(spec: AdapterSpec, *, only: Sequence[str] = ()) -> type:
    """A class of tests, one for each check, and one that holds all of them against quality.toml and prints the scorecard."""
    import pytest

    runs = Runs(spec, only)
    cases = [
        pytest.param(check, variant, id=check.id if variant == BASE else f"{check.id}@{variant}")
        for check, variant in runs.wanted()
    ]

    class Conformance:
        @pytest.mark.parametrize(("check", "variant"), cases)
        def test_check(self, check: Check, variant: str) -> None:
            row = runs.row(check, variant)
            if row.outcome is Outcome.RED:
                pytest.fail("\n".join((row.id, *row.why)), pytrace=False)
            if row.outcome is not Outcome.DONE:
                pytest.skip(f"{row.outcome.value}: {' '.join(row.why)}")

        def test_quality(self, capsys: Any) -> None:
            card = runs.scorecard()
            with capsys.disabled():
                print("", *lines(card), sep="\n")
            if not card.sound:
                pytest.fail("\n".join((*card.reds, *card.problems)), pytrace=False)

    Conformance.__qualname__ = Conformance.__name__ = f"Test{spec.name.title()}"
    return Conformance
