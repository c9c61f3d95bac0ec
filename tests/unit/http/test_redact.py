from __future__ import annotations

import pytest

from marketsync.http.addresses import is_literal_loopback, is_public
from marketsync.http.redact import safe_headers, safe_url


def test_an_address_is_shown_without_user_query_and_fragment() -> None:
    base = "https://shop.example:8443/a"
    assert safe_url(f"{base}/b?canary=1#canary", base) == f"{base}/b"
    assert safe_url("https://canary:canary@shop.example:8443/a/b", base) == "https://shop.example:8443"


def test_an_address_that_a_far_side_gave_is_shown_by_its_host_alone() -> None:
    assert safe_url("https://files.example/canary/1", "https://shop.example") == "https://files.example"


def test_only_listed_headers_are_shown() -> None:
    headers = {
        "set-cookie": "canary",
        "authorization": "canary",
        "content-type": "x" * 500,
        "retry-after": "5",
    }
    assert safe_headers(headers) == {"content-type": "x" * 100, "retry-after": "5"}


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("0.0.0.0", False),  # noqa: S104 - an address to refuse
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("not an address", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_literal_loopback() -> None:
    assert is_literal_loopback("127.0.0.1")
    assert is_literal_loopback("::1")
    assert not is_literal_loopback("localhost")
    assert not is_literal_loopback("10.0.0.1")
