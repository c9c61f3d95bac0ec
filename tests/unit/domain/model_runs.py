"""How many runs the models and state machines get: short in every test run, long where `MODEL_RUNS=long` says so."""

from __future__ import annotations

import os


def runs(short: int, long: int) -> int:
    return long if os.environ.get("MODEL_RUNS") == "long" else short
