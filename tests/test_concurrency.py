"""Two `dvc repro` at once in one project: the outcome is that of one, or a clear refusal."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.pipeline import dvc, environment, executed, finished_project


def at_once(project: Path, *targets: str) -> list[tuple[int, str]]:
    """`dvc repro --single-item` of each target, all at once; exit codes and outputs."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro", "--single-item", target],
            cwd=project,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for target in targets
    ]
    outputs = [process.communicate()[0] for process in started]
    return [(process.returncode, output) for process, output in zip(started, outputs, strict=True)]


def longer(params: Any) -> None:
    """Every target below has something to do, for some seconds."""
    for entry in (params["clean"]["gaussian_conv"], params["toy"]["spiral"], params["filters"]["gaussian"]):
        entry["epochs"] = 60


@pytest.mark.parametrize(
    "targets",
    [
        ("train_clean@gaussian_conv", "toy@spiral", "filters@gaussian"),
        ("train_clean@gaussian_conv", "train_clean@gaussian_conv"),
    ],
)
def test_at_once_is_as_one_after_the_other(tmp_path_factory: pytest.TempPathFactory, targets: tuple[str, ...]) -> None:
    """Siblings, and one stage twice: all that ended well is recorded, and with the bytes of a quiet run."""
    project, quiet = (finished_project(tmp_path_factory) for _ in range(2))
    yaml = YAML()
    for copy in (project, quiet):
        params = yaml.load(copy / "params.yaml")
        longer(params)
        yaml.dump(params, copy / "params.yaml")
    ends = at_once(project, *targets)
    for code, output in ends:
        assert code == 0 or "is busy" in output or "Unable to acquire lock" in output, output
    done = {target for target, (code, _) in zip(targets, ends, strict=True) if code == 0}
    assert done
    if len(set(targets)) < len(targets):
        assert any(code for code, _ in ends), "the second came while the first was at work"
    assert executed(dvc(project, "repro", "--single-item", *done)) == set(), "what ended well is recorded"
    dvc(quiet, "repro", "--single-item", *done)
    locks = [YAML(typ="safe").load(copy / "dvc.lock")["stages"] for copy in (project, quiet)]
    assert all(locks[0][target] == locks[1][target] for target in done)
    assert not [line for line in dvc(project, "status", *done).splitlines() if line.partition(":")[0] in done]
