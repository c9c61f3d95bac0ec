"""A vendor's published OpenAPI documents, and what is wrong with a request or an answer by them.

Everything that is wrong is a sentence, unless a reason in `[vendor.contract]` speaks for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from marketsync.kit.openapi import Described, Document, Json, Wrong
from marketsync.kit.quality import Contract
from marketsync.kit.registry import NotRun
from marketsync.ports import Request, Response

FOLDER = "MARKETSYNC_CONTRACTS"


class Published:
    """`needed` are the reasons that had to speak for something so far, by field and name."""

    def __init__(self, stated: Contract, folder: Path) -> None:
        """NotRun where this machine has none of the documents."""
        _need_jsonschema()
        self.reasons = stated.reasons()
        self.needed: dict[tuple[str, str], None] = {}
        self.missing = [name for name in stated.files if not (folder / name).is_file()]
        if len(self.missing) == len(stated.files):
            raise NotRun(f"the folder that {FOLDER} names has no {', '.join(stated.files)}")
        self.documents = {
            name: Document(_read(folder / name), stated.base_paths.get(name, ""))
            for name in stated.files
            if name not in self.missing
        }
        self._used: dict[str, None] = {}

    def of(self, request: Request) -> Described | None:
        """The operation that the request's method and path name. Of several templates the one with the fewest holes."""
        found: list[tuple[Described, str]] = []
        path = urlsplit(request.url).path
        for name, document in self.documents.items():
            found += [(described, name) for described in document.find(request.method, path)]
        if not found:
            return None
        described, name = min(found, key=lambda entry: len(entry[0].in_path))
        self._used[name] = None
        return described

    def request(self, request: Request) -> Iterator[str]:
        """What is wrong with it, in sentences that hold no value of it."""
        name = request.operation
        described = self.of(request)
        if described is None:
            wrongs = [Wrong("is an operation of no description", ("undescribed", name))]
        else:
            wrongs = [*described.wrong_request(request), *self._misnamed(described, name)]
        yield from self._unexcused(name, wrongs)

    def answer(self, request: Request, response: Response) -> Iterator[str]:
        """The same of an answer. One to a request that nothing describes is passed over."""
        described = self.of(request)
        if described is not None:
            yield from self._unexcused(request.operation, described.wrong_answer(request.operation, response))

    def calls(self, planned: Iterable[str], requests: Iterable[Request]) -> Iterator[str]:
        """Operations of the plan that nothing called."""
        called = dict.fromkeys(request.operation for request in requests)
        for name in planned:
            if name in called:
                continue
            if ("undescribed", name) in self.reasons and not self._knows(name):
                self.needed["undescribed", name] = None
            else:
                yield from self._unexcused(name, [Wrong("is never called", ("uncalled", name))])

    def idle(self, *fields: str) -> Iterator[str]:
        """Reasons of these fields that spoke for nothing."""
        for field, name in self.reasons:
            if field in fields and (field, name) not in self.needed:
                yield f"{f'[vendor.contract] {field} {name}'.strip()}: the reason is not needed any more"

    def unread(self) -> Iterator[str]:
        yield from (f"[vendor.contract] {name} is not in the folder" for name in self.missing)
        for name, document in self.documents.items():
            if name not in self._used and not any(("uncalled", x) in self.reasons for x in document.names):
                yield f"[vendor.contract] {name} describes nothing that is called"

    def _misnamed(self, described: Described, name: str) -> list[Wrong]:
        """Only where the description has an operation of this name, and it is another one."""
        return [Wrong(f"calls {described.name}")] if self._knows(name) and described.name != name else []

    def _knows(self, name: str) -> bool:
        return any(name in document.names for document in self.documents.values())

    def _unexcused(self, name: str, wrongs: Iterable[Wrong]) -> Iterator[str]:
        for wrong in wrongs:
            if wrong.excuse in self.reasons:
                self.needed[wrong.excuse] = None
            else:
                yield f"{name}: {wrong.text}"


def published(stated: Contract) -> Published:
    """From the folder that the environment names. NotRun where it names none."""
    named = os.environ.get(FOLDER, "")
    if not named:
        raise NotRun(f"{FOLDER} names no folder of published descriptions")
    return Published(stated, Path(named))


def _read(path: Path) -> Json:
    try:
        document: Json = json.loads(path.read_bytes())
    except ValueError:
        raise NotRun(f"{path.name} is no JSON") from None
    return document


def _need_jsonschema() -> None:
    try:
        import jsonschema  # noqa: F401 - only whether it is there
    except ImportError:
        raise NotRun("jsonschema is not installed: pip install 'marketsync[kit]'") from None
