"""What listens: the control socket, and metrics and health on loopback."""

from __future__ import annotations
