"""What wrongs the network, the credentials or the buyer is found, and so is a far side that would let it pass."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from adapters.amazon import ADAPTER as AMAZON
from adapters.ebay import ADAPTER as EBAY
from adapters.mirakl import ADAPTER as MIRAKL
from adapters.woocommerce import ADAPTER as WOOCOMMERCE
from marketsync.domain.deliveries import Kind
from marketsync.errors import InDoubt, MarketsyncError, PauseConnection, Refused, Retry
from marketsync.http import AdapterSpec, Call, OAuth2
from marketsync.http.tokens import grant_of
from marketsync.kit import scorecard
from marketsync.kit.quality import of
from marketsync.ports import Response
from tests.kit import bad as sides
from tests.kit.bad import Around, bad


class SendsAgainByItself(Around):
    async def send(self, payload: Any, *more: Any) -> Any:
        for _ in range(4):
            try:
                return await self.inner.send(payload, *more)
            except (Retry, InDoubt):
                continue
        return await self.inner.send(payload, *more)


class QuotesTheBuyer(Around):
    async def send(self, payload: Any, *more: Any) -> Any:
        try:
            return await self.inner.send(payload, *more)
        except MarketsyncError as error:
            raise InDoubt(f"{error} for {payload.order.buyer}") from None


class HurriesAfterAThrottle(Around):
    async def fetch_orders(self, window: Any, offset: int) -> Any:
        try:
            return await self.inner.fetch_orders(window, offset)
        except Retry as error:
            raise Retry(error.reason, 0.1) from None


BAD: list[tuple[AdapterSpec, set[str]]] = [
    (bad(MIRAKL, writers={Kind.CONFIRM: SendsAgainByItself}), {"net.throttled"}),
    (bad(WOOCOMMERCE, writers={Kind.CREATE: QuotesTheBuyer}), {"net.throttled", "net.redaction"}),
    (bad(MIRAKL, HurriesAfterAThrottle), {"net.throttled"}),
]


@pytest.mark.parametrize("spec, expected", BAD)
def test_a_bad_neighbour_is_found(spec: AdapterSpec, expected: set[str]) -> None:
    assert set(scorecard(spec, ["net"]).reds) == expected


class HopesForTheConsent(Around):
    """A consent that was withdrawn is taken for trouble that goes away."""

    async def fetch_orders(self, window: Any, offset: int) -> Any:
        try:
            return await self.inner.fetch_orders(window, offset)
        except PauseConnection as error:
            if "withdrawn" in str(error):
                raise Retry(str(error)) from None
            raise


class OwnTokens(Around):
    """A client that gets tokens by calls of its own, and keeps them by itself."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.auth: HeldToken = inner._auth

    async def read(self, call: Any) -> Any:
        await self.need()
        return await self.renewing(lambda: self.inner.read(call))

    async def write(self, call: Any, departure: Any) -> Any:
        await self.need()
        return await self.renewing(lambda: self.inner.write(call, departure))

    async def need(self) -> None:
        if not self.auth.token:
            await self.renew()

    async def renew(self) -> None:
        grant = self.auth.grant
        headers = (*grant.client_headers(), ("Content-Type", "application/x-www-form-urlencoded"))
        path, self.auth.token = urlsplit(grant.token_url).path, ""
        call = Call("token", "POST", path, headers=headers, body=grant.form(grant.refresh_token))
        try:
            answer = await self.inner.read(call)
        except Refused as error:
            answer = Response(error.status, {}, error.body, 0.0)
        self.auth.token = grant_of("token", answer).access_token

    async def renewing(self, send: Callable[[], Awaitable[Any]]) -> Any:
        """The first 401 is a Retry of the client's, and a read is repeated with the next token."""
        try:
            return await send()
        except (Retry, PauseConnection):
            if self.inner._unauthorised:
                self.auth.token = ""
                raise Retry("the token was refused") from None
            raise


class RenewsAtEveryCall(OwnTokens):
    async def need(self) -> None:
        await self.renew()


class HeldToken:
    """An Auth of one header, whose token somebody else keeps up to date."""

    bare_secret = True

    def __init__(self, grant: OAuth2) -> None:
        self.grant = grant
        self.token = ""

    def sign(self, *_: Any, **__: Any) -> Any:
        return (("Authorization", f"Bearer {self.token}"),) if self.token else ()

    def __repr__(self) -> str:
        return "HeldToken()"


def with_own_tokens(client: type[OwnTokens]) -> AdapterSpec:
    def plan(settings: Any, secrets: Any) -> Any:
        made = EBAY.plan(settings, secrets)
        assert isinstance(made.auth, OAuth2)
        return replace(made, auth=HeldToken(made.auth))

    def build(context: Any, settings: Any) -> Any:
        return EBAY.build(replace(context, http=client(context.http)), settings)

    return replace(EBAY, plan=plan, build=build)


def never_renewed(spec: AdapterSpec) -> AdapterSpec:
    """The answer by which the far side says that a token is over is taken for something else."""

    def plan(settings: Any, secrets: Any) -> Any:
        made = spec.plan(settings, secrets)
        assert isinstance(made.auth, OAuth2)
        return replace(made, auth=replace(made.auth, refused=lambda *_: False))

    return replace(spec, plan=plan)


@pytest.mark.failure(39)
@pytest.mark.parametrize(
    "spec, sentence",
    [
        (never_renewed(AMAZON), "a read with a token that had expired goes on"),
        (never_renewed(EBAY), "a read with a token that had expired ends in PauseConnection"),
        (bad(AMAZON, HopesForTheConsent), "a consent that was withdrawn never stops the connection"),
        (bad(EBAY, HopesForTheConsent), "a consent that was withdrawn never stops the connection"),
        (with_own_tokens(RenewsAtEveryCall), "a token that is good is asked for again"),
    ],
)
def test_tokens_that_are_badly_kept_are_found(spec: AdapterSpec, sentence: str) -> None:
    card = scorecard(spec, ["net"])
    assert card.reds == ("net.tokens",)
    (row,) = (row for row in card.rows if row.check == "tokens")
    assert any(said.startswith(sentence) for said in row.why), row.why


def test_an_adapter_may_keep_its_tokens_in_a_way_of_its_own() -> None:
    assert scorecard(with_own_tokens(OwnTokens), ["net"]).reds == ()


@pytest.mark.parametrize(
    "open_side, check",
    [
        (sides.never_throttles, "net.budgets"),
        (sides.LetsAnybodyIn, "net.credentials"),
        (sides.Forgetful, "plan.side"),
    ],
)
def test_a_far_side_that_lets_everything_pass_is_found(
    monkeypatch: pytest.MonkeyPatch, open_side: Callable[..., Any], check: str
) -> None:
    monkeypatch.setattr("adapters.mirakl.rehearsal.open_side", open_side)
    assert scorecard(MIRAKL, [check]).reds == (check,)


def test_a_figure_that_is_looser_than_the_vendor_s_is_found() -> None:
    quality = of(MIRAKL)
    stricter = replace(
        quality, vendor=replace(quality.vendor, budgets={"orders": (1, 120.0), "other": (1, 1.0)})
    )
    card = scorecard(MIRAKL, ["plan.budgets"], stricter)
    assert len(card.rows[0].why) == 2
