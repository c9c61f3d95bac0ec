"""The beginning of an adapter, as files: it passes what its quality.toml lists as done, and says what is still to do."""

from __future__ import annotations

import keyword
import re
from importlib import resources
from pathlib import Path

from marketsync.errors import ConfigError
from marketsync.http import Role

_NAME = re.compile(r"[a-z][a-z0-9_]{1,29}")
_TEST = """from __future__ import annotations

from {name} import ADAPTER

from marketsync.kit import conformance

Test{Name} = conformance(ADAPTER)
"""


def write_skeleton(name: str, role: Role, folder: Path) -> list[Path]:
    """A package `name` and its test below `folder`. ConfigError for a name that is none, or where something is there already."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ConfigError(
            f"{name!r} can't be the name of a package: small letters, digits and _, a letter first"
        )
    test = folder / f"test_{name}.py"
    if (folder / name).exists() or test.exists():
        raise ConfigError(f"{folder / name} or {test} is there already: nothing was written")
    written = {folder / name / file: text for file, text in _templates(role).items()} | {test: _TEST}
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_named(text, name), encoding="utf-8")
    return list(written)


def _templates(role: Role) -> dict[str, str]:
    found = resources.files("marketsync.kit") / "skeleton" / role.value
    files = sorted((x for x in found.iterdir() if x.name.endswith(".txt")), key=lambda x: x.name)
    return {file.name.removesuffix(".txt"): file.read_text(encoding="utf-8") for file in files}


def _named(text: str, name: str) -> str:
    title = "".join(part.capitalize() for part in name.split("_"))
    return text.replace("{name}", name).replace("{Name}", title)
