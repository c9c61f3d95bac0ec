"""What the API writes: nested records by command or by table, confirming, cancelling, validating."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from adapters.odoo.sandbox_orm import OdooError
from adapters.odoo.sandbox_shop import DEFAULT_TAX, Line, OdooShop, Order, Partner, Picking

Values = dict[str, Any]
_CONTACT = (
    "name", "ref", "street", "street2", "city", "zip", "phone", "email", "company_name", "country_id", "state_id", "type",
)  # fmt: skip
_ORDER = (
    "client_order_ref",
    "origin",
    "pricelist_id",
    "company_id",
    "warehouse_id",
    "partner_id",
    "date_order",
)
_LINE = ("product_id", "name", "product_uom_qty", "price_unit", "discount", "tax_ids")
_LISTS = {
    "res.partner": ("child_ids", "sale_order_ids"),
    "sale.order": ("order_line",),
    "sale.order.line": (),
}
_INSIDE = {"child_ids": "res.partner", "sale_order_ids": "sale.order", "order_line": "sale.order.line"}
_FIELDS = {"res.partner": _CONTACT, "sale.order": _ORDER, "sale.order.line": _LINE}
_XMLID = re.compile(r"[\w-]+\.[\w.-]+")


class Writes:
    """Every call is checked whole before any of it is done: a transaction of its own."""

    def __init__(self, shop: OdooShop) -> None:
        self._shop = shop

    def create(self, model: str, vals_list: list[Values], now: datetime) -> list[int]:
        for values in vals_list:
            self._check(model, values, new=True)
        return [self._create(model, values, now) for values in vals_list]

    def write(self, model: str, ids: Sequence[int], vals: Values, now: datetime) -> bool:
        self._check(model, vals, new=False)
        for number in ids:
            self._update(model, number, vals, now)
        return True

    def load(self, model: str, fields: list[str], data: list[list[str]], now: datetime) -> Values:
        """By external id: what has one already is updated, all else is made; all of it, or nothing with reasons."""
        if any(len(row) != len(fields) for row in data):
            raise OdooError("builtins.ValueError", "a row is shorter than the columns")
        records = [
            _nested(model, rows) for rows in _records([dict(zip(fields, row, strict=True)) for row in data])
        ]
        try:
            for values in records:
                self._check(model, values, new=values.get("id") not in self._shop.external)
        except OdooError as error:
            messages = [{"type": "error", "record": 0, "field": error.message, "message": error.name}]
            return {"ids": False, "messages": messages, "nextrow": 0}
        return {"ids": [self._upsert(model, values, now) for values in records], "messages": [], "nextrow": 0}

    def confirm(self, ids: Sequence[int], now: datetime) -> bool:
        orders = [self.order(number) for number in ids]
        if any(order.state not in ("draft", "sent") for order in orders):
            raise OdooError(
                "odoo.exceptions.UserError", "Some orders are not in a state requiring confirmation."
            )
        for order in orders:
            self._shop.confirm(order, now)
        return True

    def cancel(self, ids: Sequence[int], context: Mapping[str, Any], now: datetime) -> Any:
        orders = [self.order(number) for number in ids]
        if any(order.locked for order in orders):
            raise OdooError("odoo.exceptions.UserError", "You cannot cancel a locked order.")
        if any(order.state != "draft" for order in orders) and not context.get("disable_cancel_warning"):
            return {"type": "ir.actions.act_window", "res_model": "sale.order.cancel", "target": "new"}
        for order in orders:
            if order.state != "cancel":
                self._shop.cancel(order, now)
        return True

    def write_delivery(self, model: str, ids: Sequence[int], vals: Values) -> bool:
        """What the shop's people note on a delivery or on one of its moves."""
        known = {"stock.move": ("quantity", "picked"), "stock.picking": ("carrier_tracking_ref",)}[model]
        if strange := [name for name in vals if name not in known]:
            raise OdooError("builtins.ValueError", strange[0])
        for picking in self._shop.pickings():
            if model == "stock.picking" and picking.id in ids:
                picking.tracking = str(vals.get("carrier_tracking_ref", picking.tracking))
            for move in picking.moves if model == "stock.move" else ():
                if move.id in ids:
                    move.moved = int(vals.get("quantity", move.moved))
                    move.picked = bool(vals.get("picked", move.picked))
        return True

    def validate(self, ids: Sequence[int], context: Mapping[str, Any], now: datetime) -> Any:
        """Where something is left to go it asks, unless it was told that a backorder is meant."""
        for picking in [self.picking(number) for number in ids]:
            if picking.state == "done":
                continue
            if not any(move.picked for move in picking.moves):
                for move in picking.moves:
                    move.moved = move.demand
            if any(move.moved < move.demand for move in picking.moves) and not context.get("skip_backorder"):
                return {"type": "ir.actions.act_window", "res_model": "stock.backorder.confirmation"}
            self._shop.validate(picking, now)
        return True

    def order(self, number: int) -> Order:
        if number not in self._shop.orders:
            raise OdooError("odoo.exceptions.MissingError", "Record does not exist or has been deleted.")
        return self._shop.orders[number]

    def picking(self, number: int) -> Picking:
        found = next((x for x in self._shop.pickings() if x.id == number), None)
        if found is None:
            raise OdooError("odoo.exceptions.MissingError", "Record does not exist or has been deleted.")
        return found

    # Checks

    def _check(self, model: str, values: Values, *, new: bool) -> None:
        for name, value in values.items():
            if name == "id":
                if not isinstance(value, str) or not _XMLID.fullmatch(value):
                    raise OdooError("builtins.ValueError", "id")
            elif name in _LISTS[model]:
                self._check_list(_INSIDE[name], value)
            elif name not in _FIELDS[model]:
                raise OdooError("builtins.ValueError", name)
        if model == "sale.order.line":
            self._check_line(values, new=new)
        if model == "res.partner" and new and not values.get("name"):
            raise OdooError("odoo.exceptions.ValidationError", "name")

    def _check_list(self, model: str, value: Any) -> None:
        for command in _commands(value):
            match command:
                case [0, _, dict(values)]:
                    self._check(model, values, new=True)
                case [1, int(), dict(values)]:
                    self._check(model, values, new=False)
                case _:
                    raise OdooError("builtins.ValueError", "a command that is none")

    def _check_line(self, values: Values, *, new: bool) -> None:
        if (new or "product_id" in values) and values.get("product_id") not in self._shop.products:
            raise OdooError("odoo.exceptions.MissingError", "product_id")
        for name in ("product_uom_qty", "price_unit", "discount"):
            if name in values:
                _number(values[name])
        if any(number not in self._shop.taxes for number in _taxes(values) or ()):
            raise OdooError("odoo.exceptions.MissingError", "tax_ids")

    # Doing it

    def _upsert(self, model: str, values: Values, now: datetime) -> int:
        _, held = self._shop.external.get(values.get("id", ""), ("", 0))
        if held:
            self._update(model, held, values, now)
            return held
        return self._create(model, values, now)

    def _create(self, model: str, values: Values, now: datetime) -> int:
        if model == "res.partner":
            number = self._partner(values, now)
        elif model == "sale.order":
            number = self._new_order(values, values.get("partner_id", 0), now)
        else:
            raise OdooError("odoo.exceptions.AccessError", model)
        return number

    def _named(self, model: str, values: Values, number: int) -> None:
        if "id" in values:
            self._shop.external[values["id"]] = (model, number)

    def _partner(self, values: Values, now: datetime) -> int:
        number = self._shop.next_id()
        kept = {name: value for name, value in values.items() if name in _CONTACT}
        partner = Partner(id=number, values=kept, write_date=now)
        self._shop.partners[number] = partner
        self._named("res.partner", values, number)
        for inside in _fresh(values.get("child_ids", [])):
            child = self._shop.partners[self._partner(inside, now)]
            partner.children.append(child)
        for inside in _fresh(values.get("sale_order_ids", [])):
            self._new_order(inside, number, now)
        return number

    def _new_order(self, values: Values, partner_id: int, now: datetime) -> int:
        number = self._shop.next_id()
        order = Order(
            id=number, ref=str(values.get("client_order_ref") or ""), origin=str(values.get("origin") or ""),
            partner_id=partner_id, created=now, write_date=now, date_order=now,
            currency=self._shop.currencies[int(values.get("pricelist_id") or 0)],
        )  # fmt: skip
        self._shop.orders[number] = order
        self._named("sale.order", values, number)
        for inside in _fresh(values.get("order_line", [])):
            self._new_line(order, inside)
        return number

    def _new_line(self, order: Order, values: Values) -> Line:
        stated = _taxes(values)
        line = Line(
            id=self._shop.next_id(), order_id=order.id, product_id=values["product_id"],
            name=str(values.get("name") or ""), quantity=_number(values.get("product_uom_qty", 1)),
            price=_price(values.get("price_unit", 0)), discount=_number(values.get("discount", 0)),
            # Whoever does not say which taxes gets the company's default.
            taxes=(DEFAULT_TAX,) if stated is None else stated,
        )  # fmt: skip
        order.lines.append(line)
        self._named("sale.order.line", values, line.id)
        return line

    def _update(self, model: str, number: int, values: Values, now: datetime) -> None:
        if model == "sale.order":
            self._update_order(self.order(number), values, now)
            return
        if model != "res.partner" or number not in self._shop.partners:
            raise OdooError("odoo.exceptions.MissingError", "Record does not exist or has been deleted.")
        partner = self._shop.partners[number]
        partner.values |= {name: value for name, value in values.items() if name in _CONTACT}
        partner.write_date = now
        for command in _commands(values.get("sale_order_ids", [])):
            inside = command[2]
            held = (
                command[1] if command[0] == 1 else self._shop.external.get(inside.get("id", ""), ("", 0))[1]
            )
            if held:
                self._update_order(self.order(held), inside, now)
            else:
                self._new_order(inside, number, now)

    def _update_order(self, order: Order, values: Values, now: datetime) -> None:
        order.write_date = now
        order.ref = str(values.get("client_order_ref", order.ref) or "")
        order.origin = str(values.get("origin", order.origin) or "")
        for command in _commands(values.get("order_line", [])):
            inside = command[2]
            number = (
                command[1] if command[0] == 1 else self._shop.external.get(inside.get("id", ""), ("", 0))[1]
            )
            line = next((line for line in order.lines if line.id == number), None)
            if line is None:
                made = self._new_line(order, inside)
                if order.state == "sale":
                    self._shop.procure(order, made, int(made.quantity), now)
                continue
            before = line.quantity
            line.name = str(inside.get("name", line.name))
            line.quantity = _number(inside.get("product_uom_qty", line.quantity))
            line.price = _price(inside.get("price_unit", line.price))
            stated = _taxes(inside)
            line.taxes = line.taxes if stated is None else stated
            if order.state == "sale":
                self._shop.procure(order, line, int(line.quantity - before), now)


