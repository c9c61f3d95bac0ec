"""structlog without the terminal library that it would bring along for tracebacks: no line of ours shows one, and it
costs a start two tenths of a second and ten megabytes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import cast


@contextlib.contextmanager
def _absent(name: str) -> Iterator[None]:
    if name in sys.modules:
        yield
        return
    sys.modules[name] = cast("ModuleType", None)
    try:
        yield
    finally:
        del sys.modules[name]


with _absent("rich"):
    import structlog

__all__ = ["structlog"]
