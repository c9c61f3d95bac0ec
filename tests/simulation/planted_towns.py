"""Defects by which something of one shop, or of one merchant, gets to the other."""

from __future__ import annotations

from tests.simulation.planting import Change, Defect

CLAIMS = "marketsync/store/claims.py"
STOCK = "marketsync/store/stock.py"
BOOTSTRAP = "marketsync/bootstrap.py"

TOWNS: tuple[Defect, ...] = (
    Defect(
        "routed_to_the_first_shop",
        "",
        "an order goes to the first shop, whatever its marketplace's back_office is",
        "shops",
        20,
        (
            Change(
                "marketsync/engine/intake.py",
                "back_office=link.settings.back_office, order=bare,",
                "back_office=next(iter(self._network.back_offices)), order=bare,",
            ),
        ),
    ),
    Defect(
        "published_from_another_shop",
        "",
        "what a marketplace lists is computed from the first shop's stock",
        "shops",
        20,
        (
            Change(
                "marketsync/engine/due.py",
                "picture(unit, merchant, link.settings.back_office, [row.sku",
                "picture(unit, merchant, next(iter(self._network.back_offices)), [row.sku",
            ),
        ),
    ),
    Defect(
        "figures_of_every_shop",
        "",
        "the figures of a SKU are read of all pools",
        "shops",
        20,
        (
            Change(
                STOCK,
                "WHERE merchant = ? AND pool = ? AND sku = ANY(?) ORDER BY sku, location",
                "WHERE merchant = ? AND (pool = ? OR 1 = 1) AND sku = ANY(?) ORDER BY sku, location",
            ),
        ),
    ),
    Defect(
        "claims_of_every_shop",
        "",
        "what orders of another shop claim is subtracted here",
        "shops",
        20,
        (
            Change(
                CLAIMS,
                "WHERE c.merchant = ? AND c.pool = ? AND c.sku = ANY(?)",
                "WHERE c.merchant = ? AND (c.pool = ? OR 1 = 1) AND c.sku = ANY(?)",
            ),
        ),
    ),
    Defect(
        "stopped_with_its_neighbour",
        "",
        "one circuit breaker, and one pause, for all connections",
        "shops",
        20,
        (
            Change(
                BOOTSTRAP,
                "gate = Gate(name, surroundings.clock, surroundings.random, surroundings.observer)",
                'gate = vars(shared).setdefault("_gate", Gate(name, surroundings.clock, surroundings.random, surroundings.observer))',
            ),
        ),
    ),
    Defect(
        "plan_kept_by_name",
        "",
        "where a connection leads is remembered by its name, whoever's it is",
        "merchants",
        20,
        (
            Change(
                BOOTSTRAP,
                "planned = _plan(spec, name, chosen.settings, surroundings)",
                "planned = vars(_plan).setdefault(name, _plan(spec, name, chosen.settings, surroundings))",
            ),
        ),
    ),
    Defect(
        "orders_of_every_merchant",
        "",
        "an order that another merchant holds under the same number is taken for known",
        "lodgers",
        20,
        (
            Change(
                "marketsync/store/orders.py",
                '"SELECT * FROM orders WHERE merchant = ? AND connection = ? AND order_id = ANY(?)"',
                '"SELECT * FROM orders WHERE (merchant = ? OR 1 = 1) AND connection = ? AND order_id = ANY(?)"',
            ),
        ),
    ),
    Defect(
        "figures_of_every_merchant",
        "",
        "the figures of a SKU are read of all merchants",
        "lodgers",
        20,
        (
            Change(
                STOCK,
                "WHERE merchant = ? AND pool = ? AND sku = ANY(?) ORDER BY sku, location",
                "WHERE (merchant = ? OR 1 = 1) AND pool = ? AND sku = ANY(?) ORDER BY sku, location",
            ),
        ),
    ),
    Defect(
        "listings_of_every_merchant",
        "",
        "what another merchant has to publish is published with what is due here",
        "lodgers",
        20,
        (
            Change(
                "marketsync/store/listings.py",
                "error FROM listings WHERE merchant = ? AND connection = ? AND dirty = 1 AND sku > ?",
                "error FROM listings WHERE (merchant = ? OR 1 = 1) AND connection = ? AND dirty = 1 AND sku > ?",
            ),
        ),
    ),
)
