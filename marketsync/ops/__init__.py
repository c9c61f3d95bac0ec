"""What the daemon says of itself and where it gets time and chance: logs, metrics, the service manager, clocks."""

from __future__ import annotations
