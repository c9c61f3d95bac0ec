"""What a person can do, once: for the command line, the control socket and whatever comes later."""

from __future__ import annotations
