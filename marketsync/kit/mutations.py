"""What a vendor's document may turn into: changes of its JSON, and damage to its bytes. Seeded, nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from marketsync.sandbox.chance import Chance

MARKER = "Quill Canary q.canary@buyer.example"
DEEP = "[" * 20_000 + "]" * 20_000
LEAVES: tuple[Any, ...] = (
    None, True, False, 0, -1, 10**12, 2**63, 10**30, 0.1, -0.01, 1e300, "", " ", "TELEPORTED", "1_0", "-5", "1e999999999",
    "9" * 400, "NaN", "sNaN", "0000-00-00T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "2026-02-30T00:00:00Z", "2026-03-29T02:30:00", "yesterday", "\0", "a\0b", "\ud83d", "\u202e", "x" * 70_000, "../../etc",
    [], {}, [None], [[]], [{}], MARKER, [MARKER], {MARKER: MARKER},
)  # fmt: skip
RAW = ("NaN", "Infinity", "1e999999999", "9" * 5000, '"\\ud83d"', '"\\x"', "undefined", "01", DEEP)
_HOLE = "\uf8ff raw \uf8ff"


def mutants(chance: Chance, raw: bytes, count: int) -> Iterator[tuple[bytes, str]]:
    """Documents with what was done to them, in a few words that hold nothing of the document but names."""
    for number in range(count):
        yield _damaged(chance, raw) if number % 4 == 0 else _changed(chance, raw)


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path without indexes, its holder, its key) of every value that is no object or list."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        here = f"{path}[]" if isinstance(node, list) else f"{path}.{key}" if path else str(key)
        if isinstance(value, dict | list):
            yield from leaves(value, here)
        else:
            yield here, node, key


def _changed(chance: Chance, raw: bytes) -> tuple[bytes, str]:
    document = json.loads(raw)
    words = []
    for _ in range(1 + chance.below(3)):
        places = list(_places(document))
        if not places:
            break
        path, holder, key = chance.pick(places)
        words.append(f"{path}: {_change(chance, holder, key)}")
    text = json.dumps(document, ensure_ascii=chance.happens(0.6))
    while _HOLE in text or json.dumps(_HOLE) in text:
        piece = chance.pick(RAW)
        text = text.replace(json.dumps(_HOLE), piece, 1).replace(f'"{_HOLE}"', piece, 1)
    return text.encode("utf-8", "surrogatepass"), "; ".join(words)


def _change(chance: Chance, holder: Any, key: Any) -> str:
    match chance.below(5):
        case 0:
            del holder[key]
            return "left out"
        case 1:
            holder[key] = [holder[key]] if chance.happens(0.5) else {"value": holder[key]}
            return "wrapped"
        case 2:
            holder[key] = _HOLE
            return "no JSON, or hardly"
        case 3 if isinstance(holder, list):
            holder.append(holder[key])
            return "twice"
        case _:
            holder[key] = chance.pick(LEAVES)
            return "another value"


def _damaged(chance: Chance, raw: bytes) -> tuple[bytes, str]:
    at = chance.below(len(raw))
    match chance.below(6):
        case 0:
            return raw[:at], "cut"
        case 1:
            spoilt = bytearray(raw)
            spoilt[at] ^= 1 << chance.below(8)
            return bytes(spoilt), "one bit"
        case 2:
            return raw[:at] + chance.pick((b"\xff", b"\xed\xa0\xbd", b"\0", b"\xc0\xaf")) + raw[
                at:
            ], "bad UTF-8"
        case 3:
            return b"<br />\n<b>Notice</b>: x in <b>y.php</b><br />\n" + raw, "a notice in front"
        case 4:
            return raw.decode().encode("utf-16"), "UTF-16"
        case _:
            return chance.pick((b"", b"null", b"[]", b"{}", b"0", b'"', b"[" * 100_000)), "nothing of it"


def _places(node: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    items = (
        list(node.items())
        if isinstance(node, dict)
        else list(enumerate(node))
        if isinstance(node, list)
        else []
    )
    for key, value in items:
        here = f"{path}[]" if isinstance(node, list) else f"{path}.{key}" if path else str(key)
        yield here, node, key
        yield from _places(value, here)
