"""One class per decision that the engine takes next (design D7). Texts are safe to show: no secret, no buyer."""

from __future__ import annotations


class MarketsyncError(Exception):
    """Base of all errors that say what to do next."""


class Retry(MarketsyncError):
    """Certainly not applied: try again, after `after_seconds` where the far side said so.

    `counted` is False for waits that are no failure: a throttle, an open circuit.
    """

    def __init__(self, reason: str, after_seconds: float | None = None, *, counted: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after_seconds = after_seconds
        self.counted = counted


class TooLate(Retry):
    """The send-by deadline had passed before the request left: not sent, the attempt number is given back (A3)."""

    def __init__(self) -> None:
        super().__init__("the request was not sent before its deadline", 0.0, counted=False)


class InDoubt(MarketsyncError):
    """A write left and its effect is not known: wait, then probe (D6). Never resend blindly."""


class PauseConnection(MarketsyncError):
    """Credentials were refused: the whole connection stops until a person mends them."""


class Park(MarketsyncError):
    """This one item waits for a person or for its causes to go away, e.g. `sku:ABC@shop`."""

    def __init__(self, reason: str, causes: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.causes = causes


class Malformed(Park):
    """What was read is not what the contract says; `path` names the place, e.g. `$.lines[0].quantity`."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}", (f"malformed:{path}",))
        self.path = path


class Refused(MarketsyncError):
    """The far side certainly said no (a 4xx that is no throttle). The adapter reads `body` and decides.

    `body` is for the adapter alone: it never reaches a log or the text of an exception.
    """

    def __init__(self, operation: str, status: int, body: bytes = b"") -> None:
        super().__init__(f"{operation} was refused with HTTP {status}")
        self.operation = operation
        self.status = status
        self.body = body


class ReadFailed(Retry):
    """A read brought no usable answer (a cut, a 5xx, HTML instead of JSON): nothing changed, read again."""


class ConfigError(MarketsyncError):
    """The configuration can't be used: the text names the key and says what to do. Exit code 78."""


class StoreError(MarketsyncError):
    """The database can't be used: the text says why and what to do. Nothing was written by halves."""


class StoreLocked(StoreError):
    """Another daemon holds the state directory. Exit code 75."""


class Fenced(MarketsyncError):
    """A guarded UPDATE met another epoch, state or attempt: whoever comes late changes nothing (A7)."""
