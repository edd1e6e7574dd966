"""Remove the outputs of entries that are no longer in params.yaml, and their part of dvc.lock."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from ruamel.yaml import YAML

from dae.core.files import replacing_file
from stages.common import run
from tools import outputs


def main() -> None:
    """Remove the outputs of stages that dvc.yaml and params.yaml no longer make, and forget these stages."""
    try:
        with Repo() as repo, repo.lock:
            prune(repo)
    except DvcException as error:
        raise ValueError(str(error)) from None


def prune(repo: Repo) -> None:
    """Do what `main` does, in a repository whose lock is held."""
    root = Path(repo.root_dir)
    stages = {stage.addressing for stage in repo.index.stages}
    kept = {Path(out.fs_path).resolve() for stage in repo.index.stages for out in stage.outs}
    deps = {Path(dep.fs_path) for stage in repo.index.stages for dep in stage.deps if dep.fs_path}
    yaml, path = YAML(), root / "dvc.lock"
    yaml.default_flow_style = False
    lock: dict[str, Any] = yaml.load(path) if path.exists() else {}
    for name in [name for name in lock.get("stages", {}) if name not in stages]:
        for out in lock["stages"].pop(name).get("outs", []):
            if (root / out["path"]).resolve() not in kept:
                remove(root / out["path"], root, deps)
        print(f"removed {name}")
    if lock:
        with replacing_file(path) as fresh:
            yaml.dump(lock, fresh)


def remove(path: Path, root: Path, kept: Collection[Path] = ()) -> None:
    """Remove a file or folder, and the folders above it that are then empty and not `kept`.

    Raises ValueError for what is not below `root`.
    """
    if not path.resolve().is_relative_to(root.resolve()) or path.resolve() == root.resolve():
        raise ValueError(f"{path}: expected an output within {root}")
    outputs.remove(path)
    for parent in path.parents:
        if parent == root or parent in kept or not parent.exists() or any(parent.iterdir()):
            break
        parent.rmdir()


if __name__ == "__main__":
    run(main)
