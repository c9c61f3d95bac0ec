"""The file of a bulk operation, line by line: nothing of it is kept but one short row for each article."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import msgspec

from adapters.shopify.wire_stock import BulkRow, Quantity, Variant
from marketsync.errors import ReadFailed
from marketsync.ports import Clock

ROWS_MAX = 2_000_000
ROWS_PER_TURN = 1000
"""So many are read before others have their turn."""
_ROW = msgspec.json.Decoder(BulkRow)


class Sheet:
    """A level may stand before or after its variant, and beside those of others."""

    def __init__(self) -> None:
        self._variants: dict[str, Variant] = {}
        self._figures: dict[str, list[int]] = {}
        self.rows = 0

    async def read(self, body: bytes, clock: Clock) -> None:
        """Raises ReadFailed. A body of 64 MiB takes a second or two: the other connections go on meanwhile."""
        for line in BytesIO(body):
            if line == b"\n":
                continue
            self._add(line)
            if self.rows % ROWS_PER_TURN == 0:
                await clock.sleep(0.0)

    def articles(self) -> Iterator[tuple[Variant, list[int]]]:
        """Each variant with the figures of its levels."""
        return ((variant, self._figures.get(key, [])) for key, variant in self._variants.items())

    def _add(self, line: bytes) -> None:
        try:
            row = _ROW.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise ReadFailed("stock.sweep: the file of a bulk operation is not readable") from None
        self.rows += 1
        if self.rows > ROWS_MAX:
            raise ReadFailed("stock.sweep: the shop has more articles than are read")
        if row.parent:
            self._figures.setdefault(row.parent, []).extend(available(row.quantities))
        elif row.id in self._variants:
            raise ReadFailed("stock.sweep: the file of a bulk operation has an article twice")
        else:
            self._variants[row.id] = Variant(row.id, row.sku, row.price, row.inventory_item)


def available(quantities: tuple[Quantity, ...]) -> Iterator[int]:
    return (x.quantity for x in quantities if x.name == "available")
