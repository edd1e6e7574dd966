"""Two `dvc repro` at once in one project: the outcome is that of one, or a clear refusal."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline import dvc, environment, executed, finished_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_project(tmp_path_factory)


def at_once(project: Path, *targets: str) -> list[tuple[int, str]]:
    """`dvc repro --force --single-item` of each target, all at once; exit codes and outputs."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", target],
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


@pytest.mark.parametrize(
    "targets",
    [
        ("corrupt@gaussian", "corrupt@downsample", "toy@spiral"),
        ("train_clean@gaussian_conv", "train_clean@gaussian_conv"),
    ],
)
def test_at_once_is_as_one_after_the_other(project: Path, targets: tuple[str, ...]) -> None:
    before = (project / "dvc.lock").read_text()
    ends = at_once(project, *targets)
    assert 0 in [code for code, _ in ends]
    for code, output in ends:
        assert code == 0 or "is busy" in output or "Unable to acquire lock" in output, output
    assert (project / "dvc.lock").read_text() == before
    assert executed(dvc(project, "repro")) == set()
