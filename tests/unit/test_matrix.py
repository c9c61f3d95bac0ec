"""Every trace, rule, failure, requirement and bug of the field has its test, or a reason why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.matrix import CATALOGUES, NOT_YET, PAGE, Shown, collect, missing, page, stale


@pytest.fixture(scope="module")
def shown() -> list[Shown]:
    return collect()


@pytest.mark.parametrize("kind", CATALOGUES)
def test_every_number_has_a_test_or_a_reason(shown: list[Shown], kind: str) -> None:
    assert missing(shown)[kind] == []


@pytest.mark.parametrize("kind", CATALOGUES)
def test_no_reason_outlives_its_gap_and_no_mark_names_what_is_not_there(
    shown: list[Shown], kind: str
) -> None:
    assert stale(shown)[kind] == []


def test_every_trace_has_a_test() -> None:
    assert not NOT_YET["trace"]
    assert not NOT_YET["rule"]


def test_the_page_says_what_the_tests_say(shown: list[Shown]) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(shown), "run: python -m tools.matrix"


def test_a_gap_is_found(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    text = (
        '@pytest.mark.trace("A", 8)\n@pytest.mark.failure(99)\ndef test_order_updated_during_paging(): ...\n'
    )
    (tmp_path / "tests" / "test_one.py").write_text(text)
    shown = collect(tmp_path)
    assert "A8" not in missing(shown)["trace"]
    assert "A9" in missing(shown)["trace"]
    assert stale(shown)["failure"] == ["99"]
    assert "order_updated_during_paging" not in missing(shown)["field"]


def test_a_check_of_the_kit_speaks_for_what_it_names(tmp_path: Path) -> None:
    checks = tmp_path / "marketsync" / "kit" / "checks"
    checks.mkdir(parents=True)
    text = 'check = Checks("confirm", None)\n@check(rules=("A3",), failures=(31, 32))\nasync def lost(fresh): ...\n'
    (checks / "confirm.py").write_text(text)
    assert [(x.kind, x.key, x.test) for x in collect(tmp_path)] == [
        ("rule", "A3", "kit::confirm.lost"),
        ("failure", "31", "kit::confirm.lost"),
        ("failure", "32", "kit::confirm.lost"),
    ]
