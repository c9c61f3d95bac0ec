"""The command line: tables for people, `--json` for programs, and the exit codes of `exits`."""

from __future__ import annotations
