"""What of an exchange may be shown: our own address without its query, of another one the host, and headers from a list. Never
a body."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

SHOWN_HEADERS = ("content-encoding", "content-length", "content-type", "date", "retry-after", "x-request-id")
VALUE_LENGTH_MAX = 100


def safe_url(url: str, base_url: str) -> str:
    """What does not lie below `base_url` was given to us by a far side, and may be a secret as a whole."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path if url.startswith(base_url) else ''}"


def safe_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name][:VALUE_LENGTH_MAX] for name in SHOWN_HEADERS if name in headers}
