"""No file runs code, no server is open to others, nothing is installed unchecked."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stages import ui
from stages.audit import findings
from stages.quick import ROOT, copy_project
from tests.pipeline import environment

SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "stages").glob("*.py")])


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
    return name in forbidden or name.endswith((".extractall", ".extract", "joblib.load"))


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
    users = {path.name for path in SOURCES if re.search(r"^import pickle|^from pickle", path.read_text(), re.MULTILINE)}
    assert users == {"sources.py"}
    assert not [name for name, _ in calls(ROOT / "src/dae/training/loop.py") if name.startswith("pickle.")]


def test_a_shell_sees_nothing_of_params_but_in_quotes() -> None:
    commands = re.findall(r"^      cmd: (.+(?:\n        .+)*)", (ROOT / "dvc.yaml").read_text(), re.MULTILINE)
    assert sum("${" in command for command in commands) >= 20
    assert not [command for command in commands if "${" in re.sub("'[^']*'", "", command)]


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


def test_the_pages_are_served_to_this_machine_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda program, command: commands.append(command))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    ui.main(port=5001)
    (command,) = commands
    assert command[0] == sys.executable
    assert command[command.index("--host") + 1] == "127.0.0.1"


def test_vulnerabilities_are_counted_and_packages_that_nobody_knows_are_not() -> None:
    found = {"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"], "aliases": [], "description": ""}
    packages: list[dict[str, Any]] = [
        {"name": "a", "version": "1.0", "vulns": [found]},
        {"name": "b", "version": "3", "vulns": []},
        {"name": "c", "skip_reason": "not found"},
    ]
    assert findings(packages) == (["a 1.0: PYSEC-1, fixed in 1.1, 2.0"], 2)


def test_what_is_installed_is_checked_by_hash() -> None:
    install = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "pip install" in line)
    assert "--require-hashes --requirement requirements.lock" in install
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^[a-z0-9][^\s=]*==[^\n]*(?:\n +[^\n]+)*", lock, re.MULTILINE)
    assert len(pins) > 100
    assert not [pin.splitlines()[0] for pin in pins if "--hash=sha256:" not in pin]
    assert "://" not in lock
