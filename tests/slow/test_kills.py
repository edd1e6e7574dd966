"""A pipeline that is killed at random moments, again and again, ends with the bytes of one that was left alone."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from ruamel.yaml import YAML

from tests.pipeline import STAGES, dvc, environment, one_of_each, tracked_runs
from tools.quick import copy_project

pytestmark = pytest.mark.slow

KILLS = 25
COMMANDS = (["dvc", "repro"], ["tools.run"], ["tools.run", "--fail-fast"])
REFUSALS = ("is busy", "Unable to acquire lock", "another process is at work on it")  # a killed run's stage still works


def longer(params: Any) -> None:
    """Some epochs, so that trainings are killed halfway too."""
    one_of_each(params)
    for section in ("classifiers", "clean", "perceptual", "noise2noise", "stochastic", "toy", "filters"):
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


def kill(process: "subprocess.Popen[bytes]", rng: random.Random) -> str:
    """SIGKILL a stage that runs, or the process that runs the pipeline, or that and all below it; what was hit."""
    with suppress(psutil.NoSuchProcess):  # it ended this moment
        below = psutil.Process(process.pid).children(recursive=True)
        stages = [child for child in below if any("stages." in part for part in child.cmdline())]
        hit = rng.choice(("stage", "runner", "all"))
        if hit == "stage" and stages:
            stages[-1].kill()
            return hit
        process.kill()
        for child in below if hit == "all" else ():
            with suppress(psutil.NoSuchProcess):
                child.kill()
        return "all" if hit == "all" else "runner"
    return "nothing"


def attempt(project: Path, command: list[str], kills: int, longest: float, rng: random.Random) -> tuple[int, list[str]]:
    """Run the pipeline and kill up to `kills` times; the exit code, and what was hit."""
    hits: list[str] = []
    with project.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=project,
            env=environment(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        while True:
            try:
                return process.wait(rng.uniform(3, longest) if len(hits) < kills else None), hits
            except subprocess.TimeoutExpired:
                hits.append(kill(process, rng))


def put_right(project: Path, said: str, hits: list[str]) -> str:
    """Do what docs/recovery.md says about a run that failed; what it was."""
    complaints = "\n".join(line for line in said.splitlines() if "error" in line.lower() or "FAILED" in line)
    if any(words in said for words in REFUSALS):
        time.sleep(1)  # until it has ended
        return "refused"
    if "RWLock" in complaints:
        (project / ".dvc/tmp/rwlock").unlink()
        return "half-written rwlock"
    if "dvc.lock" in complaints:
        (project / "dvc.lock").unlink()  # git has no older one to check out
        return "half-written dvc.lock"
    assert "stage" in hits, said
    return "stage"


def repro(project: Path, kills: int, longest: float, rng: random.Random) -> list[str]:
    """Bring the pipeline up to date in spite of up to `kills` kills; what was hit."""
    hits: list[str] = []
    seen: Counter[str] = Counter()
    while True:
        code, new = attempt(project, rng.choice(COMMANDS), kills - len(hits), longest, rng)
        hits += [hit for hit in new if hit != "nothing"]
        if code == 0:
            print(f"\n{project.name}: {dict(seen)}")
            return hits
        if code != -signal.SIGKILL:
            said = project.with_suffix(".log").read_text(errors="replace")
            seen[put_right(project, said, new)] += 1
            assert sum(seen.values()) < 20 * KILLS, said


def deliver(project: Path) -> None:
    """`make deliver`, until no run waits any more."""
    ends = time.monotonic() + 120
    while list((project / ".mlflow_outbox").glob("*/events.jsonl")) and time.monotonic() < ends:
        subprocess.run([sys.executable, "-m", "tools.deliver"], cwd=project, env=environment(), check=True)
        time.sleep(1)
    assert not list((project / ".mlflow_outbox").glob("*/events.jsonl"))


def test_kills_leave_no_trace(tmp_path: Path) -> None:
    copy_project(tmp_path / "alone", longer)
    began = time.monotonic()
    dvc(tmp_path / "alone", "repro")
    longest = max(11.0, (time.monotonic() - began) / 10)  # so that a slow machine gets somewhere too
    expected = outcome(tmp_path / "alone")
    project, rng, hits = tmp_path / "killed", random.Random(0), list[str]()
    while len(hits) < KILLS:  # a fast machine is through the pipeline before all have struck
        copy_project(project, longer)
        hits += repro(project, KILLS - len(hits), longest, rng)
        assert outcome(project) == expected
        assert not list((project / ".checkpoints").rglob("*.*"))
        assert not list(project.glob("results/**/*.tmp"))
        deliver(project)
        finished = {run.info.run_name for run in tracked_runs(project) if run.info.status == "FINISHED"}
        assert finished == STAGES, "no run of a stage that ended well is lost"
    print(f"\n{len(hits)} kills survived: {dict(Counter(hits))}")
