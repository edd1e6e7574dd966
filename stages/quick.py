"""Run every kind of stage on a small sample, in a copy of the project with its own data, results and MLflow store."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.common import PARAMS, run

ROOT = Path(__file__).resolve().parents[1]
MARKER = ".made_by_quick"


def main(folder: Path) -> None:
    """Copy the project to FOLDER (emptied first) and run `dvc repro` there on a small sample with few epochs."""
    copy_project(folder, sample)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": ""}
    done = subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=folder, env=environment, check=False)
    if done.returncode == 0:
        print(f"\nEvery stage ran. The numbers of such a small sample mean nothing; look at {folder}/results/figures.")
    raise SystemExit(done.returncode)


def copy_project(folder: Path, edit: Callable[[Any], None]) -> None:
    """The project's sources in a new git repository and DVC project, `params.yaml` edited by `edit`."""
    if folder.exists() and not (folder / MARKER).exists():
        raise ValueError(f"{folder}: expected a new folder, or one that this command made before")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARKER).touch()
    listed = _git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in listed:
        if not name.startswith("results/") and name != "dvc.lock" and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (ROOT / "data" / "raw").mkdir(parents=True, exist_ok=True)  # what has to be fetched is fetched once
    (folder / "data" / "raw").symlink_to(ROOT / "data" / "raw", target_is_directory=True)
    yaml = YAML()
    yaml.width = 200
    params = yaml.load(folder / PARAMS)
    edit(params)
    yaml.dump(params, folder / PARAMS)
    _git(folder, "init", "--quiet")
    _git(folder, "add", "--all")
    identity = ("-c", "user.name=quick", "-c", "user.email=quick@localhost", "-c", "commit.gpgsign=false")
    _git(folder, *identity, "commit", "--quiet", "--message=quick")


def sample(params: Any) -> None:
    """One entry of each kind of denoiser, the corruptions that they need, and the stacked entries; all shrunk."""
    needed = set()
    for section in ("clean", "noise2noise", "upscaler"):
        name, entry = next(iter(params[section].items()))
        params[section] = {name: entry}
        needed.add(entry["corruption"])
    params["corruptions"] = {name: entry for name, entry in params["corruptions"].items() if name in needed}
    shrink(params)
    params["prepare"]["limit"] = 1000


def shrink(params: Any) -> None:
    """Few images and few epochs everywhere; numbers mean nothing then, so bad ones are no error."""
    params["prepare"]["limit"] = 2000
    params["evaluation"] |= {"resamples": 100, "filter_images": 50, "tuning_images": 20, "require_gain": False}
    _set_epochs(params, 1)


def _set_epochs(node: Any, epochs: int) -> None:
    """Every `epochs` that is not 0, wherever it is written."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "epochs" and value:
                node[key] = epochs
            else:
                _set_epochs(value, epochs)


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    run(main)
