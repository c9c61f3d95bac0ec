"""Every named point at which the daemon can be killed, and what has just happened there."""

from __future__ import annotations

import msgspec


class Point(msgspec.Struct, frozen=True):
    """`reaches`: the daemon dies when it comes there for a time between 1 and this, chosen by the seed."""

    name: str
    meaning: str
    reaches: int = 3


POINTS = (
    Point("store.before_commit", "a group of changes is written and not committed", 20),
    Point("store.after_commit", "a group of changes is on disk, and nobody was told", 20),
    Point("daemon.before_recovery", "the account is known, a dead life's deliveries are still `sent`", 2),
    Point("daemon.after_recovery", "what a dead life left is in doubt, and nothing was sent yet", 2),
    Point("sweep.before_fetch", "a window is chosen and not asked for"),
    Point("sweep.before_page", "a page of orders was read and not committed"),
    Point("sweep.after_page", "a page of orders is committed, the sweep in memory does not know"),
    Point("sweep.before_resync_end", "a resync was read whole and is not marked so", 1),
    Point("dispatch.before_claim", "a budget is taken and nothing claimed", 4),
    Point("dispatch.after_settle", "an outcome is on disk", 4),
    Point("send.before_accept.0", "an acceptance is claimed and has not left"),
    Point("send.after_accept.0", "an acceptance was answered and not settled"),
    Point("send.before_create.0", "the making of an order is claimed and has not left"),
    Point("send.after_create.0", "an order was made in the shop and is not linked"),
    Point("send.before_create.1", "a made order is linked, its release is claimed and has not left"),
    Point("send.after_create.1", "an order was released in the shop and that is not settled"),
    Point("send.before_confirm.0", "a parcel's confirmation is claimed and has not left"),
    Point("send.after_confirm.0", "a parcel was told to the marketplace and that is not settled"),
    Point("send.before_confirm.1", "the tracking is told, the shipping is claimed and has not left", 2),
    Point("send.after_confirm.1", "an order was shipped at the marketplace and that is not settled", 2),
    Point("probe.before_look", "a doubt's wait is over and the far side was not asked", 1),
    Point("probe.after_look", "the far side said what it holds and nothing is decided", 1),
    Point("publish.before_claim", "listings are due and nothing is computed"),
    Point("publish.after_claim", "a stock batch is claimed and has not left"),
    Point("publish.after_send", "a stock batch was taken and that is not settled"),
    Point("publish.before_poll", "the marketplace works on a stock batch"),
    Point("publish.after_settle", "a stock batch is over and on disk"),
    Point("stock.before_read", "SKUs are due by name and not read"),
    Point("stock.after_report", "a stock report is committed"),
    Point("stock.before_close", "the claims of an order that is over are not closed"),
    Point("parcels.before_commit", "parcels were read and not committed"),
    Point("parcels.after_commit", "parcels and their confirmations are committed and nobody was woken"),
)

# What the world of these tests never asks for; the simulator kills there.
NOT_REACHED_HERE = ("send.before_cancel.0", "send.after_cancel.0")


def named(name: str) -> Point:
    return next(point for point in POINTS if point.name == name)
