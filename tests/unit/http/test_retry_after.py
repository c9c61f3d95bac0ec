from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsync.http.retry_after import http_date, retry_after_seconds

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.failure(37)
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30.0),
        (" 30 ", 30.0),
        ("+30", 30.0),
        ("1.5", 1.5),
        ("0", 1.0),
        ("-1", 1.0),
        ("-99999999999999999999999", 1.0),
        ("1000000000000", 900.0),
        ("9" * 5000, 900.0),
        ("901", 900.0),
        ("Sun, 01 Mar 2026 12:01:40 GMT", 100.0),
        ("Sunday, 01-Mar-26 12:01:40 GMT", 100.0),
        ("Sun Mar  1 12:01:40 2026", 100.0),
        ("Sun, 01 Mar 2026 13:01:40 +0100", 100.0),
        ("Sun, 01 Mar 2020 12:00:00 GMT", 1.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 900.0),
        ("Fri, 31 Dec 99999999 23:59:59 GMT", 1.0),
        ("soon", 1.0),
        ("", 1.0),
        ("١٢", 1.0),
        ("1e9", 1.0),
        ("NaN", 1.0),
        ("inf", 1.0),
    ],
)
def test_every_form_is_clamped(value: str, seconds: float) -> None:
    assert retry_after_seconds(value, NOW) == seconds


def test_no_header_is_no_wish() -> None:
    assert retry_after_seconds(None, NOW) is None


@pytest.mark.failure(37)
@given(st.text(max_size=60))
def test_nothing_in_it_breaks_us(value: str) -> None:
    seconds = retry_after_seconds(value, NOW)
    assert seconds is not None
    assert 1.0 <= seconds <= 900.0


@pytest.mark.parametrize(
    "value", [None, "", "x", "Sun, 99 Mar 2026 12:00:00 GMT", "Sun, 01 Mar 2026 12:00:00 +9999999"]
)
def test_what_is_no_date_is_none(value: str | None) -> None:
    assert http_date(value) is None
