"""quality.toml has one form, and what it says is held against the adapter."""

from __future__ import annotations

import pytest

from adapters.ebay import ADAPTER as EBAY
from adapters.mirakl import ADAPTER as MIRAKL
from adapters.rest import ADAPTER as REST
from adapters.rest import SHOP as REST_SHOP
from adapters.woocommerce import ADAPTER as WOOCOMMERCE
from marketsync.errors import ConfigError
from marketsync.http import AdapterSpec
from marketsync.kit.quality import of, parse
from marketsync.kit.score import Runs

GOOD = """
[adapter]
name = "mirakl"
role = "marketplace"
api = "invented"
[writes]
[kit.powers.accept]
done = ["lost", "no_such_check", "partial@nowhere"]
exempt = { twice = "it is green whatever this says" }
[kit.powers.confirm]
absent = "it is not, as its writers show"
"""


@pytest.mark.parametrize("spec", [EBAY, MIRAKL, REST, REST_SHOP, WOOCOMMERCE])
def test_the_file_of_each_adapter_is_sound(spec: AdapterSpec) -> None:
    assert of(spec).adapter.name == spec.name


@pytest.mark.parametrize(
    "wrong",
    [
        GOOD.replace("api =", "apis ="),
        GOOD.replace("[writes]", "[promises]"),
        GOOD.replace("marketplace", "market"),
        GOOD.replace("it is green whatever this says", "no reason"),
        GOOD.replace('"no_such_check"', "1"),
        GOOD + '[kit.variants.base]\nwhy = "this is what there is without one"\nchecks = []\n',
    ],
)
def test_what_is_not_in_the_form_is_refused(wrong: str) -> None:
    parse(GOOD)
    with pytest.raises(ConfigError, match=r"quality\.toml"):
        parse(wrong)


def test_what_it_says_is_held_against_the_adapter_and_the_checks() -> None:
    runs = Runs(MIRAKL, quality=parse(GOOD))
    runs.wanted = list  # type: ignore[method-assign]
    problems = runs.scorecard().problems
    assert [any(word in text for text in problems) for word in ("no_such_check", "nowhere", "absent")] == [
        True
    ] * 3


def test_an_exemption_of_a_green_check_is_out_of_date() -> None:
    card = Runs(MIRAKL, ["accept.twice"], parse(GOOD)).scorecard()
    assert card.reds == ("accept.twice",)
    assert "out of date" in card.rows[0].why[0]
