from __future__ import annotations

from marketsync.cli.tables import cell, moment, span, table


def test_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    assert table(("sku", "left"), [("A-1", 5), ("LONGER", 120)]) == "sku     left\nA-1        5\nLONGER   120"


def test_an_empty_table_says_so() -> None:
    assert table(("a",), [], "no orders") == "no orders"


def test_cells_show_nothing_as_a_dash_and_keep_to_one_line() -> None:
    assert [cell(value) for value in (None, "", True, False, 0, 2.4, "a\nb\x1b[31m")] == [
        "-", "-", "yes", "no", "0", "2", "a b [31m",
    ]  # fmt: skip


def test_spans_are_told_in_the_unit_that_a_person_would_use() -> None:
    assert [span(seconds) for seconds in (None, 0, 59, 119, 120, 7199, 7200, 172_800)] == [
        "-", "0 s", "59 s", "119 s", "2 m", "120 m", "2 h", "2 d",
    ]  # fmt: skip


def test_a_moment_is_shown_to_the_second() -> None:
    assert moment("2026-05-01T12:30:59.123456Z") == "2026-05-01 12:30:59"
    assert moment(None) == "-"
