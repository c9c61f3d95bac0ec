"""The systemd units are hardened (exposure at most 1.2) and are read by systemd without a word."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.lint import ROOT

THRESHOLD_TENTHS = 12
UNITS = ("*.service", "*.timer", "*.socket", "*.path")
TIMEOUT_SECONDS = 60


def main() -> int:
    folder = ROOT / "systemd"
    analyze = shutil.which("systemd-analyze")
    if analyze is None or not folder.is_dir():
        print(f"systemd units: not run ({'no systemd-analyze' if folder.is_dir() else 'no units'} here)")
        return 0
    complaints = verify(analyze, folder) + exposures(analyze, folder)
    print("\n".join(complaints), end="\n" if complaints else "", file=sys.stderr)
    print(f"systemd units: {len(unit_files(folder))} units, {len(complaints)} found")
    return 1 if complaints else 0


def unit_files(folder: Path) -> list[Path]:
    return sorted(path for pattern in UNITS for path in folder.glob(pattern))


def exposures(analyze: str, folder: Path) -> list[str]:
    command = [analyze, "security", "--offline=yes", f"--threshold={THRESHOLD_TENTHS}", "--no-pager"]
    complaints = []
    for unit in sorted(folder.glob("*.service")):
        status, output = _run([*command, str(unit)])
        if status:
            complaints.append(f"{unit.name}: exposed more than {THRESHOLD_TENTHS / 10}\n{output}")
    return complaints


def verify(analyze: str, folder: Path) -> list[str]:
    """Verify copies whose programs exist: an unknown key only prints, a missing program fails."""
    program = shutil.which("true") or "/bin/true"
    with tempfile.TemporaryDirectory() as copies:
        for unit in unit_files(folder):
            text = re.sub(r"(?m)^(Exec\w+=[-@:+!]*)(?:.*\\\n)*.*$", rf"\g<1>{program}", unit.read_text())
            (Path(copies) / _instance(unit.name)).write_text(text)
        status, output = _run(
            [analyze, "verify", "--no-pager", "--man=no", *map(str, unit_files(Path(copies)))]
        )
    return [f"verify: {output or 'failed'}"] if status or output else []


def _instance(name: str) -> str:
    return name.replace("@.", "@example.")


def _run(command: list[str]) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


if __name__ == "__main__":
    sys.exit(main())
