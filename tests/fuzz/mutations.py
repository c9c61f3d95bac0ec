"""What a far side's answer may turn into: structural changes of its JSON, and damage to its bytes. Seeded, nothing else."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from json.encoder import encode_basestring, encode_basestring_ascii
from random import Random
from typing import Any

import msgspec

MARKER = "Quill Canary q.canary@buyer.example"

Container = dict[Any, Any] | list[Any]
Place = tuple[Container, Any]


class Raw(str):
    """Text that is written as it stands, JSON or not."""

    __slots__ = ()


class Twin(str):
    """A key that may stand twice in one object."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


class Mutant(msgspec.Struct, frozen=True):
    """A document that was changed, and by what. `whole` is False where only one element of its list was touched, which
    still begins and ends where it did."""

    body: bytes
    changes: tuple[str, ...]
    element: int | None = None


HUGE = (
    "9" * 30,
    "-" + "9" * 30,
    "1e400",
    "123456789012345678901234567890.123456789",
    "18446744073709551616",
    "9" * 5_000,
)
EXPONENTS = (
    "1e999999999",
    "-1e999999999",
    "1e-999999999",
    "1E+9999999999999999999",
    "1e1000000000000000000",
    "0e999999999",
)
ODD_NUMBERS = (
    "1_0",
    "1_000.00",
    "١٢",
    "１２",
    "0x10",
    "1,5",
    " 7 ",
    "+5",
    "1.",
    "--1",
    "½",
    "1e3",
    "-0",
    "0.1000000001",
)
WORDS = (
    "TELEPORTED",
    "",
    "null",
    "None",
    "true",
    "wp-admin",
    "../../etc",
    "a" * 61,
    "%00",
    "<script>",
    "'; DROP TABLE orders; --",
)
DATES = (
    "0000-00-00T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-30T00:00:00Z",
    "2026-13-45T99:00:00Z", "2026-03-29T02:30:00", "1970-01-01", "2026-06-30T23:59:60Z", "+275760-09-13T00:00:00Z",
    "20260301T120000Z", "yesterday", "2026-03-01T12:00:00.123456789Z", "2026-03-01T12:00:00+99:99", "253402300800",
    "0000-12-31T23:59:59-00:01", "2026-03-01 12:00:00",
)  # fmt: skip
TEXTS = (
    "", " ", "\u202eright to left", "\u0000", "a\u0000b", "\ud83d", "\udc00 low", "e\u0301", "\ufeff", "\u2028", "😀" * 20,
    "\ufffd", "x\ty\nz", "\x1b[31m", "\x7f", "𐏿", ".", "..", "/",
)  # fmt: skip
DEEP = ("[" * 200 + "]" * 200, '{"a":' * 200 + "1" + "}" * 200, "[" * 20_000 + "]" * 20_000)
BROKEN_DEEP = ("[" * 100_000, '{"a":' * 50_000)


def structural(rng: Random, text: str, known: frozenset[str], listed: str | None = None) -> Mutant:
    """One to three changes of a JSON document. `listed` names the key of the list of which one element is to suffer,
    "" where the document itself is that list; None touches anything."""
    document = json.loads(text)
    root: list[Any] = [document]
    element = None
    if listed is not None and (rows := document[listed] if listed else document):
        element = rng.randrange(len(rows))
        root = [rows[element]]
    changes = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        name, change = rng.choice(STRUCTURAL)
        change(rng, *_place(rng, root, known))
        changes.append(name)
    if element is None:
        document = root[0]
    else:
        rows[element] = root[0]
    write = encode_basestring_ascii if rng.random() < 0.6 else encode_basestring
    body = "".join(_written(document, write)).encode("utf-8", "surrogatepass")
    return Mutant(body, tuple(changes), element)


def damaged(rng: Random, body: bytes) -> Mutant:
    name, damage = rng.choice(DAMAGE)
    return Mutant(damage(rng, body), (name,))


def _place(rng: Random, root: list[Any], known: frozenset[str]) -> Place:
    """Where to change something: mostly at a name that the adapter reads, the whole document now and then."""
    places = list(_places(root))
    named = [place for place in places if isinstance(place[1], str) and place[1] in known]
    if not places or rng.random() < 0.02:
        return root, 0
    return rng.choice(named if named and rng.random() < 0.8 else places)


