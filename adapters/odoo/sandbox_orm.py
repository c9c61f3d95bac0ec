"""Records as Odoo's API shows them, and its domains: only the models and fields that are used, every other one an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from adapters.odoo.sandbox_shop import OdooShop, Partner, stamp

Fields = Mapping[str, Callable[[Any], Any]]


class OdooError(Exception):
    """`name` is the exception's, as Odoo spells it."""

    def __init__(self, name: str, message: str = "") -> None:
        super().__init__(name)
        self.name, self.message = name, message


class Model(msgspec.Struct, frozen=True):
    """`targets` are the models that many2one fields lead to; `labels` name a record there."""

    rows: Callable[[], Sequence[Any]]
    fields: Fields
    targets: Mapping[str, str] = {}
    label: Callable[[Any], str] = lambda row: str(row.id)


def models(shop: OdooShop) -> dict[str, Model]:
    return {
        "sale.order": Model(
            lambda: list(shop.orders.values()),
            {
                "id": lambda x: x.id, "name": lambda x: f"S{x.id:05d}", "state": lambda x: x.state,
                "client_order_ref": lambda x: x.ref or False, "origin": lambda x: x.origin or False,
                "amount_total": lambda x: float(shop.total(x)), "currency_id": lambda x: _currency(x.currency),
                "partner_id": lambda x: x.partner_id, "date_order": lambda x: stamp(x.date_order),
                "write_date": lambda x: stamp(x.write_date), "create_date": lambda x: stamp(x.created),
                "order_line": lambda x: [line.id for line in x.lines], "locked": lambda x: x.locked,
                "pricelist_id": lambda _: False, "company_id": lambda _: 1, "warehouse_id": lambda _: 1,
                "picking_ids": lambda x: [picking.id for picking in x.pickings],
            },
            {"currency_id": "res.currency", "partner_id": "res.partner"},
            lambda x: f"S{x.id:05d}",
        ),
        "sale.order.line": Model(
            lambda: list(shop.lines()),
            {
                "id": lambda x: x.id, "name": lambda x: x.name, "order_id": lambda x: x.order_id,
                "product_id": lambda x: x.product_id, "product_uom_qty": lambda x: float(x.quantity),
                "price_unit": lambda x: float(x.price), "tax_ids": lambda x: list(x.taxes),
                "discount": lambda x: float(x.discount), "display_type": lambda _: False,
            },
            {"order_id": "sale.order", "product_id": "product.product"},
        ),
        "res.partner": Model(
            lambda: list(shop.partners.values()),
            {
                "id": lambda x: x.id, "name": _value("name"), "ref": _value("ref"), "street": _value("street"),
                "street2": _value("street2"), "city": _value("city"), "zip": _value("zip"), "phone": _value("phone"),
                "email": _value("email"), "company_name": _value("company_name"), "country_id": _value("country_id"),
                "state_id": _value("state_id"), "type": _value("type"),
                "child_ids": lambda x: [child.id for child in x.children],
            },
            {"country_id": "res.country"},
            lambda x: str(x.values.get("name") or ""),
        ),
        "product.product": Model(
            lambda: list(shop.products.values()),
            {
                "id": lambda x: x.id, "default_code": lambda x: x.sku or False, "type": lambda x: x.type,
                "is_storable": lambda x: x.is_storable, "lst_price": lambda x: float(x.price),
                "free_qty": lambda x: float(shop.free(x)), "qty_available": lambda x: float(x.on_hand),
                "outgoing_qty": lambda x: float(shop.outgoing(x.id)),
                "virtual_available": lambda x: float(x.on_hand - shop.outgoing(x.id)), "name": lambda x: x.name,
            },
            label=lambda x: f"[{x.sku}] {x.name}",
        ),
        **_deliveries(shop),
        **_lists(shop),
    }  # fmt: skip


_CODES = ("outgoing", "incoming", "internal")


