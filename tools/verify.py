"""Run the pipeline again in a copy of the project, and say which outputs differ from dvc.lock, and by how much."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from ruamel.yaml import YAML

from stages.common import run
from tools.differences import differences
from tools.quick import ROOT, copy_project


def main(folder: Path, targets: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Copy the project to FOLDER (emptied first), run TARGETS there, or all, and compare. Exit with 1 if any differ."""
    copy_project(folder, lambda params: None)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": ""}
    command = [sys.executable, "-m", "tools.run", *(targets or [])]
    if code := subprocess.run(command, cwd=folder, env=environment, check=False).returncode:
        raise SystemExit(code)
    lines, count = compare(ROOT, folder)
    if not targets:
        lines += [f"{stage}: {path}: not made" for stage, path in _hashes(ROOT).keys() - _hashes(folder).keys()]
    print("\n".join([*lines, f"{count} outputs compared, {len(lines)} differ"]))
    raise SystemExit(1 if lines or not count else 0)


def compare(ours: Path, theirs: Path) -> tuple[list[str], int]:
    """Compare the outputs of two projects by their dvc.lock: a line for each that differs, and how many there were."""
    expected, found = _hashes(ours), _hashes(theirs)
    lines = []
    for (stage, path), digest in found.items():
        if (stage, path) not in expected:
            lines.append(f"{stage}: {path}: not in {ours / 'dvc.lock'}")
        elif expected[stage, path] != digest:
            how = ["the earlier output is not here to compare"]
            if (ours / path).exists():
                how = differences(ours / path, theirs / path) or ["the earlier output is not the one in dvc.lock"]
            lines.append(f"{stage}: {path}: {'; '.join(how)}")
    return lines, len(found)


def _hashes(project: Path) -> dict[tuple[str, str], str]:
    """(stage, output) -> its hash in dvc.lock."""
    lock: dict[str, Any] = YAML(typ="safe").load(project / "dvc.lock") if (project / "dvc.lock").exists() else {}
    stages = lock.get("stages", {}).items()
    return {(name, out["path"]): str(out["md5"]) for name, stage in stages for out in stage.get("outs", [])}


if __name__ == "__main__":
    run(main, after_interrupt="the next run starts anew")
