"""When the answers of a far side prove that a window was read whole (rules B6-B12)."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import datetime

import msgspec

from marketsync.domain.coverage import Coverage, ListTraits, Paging, Window


class PageSeen(msgspec.Struct, frozen=True):
    """One page as answered: every row's id, also of rows that could not be read ("").

    `last`: the far side names no page after it. `token` is the next page's, where it gives one.
    """

    ids: tuple[str, ...]
    total: int | None
    full: bool
    last: bool
    token: str | None = None


class HoleCause(enum.Enum):
    """Why a window stays a hole: it is shown, and retried on the creation axis or by ids (B9)."""

    PASS_CAP = "pass_cap"  # noqa: S105 - a cause, not a secret
    PAGE_CAP = "page_cap"
    OFFSET_CAP = "offset_cap"
    TOKEN_REPEATED = "token_repeated"  # noqa: S105 - a cause, not a secret
    UNSTABLE_ORDER = "unstable_order"
    UNPROVABLE = "unprovable"
    NO_TOTAL = "no_total"
    UNREADABLE_ROW = "unreadable_row"
    REFUSED = "refused"


class PassMode(enum.Enum):
    """What will prove an atom above one page.

    ANCHORED: pages that share a row (B8a). TWICE: two equal passes, each as large as the stated total (B8b).
    SNAPSHOT: the pages of one token are of one moment (B10).
    """

    ANCHORED = "anchored"
    TWICE = "twice"
    SNAPSHOT = "snapshot"


class PassState(msgspec.Struct, frozen=True):
    """Where the paging of one atom stands: ask for `offset` (or `token`) next.

    `seen` is kept from the first page on, so a stored state may be resumed; a lost one starts anew (B11).
    """

    mode: PassMode
    offset: int = 0
    token: str | None = None
    anchor: str | None = None
    seen: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    previous: tuple[str, ...] | None = None
    pages: int = 0
    passes: int = 0


class Covered(msgspec.Struct, frozen=True):
    """The window was read whole and may enter the coverage."""


class Overfull(msgspec.Struct, frozen=True):
    """Not proved by one answer: split the window, or page it if it is an atom."""

    total: int | None


class NextPage(msgspec.Struct, frozen=True):
    state: PassState


class Restart(msgspec.Struct, frozen=True):
    """The pass proved nothing; read again from its first page."""

    state: PassState


class Hole(msgspec.Struct, frozen=True):
    cause: HoleCause


Verdict = Covered | Overfull | NextPage | Restart | Hole


def page_seen(ids: Sequence[str], total: int | None, traits: ListTraits, *, more: bool = False) -> PageSeen:
    """A page is the last if it is not full, unless the far side says that it has `more`."""
    full = len(ids) >= traits.page_size
    return PageSeen(tuple(ids), total, full=full, last=not full and not more)


def judge_single(page: PageSeen, traits: ListTraits) -> Covered | Overfull:
    """B7: does one answer prove its window? An exactly full page without a total does not."""
    total = page.total if traits.states_total else None
    if total is None:
        return Covered() if not page.full and page.last else Overfull(None)
    # A total above the rows of this very answer contradicts it: nothing is proved.
    return Covered() if len(page.ids) >= total <= traits.page_size else Overfull(total)


def settle(coverage: Coverage, window: Window, verdict: Verdict, read_at: datetime) -> Coverage:
    """B12: rows are committed whatever the verdict; only a proof adds to the coverage."""
    return coverage.add(window, read_at) if isinstance(verdict, Covered) else coverage


def start_pass(traits: ListTraits) -> PassState | Hole:
    """How an atom above one page can be proved, if at all (B8, B10). Anchored pages are the cheapest."""
    if traits.paging is Paging.TOKEN and traits.token_is_snapshot:
        return PassState(PassMode.SNAPSHOT)
    if not traits.stable_order:
        return Hole(HoleCause.UNSTABLE_ORDER)
    if traits.paging is Paging.OFFSET and traits.page_size > 1:
        return PassState(PassMode.ANCHORED)
    return PassState(PassMode.TWICE) if traits.states_total else Hole(HoleCause.UNPROVABLE)


def advance(state: PassState, page: PageSeen, traits: ListTraits) -> Covered | NextPage | Restart | Hole:
    """What the page that `state` asked for means for its pass."""
    if "" in page.ids:
        return Hole(HoleCause.UNREADABLE_ROW)
    if state.anchor is not None and page.ids[:1] != (state.anchor,):
        return restarted(state, traits)
    ids = page.ids if state.anchor is None else page.ids[1:]
    # Sorted, so that a stored state is the same whatever the order of a set.
    seen = tuple(sorted({*state.seen, *ids}))
    read = msgspec.structs.replace(state, seen=seen, pages=state.pages + 1)
    return _pass_ended(read, page, traits) if _ends(read, page, traits) else _next_page(read, page, traits)


def restarted(state: PassState, traits: ListTraits) -> Restart | Hole:
    """B11, B9: from the first page again, after a crash, an expired token or a broken pass; not for ever."""
    return _again(state, None, traits)


def _ends(state: PassState, page: PageSeen, traits: ListTraits) -> bool:
    if not page.full and page.last:
        return True
    if state.mode is PassMode.SNAPSHOT:
        return page.last
    reached = state.offset + len(page.ids)
    # An answer that states how many rows there are says that none follows its last one.
    return traits.states_total and traits.paging is Paging.OFFSET and page.total == reached


def _pass_ended(state: PassState, page: PageSeen, traits: ListTraits) -> Covered | Restart | Hole:
    if state.mode is not PassMode.TWICE:
        return Covered()
    if page.total is None:
        return Hole(HoleCause.NO_TOTAL)
    # Two equal sets alone are no proof: late rows may come and go unseen between the pages of both (B8b).
    if len(state.seen) != page.total:
        return _again(state, None, traits)
    return Covered() if state.seen == state.previous else _again(state, state.seen, traits)


def _again(state: PassState, previous: tuple[str, ...] | None, traits: ListTraits) -> Restart | Hole:
    if state.passes + 1 >= traits.passes_max:
        return Hole(HoleCause.PASS_CAP)
    return Restart(PassState(state.mode, previous=previous, passes=state.passes + 1))


def _next_page(state: PassState, page: PageSeen, traits: ListTraits) -> NextPage | Restart | Hole:
    if state.pages >= traits.pages_max:
        return Hole(HoleCause.PAGE_CAP)
    if traits.paging is Paging.TOKEN:
        return _next_token(state, page)
    offset = state.offset + traits.page_size
    anchor = None
    if state.mode is PassMode.ANCHORED:
        if len(page.ids) < 2:  # noqa: PLR2004 - the shared row alone brings the pass no further
            return restarted(state, traits)
        offset, anchor = state.offset + len(page.ids) - 1, page.ids[-1]
    if traits.offset_cap is not None and offset + traits.page_size > traits.offset_cap:
        return Hole(HoleCause.OFFSET_CAP)
    return NextPage(msgspec.structs.replace(state, offset=offset, anchor=anchor))


def _next_token(state: PassState, page: PageSeen) -> NextPage | Hole:
    if page.token is None:
        return Hole(HoleCause.UNPROVABLE)
    if page.token in state.tokens:
        return Hole(HoleCause.TOKEN_REPEATED)
    return NextPage(msgspec.structs.replace(state, token=page.token, tokens=(*state.tokens, page.token)))
