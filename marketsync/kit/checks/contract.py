"""What is said and what is answered, against the vendor's published description."""

from __future__ import annotations

from collections.abc import AsyncIterator

from marketsync.kit.bench import Bench, Fresh
from marketsync.kit.contract import Published, published
from marketsync.kit.journey import play
from marketsync.kit.quality import BASE
from marketsync.kit.registry import CannotShow, Checks

check = Checks("contract", None)


@check()
async def requests(fresh: Fresh) -> AsyncIterator[str]:
    """Each request names an operation, parameters, a content type and a body that the vendor's published description knows;
    each operation is called."""
    described = _described(fresh)
    played = await _played(fresh)
    for number, bench in enumerate(played):
        for request in (exchange.request for exchange in bench.wire.exchanges):
            said = list(described.request(request))
            for sentence in said if number == 0 else ():
                yield sentence
    if fresh.name != BASE:
        return
    sent = [exchange.request for bench in played for exchange in bench.wire.exchanges]
    planned = [operation.name for operation in played[0].plan.operations]
    for sentence in (
        *described.calls(planned, sent),
        *described.unread(),
        *described.idle("undescribed", "uncalled", "prose"),
    ):
        yield sentence


@check()
async def answers(fresh: Fresh) -> AsyncIterator[str]:
    """Each true answer has a status that the published description lists, and a body that fits it and names nothing else."""
    described = _described(fresh)
    for number, bench in enumerate(await _played(fresh)):
        for exchange in bench.wire.exchanges:
            said = list(described.answer(exchange.request, exchange.response))
            for sentence in said if number == 0 else ():
                yield sentence
    if fresh.name == BASE:
        for sentence in described.idle("partly", "nulls"):
            yield sentence


def _described(fresh: Fresh) -> Published:
    stated = fresh.quality.vendor.contract
    if stated is None:
        raise CannotShow("[vendor.contract] names no published description")
    return published(stated)


async def _played(fresh: Fresh) -> list[Bench]:
    """Of this variant first. To the base belong those of the other variants that are asked for the same: what one of them
    calls or leaves out counts for all."""
    played = [await play(fresh)]
    if fresh.name == BASE:
        for name, variant in fresh.quality.kit.variants.items():
            if check.power in variant.checks:
                played.append(await play(Fresh(fresh.spec, fresh.quality, name)))
    return played
