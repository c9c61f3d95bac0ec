"""What each adapter answers for in the conformance kit: `python -m tools.scorecard` writes docs/scorecard.md.

From the adapters' quality.toml: that it is true is what the kit's own tests show, check by check.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from marketsync.http import Role
from marketsync.kit.quality import BASE, Power, Quality, parse
from marketsync.kit.registry import Check, checks

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "scorecard.md"
SHOWN = {"done": "yes", "exempt": "exempt", "todo": "not yet", "": "-"}


def qualities(root: Path = ROOT) -> dict[str, Quality]:
    files = sorted((root / "adapters").rglob("quality.toml"))
    found = [parse(path.read_text(encoding="utf-8")) for path in files]
    return {quality.adapter.name: quality for quality in found}


def page(adapters: Mapping[str, Quality]) -> str:
    lines = [
        "# What each adapter shows",
        "",
        "Written by `python -m tools.scorecard` from each adapter's `quality.toml`. `make test` runs every check, and fails where one is",
        "not what stands here: a check called `yes` that is red, or an exemption whose check is green. Those of `contract` run where",
        "`MARKETSYNC_CONTRACTS` names the folder of the vendors' published descriptions.",
        "",
    ]
    for role in Role:
        named = {name: x for name, x in adapters.items() if x.adapter.role == role.value}
        lines += [*_table(role, named), *_reasons(named)]
    return "\n".join(lines)


def _table(role: Role, adapters: Mapping[str, Quality]) -> Iterator[str]:
    columns = [
        (name, variant) for name, quality in adapters.items() for variant in (BASE, *quality.kit.variants)
    ]
    yield f"## {role.value.replace('_', ' ').capitalize()}s"
    yield ""
    yield "| check | " + " | ".join(name if x == BASE else f"{name}: {x}" for name, x in columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for check in checks():
        if check.role in (None, role):
            cells = [_cell(adapters[name], variant, check) for name, variant in columns]
            yield f"| {check.id}: {_says(check)} | " + " | ".join(cells) + " |"
    yield ""


def _says(check: Check) -> str:
    return " ".join((check.ask.__doc__ or "").split())


def _cell(quality: Quality, variant: str, check: Check) -> str:
    power = quality.kit.powers.get(check.power, Power())
    if power.absent:
        return "absent"
    chosen = quality.kit.variants.get(variant)
    if chosen is not None and check.power not in chosen.checks and check.id not in chosen.checks:
        return ""
    return SHOWN[power.of(check.name, variant)[0]]


def _reasons(adapters: Mapping[str, Quality]) -> Iterator[str]:
    for name, quality in adapters.items():
        yield f"### {name}"
        yield ""
        for variant, chosen in quality.kit.variants.items():
            yield f"- {variant}: {chosen.why}"
        for power, stated in quality.kit.powers.items():
            if stated.absent:
                yield f"- {power} is absent: {stated.absent}"
            yield from (f"- {power}.{check} is exempt: {why}" for check, why in stated.exempt.items())
            yield from (f"- {power}.{check} not yet: {why}" for check, why in stated.todo.items())
        yield ""


def main() -> int:
    PAGE.write_text(page(qualities()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
