from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import unquote

from marketsync.http import ApiKey, Basic, InBody, OAuth1
from marketsync.http.auth import base_string

NOW = datetime.fromtimestamp(137131201, tz=UTC)


def test_oauth1_matches_an_example_worked_out_by_hand() -> None:
    """RFC 5849, 3.4.1: the base string is written out here letter by letter, the key is `secret&`."""
    query = (("b5", "=%3D"), ("a3", "a"), ("c@", ""), ("a2", "r b"), ("a3", "2 q"))
    (header,) = OAuth1("9djdj82h48djs9d2", "j49s k3j29djd").sign(
        "get", "https://shop.example/wp-json/wc/v3/orders", query, b"", now=NOW, nonce="7d8f3e4a"
    )
    by_hand = (
        "GET&https%3A%2F%2Fshop.example%2Fwp-json%2Fwc%2Fv3%2Forders&"
        "a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26"
        "oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26"
        "oauth_signature_method%3DHMAC-SHA256%26oauth_timestamp%3D137131201%26oauth_version%3D1.0"
    )
    mac = hmac.new(b"j49s%20k3j29djd&", by_hand.encode("ascii"), hashlib.sha256).digest()
    assert header[0] == "Authorization"
    fields = dict(part.split("=", 1) for part in header[1].removeprefix("OAuth ").split(", "))
    assert unquote(fields.pop("oauth_signature").strip('"')) == base64.b64encode(mac).decode()
    assert fields == {
        "oauth_consumer_key": '"9djdj82h48djs9d2"',
        "oauth_nonce": '"7d8f3e4a"',
        "oauth_signature_method": '"HMAC-SHA256"',
        "oauth_timestamp": '"137131201"',
        "oauth_version": '"1.0"',
    }


def test_parameters_sort_by_their_encoded_name_then_value() -> None:
    assert base_string("POST", "http://h.example/", (("a", "2"), ("ä", "x"), ("a", "10"), ("A", "~"))) == (
        "POST&http%3A%2F%2Fh.example%2F&%25C3%25A4%3Dx%26A%3D~%26a%3D10%26a%3D2"
    )


def test_a_new_nonce_or_time_is_a_new_signature() -> None:
    def signed(nonce: str, now: datetime) -> str:
        return OAuth1("k", "s").sign("GET", "https://h.example/", (), b"", now=now, nonce=nonce)[0][1]

    later = datetime.fromtimestamp(137131202, tz=UTC)
    assert len({signed("a", NOW), signed("b", NOW), signed("a", later)}) == 3


def test_basic_and_key() -> None:
    assert Basic("ck", "cs").sign("GET", "", (), b"", now=NOW, nonce="") == (
        ("Authorization", "Basic Y2s6Y3M="),
    )
    assert ApiKey("X-Key", "s3").sign("GET", "", (), b"", now=NOW, nonce="") == (("X-Key", "s3"),)


def test_a_secret_stands_in_the_body_at_its_first_mark_alone() -> None:
    auth = InBody("\0key", 'a"b')
    assert auth.sign("POST", "", (), b"", now=NOW, nonce="") == ()
    body = b'["db",2,"\\u0000key","res.partner","create",[{"name":"\\u0000key"}]]'
    assert auth.filled(body) == b'["db",2,"a\\"b","res.partner","create",[{"name":"\\u0000key"}]]'


def test_secrets_are_not_shown() -> None:
    shown = [
        f"{auth} {auth!r}"
        for auth in (
            ApiKey("X-Key", "canary"), Basic("canary", "canary"), OAuth1("canary", "canary"), InBody("m", "canary"),
        )
    ]  # fmt: skip
    assert "canary" not in "".join(shown)
