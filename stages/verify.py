"""Run the pipeline again in a copy of the project, and say which outputs differ from dvc.lock, and by how much."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from ruamel.yaml import YAML

from dae.differences import differences
from stages.common import run
from stages.mend import require_whole
from stages.quick import ROOT, copy_project


def main(folder: Path, targets: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Copy the project to FOLDER (emptied first), run TARGETS there, or all, and compare. Exit code 1: some differ."""
    require_whole(ROOT / "dvc.lock")
    copy_project(folder, lambda params: None)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": ""}
    command = [sys.executable, "-m", "stages.repro", *(targets or [])]
    if code := subprocess.run(command, cwd=folder, env=environment, check=False).returncode:
        raise SystemExit(code)
    lines, count = compare(ROOT, folder)
    if not targets:
        lines += [f"{stage}: {path}: not made" for stage, path in _hashes(ROOT).keys() - _hashes(folder).keys()]
    print("\n".join([*lines, f"{count} outputs compared, {len(lines)} differ"]))
    raise SystemExit(1 if lines or not count else 0)


def compare(ours: Path, theirs: Path) -> tuple[list[str], int]:
    """A line for each output of the project `theirs` that is not as in dvc.lock of `ours`; how many were compared."""
    expected, found = _hashes(ours), _hashes(theirs)
    lines = []
    for (stage, path), digest in found.items():
        if (stage, path) not in expected:
            lines.append(f"{stage}: {path}: not in {ours / 'dvc.lock'}")
        elif expected[stage, path] != digest:
            here = (ours / path).exists()
            how = "; ".join(differences(ours / path, theirs / path)) if here else "what it was is not here to compare"
            lines.append(f"{stage}: {path}: {how or 'dvc.lock is not of the files that are here'}")
    return lines, len(found)


def _hashes(project: Path) -> dict[tuple[str, str], str]:
    """(stage, output) -> its hash in dvc.lock."""
    lock: dict[str, Any] = YAML(typ="safe").load(project / "dvc.lock") if (project / "dvc.lock").exists() else {}
    stages = lock.get("stages", {}).items()
    return {(name, out["path"]): str(out["md5"]) for name, stage in stages for out in stage.get("outs", [])}


if __name__ == "__main__":
    run(main, after_interrupt="the next run starts anew")
