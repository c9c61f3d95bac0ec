"""An adapter as somebody writes it who has only installed marketsync: a marketplace of three calls."""

from __future__ import annotations

from .adapter import ADAPTER

__all__ = ["ADAPTER"]
