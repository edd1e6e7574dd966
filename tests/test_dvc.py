"""dvc.yaml says the truth: deps are the code and the data that shape a stage's output, params are what it reads."""

import ast
import shlex
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from tools.quick import ROOT

# What shapes no output: it checks params.yaml, finds a kind, words an error, tracks a run or puts files in their place.
# A room's own file holds nothing but its docstring.
NO_OUTPUT = {"dae", "dae.settings", "dae.registry", "dae.params", "dae.tracking", "dae.courier"}
NO_OUTPUT |= {"dae.params.sections", "dae.params.whole", "dae.params.provable"}
NO_OUTPUT |= {"dae.corruptions", "dae.networks", "dae.losses", "dae.points"}
NO_OUTPUT |= {"stages", "stages.common", "stages.context"}

# The fields of an entry that choose a kind, the room of that kind, and the module whose use means that it is used.
CHOOSING = {
    "model": ("networks", "dae.training.loop"),
    "loss": ("losses", "dae.training.loop"),
    "points": ("points", "dae.training.loop"),
    "corruption": ("corruptions", "dae.training.denoising"),
}
# Functions of `stages.context` that read params.yaml, when they are called without arguments.
READING = {"seed": ["seed"], "evaluation": ["evaluation"], "device": ["compute"], "computed": ["seed", "compute"]}
# Both stages of a stack read its whole entry. Pretraining has no use for one of its fields, and fine-tuning starts from
# a network that depends on the other.
OF_THE_OTHER = {"pretrain": "finetuning", "finetune": "pretraining"}

FILES = {
    ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__"): path
    for base, package in ((ROOT / "src", "dae"), (ROOT, "stages"))
    for path in (base / package).rglob("*.py")
}
PARAMS = YAML(typ="safe").load(ROOT / "params.yaml")
FOREACH = {
    name: stage["foreach"].strip("${}")
    for name, stage in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].items()
    if "foreach" in stage
}


@pytest.fixture(scope="module")
def stages() -> dict[str, Any]:
    with Repo(str(ROOT)) as repo:
        return {stage.name: stage for stage in repo.index.stages}


# What a stage imports, and the kinds that it uses.


@cache
def syntax(module: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(FILES[module].read_text())))


@cache
def imported(module: str) -> frozenset[str]:
    """Modules of this project that a module names in an import, also inside a function, and their packages."""
    names = set()
    for node in syntax(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in names]
    return frozenset({".".join(part[: end + 1]) for part in parts for end in range(len(part))} & set(FILES))


def closure(modules: Iterable[str]) -> set[str]:
    """The modules and all that they import in turn, but for what shapes no output."""
    seen: set[str] = set()
    waiting = [*modules]
    while waiting:
        name = waiting.pop()
        if name not in seen and name not in NO_OUTPUT:
            seen.add(name)
            waiting += imported(name)
    return seen


def used(stage: Any) -> set[str]:
    """Modules that shape the output of a stage."""
    modules = closure([module_of(stage)])
    return closure([*modules, *chosen_kinds(stage, modules), *(kind for name in modules for kind in fixed_kinds(name))])


def module_of(stage: Any) -> str:
    _, option, module, *_ = shlex.split(stage.cmd)
    assert option == "-m"
    return module


def chosen_kinds(stage: Any, modules: set[str]) -> Iterator[str]:
    """The files of the kinds that the entry of a stage chooses, if the stage has a use for them."""
    name, _, item = stage.name.partition("@")
    entry = PARAMS[FOREACH[name]][item] if item else {}
    for field, (room, sign) in CHOOSING.items():
        if isinstance(entry.get(field), Mapping) and sign in modules:
            yield f"dae.{room}.{entry[field]['kind']}"
    if name == "corrupt":
        yield f"dae.corruptions.{entry['kind']}"
    if name == "prepare":
        yield f"dae.sources.{entry['source']}"


def fixed_kinds(module: str) -> Iterator[str]:
    """The files of the kinds that a module of a stage itself names, as a pair of kind and arguments."""
    for node in syntax(module) if module.startswith("stages.") else ():
        match node:
            case ast.Tuple(elts=[ast.Constant(value=str() as kind), ast.Dict() | ast.Call()]):
                yield from {f"dae.{room}.{kind}" for room in ("networks", "corruptions")} & set(FILES)


