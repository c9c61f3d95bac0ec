"""Adapters with one bug of the field each, made of the sound ones by a few lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from msgspec.structs import replace

from adapters.mirakl.rehearsal import MiraklSide
from adapters.mirakl.sandbox import MiraklSandbox
from marketsync.domain.deliveries import Kind
from marketsync.http import AdapterSpec
from marketsync.ports import Request, Response
from marketsync.sandbox.roles import SidePlan


class Around:
    """Whatever it does not define is the inner one's."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def bad(
    spec: AdapterSpec, around: type[Around] = Around, *, writers: Mapping[Kind, type[Around]] | None = None
) -> AdapterSpec:
    """The adapter behind `around`, its writers of these kinds behind theirs."""

    class Whole(around):  # type: ignore[valid-type, misc]
        def __init__(self, inner: Any) -> None:
            super().__init__(inner)
            self.writers = {
                kind: writers[kind](writer) if writers and kind in writers else writer
                for kind, writer in inner.writers.items()
            }

    return replace(spec, build=lambda context, settings: Whole(spec.build(context, settings)))


def with_calls(spec: AdapterSpec, change: Callable[[Any], Any]) -> AdapterSpec:
    """The adapter behind a client that changes each of its calls."""

    class Changed(Around):
        async def read(self, call: Any) -> Any:
            return await self.inner.read(change(call))

        async def write(self, call: Any, departure: Any) -> Any:
            return await self.inner.write(change(call), departure)

    return replace(
        spec,
        build=lambda context, settings: spec.build(replace(context, http=Changed(context.http)), settings),
    )


def never_throttles(plan: SidePlan) -> MiraklSide:
    return MiraklSide(replace(plan, throttles=False))


class LetsAnybodyIn(MiraklSide):
    def handle(self, request: Request, now: datetime) -> Response:
        signed = (("Authorization", self.sandbox.behaviour.api_key),)
        return super().handle(replace(request, headers=signed + request.headers[:0]), now)


class Forgetful(MiraklSide):
    """It shares its books with the one that was opened before."""

    books: ClassVar[list[MiraklSandbox]] = []

    def __init__(self, plan: SidePlan) -> None:
        super().__init__(plan)
        self.books.append(self.sandbox)
        self.sandbox.world.orders = self.books[0].world.orders
