"""Stock on Mirakl: a file of absolute quantities is imported, some time later (STO01 to STO03)."""

from __future__ import annotations

import msgspec

from adapters.mirakl import wire
from adapters.mirakl.stock_file import multipart, read_report
from adapters.mirakl.writers import Api
from marketsync.domain.deliveries import ProbeAnswer, StepSpec, Unknown, WriteClass
from marketsync.errors import InDoubt, Refused
from marketsync.http import decode, segment
from marketsync.http.documents import is_id
from marketsync.ports import (
    Batch,
    Departure,
    ItemResult,
    ProbeSpan,
    PublishStock,
    StepDone,
    StepResult,
    StepWaiting,
)

ITEMS_MAX = 500
POLL_SECONDS = 15.0


class StockWriter:
    """STO01: absolute quantities, applied some time after they were taken. One import at a time, one a minute."""

    def __init__(self, api: Api, lands_within_seconds: float) -> None:
        self._api = api
        self._lands_within_seconds = lands_within_seconds

    def operation(self, step: int) -> str:
        return "STO01"

    def batch(self, due: int) -> Batch:
        return Batch(ITEMS_MAX, "STO01")

    def steps(self, payload: PublishStock) -> tuple[StepSpec, ...]:
        spec = StepSpec("import", WriteClass.UPSERT, self._lands_within_seconds, path_may_duplicate=False)
        return (spec,)

    async def send(
        self, payload: PublishStock, step: int, checkpoint: str, departure: Departure
    ) -> StepResult:
        body = multipart(payload.items)
        answer = await self._api.write("STO01", "/api/offers/stock/imports", departure, body)
        receipt = str(decode(answer, wire.Import, write=True).import_id)
        if not is_id(receipt):
            raise InDoubt("STO01 answered with an id that is none")
        return StepWaiting(receipt, POLL_SECONDS)

    async def poll(self, payload: PublishStock, step: int, receipt: str) -> StepResult:
        """An import that failed may have applied some of its lines, so its outcome is unknown."""
        try:
            answer = await self._api.read("STO02", f"/api/offers/stock/imports/{segment(receipt)}/status")
        except Refused as refused:
            raise InDoubt("the marketplace does not know the import any more") from refused
        state = decode(answer, wire.ImportStatus, write=False)
        if state.status in {"WAITING", "RUNNING"}:
            return StepWaiting(receipt, POLL_SECONDS)
        if state.status != "COMPLETE":
            raise InDoubt("the import of the stock file failed")
        done = {"import_id": receipt, "errors": state.has_error_report}
        return StepDone(checkpoint=msgspec.json.encode(done).decode())

    async def probe(self, payload: PublishStock, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        """A listing can't be told from a sale since, so nothing is looked up: after the wait it is set anew (C16)."""
        return Unknown()

    async def results(self, payload: PublishStock, checkpoint: str) -> tuple[ItemResult, ...]:
        done = msgspec.json.decode(checkpoint, type=_Imported)
        if not done.errors:
            return tuple(ItemResult(item.sku) for item in payload.items)
        path = f"/api/offers/stock/imports/{segment(done.import_id)}/error_report"
        return read_report((await self._api.read("STO03", path)).body, payload.items)


class _Imported(msgspec.Struct):
    import_id: str
    errors: bool
