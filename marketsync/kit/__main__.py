"""`python -m marketsync.kit [NAME...] [-k CHECK]`: the scorecards of installed adapters; exit code 1 on anything red."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import entry_points

from marketsync.errors import ConfigError
from marketsync.http import AdapterSpec
from marketsync.kit.score import lines, scorecard

GROUP = "marketsync.adapters"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m marketsync.kit", description="Judge adapters by the kit."
    )
    parser.add_argument(
        "names", nargs="*", help="adapters by name, or module:NAME; all installed ones if not said"
    )
    parser.add_argument("-k", dest="only", action="append", default=[], help="only this power or check")
    chosen = parser.parse_args()
    installed = {point.name: point for point in entry_points(group=GROUP)}
    sound = True
    for name in chosen.names or sorted(installed):
        try:
            card = scorecard(_spec(name), chosen.only)
        except ConfigError as error:
            print(f"{name}: {error}")
            return 1
        print(*lines(card), sep="\n")
        sound = sound and card.sound
    return 0 if sound else 1


def _spec(name: str) -> AdapterSpec:
    """By entry point, or as `package.module:ADAPTER` for one that is not installed."""
    from importlib import import_module

    module, _, attribute = name.partition(":")
    if attribute:
        found = getattr(import_module(module), attribute)
    else:
        points = [point for point in entry_points(group=GROUP) if point.name == name]
        if not points:
            raise ConfigError(f"no adapter of the name {name} is installed")
        found = points[0].load()
    if not isinstance(found, AdapterSpec):
        raise ConfigError(f"{name} is no AdapterSpec")
    return found


if __name__ == "__main__":
    sys.exit(main())
