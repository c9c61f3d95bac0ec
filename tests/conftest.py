from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on every run where a red result must mean a change; new ones where somebody looks.
settings.register_profile("deterministic", derandomize=True, deadline=None, database=None, print_blob=True)
settings.register_profile("exploring", deadline=None)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("deterministic" if os.environ.get("CI") else "exploring")
)

MARKER_ARGUMENTS: dict[str, tuple[type, ...]] = {
    "failure": (int,),
    "rule": (str,),
    "trace": (str, int),
    "requirement": (str,),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A misspelt reference would count as coverage of nothing, so it stops the run."""
    for item in items:
        for mark in item.iter_markers():
            expected = MARKER_ARGUMENTS.get(mark.name)
            if expected is not None and tuple(type(argument) for argument in mark.args) != expected:
                raise pytest.UsageError(f"{item.nodeid}: {mark.name}{mark.args!r} takes {expected!r}")


@pytest.fixture(scope="session")
def contracts() -> Path:
    """The folder of vendors' published contracts, named by MARKETSYNC_CONTRACTS."""
    named = os.environ.get("MARKETSYNC_CONTRACTS")
    if not named:
        pytest.skip("not run: MARKETSYNC_CONTRACTS names no folder of published contracts")
    folder = Path(named)
    assert folder.is_dir(), "MARKETSYNC_CONTRACTS does not name a folder"
    return folder
