"""Run every kind of stage on a small sample, in a copy of the project with its own data, results and MLflow store."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from dae.params.whole import needed
from stages.common import run
from stages.context import PARAMS

ROOT = Path(__file__).resolve().parents[1]
MARKER = ".made_by_quick"
MADE = {".checkpoints", ".dvc", ".mlflow_outbox", "data", "dvc.lock", "results"}  # by runs of the pipeline


def main(folder: Path) -> None:
    """Copy the project to FOLDER (emptied first) and run the pipeline there on a small sample with few epochs."""
    copy_project(folder, sample)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": ""}
    done = subprocess.run([sys.executable, "-m", "tools.run"], cwd=folder, env=environment, check=False)
    if done.returncode == 0:
        print(f"\nEvery stage ran. The numbers of such a small sample mean nothing; look at {folder}/results/summary.")
    raise SystemExit(done.returncode)


def copy_project(folder: Path, edit: Callable[[Any], None], *, afresh: bool = True) -> None:
    """Copy the project's sources to `folder`, a git repository and DVC project of its own, and `edit` its params.

    Whatever was in `folder` is removed. If not `afresh`, what earlier runs have made there stays.
    """
    if folder.exists() and not (folder / MARKER).exists():
        raise ValueError(f"{folder}: expected a new folder, or one that this command made before")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()
    for path in folder.iterdir():
        if path.name != MARKER and (afresh or path.name not in MADE):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    listed = _git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in listed.split("\0"):
        if not name.startswith("results/") and name != "dvc.lock" and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (ROOT / "data" / "raw").mkdir(parents=True, exist_ok=True)  # what has to be fetched is fetched once
    if not (folder / "data" / "raw").is_symlink():
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
    """Keep the first entry of each section and what these need, and shrink them all."""
    entries = [name for name, section in params.items() if name != "defaults" and _has_entries(section)]
    reduce(params, {name: [next(iter(params[name]))] for name in entries})
    shrink(params, limit=1000)


def reduce(params: Any, kept: Mapping[str, Sequence[str]]) -> None:
    """Drop all entries but `kept` ({section: names}) and those that these name, in turn."""
    names: dict[str, set[str]] = {section: set() for section in params if _has_entries(params[section])}
    waiting = [(section, name) for section in kept for name in kept[section]]
    while waiting:
        section, name = waiting.pop()
        if name in names[section]:
            continue
        names[section].add(name)
        waiting += [(where, other) for _, where, other in needed(section, name, params[section][name])]
    for section, wanted in names.items():
        if section != "defaults":
            params[section] = {name: entry for name, entry in params[section].items() if name in wanted}
    drop_missing_members(params)


def drop_missing_members(params: Any) -> None:
    """Drop entries that are gone from the comparisons, and comparisons of which nothing is left."""
    groups = {
        name: [member for member in members if member.partition(".")[2] in params[member.partition(".")[0]]]
        for name, members in params["comparisons"].items()
    }
    params["comparisons"] = {name: members for name, members in groups.items() if members}


def shrink(params: Any, limit: int = 2000) -> None:
    """Set few images and few epochs everywhere. The numbers mean nothing then, so bad ones are no error."""
    for dataset in params["datasets"].values():
        dataset["limit"] = limit
    for entry in params["svm"].values():
        entry |= {"tuning_images": limit // 2, "components": 10}
    for entry in params["toy"].values():
        entry["repeats"] = 1
    for entry in params["stochastic"].values():
        entry |= {"images": 50, "steps": 2, "samples": 2}
    params["patches"] |= {"train": limit, "validation": limit // 2}
    params["baselines"] |= {"images": 40, "tuning_images": 20}
    params["evaluation"] |= {"resamples": 100, "require_gain": False}
    _calm(params)


def _has_entries(section: Any) -> bool:
    return isinstance(section, dict) and all(isinstance(entry, dict) for entry in section.values())


def _calm(node: Any, epochs: int = 1, learning_rate: float = 0.002) -> None:
    """Set one epoch wherever there are any, and a learning rate that is not too high for a few images."""
    for key, value in node.items():
        if isinstance(value, dict):
            _calm(value, epochs, learning_rate)
        elif key == "epochs" and value:
            node[key] = epochs
        elif key == "learning_rate":
            node[key] = min(value, learning_rate)


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"git {arguments[0]} in {folder}: {done.stderr.strip() or 'failed'}")
    return done.stdout


if __name__ == "__main__":
    run(main, after_interrupt="the next run starts anew")
