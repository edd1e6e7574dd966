"""Run the entries of a second parameter file, whose sizes call for a GPU, in a copy of the project."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from dae.params.whole import RESTORING
from dae.tracking import store_uri
from stages.common import run
from tools.quick import ROOT, copy_project

EXTRA = ROOT / "params.gpu.yaml"


def main(folder: Path) -> None:
    """Copy the project to FOLDER, add the entries of params.gpu.yaml, and train and evaluate only these.

    What earlier runs there have finished stays, and a training that was stopped goes on from its last finished epoch.
    The runs are tracked in the project's own store, beside those of params.yaml.
    """
    extra = YAML(typ="safe").load(EXTRA)
    copy_project(folder, lambda params: add(params, extra), afresh=False)
    targets = [f"evaluate_{section}@{name}" for section in RESTORING for name in extra.get(section, {})]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store_uri(ROOT)}
    command = [sys.executable, "-m", "tools.run", "--jobs", "1", *targets]  # one GPU
    raise SystemExit(subprocess.run(command, cwd=folder, env=environment, check=False).returncode)


def add(params: Any, extra: dict[str, Any]) -> None:
    """Add the entries of each section of `extra`, and its blocks of defaults, to those of `params`."""
    for section, entries in extra.items():
        params[section].update(entries)


if __name__ == "__main__":
    run(main, after_interrupt="`make gpu` goes on from here, and a training goes on after its last finished epoch")
