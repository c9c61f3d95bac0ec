"""The stock import's two files: the CSV that goes out in a multipart body, the error report that comes back."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Sequence

from marketsync.errors import ReadFailed
from marketsync.ports import ItemResult, StockItem

ERROR_LENGTH_MAX = 200
_HEADER = ("offer-sku", "quantity", "warehouse-code", "update-delete")


def multipart(items: Sequence[StockItem]) -> tuple[str, bytes]:
    """Content type and body. The boundary comes from the content, so the same stock makes the same bytes (A13)."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    rows.writerow(_HEADER)
    rows.writerows((item.sku, item.quantity, "", "") for item in items)
    file = text.getvalue().encode()
    boundary = f"marketsync-{hashlib.sha256(file).hexdigest()[:32]}"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="stock.csv"\r\n'
        "Content-Type: text/csv; charset=utf-8\r\n\r\n"
    )
    return (
        f"multipart/form-data; boundary={boundary}",
        head.encode() + file + f"\r\n--{boundary}--\r\n".encode(),
    )


def read_report(body: bytes, items: Sequence[StockItem]) -> tuple[ItemResult, ...]:
    """Every item with its error, "" where the report does not name it: then it was imported.

    A row begins with line number and reason, and goes on with what was sent. A report that names none of the items
    is not this import's report, or none at all: ReadFailed.
    """
    text = body.decode("utf-8-sig", "replace")
    delimiter = ";" if text.partition("\n")[0].count(";") else ","
    sent = {item.sku for item in items}
    errors: dict[str, str] = {}
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            sku = next((cell for cell in row[2:] if cell in sent), None)
            if sku is not None:
                errors[sku] = re.sub(r"[^\x21-\x7e]+", " ", row[1])[:ERROR_LENGTH_MAX] or "refused"
    except csv.Error:
        errors.clear()
    if not errors:
        raise ReadFailed("the import's error report names none of its items")
    return tuple(ItemResult(item.sku, errors.get(item.sku, "")) for item in items)
