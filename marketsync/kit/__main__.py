"""`python -m marketsync.kit [NAME...] [-k CHECK]`: the scorecards of installed adapters; exit code 1 on anything red."""

from __future__ import annotations

import argparse
import sys

from marketsync.errors import ConfigError
from marketsync.http import AdapterSpec
from marketsync.installed import installed_adapters
from marketsync.kit.registry import checks
from marketsync.kit.score import lines, scorecard


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m marketsync.kit", description="Judge adapters by the kit."
    )
    parser.add_argument(
        "names", nargs="*", help="adapters by name, or module:NAME; all installed ones if not said"
    )
    parser.add_argument("-k", dest="only", action="append", default=[], help="only this power or check")
    chosen = parser.parse_args()
    for only in chosen.only:
        if not _is_known(only):
            parser.error(f"-k {only}: there is no power and no check of this name")
    sound = True
    for name in chosen.names or installed_adapters():
        try:
            card = scorecard(_spec(name), chosen.only)
        except ConfigError as error:
            print(f"{name}: {error}")
            return 1
        print(*lines(card), sep="\n")
        sound = sound and card.sound
    return 0 if sound else 1


def _is_known(only: str) -> bool:
    return any(only in (check.power, check.id) or only.startswith(f"{check.id}@") for check in checks())


def _spec(name: str) -> AdapterSpec:
    """By entry point, or as `package.module:ADAPTER` for one that is not installed."""
    from importlib import import_module

    module, _, attribute = name.partition(":")
    if not attribute:
        if found := installed_adapters().get(name):
            return found
        raise ConfigError(
            f"no adapter of the name {name} is installed; say package.module:ADAPTER for one that is not"
        )
    try:
        found = getattr(import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(f"there is no module {error.name} in this folder or on PYTHONPATH") from None
    if not isinstance(found, AdapterSpec):
        raise ConfigError(f"{name} is no AdapterSpec")
    return found


if __name__ == "__main__":
    sys.exit(main())
