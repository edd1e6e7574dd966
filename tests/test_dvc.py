"""dvc.yaml says the truth: every stage's deps are what it imports, its params are what it reads."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from dae.params import Stacked
from stages.quick import ROOT

# These shape no output: they check, log and keep checkpoints, and the values they check are params of the stages.
NO_OUTPUT = {"dae", "dae.choices", "dae.tracking", "stages", "stages.checkpoints", "stages.common"}
NO_OUTPUT |= {"dae.params", "dae.params.sections", "dae.params.whole"}
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


def code_deps(stage: Any) -> list[set[str]]:
    """Modules behind each of a stage's deps on code; a folder stands for what is in it."""
    deps = []
    for dep in stage.deps:
        path = Path(dep.fs_path)
        inside = [*path.rglob("*.py")] if path.is_dir() and path.is_relative_to(ROOT / "src") else [path]
        if names := {name for name, file in FILES.items() if file in inside}:
            deps.append(names)
    return deps


def test_every_stage_depends_on_what_it_imports(stages: dict[str, Any]) -> None:
    wrong = {}
    for name, stage in stages.items():
        used, declared = closure(re.findall(r"python -m (\S+)", stage.cmd)[0]), code_deps(stage)
        undeclared = used - set().union(*declared)
        unused = [sorted(dep)[0] for dep in declared if not dep & used]
        if undeclared or unused:
            wrong[name.partition("@")[0]] = {"undeclared": undeclared, "unused": unused}
    assert not wrong


def test_arrows_point_one_way() -> None:
    """What each package of the library may import of the others; tracking belongs to the stages."""
    arrows = {
        "dae.data": {"dae.choices"},
        "dae.models": {"dae.choices", "dae.data", "dae.params"},
        "dae.training": {"dae", "dae.choices", "dae.data", "dae.models", "dae.params"},
        "dae.evaluation": {"dae.data", "dae.models", "dae.params"},
        "dae.plots": set(),
    }
    for package, allowed in arrows.items():
        files = [path for name, path in FILES.items() if f"{name}.".startswith(f"{package}.")]
        found = {".".join(name.split(".")[:2]) for path in files for name in imported(path)} - {package}
        assert files
        assert found <= allowed, package


def test_noise2noise_depends_on_no_clean_image(stages: dict[str, Any]) -> None:
    chosen = [stage for name, stage in stages.items() if name.startswith("train_noise2noise@")]
    assert chosen
    for stage in chosen:
        assert not [dep for dep in stage.deps if "prepared" in dep.def_path]


def test_no_training_depends_on_test_data(stages: dict[str, Any]) -> None:
    def whole_folder(stage: Any) -> bool:
        return any(re.fullmatch(r"data/(prepared|corrupted)/[a-z0-9_]+", dep.def_path) for dep in stage.deps)

    readers = {
        name.partition("@")[0] for name, stage in stages.items() for dep in stage.deps if "/test" in dep.def_path
    }
    assert readers == {
        "evaluate_clean",
        "evaluate_perceptual",
        "evaluate_noise2noise",
        "evaluate_upscaler",
        "evaluate_stochastic",
        "evaluate_classifier",
        "evaluate_stacked",
        "svm",
        "latent",
        "posterior",
        "ablate",
    }
    assert {name.partition("@")[0] for name, stage in stages.items() if whole_folder(stage)} == {"corrupt"}


def test_outputs_stay_until_their_successors_are_whole(stages: dict[str, Any]) -> None:
    assert all(out.persist for stage in stages.values() for out in stage.outs)


def read_params(path: Path) -> set[str]:
    """Keys of params.yaml that a file reads; {} stands for what is filled in, such as an entry's name."""
    keys = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in ("seed", "compute") and not node.args:
            keys.add(name)
        elif name == "read" and ast.unparse(node.args[0]) == "PARAMS":
            key = node.args[1]
            parts = key.values if isinstance(key, ast.JoinedStr) else [key]
            keys.add("".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts))
    return keys


def test_every_stage_declares_the_params_it_reads(stages: dict[str, Any]) -> None:
    wrong = {}
    for name, stage in stages.items():
        kind, _, item = name.partition("@")
        module, *arguments = re.findall(r"python -m (.+)", stage.cmd)[0].split()
        files = [FILES[used] for used in closure(module) if used.startswith("stages.")]
        found = {key.replace("{}.{}", f"{arguments[0]}.{{}}") for path in files for key in read_params(path)}
        declared = {param for dep in stage.deps for param in getattr(dep, "params", [])}
        declared = {param.replace(f".{item}", ".{}", 1) if item else param for param in declared}
        if kind == "pretrain":  # it reads the entry, and uses all of it but `finetuning`
            declared = {re.sub(r"^(stacked\.\{\}).*", r"\1", param) for param in declared}
        if found != declared:
            wrong[name] = found ^ declared
    assert not wrong


def test_plot_depends_on_all_params(stages: dict[str, Any]) -> None:
    """It checks the whole file; as a dependency that is four lines of dvc.lock, as params a tenth of it."""
    assert "params.yaml" in [dep.def_path for dep in stages["plot"].deps]


def test_what_pretraining_does_not_read_is_declared_apart(stages: dict[str, Any]) -> None:
    declared = {param for dep in stages["pretrain@sdae_3"].deps for param in getattr(dep, "params", [])}
    fields = {f"stacked.sdae_3.{field}" for field in Stacked.model_fields}
    assert declared - {"seed", "compute"} == fields - {"stacked.sdae_3.finetuning"}
