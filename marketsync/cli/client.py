"""The way to a running daemon: its control socket, spoken to without an event loop."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

CONNECT_SECONDS = 5.0
SOCKET_NAME = "control.sock"


class Unreachable(Exception):
    """Nobody listens: no daemon runs on this state directory."""


class Failed(Exception):
    """The daemon's answer is no. `kind` decides the exit code."""

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


def ask(state_dir: Path, command: str, args: Mapping[str, Any], progress: Callable[[str], None]) -> Any:
    """The command's result. Unreachable where no daemon runs; Failed for every other end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(CONNECT_SECONDS)
        try:
            sock.connect(str(state_dir / SOCKET_NAME))
        except PermissionError:
            raise Failed(
                f"{state_dir} belongs to another user: run this as that user, or as root", ""
            ) from None
        except OSError as error:
            raise Unreachable(str(error)) from None
        sock.settimeout(None)
        with sock.makefile("rwb") as stream:
            stream.write(json.dumps({"command": command, "args": args}).encode() + b"\n")
            stream.flush()
            for line in stream:
                answer = json.loads(line)
                if "progress" in answer:
                    progress(answer["progress"])
                elif "error" in answer:
                    raise Failed(answer["error"], answer.get("kind", ""))
                else:
                    return answer["ok"]
    raise Failed("the daemon ended before it answered", "")
