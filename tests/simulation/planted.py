"""The defects that the simulation must see: one for each rule of writing, reading and stock that was shown to be needed,
and those that are made again and again in this field."""

from __future__ import annotations

from tests.simulation.planted_found import FOUND
from tests.simulation.planted_reads import READS
from tests.simulation.planted_takeover import TAKEOVERS
from tests.simulation.planted_towns import TOWNS
from tests.simulation.planted_writes import WRITES
from tests.simulation.planting import Change, Defect

SWEEP = "marketsync/engine/sweep.py"
PROBER = "marketsync/engine/prober.py"
SETTLING = "marketsync/engine/settling.py"
PUBLISHER = "marketsync/engine/publisher.py"
DISPATCHER = "marketsync/engine/dispatcher.py"

CLASSICS: tuple[Defect, ...] = (
    Defect(
        "coverage_before_orders",
        "",
        "the window is covered before its orders are held",
        "crashes",
        40,
        (
            Change(
                SWEEP,
                "        until = self.coverage_until\n        live =",
                "        if not quiet:\n            await self._core.store.write(progress)\n        until = self.coverage_until\n        live =",
            ),
        ),
    ),
    Defect(
        "no_deduplication",
        "",
        "a parcel that is read again is confirmed again",
        "edge",
        20,
        (
            Change(
                "marketsync/engine/parcels.py",
                "if parcel.ref in held and seen.get((parcel.ref, parcel.shipment_id)) != _hash(parcel)",
                "if parcel.ref in held",
            ),
            Change(
                "marketsync/engine/parcels.py",
                'return f"{self._link.name}/{parcel.shipment_id}"',
                'return f"{self._link.name}/{self._core.store.next_seq()}/{parcel.shipment_id}"',
            ),
        ),
    ),
    Defect(
        "blind_retry",
        "",
        "what has no answer is sent again",
        "edge",
        20,
        (
            Change(
                SETTLING,
                'return Move(row, to_doubt(row, steps, text, mono=mono, boot=boot), "delivery.is_in_doubt")',
                'return Move(row, retry(row, text, now + 1.0, counted=True), "delivery.will_be_retried", not_applied=True)',
            ),
        ),
    ),
    Defect(
        "restart_sends_again",
        "",
        "what a dead life had sent counts as not sent",
        "cut",
        170,
        (
            Change(
                PROBER,
                'moves.append((row, self._doubted(row, "the process ended while it was sent"), DOUBTED))',
                "moves.append((row, replace(row, state=State.QUEUED), DOUBTED))",
            ),
        ),
    ),
    Defect(
        "acknowledged_before_sent",
        "",
        "a delivery is done when it leaves",
        "standard",
        20,
        (
            Change(
                DISPATCHER,
                'moves.append(Move(row, made.row, "delivery.was_sent"))',
                'moves.append(Move(row, replace(made.row, state=State.DONE, done=made.row.sent, payload=b""), "delivery.was_sent"))',
            ),
        ),
    ),
    Defect(
        "older_quantity_wins",
        "",
        "a stock write goes out while an older one may still land",
        "imports",
        40,
        (
            Change(
                PUBLISHER,
                "return doubt_remaining(row, clock.boot_id, clock.monotonic())",
                "return 0.0",
            ),
        ),
    ),
    Defect(
        "no_lock",
        "",
        "a second daemon works on the same directory",
        "intruder",
        20,
        (
            Change(
                "marketsync/store/lock.py",
                "fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)",
                "fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)",
            ),
        ),
    ),
)

DEFECTS = (*WRITES, *READS, *TAKEOVERS, *CLASSICS, *FOUND, *TOWNS)
