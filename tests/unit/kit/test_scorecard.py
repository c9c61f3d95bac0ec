"""The page of what each adapter shows is what their files say, and what the checks say of themselves."""

from __future__ import annotations

import pytest

from marketsync.kit.registry import Check, checks
from tools.scorecard import PAGE, page, qualities


def test_the_page_says_what_the_adapters_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(qualities()), "run: python -m tools.scorecard"


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.id)
def test_a_check_says_what_it_shows(check: Check) -> None:
    assert (check.ask.__doc__ or "").strip().endswith(".")


def test_no_two_checks_have_one_name() -> None:
    names = [check.id for check in checks()]
    assert len(names) == len(set(names))
