"""dvc.yaml says the truth: every stage's deps are what it imports, its params are what it reads."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from stages.quick import ROOT

# These shape no output: they check and log, and the values they check are params of the stages.
NO_OUTPUT = {"dae", "dae.choices", "dae.params", "dae.tracking", "stages", "stages.common"}
FILES = {
    ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__"): path
    for base in (ROOT / "src", ROOT)
    for path in (base / ("dae" if base.name == "src" else "stages")).rglob("*.py")
}


def imported(path: Path) -> set[str]:
    """Modules of this project that a file names in an import, at its top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names & set(FILES)


def closure(module: str) -> set[str]:
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen and name not in NO_OUTPUT:
            seen.add(name)
            waiting += imported(FILES[name])
    return seen


@pytest.fixture(scope="module")
def stages() -> dict[str, Any]:
    with Repo(str(ROOT)) as repo:
        return {stage.name: stage for stage in repo.index.stages}


def code_deps(stage: Any) -> set[str]:
    """Modules behind a stage's deps; a folder stands for what is in it."""
    names = set()
    for dep in stage.deps:
        path = Path(dep.fs_path)
        inside = [*path.rglob("*.py")] if path.is_dir() and path.name == "models" else [path]
        names |= {name for name, file in FILES.items() if file in inside}
    return names


def test_every_stage_depends_on_what_it_imports(stages: dict[str, Any]) -> None:
    wrong = {}
    for name, stage in stages.items():
        module = re.findall(r"python -m (\S+)", stage.cmd)[0]
        if code_deps(stage) != closure(module):
            wrong[name] = code_deps(stage) ^ closure(module)
    assert not wrong


def test_noise2noise_depends_on_no_clean_image(stages: dict[str, Any]) -> None:
    chosen = [stage for name, stage in stages.items() if name.startswith("train_noise2noise@")]
    assert chosen
    for stage in chosen:
        assert not [dep for dep in stage.deps if "prepared" in dep.def_path]


def test_only_evaluation_depends_on_test_data(stages: dict[str, Any]) -> None:
    def whole_folder(stage: Any) -> bool:
        return any(dep.def_path == "data/prepared" for dep in stage.deps)

    readers = {
        name.partition("@")[0] for name, stage in stages.items() for dep in stage.deps if "/test" in dep.def_path
    }
    assert readers == {
        "baselines",
        "evaluate_clean",
        "evaluate_noise2noise",
        "evaluate_upscaler",
        "evaluate_classifier",
        "evaluate_stacked",
    }
    assert {name.partition("@")[0] for name, stage in stages.items() if whole_folder(stage)} == {"corrupt"}


def test_outputs_stay_until_their_successors_are_whole(stages: dict[str, Any]) -> None:
    assert all(out.persist for stage in stages.values() for out in stage.outs)


SECTION_OF_STAGE = {
    "prepare": {"prepare"},
    "corrupt": {"seed", "corruptions.{}"},
    "train_classifier": {"seed", "compute", "classifier"},
    "train_clean": {"seed", "compute", "clean.{}"},
    "train_noise2noise": {"seed", "compute", "noise2noise.{}"},
    "train_upscaler": {"seed", "compute", "upscaler.{}"},
    "finetune": {"seed", "compute", "stacked.{}"},
    "baselines": {"seed", "evaluation"},
    "plot": {"clean", "noise2noise", "upscaler", "stacked"},
}


def test_every_stage_declares_the_params_it_reads(stages: dict[str, Any]) -> None:
    for name, stage in stages.items():
        kind, _, item = name.partition("@")
        if kind in SECTION_OF_STAGE:
            declared = {param for dep in stage.deps for param in getattr(dep, "params", [])}
            assert declared == {section.format(item) for section in SECTION_OF_STAGE[kind]}, name
