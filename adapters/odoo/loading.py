"""Nested records as the table that `load` takes: one column a field, one row a record, every cell a text."""

from __future__ import annotations

from typing import Any

Cells = dict[str, str]


def table(values: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows). The first row has the record itself and the first record of each of its lists."""
    rows = _rows(values, "")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return columns, [[row.get(name, "") for name in columns] for row in rows]


def _rows(values: dict[str, Any], prefix: str) -> list[Cells]:
    first: Cells = {}
    below: list[Cells] = []
    for name, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            records = [row for record in value for row in _rows(record, f"{prefix}{name}/")]
            first |= records[0]
            below += records[1:]
        elif isinstance(value, list):
            first[f"{prefix}{name}/.id"] = ",".join(str(number) for number in value)
        elif name.endswith("_id"):
            first[f"{prefix}{name}/.id"] = str(value)
        else:
            first[f"{prefix}{name}"] = str(value)
    return [first, *below]
