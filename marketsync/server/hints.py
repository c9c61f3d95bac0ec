"""Where marketplaces push their messages, one path for each connection: /hints/NAME. Off unless an address is configured.

Anybody may call here, so that nothing is believed before it is verified, and nothing is kept but within limits. What a
message says is the engine's matter; none of it is ever written down here.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from marketsync.engine.hints import Heard
from marketsync.ports import Clock, Observer
from marketsync.server.listening import listening


class Door(Protocol):
    """One connection's: `marketsync.engine.hints.Hints`."""

    def answer_challenge(self, query: Mapping[str, str]) -> bytes | None: ...
    async def pushed(self, headers: Mapping[str, str], body: bytes) -> Heard: ...


@asynccontextmanager
async def hints_server(
    listen: str,
    doors: Mapping[str, Door],
    *,
    elsewhere: bool,
    clock: Clock,
    observer: Observer,
    begin_after: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[int]:
    """Serves /hints/NAME for each of `doors` while entered; yields the port."""

    async def serve(sock: socket.socket) -> None:
        from marketsync.server import doorway

        await doorway.Doorway(doors, clock, observer).serve(sock)

    async with listening("hints_listen", listen, serve, elsewhere=elsewhere, begin_after=begin_after) as port:
        yield port
