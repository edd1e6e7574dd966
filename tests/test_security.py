"""No file runs code, no server is open to others, nothing is installed unchecked."""

import ast
import io
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from dae.params.whole import Params
from dae.sources.mnist import ArrayUnpickler
from tests.pipeline import environment
from tools.quick import ROOT, copy_project

SOURCES = sorted(path for folder in ("src", "stages", "tools") for path in (ROOT / folder).rglob("*.py"))


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a file, by the name as it is written, such as torch.load."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def option(call: ast.Call, name: str) -> str | None:
    return next((ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == name), None)


def unsafe(name: str, call: ast.Call) -> bool:
    """Whether a call could run what a file or a parameter says."""
    if name in ("torch.load", "load") and option(call, "map_location"):
        return option(call, "weights_only") != "True"
    if name == "np.load":
        return option(call, "allow_pickle") != "False"
    if name.split(".")[0] == "subprocess":
        return option(call, "shell") is not None
    if name == "YAML":
        return option(call, "typ") not in (None, "'safe'")
    forbidden = ("eval", "exec", "compile", "os.system", "os.popen", "pickle.load", "pickle.loads", "torch.load")
    return name in forbidden or name.endswith((".extractall", ".extract", "joblib.load", "yaml.unsafe_load"))


def test_every_source_is_looked_at() -> None:
    assert {"src/dae/params/__init__.py", "stages/train.py", "tools/run.py"} <= {
        path.relative_to(ROOT).as_posix() for path in SOURCES
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_executed(path: Path) -> None:
    assert [ast.unparse(call) for name, call in calls(path) if unsafe(name, call)] == []


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(path)",
        "torch.load(path, map_location='cpu')",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(text, shell=True)",
        "os.system(text)",
        "pickle.load(file)",
        "YAML(typ='unsafe')",
        "archive.extractall(folder)",
    ],
)
def test_what_would_be_found(tmp_path: Path, code: str) -> None:
    (tmp_path / "a.py").write_text(code)
    assert [name for name, call in calls(tmp_path / "a.py") if unsafe(name, call)]


def test_pickles_are_read_in_one_place() -> None:
    """The restricted unpickler; PyTorch reads checkpoints as weights only."""
    imports = re.compile(r"^\s*(import|from) (pickle|cloudpickle|joblib|dill|shelve)\b", re.MULTILINE)
    users = {path.relative_to(ROOT).as_posix() for path in SOURCES if imports.search(path.read_text())}
    assert users == {"src/dae/sources/mnist.py"}
    assert not [name for name, _ in calls(ROOT / "src/dae/training/loop.py") if name.startswith("pickle.")]


class Evil:
    """Unpickled, it leaves a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch unpickled",)


def test_that_place_reads_arrays_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arrays = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1, 2], np.int64)]
    written = pickle.dumps(arrays, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    for ours, theirs in zip(ArrayUnpickler(io.BytesIO(written)).load(), arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for content in (Evil(), [np.zeros(3), Evil()], np.array([Evil()], object)):
        with pytest.raises(ValueError, match="which is not admitted"):
            ArrayUnpickler(io.BytesIO(pickle.dumps(content, protocol=3))).load()
    assert not (tmp_path / "unpickled").exists()


def test_a_shell_sees_nothing_of_params_but_in_quotes() -> None:
    """`vars` stand in dvc.yaml itself, and are words."""
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].values()
    whole = [stage.get("do", stage) for stage in stages]
    assert sum("${" in stage["cmd"] for stage in whole) >= 20
    for stage in whole:
        own = {name: value for values in stage.get("vars", []) for name, value in values.items()}
        assert [value for value in own.values() if not re.fullmatch("[a-z]+[0-9]?[a-z]*", value)] == []
        unquoted = re.sub("'[^']*'", "", stage["cmd"])
        assert set(re.findall(r"\$\{(.*?)\}", unquoted)) <= set(own), stage["cmd"]
        assert set(own).isdisjoint(Params.model_fields)


def test_a_name_in_params_is_no_command(tmp_path: Path) -> None:
    name = "x; touch OWNED #"

    def edit(params: Any) -> None:
        params["toy"][name] = {**params["toy"]["spiral"], "epochs": 1, "repeats": 1}

    copy_project(tmp_path / "project", edit)
    command = [sys.executable, "-m", "dvc", "repro", f"toy@{name}"]
    done = subprocess.run(
        command, cwd=tmp_path / "project", env=environment(), capture_output=True, text=True, check=False
    )
    assert f"python -m stages.toy '{name}'" in done.stdout
    assert not (tmp_path / "project" / "OWNED").exists()


# --- the Makefile

MAKEFILE = (ROOT / "Makefile").read_text()


def recipe(target: str, *settings: str) -> str:
    """What make would have a shell run for a target, with the environment installed already."""
    command = ["make", "--dry-run", "--no-print-directory", "--assume-old=.venv/installed", target, *settings]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def served(tmp_path: Path, **environment: str) -> list[str]:
    """The arguments with which `make ui` starts MLflow, in an environment; none where it starts nothing."""
    (tmp_path / "mlflow").write_text('#!/bin/sh\nprintf "MLFLOW %s\\n" "$@"\n')
    (tmp_path / "mlflow").chmod(0o755)
    script = recipe("ui", "PORT=5001")
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", script], env={"PATH": path, **environment}, capture_output=True, text=True, check=True
    )
    return [line.removeprefix("MLFLOW ") for line in done.stdout.splitlines() if line.startswith("MLFLOW ")]


@pytest.mark.parametrize("store", ["", "sqlite:////elsewhere/runs.db"])
def test_the_pages_are_served_to_this_machine_alone(tmp_path: Path, store: str) -> None:
    command = served(tmp_path, MLFLOW_TRACKING_URI=store)
    assert command[0] == "ui"
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "5001"
    assert command[command.index("--backend-store-uri") + 1] == (store or "sqlite:///mlflow.db")


def test_no_pages_are_served_of_somebody_elses_server(tmp_path: Path) -> None:
    assert served(tmp_path, MLFLOW_TRACKING_URI="https://mlflow.example") == []


def test_the_locked_dependencies_are_those_that_are_looked_up() -> None:
    """`make audit` asks about what is installed, by its hashes, and resolves nothing anew."""
    (line,) = [line for line in recipe("audit").splitlines() if "pip-audit" in line]
    assert {"--require-hashes", "--disable-pip"} <= set(line.split())
    assert "--requirement requirements.lock" in line


def test_what_is_installed_is_checked_by_hash() -> None:
    first, second = (line for line in MAKEFILE.splitlines() if "pip install" in line)
    assert "--require-hashes --requirement requirements.lock" in first
    assert "--no-deps --no-build-isolation --editable ." in second  # this project, and nothing with it
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^[a-z0-9][^\s=]*==[^\n]*(?:\n +[^\n]+)*", lock, re.MULTILINE)
    assert len(pins) > 100
    assert not [pin.splitlines()[0] for pin in pins if "--hash=sha256:" not in pin]
    assert "://" not in lock
