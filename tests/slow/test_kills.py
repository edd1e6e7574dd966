"""A pipeline that is killed at random moments, again and again, ends with the bytes of one that was left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from ruamel.yaml import YAML

from stages.quick import copy_project
from tests.pipeline import dvc, environment, one_of_each

pytestmark = pytest.mark.slow

KILLS = 25


def longer(params: Any) -> None:
    """Some epochs, so that trainings are killed halfway too."""
    one_of_each(params)
    for section in ("classifiers", "clean", "perceptual", "noise2noise", "upscaler", "stochastic", "toy", "filters"):
        for entry in params[section].values():
            entry["epochs"] = 4
    for entry in params["stacked"].values():
        entry["pretraining"]["epochs"] = entry["finetuning"]["epochs"] = 3


def outcome(project: Path) -> dict[str, Any]:
    """Hashes of all outputs, and the bytes of every file under data/ and results/."""
    lock = YAML(typ="safe").load(project / "dvc.lock")["stages"]
    hashes = {name: {out["path"]: out["md5"] for out in stage["outs"]} for name, stage in lock.items()}
    folders = ("data/prepared", "data/corrupted", "data/patches", "results")
    files = (path for folder in folders for path in (project / folder).rglob("*"))
    return {"hashes": hashes} | {str(p.relative_to(project)): p.read_bytes() for p in files if p.is_file()}


def kill(process: subprocess.Popen[bytes], rng: random.Random) -> str:
    """SIGKILL the stage that runs, or DVC and all below it; what was hit."""
    with suppress(psutil.NoSuchProcess):  # it ended this moment
        below = psutil.Process(process.pid).children(recursive=True)
        stages = [child for child in below if any("stages." in part for part in child.cmdline())]
        if stages and rng.random() < 0.5:
            stages[-1].kill()
            return "stage"
    os.killpg(process.pid, signal.SIGKILL)
    return "all"


def mended(project: Path) -> bool:
    """Whether `make run` finds that DVC has half-written a file of its own, and puts it back."""
    done = subprocess.run(
        [sys.executable, "-m", "stages.mend"],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    print(f"\n{done.stdout}", end="")
    return bool(done.stdout)


def repro(project: Path, kills: int, rng: random.Random) -> list[str]:
    """`dvc repro` or `stages.repro`, killed at random moments until it ends; what was hit, `kills` at most."""
    hits: list[str] = []
    log = project.with_suffix(".log")
    while True:
        with log.open("wb") as file:
            command = [sys.executable, "-m", *rng.choice((["dvc", "repro"], ["stages.repro"]))]
            process = subprocess.Popen(
                command, cwd=project, env=environment(), stdout=file, stderr=file, start_new_session=True
            )
            try:
                code = process.wait(rng.uniform(3, 11) if len(hits) < kills else None)
            except subprocess.TimeoutExpired:
                hits.append(kill(process, rng))
                process.wait()
                time.sleep(0.2)
                continue
        said = log.read_text()[-3000:]
        if code == 0:
            return hits
        assert "all" in hits, said
        assert mended(project), said


def test_kills_leave_no_trace(tmp_path: Path) -> None:
    copy_project(tmp_path / "alone", longer)
    dvc(tmp_path / "alone", "repro")
    expected = outcome(tmp_path / "alone")
    project, rng, hits = tmp_path / "killed", random.Random(0), list[str]()
    while len(hits) < KILLS:  # a fast machine is through the pipeline before all have struck
        copy_project(project, longer)
        hits += repro(project, KILLS - len(hits), rng)
        assert outcome(project) == expected
        assert not list((project / ".checkpoints").rglob("*.*"))
        assert not list(project.glob("results/**/*.tmp"))
    print(f"\n{len(hits)} kills survived ({hits.count('stage')} of a stage, {hits.count('all')} of everything)")
