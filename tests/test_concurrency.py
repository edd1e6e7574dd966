"""Two runs at once in one project: the outcome is that of one after the other, or a clear refusal."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.pipeline import dvc, environment, executed, finished_project, tracked_runs

DVC = ("dvc", "repro", "--single-item")
MAKE_RUN = ("tools.run",)
TRAIN, TOY, FILTERS = "train_clean@gaussian_conv", "toy@spiral", "filters@gaussian"
REFUSALS = ("is busy", "Unable to acquire lock", "another process is at work on it")

Command = tuple[str, ...]


def at_once(project: Path, commands: list[Command]) -> list[tuple[int, str]]:
    """Run all commands at once; their exit codes and outputs."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=project,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command in commands
    ]
    outputs = [process.communicate()[0] for process in started]
    return [(process.returncode, output) for process, output in zip(started, outputs, strict=True)]


def longer(project: Path) -> None:
    """Give each of the stages above something to do for some seconds."""
    yaml = YAML()
    params: Any = yaml.load(project / "params.yaml")
    for entry in (params["clean"]["gaussian_conv"], params["toy"]["spiral"], params["filters"]["gaussian"]):
        entry["epochs"] = 40
    yaml.dump(params, project / "params.yaml")


@pytest.mark.parametrize(
    "commands",
    [
        [(*DVC, TRAIN), (*DVC, TOY), (*DVC, FILTERS)],
        [(*DVC, TRAIN), (*DVC, TRAIN)],
        [(*DVC, TRAIN), (*MAKE_RUN, TRAIN)],
        [(*MAKE_RUN, TRAIN), (*MAKE_RUN, TRAIN, TOY)],
    ],
    ids=["siblings", "dvc repro twice", "dvc repro and make run", "make run twice"],
)
def test_at_once_is_as_one_after_the_other(tmp_path_factory: pytest.TempPathFactory, commands: list[Command]) -> None:
    """All that ended well is recorded, with the bytes of a run that was alone, and no stage was run twice."""
    project, quiet = (finished_project(tmp_path_factory) for _ in range(2))
    for copy in (project, quiet):
        longer(copy)
    ends = at_once(project, commands)
    for code, output in ends:
        assert code == 0 or [words for words in REFUSALS if words in output], output
        assert "Traceback" not in output
    done = {target for command, (code, _) in zip(commands, ends, strict=True) if code == 0 for target in command[1:]}
    done &= {TRAIN, TOY, FILTERS}
    assert done
    if commands[0][0] == commands[-1][0] == MAKE_RUN[0]:
        assert [code for code, _ in ends] == [0, 0], "the second waits for the first"
    elif commands[0] == commands[-1]:
        assert [code for code, _ in ends if code], "the second came while the first was at work"
    names = [run.info.run_name for run in tracked_runs(project)]
    assert {target: names.count(target) for target in done} == dict.fromkeys(done, 2), "once before, once now"
    assert executed(dvc(project, "repro", "--single-item", *done)) == set(), "what ended well is recorded"
    dvc(quiet, "repro", "--single-item", *done)
    locks = [YAML(typ="safe").load(copy / "dvc.lock")["stages"] for copy in (project, quiet)]
    assert all(locks[0][target] == locks[1][target] for target in done)
    assert not [line for line in dvc(project, "status", *done).splitlines() if line.partition(":")[0] in done]
