"""Tables for people: plain aligned text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

GAP = "  "
NOTHING = "-"
MINUTE_SECONDS = 60
HOUR_SECONDS = 3600
DAY_SECONDS = 86400


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], empty: str = "nothing") -> str:
    """Numbers to the right, everything else to the left."""
    if not rows:
        return empty
    texts = [[cell(value) for value in row] for row in rows]
    widths = [max(len(headers[i]), *(len(row[i]) for row in texts)) for i in range(len(headers))]
    right = [
        all(isinstance(row[i], int | float) or row[i] is None for row in rows) for i in range(len(headers))
    ]
    lines = [_line(list(headers), widths, right), *(_line(row, widths, right) for row in texts)]
    return "\n".join(lines)


def _line(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = [t.rjust(w) if r else t.ljust(w) for t, w, r in zip(texts, widths, right, strict=True)]
    return GAP.join(cells).rstrip()


def cell(value: object) -> str:
    match value:
        case None | "":
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.0f}"
        case str():
            return "".join(letter if letter.isprintable() else " " for letter in value)
        case _:
            return str(value)


def moment(text: str | None) -> str:
    """To the second, in UTC as it came."""
    return NOTHING if text is None else text[:19].replace("T", " ")


def span(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    for size, letter in ((DAY_SECONDS, "d"), (HOUR_SECONDS, "h"), (MINUTE_SECONDS, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {letter}"
    return f"{seconds:.0f} s"


def facts(pairs: Mapping[str, object]) -> str:
    width = max((len(name) for name in pairs), default=0)
    return "\n".join(f"{name.ljust(width)}{GAP}{cell(value)}" for name, value in pairs.items())


def status(result: Mapping[str, Any]) -> str:
    rows = [
        (
            c["connection"],
            c["back_office"] or NOTHING,
            c["state"],
            _lag(c),
            sum(stream["holes"] for stream in c["streams"]),
            *(c["deliveries"][state] for state in ("queued", "sent", "waiting", "in_doubt", "parked")),
            span(c["oldest_queued_seconds"]),
            c["reason"],
        )
        for c in result["connections"]
    ]
    headers = (
        "connection",
        "shop",
        "state",
        "read to",
        "holes",
        "queued",
        "sent",
        "waiting",
        "in doubt",
        "parked",
        "oldest",
        "why",
    )
    parked = ", ".join(f"{number} {kind}" for kind, number in result["parked"].items()) or "nothing"
    head = f"marketsync {result['version']}, merchant {result['merchant']}, installation {result['installation']}"
    running = "the daemon runs" if result["running"] else "no daemon runs"
    return f"{head}: {running}\n\n{table(headers, rows, 'no connections yet')}\n\nparked: {parked}"


def _lag(connection: Mapping[str, Any]) -> str:
    updated = [s for s in connection["streams"] if s["axis"] == "updated"]
    if not updated:
        return NOTHING
    lag = updated[0]["lag_seconds"]
    return "nothing yet" if lag is None else f"{span(lag)} ago"


def orders(result: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            r["ref"],
            r["connection"],
            r["order_id"],
            r["back_office"],
            "external" if r["external"] else r["phase"],
            f"{r['total']} {r['currency']}",
            moment(r["created_at"]),
            moment(r["pushed_at"]),
        )
        for r in result
    ]
    return table(
        ("reference", "connection", "order", "shop", "phase", "total", "created", "pushed"), rows, "no orders"
    )


def order(result: Mapping[str, Any]) -> str:
    head = result["order"]
    known = {
        "reference": head["ref"],
        "order": f"{head['connection']}/{head['order_id']}",
        "phase": head["phase"],
        "as stated": result["state_as_stated"],
        "total": f"{head['total']} {head['currency']}",
        "back-office": result["back_office"],
        "created": moment(head["created_at"]),
        "updated": moment(result["updated_at"]),
        "imported": moment(head["imported_at"]),
        "pushed": moment(head["pushed_at"]),
        "last read": moment(result["read_at"]),
        "revision": result["revision"],
        "fulfilled by": result["fulfilment"],
        "accept by": moment(result["accept_by"]),
        "ship by": moment(result["ship_by"]),
    }
    counted = ("quantity", "cancelled", "refused", "shipped", "refunded")
    rows = [
        (x["line_id"], x["sku"], x["title"][:40], *(x[name] for name in counted), x["line_total"])
        for x in result["lines"]
    ]
    lines = table(("line", "SKU", "title", *counted, "total"), rows, "no lines")
    return f"{facts(known)}\n\n{lines}"


def explanation(result: Mapping[str, Any]) -> str:
    claims = [(c["line_id"], c["sku"], c["wanted"], c["held"], c["why"]) for c in result["claims"]]
    sent = [
        (
            d["id"],
            d["kind"],
            d["target"],
            d["state"],
            d["attempts"],
            moment(d["last_departure_at"]),
            d["waits_for"],
            d["error"],
        )
        for d in result["deliveries"]
    ]
    links = [(x["target"], x["kind"], x["remote_id"]) for x in result["links"]]
    parcels = [
        (p["shipment_id"], p["carrier"], p["tracking_number"], moment(p["shipped_at"]), p["voided"])
        for p in result["parcels"]
    ]
    story = [(moment(h["at"]), h["event"], h["detail"]) for h in result["history"]]
    sections = (
        ("stock", table(("line", "SKU", "wanted", "held", "why"), claims, "takes no stock")),
        ("deliveries", table(("id", "kind", "to", "state", "attempts", "last sent", "waits for", "error"), sent, "none yet")),
        ("known there as", table(("where", "by", "id"), links, "not known there yet")),
        ("parcels", table(("parcel", "carrier", "tracking", "shipped", "taken back"), parcels, "none yet")),
        ("parked", parked(result["parked"])),
        ("what happened", table(("when", "event", "detail"), story, "nothing is written down")),
    )  # fmt: skip
    return "\n\n".join((order(result["order"]), *(f"{name}\n{text}" for name, text in sections)))


def parked(result: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (p["kind"], p["item"], p["connection"], moment(p["at"]), ", ".join(p["causes"]), p["reason"])
        for p in result
    ]
    return table(("kind", "item", "connection", "since", "causes", "reason"), rows, "nothing is parked")


def stock(result: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            s["sku"],
            s["back_office"],
            sum(s["reported"].values()) if s["reported"] else None,
            s["claimed"],
            s["waiting"],
            _range(s["low"], s["high"]),
            s["short"],
            s["oversell_cap"],
            ", ".join(f"{x['connection']} {cell(x['listed'])}" for x in s["listings"]),
        )
        for s in result
    ]
    headers = (
        "SKU",
        "shop",
        "reported",
        "claimed",
        "waiting",
        "available",
        "short",
        "oversell cap",
        "listed",
    )
    return table(headers, rows, "no stock was reported yet")


def _range(low: int | None, high: int | None) -> str:
    if low is None:
        return "unknown"
    return str(low) if low == high else f"{low} to {high}"


def maps(result: Sequence[Mapping[str, Any]]) -> str:
    rows = [(m["connection"], m["kind"], m["source"], m["value"]) for m in result]
    return table(("connection", "kind", "source", "value"), rows, "no maps")


def resync(result: Mapping[str, Any]) -> str:
    if result["order"]:
        return f"{result['order']} is read again now"
    rows = [
        (r["id"], r["connection"], r["axis"], moment(r["since"]), moment(r["until"]))
        for r in result["requests"]
    ]
    if not rows:
        return "no marketplaces: nothing to read"
    end = (
        "read"
        if result["finished"]
        else "asked for; the daemon reads it beside its other work, or after its next start"
    )
    return f"{table(('id', 'connection', 'by', 'from', 'to'), rows)}\n{end}"


def asked(result: Mapping[str, Any]) -> str:
    what = "to be cancelled" if result["kind"] == "cancel_sale" else "to be refunded"
    order = f"{result['connection']}/{result['order_id']}"
    return (
        f"{order} is {what} at the marketplace (delivery {result['delivery']}): see `explain {result['ref']}`"
    )


def check(result: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            c["connection"],
            c["adapter"],
            "well" if c["well"] else "not well",
            c["skew_seconds"],
            "; ".join(c["problems"]),
        )
        for c in result
    ]
    known = [f"{c['connection']}: {name} = {value}" for c in result for name, value in c["facts"].items()]
    headers = ("connection", "adapter", "state", "clock skew s", "problems")
    return "\n".join((table(headers, rows, "no connections are configured"), *known))
