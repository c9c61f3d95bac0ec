"""The adapters that are installed: who names one has it imported, and nobody else's."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points

from marketsync.errors import ConfigError
from marketsync.http import AdapterSpec

GROUP = "marketsync.adapters"


class InstalledAdapters(Mapping[str, AdapterSpec]):
    """By the name of their entry point. Each is imported when it is asked for: one that can't be is the trouble of those alone
    who name it. ConfigError where it can't be used."""

    def __init__(self) -> None:
        self._points: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=GROUP):
            self._points.setdefault(point.name, []).append(point)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._points))

    def __len__(self) -> int:
        return len(self._points)

    def __getitem__(self, name: str) -> AdapterSpec:
        points = self._points[name]
        if len({point.value for point in points}) > 1:
            packages = ", ".join(sorted(map(_package, points)))
            raise ConfigError(
                f"several packages bring an adapter {name!r}: {packages}; uninstall all but one"
            )
        return _loaded(points[0])


def installed_adapters() -> Mapping[str, AdapterSpec]:
    return InstalledAdapters()


def _loaded(point: EntryPoint) -> AdapterSpec:
    what = f"the adapter {point.name!r} of {_package(point)} can't be loaded"
    see = f"the whole story: {sys.executable} -c 'import {point.module}'"
    try:
        spec = point.load()
    except ModuleNotFoundError as error:
        missing = f"ModuleNotFoundError, there is no module {error.name!r}"
        raise ConfigError(f"{what}: {missing}; install what brings it, or the package anew; {see}") from error
    except Exception as error:
        # The text of whatever it raised is not known to hold nothing private.
        failed = f"{type(error).__name__} when it was imported"
        raise ConfigError(f"{what}: {failed}; another version of the package may work; {see}") from error
    if not isinstance(spec, AdapterSpec):
        raise ConfigError(
            f"{what}: {point.value} is no AdapterSpec; install a version made for this marketsync"
        )
    return spec


def _package(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
