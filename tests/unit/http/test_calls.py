from __future__ import annotations

import time
import traceback
from decimal import Decimal
from enum import Enum

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsync.errors import InDoubt, Park, ReadFailed
from marketsync.http import Answer, Call, decode, segment
from marketsync.http.calls import json_depth_within


class Colour(Enum):
    RED = "red"


class Line(msgspec.Struct):
    price: Decimal
    colour: Colour = Colour.RED


class Page(msgspec.Struct):
    lines: list[Line]


def answer(body: bytes) -> Answer:
    return Answer(200, {}, body, None, 0.0)


def test_a_good_body_is_decoded_exactly() -> None:
    assert decode(answer(b'{"lines": [{"price": 19.90}]}'), Page, write=False).lines[0].price == Decimal(
        "19.90"
    )


@pytest.mark.failure(13)
@pytest.mark.failure(33)
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"<!doctype html><title>canary login</title>", "not JSON"),
        (b'{"lines": [{"price": "canary', "not JSON"),
        (b'\xef\xbb\xbf{"lines": []}', "not JSON"),
        ('{"lines": [], "x": "canary é"}'.encode("latin-1"), "not JSON"),
        ('{"lines": []}'.encode("utf-16"), "not JSON"),
        (b'{"lines": [{"price": NaN}]}', "not JSON"),
        (b'{"lines": [{"price": 1, "colour": "canary"}]}', r"at \$\.lines\[0\]\.colour"),
        (b'{"lines": [{"price": "canary"}]}', r"at \$\.lines\[0\]\.price"),
        (b"{}", r"at \$"),
        (b"null", r"at \$"),
        (b"[" * 65 + b"]" * 65, "too deeply"),
        (b'{"a":' * 100_000, "too deeply"),
        (b'["]", ' * 70 + b"]" * 70, "too deeply"),
    ],
)
def test_a_malformed_body_is_a_doubt_or_a_failed_read_without_its_content(body: bytes, reason: str) -> None:
    for write, kind in ((True, InDoubt), (False, ReadFailed)):
        with pytest.raises(kind, match=reason) as raised:
            decode(answer(body), Page, write=write)
        assert "canary" not in "".join(traceback.format_exception(raised.value))
        assert f"{len(body)} bytes" in str(raised.value)


def test_depth_counts_brackets_outside_strings_only() -> None:
    assert json_depth_within(b"[" * 64 + b"]" * 64)
    assert json_depth_within(b'["' + b"[{" * 200 + b'\\"' + b"[" * 100 + b'"]')
    assert not json_depth_within(b'["\\\\", ' * 65 + b"]" * 65)


def test_the_depth_check_is_linear_in_hostile_bodies() -> None:
    assert not json_depth_within(b"[" * 65 + b'"' + b'\\"' * 1_000_000)


@pytest.mark.parametrize("body", [b"[" * 4_000_000 + b"]" * 4_000_000, b"[[]" * 2_000_000 + b"]" * 2_000_000])
def test_the_depth_check_takes_no_pass_for_each_level(body: bytes) -> None:
    """Each of 64 passes copied it: 8 MB of brackets stopped everything for three seconds and more."""
    began = time.process_time()
    assert not json_depth_within(body)
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize("depth", range(1, 80))
def test_depth_is_exact_at_every_level(depth: int) -> None:
    assert json_depth_within(b"[[],[{}]," * depth + b"]" * depth) == (depth + 2 <= 64)


JSON = st.recursive(
    st.none() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((depth_of(inner) for inner in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((depth_of(inner) for inner in value), default=0)
    return 0


@given(JSON, st.integers(min_value=1, max_value=8))
def test_depth_agrees_with_a_walk_over_the_value(value: object, limit: int) -> None:
    assert json_depth_within(msgspec.json.encode(value), limit) == (depth_of(value) <= limit)


@pytest.mark.parametrize("path", ["orders", "/orders?page=1", "/a/../b", "/a b", "/a#b", "/é", "/a\nb", ""])
def test_a_path_that_could_reach_elsewhere_is_no_call(path: str) -> None:
    with pytest.raises(ValueError, match="percent-encoded"):
        Call("x", "GET", path)


def test_headers_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="control"):
        Call("x", "GET", "/", headers=(("X-A", "1\r\nX-B: 2"),))


def test_calls_and_answers_do_not_show_their_content() -> None:
    call = Call("x", "POST", "/orders", query=(("q", "canary"),), body=b"canary", headers=(("X", "canary"),))
    assert "canary" not in repr(call) + repr(answer(b"canary")) + str(call)


@pytest.mark.parametrize("text", ["", ".", ".."])
def test_a_text_that_would_lead_elsewhere_is_no_part_of_a_path(text: str) -> None:
    with pytest.raises(Park, match="no part of an address"):
        segment(text)
    assert segment("a/b?c#..") == "a%2Fb%3Fc%23.."
