"""Requests that nobody should send, made of good ones by chance: the same for the same seed."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any
from urllib.parse import quote

import msgspec

TEXTS = (
    "",
    " ",
    "x" * 600,
    "\ud800",
    "\udfff\ud83d",
    "\0",
    "Ω" * 300,
    "null",
    "../..",
    "%00",
    "<b>",
    "1e999",
    "2026-13-45T99:99:99Z",
)
TIMES = (
    "yesterday", "2026-02-31T09:00:00Z", "2026-03-02", "2026-03-02T09:00:00", "9999-99-99T00:00:00Z", "0000-00-00T00:00:00Z",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1772442000", "٢٠٢٦-03-02T09:00:00Z", "2026-03-02T09:00:00.1234567890Z", "",
)  # fmt: skip
# As they stand in the text, where Python would write them otherwise.
RAW = (
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "9" * 5000,
    "1" + "0" * 400,
    "0.1",
    "-0",
    "1.0",
    '"\\ud800"',
    '"\\uZZZZ"',
    "tru",
    "'x'",
    "01",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    10**9,
    10**19,
    1.5,
    [],
    {},
    [[]],
    [None],
    {"": ""},
    [1] * 2000,
)
BODIES = (
    b"", b"{", b"[", b"null", b"5", b'"x"', b"[]", b"{}", b"[" * 200_000, b'{"a":' * 50_000, b"\xff\xfe{}", b'{"ref":"\xc3"}',
    b"\0", b"<xml/>", b"ref=1&total=2", b'{"ref":"a"} {"ref":"b"}', b'{"ref":1,"ref":2}',
)  # fmt: skip
KINDS = (
    "text/plain",
    "application/xml",
    "multipart/form-data",
    "",
    "application/x-www-form-urlencoded",
    "\xff",
)
OVERSIZE = 1024 * 1024 + 1


class Asked(msgspec.Struct, frozen=True):
    """`length` replaces what Content-Length would say. `sound`: its answer may be a success."""

    method: str
    target: str
    body: bytes = b""
    kind: str = "application/json"
    length: str | None = None
    token: bool = True
    sound: bool = False


class Good(msgspec.Struct, frozen=True):
    """Requests that are right, to be spoilt: with bodies, and with a query."""

    bodies: tuple[tuple[str, str, Any], ...]
    reads: tuple[tuple[str, dict[str, str]], ...]
    paths: tuple[tuple[str, str], ...]


def hostile(good: Good, count: int, seed: int = 1) -> Iterator[Asked]:
    for number in range(count):
        rng = Random(f"{seed}/{number}")
        yield SORTS[number % len(SORTS)](rng, good)


def _wrong_value(rng: Random, good: Good) -> Asked:
    method, target, document = rng.choice(good.bodies)
    document = copy.deepcopy(document)
    holder, key = rng.choice(list(_places(document)))
    holder[key] = "@RAW@"
    chosen = rng.choice((*VALUES, *TEXTS, *TIMES, *("@" + raw for raw in RAW)))
    text = chosen[1:] if isinstance(chosen, str) and chosen.startswith("@") else json.dumps(chosen)
    return Asked(method, target, json.dumps(document).replace('"@RAW@"', text).encode(), sound=True)


def _missing_field(rng: Random, good: Good) -> Asked:
    method, target, document = rng.choice(good.bodies)
    document = copy.deepcopy(document)
    holder, key = rng.choice([x for x in _places(document) if isinstance(x[0], dict)])
    del holder[key]
    return Asked(method, target, json.dumps(document).encode())


def _no_json(rng: Random, good: Good) -> Asked:
    method, target, document = rng.choice(good.bodies)
    whole = json.dumps(document).encode()
    cut = whole[: rng.randrange(1, len(whole))]
    return Asked(method, target, rng.choice((*BODIES, cut, cut + b"\xed\xa0\x80")))


def _wrong_kind(rng: Random, good: Good) -> Asked:
    method, target, document = rng.choice(good.bodies)
    return Asked(method, target, json.dumps(document).encode(), kind=rng.choice(KINDS))


def _oversize(rng: Random, good: Good) -> Asked:
    method, target, _ = rng.choice(good.bodies)
    if rng.random() < 0.3:
        return Asked(method, target, b" " * OVERSIZE)
    return Asked(
        method,
        target,
        length=rng.choice(("-5", "\xb2", "1e3", "0x10", "99999999999999999999", "5000000", "")),
    )


def _unknown_id(rng: Random, good: Good) -> Asked:
    method, template = rng.choice(good.paths)
    name = rng.choice(
        ("ms-none", "", "..", "%00", "%ff%fe", "a%2Fb", "%F0%9F%98%80", "x" * 3000, "*", "%", "a;b", "null")
    )
    body = next(
        (json.dumps(x).encode() for m, t, x in good.bodies if m == method and _alike(t, template)), b""
    )
    return Asked(method, template.replace("@", name), body)


def _bad_query(rng: Random, good: Good) -> Asked:
    target, query = rng.choice(good.reads)
    query = dict(query)
    name = rng.choice(sorted(query))
    query[name] = rng.choice(
        (*TIMES, *(x for x in TEXTS if x.isprintable()), "-1", "1e3", "²", "9" * 50, "0")
    )
    pairs = "&".join(f"{key}={quote(value)}" for key, value in query.items())
    return Asked("GET", f"{target}?{pairs}", sound=True)


def _too_many(rng: Random, good: Good) -> Asked:
    target, query = rng.choice(good.reads)
    name = rng.choice(sorted(query))
    pairs = "&".join(f"{name}={quote(query[name])}" for _ in range(rng.choice((51, 500))))
    return Asked("GET", f"{target}?{pairs}", sound=True)


def _nothing_there(rng: Random, good: Good) -> Asked:
    target = rng.choice(
        (
            "/",
            "/shop/",
            "/shop/none",
            "//[",
            "/shop/orders/a/b/c",
            "/%2e%2e/%2e%2e",
            "/marketplace/orders/x",
            "/?" + "a" * 5000,
        )
    )
    return Asked(rng.choice(("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW")), target)


def _no_token(rng: Random, good: Good) -> Asked:
    method, target, document = rng.choice(good.bodies)
    return Asked(method, target, json.dumps(document).encode(), token=False)


SORTS = (
    _wrong_value, _wrong_value, _wrong_value, _missing_field, _no_json, _wrong_kind, _oversize, _unknown_id, _bad_query,
    _bad_query, _too_many, _nothing_there, _no_token,
)  # fmt: skip


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Where something stands, at any depth."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in list(pairs):
        yield node, key
        yield from _places(value)


def _alike(target: str, template: str) -> bool:
    return (
        target.count("/") == template.count("/") and target.rpartition("/")[2] == template.rpartition("/")[2]
    )