def _deliveries(shop: OdooShop) -> dict[str, Model]:
    return {
        "stock.move": Model(
            lambda: [move for picking in shop.pickings() for move in picking.moves],
            {
                "id": lambda x: x.id, "picking_id": lambda x: _picking_of(shop, x.id), "sale_line_id": lambda x: x.line_id,
                "product_id": lambda x: x.product_id, "product_uom_qty": lambda x: float(x.demand),
                "quantity": lambda x: float(x.moved), "picked": lambda x: x.picked,
                "state": lambda x: _state_of(shop, x.id),
            },
            {"picking_id": "stock.picking", "sale_line_id": "sale.order.line", "product_id": "product.product"},
        ),
        "stock.picking": Model(
            lambda: list(shop.pickings()),
            {
                "id": lambda x: x.id, "state": lambda x: x.state, "sale_id": lambda x: x.order_id,
                "picking_type_id": lambda x: _CODES.index(x.code) + 1, "picking_type_code": lambda x: x.code,
                "carrier_id": lambda x: 1 if x.carrier else False, "carrier_tracking_ref": lambda x: x.tracking or False,
                "carrier_tracking_url": lambda _: False, "date_done": lambda x: stamp(x.done_at),
                "write_date": lambda x: stamp(x.write_date), "move_ids": lambda x: [move.id for move in x.moves],
            },
            {"sale_id": "sale.order", "picking_type_id": "stock.picking.type", "carrier_id": "delivery.carrier"},
            lambda x: f"WH/OUT/{x.id:05d}",
        ),
        "stock.picking.type": Model(
            lambda: [_Row({"id": number, "code": code}) for number, code in enumerate(_CODES, 1)],
            {"id": lambda x: x.id, "code": lambda x: x.values["code"]},
        ),
        "delivery.carrier": Model(
            lambda: [_Row({"id": 1, "name": "DHL"})],
            {"id": lambda x: x.id, "name": lambda x: x.values["name"]}, label=lambda x: str(x.values["name"]),
        ),
    }  # fmt: skip


def _lists(shop: OdooShop) -> dict[str, Model]:
    countries = [_Row({"id": number, "code": code}) for number, code in enumerate(("FR", "DE", "US"), 1)]
    states = [_Row({"id": 1, "code": "CA", "name": "California", "country_id": 3})]
    money = [_Row({"id": number, "name": name}) for name, number in _CURRENCIES.items()]
    return {
        "res.country": Model(lambda: countries, {"id": lambda x: x.id, "code": lambda x: x.values["code"]}),
        "res.country.state": Model(
            lambda: states,
            {name: _value(name) for name in ("id", "code", "name", "country_id")},
            {"country_id": "res.country"},
        ),
        "res.currency": Model(
            lambda: money, {"id": lambda x: x.id, "name": _value("name")}, label=lambda x: str(x.values["name"])
        ),
        "res.company": Model(
            lambda: [_Row({"id": 1})],
            {
                "id": lambda x: x.id, "currency_id": lambda _: _currency(shop.currency),
                "tax_calculation_rounding_method": lambda _: "round_globally" if shop.rounds_globally else "round_per_line",
            },
            {"currency_id": "res.currency"},
        ),
        "account.tax": Model(
            lambda: list(shop.taxes.values()),
            {
                "id": lambda x: x.id, "amount": lambda x: float(x.amount), "amount_type": lambda x: x.amount_type,
                "price_include": lambda x: x.price_include,
            },
        ),
    }  # fmt: skip


class _Row(msgspec.Struct):
    values: dict[str, Any]

    @property
    def id(self) -> int:
        return int(self.values["id"])


def search(known: Mapping[str, Model], name: str, domain: Sequence[Any], order: str = "") -> list[Any]:
    model = model_of(known, name)
    for leaf in domain:
        if isinstance(leaf, list) and leaf:
            _check_path(known, name, leaf[0])
    rows = [row for row in model.rows() if _holds(known, name, row, list(domain))]
    for word in reversed([part.strip() for part in order.split(",") if part.strip()]):
        field, _, direction = word.partition(" ")
        shown = field_of(model, name, field)
        rows.sort(key=lambda row: (shown(row) is not False, shown(row)), reverse=direction == "desc")
    return rows


