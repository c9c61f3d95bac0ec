"""How far one sweep forward has come, and how large its next step is to be (B19, B20). What ends a sweep halfway, as a spent
budget does, is no reason to begin it again, nor to forget what was too much for one answer."""

from __future__ import annotations

from datetime import datetime

from marketsync.domain.coverage import (
    Coverage,
    ListTraits,
    Window,
    density_ahead,
    density_of,
    narrowed,
    next_live_window,
    split,
)


class Pace:
    def __init__(self) -> None:
        self._density: float | None = None
        self._read_to: datetime | None = None
        self._overfull_to: datetime | None = None

    def next_window(
        self, held: Coverage, now: datetime, traits: ListTraits, import_from: datetime
    ) -> Window | None:
        """None at the end of the sweep: the next one begins anew, with its overlap."""
        window = next_live_window(held, now, traits, import_from, self._density, read_to=self._read_to)
        if window is None:
            self._read_to = self._overfull_to = None
        return window

    def narrowed(self, window: Window, rows: int, total: int | None, traits: ListTraits) -> Window | None:
        """A page that is short and says that there is more says nothing of how much: half of its window may come whole."""
        if total is None and rows < traits.page_size:
            return (split(window, traits) or (None,))[0]
        self._overfull_to, first = window.hi, narrowed(window, total, traits)
        if first is not None:
            self._density = density_of(first, traits.page_size, traits)
        return first

    def was_read(self, window: Window, rows: int, traits: ListTraits) -> None:
        self._density = density_ahead(window, rows, self._overfull_to, traits)
        self._read_to = window.hi