def code_deps(stage: Any) -> dict[str, set[str]]:
    """The modules behind each of a stage's deps on code. A folder stands for what is in it."""
    paths = {dep.def_path: Path(dep.fs_path) for dep in stage.deps if dep.def_path.startswith(("src/", "stages/"))}
    return {
        name: {module for module, file in FILES.items() if file == path or path in file.parents}
        for name, path in paths.items()
    }


def test_every_stage_depends_on_the_code_that_shapes_its_output(stages: dict[str, Any]) -> None:
    assert set(FILES) >= NO_OUTPUT
    missing = {
        stage.name: undeclared
        for stage in stages.values()
        if (undeclared := used(stage) - set().union(*code_deps(stage).values()))
    }
    assert not missing


def test_no_stage_depends_on_code_that_it_does_not_use(stages: dict[str, Any]) -> None:
    needless = {
        stage.name: unused
        for stage in stages.values()
        if (unused := [dep for dep, modules in code_deps(stage).items() if not modules & used(stage)])
    }
    assert not needless


# Data.


def trains(stage: Any) -> bool:
    return "dae.training.loop" in closure([module_of(stage)])


def data_deps(stage: Any) -> list[str]:
    return [dep.def_path for dep in stage.deps if dep.def_path.startswith(("data/", "results/"))]


def test_no_training_depends_on_test_images(stages: dict[str, Any]) -> None:
    """Neither on these nor on anything that has seen them: what it takes from others is of trainings."""
    trainings = [stage for stage in stages.values() if trains(stage)]
    of_trainings = {out.def_path for stage in trainings for out in stage.outs}
    kinds = {stage.name.partition("@")[0] for stage in trainings}
    assert kinds >= {"train_classifier", "train_clean", "train_noise2noise", "train_stochastic", "pretrain", "finetune"}
    for stage in trainings:
        for dep in data_deps(stage):
            assert dep.endswith("/learn") or dep in of_trainings or dep == "data/patches", stage.name


def test_noise2noise_depends_on_no_clean_image(stages: dict[str, Any]) -> None:
    chosen = [stage for name, stage in stages.items() if name.startswith("train_noise2noise@")]
    assert chosen
    for stage in chosen:
        folder = PARAMS["noise2noise"][stage.name.partition("@")[2]]["corruption"]
        assert data_deps(stage) == [f"data/corrupted/{folder}/learn"]
        assert "--clean" not in stage.cmd


def test_commands_name_the_data_that_are_declared(stages: dict[str, Any]) -> None:
    """A path in a command is declared, or the folder of what is; and whatever is declared is in such a folder."""
    for stage in stages.values():
        declared = [*data_deps(stage), *(out.def_path for out in stage.outs)]
        named = [word for word in shlex.split(stage.cmd) if word.startswith(("data/", "results"))]
        assert all(any(f"{path}/".startswith(f"{word}/") for path in declared) for word in named), stage.name
        assert all(any(f"{path}/".startswith(f"{word}/") for word in named) for path in declared), stage.name


# Params.


def read_params(module: str, names: Mapping[str, str]) -> Iterator[str]:
    """Keys of params.yaml that a module of a stage reads. `names`: the values of variables in these keys.

    A whole file that is only checked counts for nothing.
    """
    ignored = {node.value for node in syntax(module) if isinstance(node, ast.Expr)}
    for node in syntax(module):
        if not isinstance(node, ast.Call):
            continue
        match ast.unparse(node.func).removeprefix("context."):
            case "section":
                yield filled_in(node.args[0], names)
            case "check" if node not in ignored:
                yield "params.yaml"
            case name if not node.args:
                yield from READING.get(name, [])


def filled_in(key: ast.expr, names: Mapping[str, str]) -> str:
    """A constant or an f-string of variables as the text that it makes."""
    parts: Any = key.values if isinstance(key, ast.JoinedStr) else [key]
    return "".join(
        str(part.value) if isinstance(part, ast.Constant) else names[ast.unparse(part.value)] for part in parts
    )


def arguments(stage: Any) -> dict[str, str]:
    """The positional arguments of a stage's command by name."""
    words = shlex.split(stage.cmd)[3:]
    words = words[: next(at for at, word in enumerate(words) if word.startswith("--"))]
    main = next(node for node in syntax(module_of(stage)) if isinstance(node, ast.FunctionDef) and node.name == "main")
    return dict(zip([arg.arg for arg in main.args.args], words, strict=True))


