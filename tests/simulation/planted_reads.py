"""Defects of reading and of stock: one for each rule or trace."""

from __future__ import annotations

from tests.simulation.planting import Change, Defect

COVERAGE = "marketsync/domain/coverage.py"
PAGING = "marketsync/domain/paging.py"
VERSIONS = "marketsync/domain/versions.py"
STOCK = "marketsync/domain/stock.py"
PUBLISHING = "marketsync/domain/publishing.py"
SWEEP = "marketsync/engine/sweep.py"

# Whoever claims too much is stopped by the Date of the answer, unless that is not looked at either.
UNGUARDED = Change(
    COVERAGE,
    "return date is not None and window.hi + timedelta(seconds=traits.lag_seconds - DATE_SECONDS) > date",
    "return False",
)

READS: tuple[Defect, ...] = (
    Defect(
        "lag_counts_as_read",
        "B1",
        "windows end where the list does not yet show everything",
        "bare",
        20,
        (
            Change(
                COVERAGE,
                "behind = timedelta(seconds=traits.lag_seconds + traits.extra_behind_seconds)",
                "behind = timedelta(seconds=traits.extra_behind_seconds)",
            ),
            UNGUARDED,
        ),
    ),
    Defect(
        "running_second_is_over",
        "B1",
        "the running second counts as over, and is not read again",
        "brink",
        20,
        (
            Change(
                COVERAGE,
                "return floor_to(server_now - behind, traits.granule) - traits.granule",
                "return floor_to(server_now - behind, traits.granule) + traits.granule",
            ),
        ),
    ),
    Defect(
        "own_clock",
        "B1",
        "windows end by this machine's clock instead of the marketplace's",
        "bare",
        20,
        (
            Change(
                SWEEP,
                "traits, now = self._link.adapter.updated, self.server_now",
                "traits, now = self._link.adapter.updated, self._core.clock.now()",
            ),
            UNGUARDED,
        ),
    ),
    Defect(
        "exclusive_bound_as_it_is",
        "B2",
        "an exclusive lower bound loses the row on it",
        "exclusive",
        20,
        (
            Change(
                COVERAGE,
                "return (window.lo - traits.granule if traits.lower_exclusive else window.lo), window.hi",
                "return window.lo, window.hi",
            ),
        ),
    ),
    Defect(
        "filter_of_state",
        "B6",
        "rows hide from the list when their state changes",
        "filter",
        20,
        (
            Change(
                "adapters/mirakl/writers.py",
                '("max", "100"), ("paginate", "true"),',
                '("max", "100"), ("order_state_codes", "WAITING_ACCEPTANCE,SHIPPING,SHIPPED"), ("paginate", "true"),',
            ),
        ),
    ),
    Defect(
        "first_page_is_all",
        "B7",
        "a first page counts as the whole window",
        "pages",
        20,
        (
            Change(
                PAGING,
                "return Covered() if len(page.ids) >= total <= traits.page_size else Overfull(total)",
                "return Covered() if len(page.ids) <= traits.page_size else Overfull(total)",
            ),
        ),
    ),
    Defect(
        "pages_do_not_meet",
        "B8",
        "pages that do not meet count as one pass",
        "pages",
        20,
        (
            Change(
                PAGING,
                "if state.anchor is not None and page.ids[:1] != (state.anchor,):",
                "if state.anchor is not None and not page.ids:",
            ),
        ),
    ),
    Defect(
        "equal_stamp_is_known",
        "B13",
        "the second edit within one second is taken for known",
        "hints",
        20,
        (
            Change(
                VERSIONS,
                "if read.begin_seq > held.end_seq:\n        return VersionVerdict.TAKE",
                "if read.begin_seq > held.end_seq:\n        return VersionVerdict.DROP",
            ),
        ),
    ),
    Defect(
        "signed_holds",
        "T1",
        "what was taken too much is given out a second time",
        "busy",
        20,
        (
            Change(
                STOCK,
                "return max(0, needed - taken.min), max(0, needed - taken.max)",
                "return needed - taken.min, needed - taken.max",
            ),
            Change(
                STOCK,
                "return max(claim.target, claim.held, may_hold) + not_given_back",
                "return claim.target",
            ),
        ),
    ),
    Defect(
        "cancel_frees_at_once",
        "T2",
        "a cancel frees its unit before the shop has answered",
        "releases",
        20,
        (
            Change(
                STOCK,
                "return max(claim.target, claim.held, may_hold) + not_given_back",
                "return claim.target",
            ),
        ),
    ),
    Defect(
        "nothing_read_by_name",
        "T4",
        "what is open is not read again",
        "stock",
        20,
        (
            Change(
                "marketsync/engine/stockwatch.py",
                "        if look.tracked:\n",
                "        if look.tracked and self._swept_at is None:\n",
            ),
        ),
    ),
    Defect(
        "read_lag_ignored",
        "T6",
        "a figure of before counts as one that contains the order",
        "stale_shop",
        20,
        (
            Change(
                "marketsync/engine/effects.py",
                "None if lag_seconds > 0 else seq",
                "None if lag_seconds < 0 else seq",
            ),
        ),
    ),
    Defect(
        "own_sale_explains_listing",
        "T7",
        "a listing is believed although a write may have overwritten a sale",
        "rush",
        20,
        (
            Change(
                PUBLISHING,
                "if listing.presumed is None or listing.may_land or overwritten or not listing.covered(coverage_until):\n            return replace(listing, presumed=None)",
                "if listing.presumed is None:\n            return replace(listing, presumed=None)",
            ),
        ),
    ),
    Defect(
        "waiting_orders_subtract",
        "T8",
        "an order that is not allocated takes from others",
        "allocation",
        20,
        (
            Change(
                "marketsync/domain/allocation.py",
                "if allocation[earlier.order_ref] is Allocation.ALLOCATED:",
                "if earlier.order_ref in allocation:",
            ),
        ),
    ),
)