def _commands(value: Any) -> list[Any]:
    """A list of records from a table counts as commands to make them."""
    if not isinstance(value, list):
        raise OdooError("builtins.ValueError", "a list of commands")
    return [[0, 0, item] if isinstance(item, dict) else item for item in value]


def _fresh(value: Any) -> Iterable[Values]:
    return (command[2] for command in _commands(value) if command[0] == 0)


def _taxes(values: Values) -> tuple[int, ...] | None:
    """None where nothing is said of them."""
    if "tax_ids" not in values:
        return None
    stated = values["tax_ids"]
    if isinstance(stated, tuple):
        return stated
    if not (isinstance(stated, list) and len(stated) == 1 and stated[0][0] == 6):
        raise OdooError("builtins.ValueError", "tax_ids")
    return tuple(stated[0][2])


def _number(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise OdooError("builtins.ValueError", "a number that is none") from None


def _price(value: Any) -> Decimal:
    """Kept with two digits, as the decimal accuracy *Product Price* says."""
    return _number(value).quantize(Decimal("0.01"))


def _records(rows: Sequence[dict[str, str]]) -> list[list[dict[str, str]]]:
    """A row with a value in a column of the record itself begins the next record."""
    found: list[list[dict[str, str]]] = []
    for row in rows:
        own = any(value and "/" not in name.removesuffix("/.id") for name, value in row.items())
        if own or not found:
            found.append([])
        found[-1].append(row)
    return found


def _nested(model: str, rows: Sequence[dict[str, str]]) -> Values:
    values: Values = {}
    lists: dict[str, list[dict[str, str]]] = {}
    for name, cell in rows[0].items():
        field, _, rest = name.partition("/")
        if field in _LISTS[model]:
            lists[field] = []
        elif rest == ".id":
            numbers = tuple(int(x) for x in cell.split(",") if x)
            values[field] = numbers if field == "tax_ids" else (numbers[0] if numbers else False)
        elif rest:
            raise OdooError("builtins.ValueError", name)
        else:
            values[field] = cell or False
    for field in lists:
        inside = [
            {
                name.removeprefix(f"{field}/"): cell
                for name, cell in row.items()
                if name.startswith(f"{field}/")
            }
            for row in rows
        ]
        kept = [row for row in inside if any(row.values())]
        values[field] = [_nested(_INSIDE[field], group) for group in _records(kept)]
    return values