def content(key: str) -> Any:
    """What params.yaml has under a dotted key."""
    found = PARAMS
    for part in key.split("."):
        found = found[part]
    return found


def blocks(entry: Any) -> Iterator[str]:
    """Names of the blocks of defaults that an entry names, at any depth."""
    for key, value in entry.items() if isinstance(entry, Mapping) else ():
        if key == "defaults":
            yield value
        else:
            yield from blocks(value)


def by_field(keys: Iterable[str], stage: Any) -> set[str]:
    """The keys, the entry of a stack field by field, without what is the other stage's of that stack."""
    kind, _, item = stage.name.partition("@")
    if kind not in OF_THE_OTHER:
        return {*keys}
    entry = f"stacked.{item}"
    fields = {key: [f"{entry}.{field}" for field in content(entry)] if key == entry else [key] for key in keys}
    other = f"{entry}.{OF_THE_OTHER[kind]}"
    return {each for key in fields for each in fields[key]} - {
        other,
        *(f"defaults.{name}" for name in blocks(content(other))),
    }


def test_every_stage_declares_the_params_it_reads(stages: dict[str, Any]) -> None:
    wrong = {}
    for stage in stages.values():
        files = [name for name in closure([module_of(stage)]) if name.startswith("stages.")]
        found = {key for name in files for key in read_params(name, arguments(stage))}
        found |= {f"defaults.{name}" for key in found - {"params.yaml"} for name in blocks(content(key))}
        declared = {param for dep in stage.deps for param in getattr(dep, "params", [])}
        declared |= {dep.def_path for dep in stage.deps if dep.def_path == "params.yaml" and not hasattr(dep, "params")}
        if difference := by_field(found, stage) ^ by_field(declared, stage):
            wrong[stage.name] = difference
    assert not wrong


def test_pretraining_does_not_depend_on_how_its_network_is_fine_tuned(stages: dict[str, Any]) -> None:
    declared = {param for dep in stages["pretrain@sdae_3"].deps for param in getattr(dep, "params", [])}
    assert not [param for param in declared if param in ("stacked.sdae_3", "stacked.sdae_3.finetuning")]
    assert "defaults.finetuning" not in declared


# Outputs.


def outputs(stages: dict[str, Any], wanted: Callable[[Any], bool] = lambda out: True) -> list[str]:
    return [out.def_path for stage in stages.values() for out in stage.outs if wanted(out)]


def test_run_cache_serves_every_stage(stages: dict[str, Any]) -> None:
    """DVC keeps no runs of a stage with an output that persists, of one that always runs, or of one without deps."""
    assert not outputs(stages, lambda out: out.persist)
    for stage in stages.values():
        assert stage.deps, stage.name
        assert not stage.always_changed, stage.name
        assert not stage.frozen, stage.name


def test_git_keeps_small_results_that_dvc_shows(stages: dict[str, Any]) -> None:
    for stage in stages.values():
        for out in stage.outs:
            path = Path(out.def_path)
            small = path.name in ("metrics.json", "history.csv") or path.parent == Path("results/summary")
            assert out.use_cache == (not small or path.name == "report"), path
            assert out.use_cache or out.metric or out.plot, path


def test_outputs_do_not_overlap(stages: dict[str, Any]) -> None:
    paths = sorted(Path(path).parts for path in outputs(stages))
    for first, second in pairwise(paths):
        assert second[: len(first)] != first


def test_git_ignores_what_dvc_keeps_and_nothing_else(stages: dict[str, Any]) -> None:
    def inside(path: str) -> str:
        return path if Path(path).suffix else f"{path}/file"

    everything = {inside(path) for path in outputs(stages)}
    asked = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        cwd=ROOT,
        input="\n".join(everything),
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(asked.stdout.split()) == {inside(path) for path in outputs(stages, lambda out: out.use_cache)}


def test_dvc_yaml_can_be_read_at_one_sitting() -> None:
    lines = (ROOT / "dvc.yaml").read_text().splitlines()
    assert len(lines) <= 400
    assert max(map(len, lines)) <= 120
