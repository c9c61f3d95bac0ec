"""The pages tell the truth where a program can check it: links, commands, settings, modules, times."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from adapters.amazon import ADAPTER as AMAZON
from adapters.ebay import ADAPTER as EBAY
from adapters.mirakl import ADAPTER as MIRAKL
from adapters.odoo import ADAPTER as ODOO
from adapters.rest import ADAPTER as REST
from adapters.rest import SHOP as REST_SHOP
from adapters.shopify import ADAPTER as SHOPIFY
from adapters.woocommerce import ADAPTER as WOOCOMMERCE
from marketsync.cli.exits import Exit
from marketsync.cli.main import cli
from marketsync.config import parse
from marketsync.domain.deliveries import SECOND_PROBE_AFTER_SECONDS, WriteClass
from marketsync.engine.sweep import SAVE_SECONDS
from marketsync.http import AdapterSpec

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("systemd/*.md"), *ROOT.glob("changes/*.md")]
)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"\bmarketsync((?: --config \S+)?(?: [a-z][a-z-]*)+)")
MODULE = re.compile(r"`((?:marketsync|adapters|tests|tools)/[\w/<>-]*(?:\.py|/))`")
OWN_PAGES = {
    "amazon": AMAZON, "ebay": EBAY, "mirakl": MIRAKL, "odoo": ODOO, "rest": REST, "rest-shop": REST_SHOP, "shopify": SHOPIFY,
    "woocommerce": WOOCOMMERCE,
}  # fmt: skip
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{name}: {target}"
        if anchor:
            assert anchor in anchors(found), f"{name}: {target}"


@pytest.mark.parametrize("name", NAMES)
def test_commands_exist(name: str) -> None:
    for words in COMMAND.findall(code_of((ROOT / name).read_text())):
        assert_command([word for word in words.split() if not word.startswith(("--", "config", "/"))], name)


def test_every_command_stands_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for line in leaves(cli, ()):
        assert f"`marketsync {' '.join(line)}" in text, line


@pytest.mark.parametrize("name", sorted(OWN_PAGES))
def test_every_setting_of_an_adapter_stands_on_its_page(name: str) -> None:
    spec: AdapterSpec = OWN_PAGES[name]
    table = rows_of((ROOT / "docs" / f"{name}.md").read_text(), "## Settings")
    known = {field.name for field in msgspec.structs.fields(spec.settings)}
    assert {word for row in table for word in re.findall(r"`(\w+)`", row[0])} == known


@pytest.mark.parametrize("name", sorted(OWN_PAGES))
def test_the_defaults_of_settings_are_as_stated(name: str) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(OWN_PAGES[name].settings)}
    for row in rows_of((ROOT / "docs" / f"{name}.md").read_text(), "## Settings"):
        keys, stated = re.findall(r"`(\w+)`", row[0]), [x.strip(" `") for x in row[1].split(", ")]
        for key, text in zip(keys, stated * len(keys) if len(stated) == 1 else stated, strict=True):
            assert text == shown(fields[key]), key


@pytest.mark.parametrize(
    "name",
    ["docs/how-it-works.md", "docs/assumptions.md", "docs/adapter-authors-guide.md", "CONTRIBUTING.md"],
)
def test_modules_exist(name: str) -> None:
    found = [module for module in MODULE.findall((ROOT / name).read_text()) if "<" not in module]
    assert found
    for module in found:
        assert (ROOT / module).exists(), module


def test_names_in_the_assumptions_stand_in_their_module() -> None:
    """`name` in `module.py` (or `module.py` (`name`)) on one row: the place that a page sends its reader to is there."""
    for line in (ROOT / "docs/assumptions.md").read_text().splitlines():
        for name, module in re.findall(r"`(\w+)` in `([\w/]+\.py)`", line):
            assert name in (ROOT / module).read_text(), line
        for module, name in re.findall(r"`([\w/]+\.py)` \(`(\w+)[^`]*`\)", line):
            assert name in (ROOT / module).read_text(), line


def test_examples_of_configuration_are_accepted() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    config = parse(tomllib.loads(blocks[0]))
    for name, chosen in config.connections.items():
        msgspec.convert(chosen.settings, OWN_PAGES[chosen.adapter].settings)
        assert name
    for name, spec in OWN_PAGES.items():
        page = (ROOT / "docs" / f"{name}.md").read_text()
        data = tomllib.loads("".join(re.findall(r"```toml\n(.*?)```", page, re.DOTALL)))
        data["connections"].setdefault("shop", {"adapter": "woocommerce"})
        for chosen in parse(data).connections.values():
            if chosen.adapter == name:
                msgspec.convert(chosen.settings, spec.settings)


def test_the_guides_two_shops_are_a_configuration() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/operators-guide.md").read_text(), re.DOTALL)
    config = parse(tomllib.loads(block))
    for chosen in config.connections.values():
        msgspec.convert(chosen.settings, OWN_PAGES[chosen.adapter].settings)
    assert {name: x.back_office for name, x in config.marketplaces.items()} == {
        "market": "shop", "clearance": "outlet",
    }  # fmt: skip


def test_exit_codes_of_the_guide_are_the_programs() -> None:
    table = rows_of((ROOT / "docs/operators-guide.md").read_text(), "## Exit codes")
    assert [int(row[0]) for row in table] == [int(code) for code in Exit]


def test_every_cause_that_parks_stands_in_the_guide() -> None:
    """What the code can put before the colon of a cause, a person can look up."""
    table = rows_of((ROOT / "docs/operators-guide.md").read_text(), "### Causes")
    known = {re.split(r"[:]", row[0].strip(" `"))[0] for row in table}
    sources = [
        *ROOT.glob("marketsync/**/*.py"),
        *(x for x in ROOT.glob("adapters/**/*.py") if "sandbox" not in x.name),
    ]
    used = {cause for source in sources for cause in causes_in(source.read_text())}
    assert used >= {"sku", "carrier", "conflict", "imbalance"}
    assert used <= known, used - known


def test_every_class_and_write_is_explained() -> None:
    text = (ROOT / "docs/exactly-once.md").read_text()
    for write_class in WriteClass:
        assert f"| {write_class.name} |" in text
    for call in ("OR21", "OR23", "OR24", "ST01", "STO01", "create", "release", "update", "cancel"):
        assert re.search(rf"^\| {call}\b", text, re.MULTILINE), call


def test_times_in_the_pages_are_the_codes() -> None:
    assert SECOND_PROBE_AFTER_SECONDS == 20 * 3600
    assert "about 20 hours" in " ".join((ROOT / "docs/exactly-once.md").read_text().split())
    assert SAVE_SECONDS == 5 * 60
    assert "after five minutes" in (ROOT / "docs/adr/0009-quiet-polls-are-saved-late.md").read_text()


def test_every_decision_is_in_the_list_and_has_its_parts() -> None:
    folder = ROOT / "docs/adr"
    index = (folder / "README.md").read_text()
    pages = sorted(folder.glob("0*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text()
        title = text.splitlines()[0].removeprefix(f"# {page.name[:4]} ")
        assert f"[{page.name[:4]}]({page.name}) | {title} |" in index
        for part in ("Context", "Decision", "Alternatives", "Consequences"):
            assert f"**{part}.**" in text, page.name


def test_notes_of_changes_have_their_form() -> None:
    for note in (ROOT / "changes").iterdir():
        if note.name != "README.md":
            assert re.fullmatch(r"\d{4}\.(feature|fix|change|removal|doc)\.md", note.name), note.name
            assert 20 < len(note.read_text()) < 400


def test_the_checks_would_notice() -> None:
    assert "no-such-part" not in anchors(ROOT / "README.md")
    assert "secrets" in anchors(ROOT / "docs/operators-guide.md")
    with pytest.raises(AssertionError):
        assert_command(["nonsense"], "")
    with pytest.raises(AssertionError):
        assert_command(["parked", "nonsense"], "")
    assert causes_in('x = (f"made_up:{ref}",)') == {"made_up"}


def assert_command(words: list[str], page: str) -> None:
    """As many words as there are groups name commands; what follows is an argument."""
    group: click.Command = cli
    for word in words:
        if not isinstance(group, click.Group):
            return
        found = group.get_command(click.Context(group), word)
        assert found is not None, f"{page}: marketsync {' '.join(words)}"
        group = found


def leaves(group: click.Group, before: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from leaves(command, (*before, name))
        else:
            yield (*before, name)


def anchors(page: Path) -> set[str]:
    """As the common renderers make them of headings."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


def code_of(text: str) -> str:
    """What stands as code, in blocks that are commands and between backticks."""
    blocks = re.findall(r"^\s*```\n(.*?)^\s*```", text, re.MULTILINE | re.DOTALL)
    code = "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", re.sub(FENCE, "", text))])
    return re.sub(r"systemctl [^\n]*", "", code)


def rows_of(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    part = text.partition(f"\n{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", part, re.MULTILINE)
    assert table is not None, heading
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table[0].splitlines()[2:]]


def causes_in(source: str) -> set[str]:
    """Causes are f-strings of the form `word:{...}`: alone in a tuple, made into one, or first of what is returned."""
    forms = (r'\(\s*f"([a-z_]+):[^"]*",\s*\)', r'tuple\(f"([a-z_]+):', r'return f"([a-z_]+):[^"]*", ')
    return {cause for form in forms for cause in re.findall(form, source)}


def shown(field: msgspec.structs.FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return "none"
    match field.default:
        case msgspec.NODEFAULT:
            return "must be given"
        case None | ():
            return "none"
        case bool() as switch:
            return str(switch).lower()
        case float() as seconds:
            return f"{seconds:g}"
        case default:
            return str(default)
