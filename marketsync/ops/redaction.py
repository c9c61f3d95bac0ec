"""What of an event may be written down: fields from a list. A field that nobody thought about shows as hidden."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "(hidden)"
TEXT_LENGTH_MAX = 500
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")

SHOWN = frozenset(
    "action added address adapter after_seconds attempt attempts axis back_office boot budget cause causes changed"
    " committed connection correlation count cursor database deadline_seconds delivery detail drained dropped end epoch error"
    " event event_name failed field found from headers hi holes hosts http_status id ids in_doubt installation items kind"
    " lag_seconds late level lo location loop merchant missing mode name new number offset operation orders order_id outcome page parked path"
    " paused phase pid pool problem problems quantity queued read reason ref reference released remaining reports"
    " resync role rows seconds sent shipment_id since sku skus span state status step steps stream subject target"
    " task timestamp to total unit url version wait_seconds wanted window".split()
)


def redact(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Flat fields that are safe to show: unknown names hidden, texts shortened and on one line, e-mail addresses masked."""
    shown: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in SHOWN:
            shown[name] = HIDDEN
        elif isinstance(value, Mapping):
            shown.update({f"{name}_{key}": _plain(inner) for key, inner in value.items()})
        else:
            shown[name] = _plain(value)
    return shown


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and len(value) <= TEXT_LENGTH_MAX and "@" not in value and value.isprintable():
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value[:50]]
    text = str(value)[:TEXT_LENGTH_MAX]
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else " " for letter in text)
    return EMAIL.sub(HIDDEN, text) if "@" in text else text