def _places(node: Any) -> Iterator[Place]:
    if isinstance(node, Raw | str):
        return
    if isinstance(node, dict):
        for key, value in node.items():
            yield node, key
            yield from _places(value)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield node, index
            yield from _places(value)


def _written(node: Any, write: Callable[[str], str]) -> Iterator[str]:
    if isinstance(node, Raw):
        yield node
    elif isinstance(node, str):
        yield write(node)
    elif isinstance(node, dict):
        yield "{"
        for number, (key, value) in enumerate(node.items()):
            yield ("," if number else "") + write(key) + ":"
            yield from _written(value, write)
        yield "}"
    elif isinstance(node, list):
        yield "["
        for number, value in enumerate(node):
            if number:
                yield ","
            yield from _written(value, write)
        yield "]"
    else:
        yield json.dumps(node)


# Structural changes: of the value at `key` of `holder`


def _drop(rng: Random, holder: Any, key: Any) -> None:
    del holder[key]
    if isinstance(holder, list) and not holder:
        holder.append(None)


def _put(*choices: Any) -> Callable[[Random, Any, Any], None]:
    def change(rng: Random, holder: Any, key: Any) -> None:
        # A copy: the next change may be of what was put here.
        holder[key] = deepcopy(rng.choice(choices))

    return change


def _retype(rng: Random, holder: Any, key: Any) -> None:
    value = holder[key]
    if isinstance(value, str):
        holder[key] = rng.choice((len(value), [value], {"value": value}, True, 1.5))
    elif isinstance(value, int | float):
        holder[key] = rng.choice((str(value), [value], bool(value), {"amount": value}, value + 0.5))
    else:
        holder[key] = rng.choice(("text", 0, False, 3.25, json.dumps(str(value))[:50]))


def _renest(rng: Random, holder: Any, key: Any) -> None:
    value = holder[key]
    inner = list(value.values()) if isinstance(value, dict) else value
    if isinstance(inner, list) and inner and rng.random() < 0.5:
        holder[key] = rng.choice(inner)
    else:
        holder[key] = rng.choice(([value], {"0": value}, {"2": value, "0": value}, [[value], value]))


def _twice(rng: Random, holder: Any, key: Any) -> None:
    if isinstance(holder, list):
        holder.insert(rng.randrange(len(holder) + 1), holder[key])
    else:
        holder[Twin(key)] = rng.choice((holder[key], None, 0, "", Raw("NaN"), []))


def _rename(rng: Random, holder: Any, key: Any) -> None:
    if isinstance(holder, dict):
        value = holder.pop(key)
        holder[rng.choice((key.upper(), f" {key}", f"{key}\u0000", "", "\ud83d", "__proto__"))] = value


def _transplant(rng: Random, holder: Any, key: Any) -> None:
    """A value from elsewhere in the same object or list: a name where a state should be."""
    others = list(holder.values()) if isinstance(holder, dict) else list(holder)
    flat = [value for value in others if not isinstance(value, dict | list)]
    holder[key] = rng.choice(flat or others)


def _private(rng: Random, holder: Any, key: Any) -> None:
    holder[key] = rng.choice((MARKER, f"{holder[key]} {MARKER}"[:200], [MARKER], {MARKER: MARKER}))


def _long(rng: Random, holder: Any, key: Any) -> None:
    size = rng.choice((300, 3_000, 70_000, 70_000, 1_200_000))
    holder[key] = rng.choice(("x", "é", "\u202e", '"', "\\"))[:1] * size


def _many(rng: Random, holder: Any, key: Any) -> None:
    times = rng.choice((2, 100, 1_100))
    holder[key] = [holder[key]] * (2 if isinstance(holder[key], dict | list) else times)