def read(
    known: Mapping[str, Model], name: str, rows: Sequence[Any], fields: Sequence[str]
) -> list[dict[str, Any]]:
    model = model_of(known, name)
    for field in fields:
        field_of(model, name, field)
    return [
        {
            field: _rendered(known, model, field, field_of(model, name, field)(row))
            for field in dict.fromkeys(("id", *fields))
        }
        for row in rows
    ]


def model_of(known: Mapping[str, Model], name: str) -> Model:
    if name not in known:
        raise OdooError("werkzeug.exceptions.NotFound", f"the model {name} does not exist")
    return known[name]


def field_of(model: Model, name: str, field: str) -> Callable[[Any], Any]:
    if field not in model.fields:
        raise OdooError("builtins.ValueError", f"Invalid field {field!r} on {name!r}")
    return model.fields[field]


def _rendered(known: Mapping[str, Model], model: Model, field: str, value: Any) -> Any:
    """A many2one comes with its record's name, but for records that are not there (any more)."""
    if field not in model.targets or not value:
        return value
    target = known[model.targets[field]]
    row = next((row for row in target.rows() if row.id == value), None)
    return [value, target.label(row)] if row is not None else [value, False]


def _holds(known: Mapping[str, Model], name: str, row: Any, domain: list[Any]) -> bool:
    results = []
    while domain:
        results.append(_term(known, name, row, domain))
    return all(results)


def _term(known: Mapping[str, Model], name: str, row: Any, domain: list[Any]) -> bool:
    """One term of the prefix notation, taken off the domain."""
    head = domain.pop(0)
    if head in ("|", "&"):
        first, second = _term(known, name, row, domain), _term(known, name, row, domain)
        return (first or second) if head == "|" else (first and second)
    if not isinstance(head, list) or len(head) != 3:
        raise OdooError("builtins.ValueError", "a domain's leaf has three parts")
    path, operator, wanted = head
    return _compared(_reached(known, name, row, path), operator, wanted)


def _reached(known: Mapping[str, Model], name: str, row: Any, path: str) -> Any:
    field, _, rest = path.partition(".")
    model = model_of(known, name)
    value = field_of(model, name, field)(row)
    if not rest:
        return value
    target = model.targets.get(field, "")
    found = next((x for x in model_of(known, target).rows() if x.id == value), None)
    return False if found is None else _reached(known, target, found, rest)


def _check_path(known: Mapping[str, Model], name: str, path: str) -> None:
    """Also where no row is there to be asked."""
    field, _, rest = path.partition(".")
    model = model_of(known, name)
    field_of(model, name, field)
    if rest:
        _check_path(known, model.targets.get(field, ""), rest)


def _compared(value: Any, operator: str, wanted: Any) -> bool:
    match operator:
        case "=":
            return bool(value == wanted)
        case "!=":
            return bool(value != wanted)
        case "in":
            return value in wanted
        case "not in":
            return value not in wanted
        case ">":
            return value is not False and bool(value > wanted)
        case ">=":
            return value is not False and bool(value >= wanted)
        case "=like":
            pattern = "".join(".*" if x == "%" else "." if x == "_" else re.escape(x) for x in wanted)
            return value is not False and re.fullmatch(pattern, str(value)) is not None
        case _:
            raise OdooError("builtins.ValueError", f"Invalid operator {operator!r}")


def _value(name: str) -> Callable[[Any], Any]:
    return lambda row: row.values.get(name) or False


_CURRENCIES = {"EUR": 1, "USD": 2, "GBP": 3, "PLN": 4, "SEK": 5}


def _currency(code: str) -> int:
    return _CURRENCIES[code]


def _picking_of(shop: OdooShop, move_id: int) -> int:
    return next(
        picking.id for picking in shop.pickings() if any(move.id == move_id for move in picking.moves)
    )


def _state_of(shop: OdooShop, move_id: int) -> str:
    return next(
        picking.state for picking in shop.pickings() if any(move.id == move_id for move in picking.moves)
    )


__all__ = ["Model", "OdooError", "Partner", "models", "read", "search"]
