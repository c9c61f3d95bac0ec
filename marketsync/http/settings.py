"""What the file states under `settings`, as the adapter wants it; what is wrong with it, in words that say what to do."""

from __future__ import annotations

import enum
import re
import typing
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

import msgspec

from marketsync.errors import ConfigError

_PLACED = re.compile(r"(?P<text>.*) - at `\$\.?(?P<key>.*)`", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(?P<wanted>[^`]+)`(?P<rest>, got `(?P<found>[^`]+)`)?(?P<bound>.*)")
_WORDS = {
    "array": 'a list such as ["..."]',
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "object": "a table",
    "str": "text",
}


def settings_of(
    kind: type[msgspec.Struct], stated: Mapping[str, Any], place: str, above: Collection[str] = ()
) -> msgspec.Struct:
    """ConfigError names the key and what it takes, and repeats no value. `place` is where they stand, `above` what stands
    beside them and not among them."""
    known = kind.__struct_fields__
    for key in stated:
        if key not in known:
            raise ConfigError(
                f"{place}: unknown key `{key}`{_meant(key, known, place, above) or _missing(kind, stated)}"
            )
    try:
        return msgspec.convert(dict(stated), kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{place}{_text(str(error), kind)}") from None


def did_you_mean(key: str, known: Collection[str]) -> str:
    near = get_close_matches(key, known, n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _meant(key: str, known: Collection[str], place: str, above: Collection[str]) -> str:
    if key in above:
        return f"; it belongs above the settings, into [{place.removesuffix('.settings')}]"
    return did_you_mean(key, known)


def _missing(kind: type[msgspec.Struct], stated: Mapping[str, Any]) -> str:
    gone = [x.name for x in msgspec.structs.fields(kind) if x.required and x.name not in stated]
    return f"; missing {', '.join(f'`{name}`' for name in gone)}" if gone else ""


def _text(said: str, kind: type[msgspec.Struct]) -> str:
    """From msgspec's words to a person's; what is not understood is shown as it is."""
    placed = _PLACED.fullmatch(said)
    if placed is None:
        return ": " + said.replace("Object missing required field", "missing")
    key, text = placed["key"], placed["text"]
    if text.startswith("Invalid enum value"):
        return f".{key}: none of {', '.join(_choices(kind, key))}"
    expected = _EXPECTED.fullmatch(text)
    if expected is None:
        return f".{key}: {text}"
    name = expected["wanted"].removesuffix(" | null")
    wanted = _WORDS.get(name, name)
    found = f", and this is {_WORDS.get(expected['found'], expected['found'])}" if expected["found"] else ""
    return f".{key}: it takes {wanted}{expected['bound']}{found}"


def _choices(kind: type[msgspec.Struct], key: str) -> list[str]:
    wanted = typing.get_type_hints(kind).get(key)
    if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        return [str(member.value) for member in wanted]
    return [str(value) for value in typing.get_args(wanted)]