STRUCTURAL: tuple[tuple[str, Callable[[Random, Any, Any], None]], ...] = (
    ("drop", _drop),
    ("twice", _twice),
    ("rename", _rename),
    ("retype", _retype),
    ("renest", _renest),
    ("transplant", _transplant),
    ("private", _private),
    ("null", _put(None)),
    ("empty", _put([], {}, "", [[]], [None], [{}])),
    ("boolean", _put(True, False)),
    ("huge", _put(*map(Raw, HUGE), *HUGE)),
    ("exponent", _put(*map(Raw, EXPONENTS), *EXPONENTS)),
    ("not a number", _put(*map(Raw, ("NaN", "Infinity", "-Infinity", "nan")), "NaN", "sNaN", "Infinity", "-inf")),
    ("odd number", _put(*ODD_NUMBERS)),
    ("negative", _put(-1, -0.01, "-5", -(10**9), Raw("-0"))),
    ("zero", _put(0, "0", 0.0)),
    ("a thousand million", _put(10**9, 10**9 + 1, "1000000000", 2**31, 2**63 - 1, 2**63)),
    ("fraction", _put(1.5, 0.1, "2.5", Raw("1.0"), Raw("2.00000000000000000001"))),
    ("word", _put(*WORDS)),
    ("date", _put(*DATES)),
    ("text", _put(*TEXTS)),
    ("half a character", _put(Raw('"\\ud83d"'), Raw('"a\\udc00b"'), Raw('"\\u0000"'), Raw('"\\x"'), Raw('"\x01"'))),
    ("long", _long),
    ("many", _many),
    ("deep", _put(*map(Raw, DEEP))),
    ("no JSON", _put(*map(Raw, ("undefined", "'single'", "", "{,}", "[1,]", "/* c */ 1", "01", "tru", '"open')))),
)  # fmt: skip
# After these the element may not begin and end where it did.
UNBALANCED = frozenset({"no JSON", "deep"})


# Damage to bytes


def _flip(rng: Random, body: bytes) -> bytes:
    spoilt = bytearray(body or b"\0")
    for _ in range(rng.choice((1, 1, 3, 20))):
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def _insert(*pieces: bytes) -> Callable[[Random, bytes], bytes]:
    def damage(rng: Random, body: bytes) -> bytes:
        at = rng.randrange(len(body) + 1)
        return body[:at] + rng.choice(pieces) + body[at:]

    return damage


def _splice(rng: Random, body: bytes) -> bytes:
    a, b = sorted((rng.randrange(len(body) + 1), rng.randrange(len(body) + 1)))
    return rng.choice((body[:a] + body[b:], body[:b] + body[a:], body[b:] + body[:a]))


HTML = (
    b"<!doctype html><title>Sign in</title><form method=post>Quill Canary q.canary@buyer.example</form>",
    b"<br />\n<b>Notice</b>: Undefined index in <b>functions.php</b><br />\n",
    b"<html><head><title>502 Bad Gateway</title></head></html>",
    b"\xef\xbb\xbf<?xml version='1.0'?><error>Quill Canary</error>",
)
SMALL = (
    b"",
    b" ",
    b"null",
    b"[]",
    b"{}",
    b"0",
    b'""',
    b"[",
    b'"',
    b"\0",
    b"[null]",
    b"[[]]",
    b"[{}]",
    b"NaN",
    b"true",
    b"-",
)

DAMAGE: tuple[tuple[str, Callable[[Random, bytes], bytes]], ...] = (
    ("cut", lambda rng, body: body[: rng.randrange(len(body) + 1)]),
    ("beheaded", lambda rng, body: body[rng.randrange(len(body) + 1) :]),
    ("flipped", _flip),
    ("bad UTF-8", _insert(b"\xff", b"\xc3", b"\xed\xa0\xbd", b"\xf0\x9f", b"\xc0\xaf", b"\xfe\xff")),
    ("control", _insert(b"\0", b"\x1f", b"\x7f", b"\r", b'"', b"\\", b"\\u0000", b"\\ud83d")),
    ("spliced", _splice),
    ("mark in front", lambda rng, body: rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b")]}',\n", b"\0")) + body),
    ("UTF-16", lambda rng, body: body.decode("latin-1").encode("utf-16")),
    ("page", lambda rng, body: rng.choice(HTML)),
    ("notice in front", lambda rng, body: HTML[1] + body),
    ("behind", lambda rng, body: body + rng.choice((b"]", b"}", b" {}", b"\0", body, HTML[2]))),
    ("packed", lambda rng, body: gzip.compress(body, mtime=0)),
    ("small", lambda rng, body: rng.choice(SMALL)),
    ("deep", lambda rng, body: rng.choice((*DEEP, *BROKEN_DEEP)).encode()),
    ("quotes", lambda rng, body: b'"' * rng.choice((1_001, 100_001)) + body),
)  # fmt: skip
