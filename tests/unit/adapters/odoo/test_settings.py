"""What `plan` refuses of the settings, in words that are enough to mend it."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.odoo.adapter import plan
from adapters.odoo.settings import Settings
from marketsync.errors import ConfigError

SECRETS = {"api_key": "secret"}


def settings(**stated: Any) -> Settings:
    return Settings(
        **{"url": "https://odoo.example", "database": "shop", "api_key": "cred:odoo-key", **stated}
    )


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"url": "odoo.example"}, "such as https://odoo.example"),
        ({"url": "https://odoo.example/web"}, "alone, without /web"),
        ({"url": "https://odoo.example/odoo/settings"}, "alone, without /web"),
        ({"taxes": {"5.5": 14, "20%": 12}}, "'20%' is no rate in percent"),
        ({"taxes": {"5,5": 14}}, "'5,5' is no rate in percent"),
        ({"taxes": {"-5": 14}}, "'-5' is no rate in percent"),
        ({"taxes": {"NaN": 14}}, "'NaN' is no rate in percent"),
        ({"taxes": {"20": 0}}, r"0 \(for 20 %\) is not the number of a record"),
        ({"taxes": {"20": 12, "20.0": 14}}, '"20" and "20.0" are one rate'),
        ({"pricelists": {"kr": 3}}, "three capital letters"),
        ({"pricelists": {"SEK": 0}}, "three capital letters"),
    ],
)
def test_what_can_not_work_is_refused(stated: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(settings(**stated), SECRETS)


def test_what_can_work_is_taken() -> None:
    stated = settings(url="https://odoo.example/", taxes={"0": 3, "5.5": 14, "20": 12}, pricelists={"SEK": 3})
    assert plan(stated, SECRETS).base_url == "https://odoo.example"
