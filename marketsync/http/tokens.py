"""The token of one OAuth 2 grant: fetched when it is needed, renewed in time, shared by all connections of the account."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from marketsync.errors import PauseConnection, ReadFailed, Retry
from marketsync.http.auth import OAuth2
from marketsync.ports import Clock, Response, TokenStore

RENEW_SECONDS = 300.0
PATIENCE_SECONDS = 3600.0
REFUSED_WAIT_SECONDS = 60.0
AGAIN_SECONDS = 30.0


class Grant(msgspec.Struct, frozen=True):
    """RFC 6749 section 5.1. `expires_in` is in seconds; a `refresh_token` takes the place of the one that was used."""

    access_token: str
    expires_in: float = 3600.0
    refresh_token: str = ""

    def __repr__(self) -> str:
        return "Grant()"


class _Error(msgspec.Struct):
    error: str = ""


class Tokens:
    """`generation` counts the tokens: an answer to an old one says nothing of the new one."""

    def __init__(self, auth: OAuth2, clock: Clock, store: TokenStore) -> None:
        self._auth = auth
        self._clock = clock
        self._store = store
        self._turn = asyncio.Lock()
        self._token = ""
        self._renew_at = float("-inf")
        self._expires_at = float("-inf")
        self._refused_since: float | None = None
        self._refused: dict[str, int] = {}
        self._ended = 0
        self.generation = 0

    def header(self, prefix: str | None = None) -> tuple[str, str]:
        """`prefix` in place of the usual one."""
        return self._auth.header, (self._auth.prefix if prefix is None else prefix) + self._token

    async def ready(self, ask: Callable[[str], Awaitable[Grant]]) -> None:
        """Afterwards there is a token. One caller at a time asks for it with the refresh token; PauseConnection if the grant
        is gone, Retry if the far side can't be asked and the old token is over."""
        if self._clock.monotonic() < self._renew_at:
            return
        async with self._turn:
            if self._clock.monotonic() < self._renew_at:
                return
            try:
                await self._renew(ask)
            except Retry:
                now = self._clock.monotonic()
                if now >= self._expires_at:
                    raise
                # Until it is asked for again nobody waits for it: each call would, one behind the other.
                self._renew_at = min(now + AGAIN_SECONDS, self._expires_at)

    async def _renew(self, ask: Callable[[str], Awaitable[Grant]]) -> None:
        refresh = await self._store.load(self._auth.account) or self._auth.refresh_token
        began = self._clock.monotonic()
        grant = await ask(refresh)
        if grant.refresh_token and grant.refresh_token != refresh:
            await self._store.save(self._auth.account, grant.refresh_token)
        self._token = grant.access_token
        self._expires_at = began + grant.expires_in
        self._renew_at = self._expires_at - min(RENEW_SECONDS, grant.expires_in / 2)
        self.generation += 1

    def accepted(self, operation: str) -> None:
        self._refused_since = None
        self._refused.pop(operation, None)

    def was_refused(self, operation: str, generation: int, status: int) -> None:
        """Returns where the answer stands as it is: a fresh token was refused too, so it is not the token.

        Raises Retry while another token may help; PauseConnection once fresh ones were refused for an hour (far sides have
        refused good tokens for half an hour).
        """
        now = self._clock.monotonic()
        if generation != self.generation or generation == self._ended:
            raise Retry(f"{operation}: the token was renewed meanwhile")
        before, self._refused[operation] = self._refused.get(operation), generation
        if before is None:
            self._ended = generation
            self._renew_at = self._expires_at = float("-inf")
            self._refused_since = now if self._refused_since is None else self._refused_since
            raise Retry(f"{operation}: the token was refused (HTTP {status}): renewed once")
        if status == 401 and self._refused_since is not None:
            if now - self._refused_since > PATIENCE_SECONDS:
                raise PauseConnection(
                    f"{operation}: fresh tokens are refused: correct the access, then resume the connection"
                )
            raise Retry(f"{operation}: a fresh token was refused", REFUSED_WAIT_SECONDS)


class MemoryTokens:
    """A TokenStore for as long as the process lives."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}

    async def load(self, credential: str) -> str | None:
        return self._kept.get(credential)

    async def save(self, credential: str, token: str) -> None:
        self._kept[credential] = token


def grant_of(operation: str, response: Response) -> Grant:
    """What the token endpoint said. PauseConnection where only a person can help, else ReadFailed: nothing was sent yet."""
    if response.status == 200:
        try:
            grant = msgspec.json.decode(response.body, type=Grant)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise ReadFailed(f"{operation}: unusable answer") from None
        if not grant.access_token or not 0 < grant.expires_in < float("inf"):
            raise ReadFailed(f"{operation}: unusable answer")
        return grant
    if response.status not in {400, 401, 403}:
        raise ReadFailed(f"{operation}: HTTP {response.status}")
    match _code(response.body):
        case "":
            raise ReadFailed(f"{operation}: HTTP {response.status}")
        case "invalid_grant":
            raise PauseConnection(
                f"{operation}: the authorisation was withdrawn or is over: authorise anew, put the new refresh token in"
                " place, then resume the connection"
            )
        case code:
            raise PauseConnection(
                f"{operation}: refused ({code}): correct client, secret or scope, then resume the connection"
            )


def _code(body: bytes) -> str:
    """One of RFC 6749 section 5.2, "" for anything else: what a gateway says is not shown."""
    try:
        code = msgspec.json.decode(body, type=_Error).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return code if code in _CODES else ""


_CODES = (
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
)
