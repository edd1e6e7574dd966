"""Ask the vulnerability service of the package index about the locked dependencies."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from stages.common import run

LOCK = Path("requirements.lock")


def main() -> None:
    """Exit code 1 if a locked version is known to be vulnerable; where nobody answers, that is said, and no error."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--requirement", str(LOCK)]
        command += ["--progress-spinner", "off", "--format", "json", "--output", str(report)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not report.exists():
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no answer"]
            print(f"not audited: {lines[-1]}", file=sys.stderr)
            return
        packages: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["dependencies"]
    lines, known = findings(packages)
    print("\n".join([*lines, f"{known} of {len(packages)} packages audited, {len(lines)} vulnerabilities"]))
    raise SystemExit(1 if lines else 0)


def findings(packages: list[dict[str, Any]]) -> tuple[list[str], int]:
    """A line for each vulnerability, and how many packages the service knew."""
    known = [package for package in packages if "skip_reason" not in package]
    lines = [
        f"{package['name']} {package['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'none'}"
        for package in known
        for found in package["vulns"]
    ]
    return lines, len(known)


if __name__ == "__main__":
    run(main)
