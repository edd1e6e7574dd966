"""Run the entries of a second parameter file, of sizes that want a GPU, in a copy of the project."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from dae.params import RESTORING
from dae.tracking import store_uri
from stages.common import run
from stages.quick import ROOT, copy_project

EXTRA = ROOT / "params.gpu.yaml"


def main(folder: Path) -> None:
    """Copy the project to FOLDER, add the entries of params.gpu.yaml, train and evaluate these alone.

    What earlier runs there have finished stays, and a training that was stopped goes on from its last finished epoch.
    The runs are tracked in the project's own store, beside those of params.yaml.
    """
    extra = YAML(typ="safe").load(EXTRA)
    copy_project(folder, lambda params: add(params, extra), afresh=False)
    targets = [f"evaluate_{section}@{name}" for section in RESTORING for name in extra.get(section, {})]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store_uri(ROOT)}
    for command in (["stages.mend"], ["stages.repro", *targets]):
        done = subprocess.run([sys.executable, "-m", *command], cwd=folder, env=environment, check=False)
        if done.returncode:
            raise SystemExit(done.returncode)


def add(params: Any, extra: dict[str, Any]) -> None:
    """Add the entries of each section of `extra` to those of `params`; the defaults of `extra` are written out."""
    for section, entries in extra.items():
        if section != "defaults":
            params[section].update(entries)


if __name__ == "__main__":
    run(main, after_interrupt="`make gpu` goes on, a training from its last finished epoch")
