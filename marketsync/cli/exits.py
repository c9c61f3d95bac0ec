"""The exit codes, and which error ends in which. Documented in docs/reference.md."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    OK = 0
    FAILURE = 1  # something went wrong; the text says what
    USAGE = 2  # the command line, or what it names, does not exist
    NO_DAEMON = 69  # only a running daemon can do this, and none runs
    LOCKED = 75  # another process holds the state directory
    CONFIG = 78  # the configuration, or a secret that it names, cannot be used


KINDS = {"usage": Exit.USAGE, "needs_daemon": Exit.NO_DAEMON, "locked": Exit.LOCKED, "config": Exit.CONFIG}


def code_of_kind(kind: str) -> Exit:
    """Of an error that came over the control socket."""
    return KINDS.get(kind, Exit.FAILURE)
