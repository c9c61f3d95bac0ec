"""Who may call the simulated eBay, and how often: tokens with their scopes, and what an application has left of its day."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

import msgspec

from adapters.ebay.sandbox_http import JSON, Fault, Reply, answer
from adapters.ebay.sandbox_world import SCOPE, Behaviour, World
from marketsync.ports import Request

NEEDED = {
    "fulfillment": (f"{SCOPE}/sell.fulfillment",),
    "inventory": (f"{SCOPE}/sell.inventory",),
    "notification": (SCOPE,),
    "post_order": (f"{SCOPE}/sell.fulfillment",),
}
_DOMAINS = {
    "fulfillment": "API_FULFILLMENT",
    "inventory": "API_INVENTORY",
    "notification": "API_NOTIFICATION",
    "post_order": "POST_ORDER",
}


class _Token(msgspec.Struct, frozen=True):
    scopes: tuple[str, ...]
    expires_at: datetime


class Access:
    """`consent` is withdrawn by setting it False: then no refresh token is good for anything."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tokens: dict[str, _Token] = {}
        self._refresh = [world.behaviour.refresh_token]
        self._calls: dict[tuple[str, str], int] = {}
        self._given: list[str] = []
        self.consent = True
        self.renewals = 0

    @property
    def _behaviour(self) -> Behaviour:
        return self._world.behaviour

    def end_tokens(self) -> None:
        """All access tokens end at once, as after a change of the seller's password."""
        self._tokens.clear()

    def issued(self) -> tuple[str, ...]:
        """Every token so far, of either sort."""
        return (self._behaviour.refresh_token, *self._given)

    def calls(self, api: str, at: datetime) -> int:
        return self._calls.get((api, self._world.day(at)), 0)

    def check(self, request: Request, api: str, at: datetime) -> None:
        headers = {name.lower(): value for name, value in request.headers}
        kind, _, value = headers.get("authorization", "").partition(" ")
        domain = _DOMAINS[api]
        if not value:
            raise Fault(401, 1002, "Missing access token", "OAuth")
        token = self._tokens.get(value)
        if kind != ("IAF" if api == "post_order" else "Bearer") or token is None or token.expires_at <= at:
            raise Fault(401, 1001, "Invalid access token", "OAuth")
        if not set(NEEDED[api]) <= set(token.scopes):
            raise Fault(403, 1100, "Access denied", "ACCESS")
        key = api, self._world.day(at)
        if self._behaviour.throttles and self._calls.get(key, 0) >= dict(self._behaviour.daily)[api]:
            raise Fault(429, 2001, "Too many requests", domain)
        self._calls[key] = self._calls.get(key, 0) + 1

    def token(self, request: Request, at: datetime) -> Reply:
        """The token end: Basic by application, a form, and errors as OAuth has them."""
        headers = {name.lower(): value for name, value in request.headers}
        pair = f"{self._behaviour.client_id}:{self._behaviour.client_secret}"
        if headers.get("authorization") != f"Basic {base64.b64encode(pair.encode()).decode()}":
            return _no(401, "invalid_client")
        if headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
            return _no(400, "invalid_request")
        form = dict(parse_qsl(request.body.decode("ascii", "replace")))
        if form.get("grant_type") != "refresh_token":
            return _no(400, "unsupported_grant_type")
        used = form.get("refresh_token", "")
        if not self.consent or used not in self._refresh:
            return _no(400, "invalid_grant")
        scopes = tuple(form.get("scope", "").split()) or self._behaviour.scopes
        if not set(scopes) <= set(self._behaviour.scopes):
            return _no(400, "invalid_scope")
        return self._grant(used, scopes, at)

    def _grant(self, used: str, scopes: tuple[str, ...], at: datetime) -> Reply:
        self.renewals += 1
        value = f"v^1.1#i^1#sandbox^{self.renewals}"
        self._tokens[value] = _Token(scopes, at + timedelta(seconds=self._behaviour.token_seconds))
        self._given.append(value)
        body = {
            "access_token": value,
            "expires_in": self._behaviour.token_seconds,
            "token_type": "User Access Token",
        }
        if self._behaviour.rotates:
            # The first use of a successor ends its predecessor: whoever kept no copy of the new one is locked out.
            self._refresh = [used, f"{self._behaviour.refresh_token}-{self.renewals}"]
            self._given.append(self._refresh[-1])
            body |= {"refresh_token": self._refresh[-1], "refresh_token_expires_in": 47_304_000}
        return answer(body)


def _no(status: int, error: str) -> Reply:
    body = JSON.encode({"error": error, "error_description": "the request was not granted"})
    return status, {"content-type": "application/json"}, body
