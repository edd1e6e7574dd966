"""Edit, rerun: what DVC runs again after an edit is what the edit touches, in a project where all was up to date.

The stages of that project write an output that is new every time, and nothing else. So whatever depends on the output
of a stage that runs must run as well.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro
from dvc.stage.serialize import to_single_stage_lockfile
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import dumps_yaml
from ruamel.yaml import YAML

from tests.pipeline import commit, dvc, executed
from tools.quick import ROOT, copy_project, reduce

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # in DVC

Edit = Callable[[str], str]

# One entry of every kind, and denoisers that differ in loss, network and block of defaults.
KEPT = {
    "clean": ["gaussian_conv", "gaussian_l1", "gaussian_unet"],
    "perceptual": ["lambda_1"],
    "noise2noise": ["gaussian_conv", "correlated_unet"],
    "stochastic": ["heavy_flow"],
    "stacked": ["sdae_3"],
    "svm": ["rbf"],
    "latent": ["gaussian_conv"],
    "posterior": ["block_large"],
    "ablations": ["correlated_unet"],
    "toy": ["spiral"],
    "filters": ["gaussian"],
}
RESTORING = ("clean", "perceptual", "noise2noise", "stochastic")
# What stands before all evaluations. The networks of `toy` and `filters` learn in the stage that measures them.
BEFORE_EVALUATION = ("prepare", "corrupt", "train", "pretrain", "finetune")
# The trainings with the block `deep`, and what reads their networks. The other U-Net has the block `brief`.
OF_DEEP = {
    "train_clean@gaussian_unet",
    "evaluate_clean@gaussian_unet",
    "train_noise2noise@correlated_unet",
    "evaluate_noise2noise@correlated_unet",
    "ablate@correlated_unet",
    "plot",
}
OF_UNETS = {*OF_DEEP, "train_stochastic@heavy_flow", "evaluate_stochastic@heavy_flow"}

# A shell script that makes files and folders anew, each with other content than before.
WRITE = """
for out; do
    case "$out" in
        *.*) file="$out" ;;
        *) file="$out/file" ;;
    esac
    mkdir -p "$(dirname "$file")"
    printf '{"made_by": "%s %s"}' $$ "$(date)" > "$file"
done
"""


def few(params: Any) -> None:
    params["perceptual"]["lambda_1"]["features"] = "mnist"
    ours = {"corruption": "gaussian", "reference": "gaussian_conv"}
    params["stochastic"]["heavy_flow"] |= {**ours, "defaults": "brief"}
    params["posterior"]["block_large"] |= {"corruption": "gaussian", "denoiser": "gaussian_conv"}
    params["ablations"]["correlated_unet"]["reference"] = "gaussian_conv"
    reduce(params, KEPT)


def only_write(project: Path) -> None:
    """Commands that write a new output, and do nothing else."""
    (project / "write.sh").write_text(WRITE)
    yaml = YAML()
    pipeline = yaml.load(project / "dvc.yaml")
    for stage in pipeline["stages"].values():
        content = stage.get("do", stage)
        listed = [each for key in ("outs", "metrics", "plots") for each in content.get(key, [])]
        paths = [each if isinstance(each, str) else next(iter(each)) for each in listed]
        content["cmd"] = " ".join(["sh write.sh", *(f"'{path}'" for path in paths)])
    yaml.dump(pipeline, project / "dvc.yaml")


def make_everything(project: Path) -> None:
    """What `dvc repro` does, in a fifth of its time: it would write the whole of dvc.lock after every stage."""
    locked = {}
    with chdir(project), Repo() as repo, repo.lock:
        for stage in plan_repro(repo.index.graph):
            subprocess.run(stage.cmd, shell=True, check=True)
            stage.save()
            stage.commit()
            locked[stage.name] = to_single_stage_lockfile(stage)
    (project / "dvc.lock").write_text(dumps_yaml({"schema": "2.0", "stages": locked}))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which everything is up to date; whoever edits it puts it back."""
    folder = tmp_path_factory.mktemp("edits") / "project"
    copy_project(folder, few)
    only_write(folder)
    make_everything(folder)
    commit(folder)
    return folder


@contextmanager
def edited(project: Path, edits: Mapping[str, Edit]) -> Iterator[None]:
    """The project with its files edited, by path; a file that is not there is made."""
    before = {path: path.read_text() if path.exists() else None for path in map(project.joinpath, edits)}
    try:
        for (path, text), edit in zip(before.items(), edits.values(), strict=True):
            path.parent.mkdir(exist_ok=True)
            path.write_text(edit(text or ""))
        yield
    finally:
        for path, text in before.items():
            if text is None:
                path.unlink(missing_ok=True)
            else:
                path.write_text(text)


def comment(text: str) -> str:
    return f"{text}\n# edited\n"


def entry(section: str, name: str, content: str) -> Edit:
    """One more entry of a section of params.yaml."""
    return lambda text: text.replace(f"\n{section}:\n", f"\n{section}:\n  {name}: {{{content}}}\n", 1)


def changed(project: Path) -> set[str]:
    """Stages that `dvc repro` runs, if their outputs are the same again."""
    with chdir(project), Repo() as repo, repo.lock:
        return {stage.name for stage in repo.index.stages if stage.changed()}


def rerun(project: Path) -> set[str]:
    """Stages that `dvc repro` runs, if each has another output than before."""
    with chdir(project), Repo() as repo, repo.lock:
        first = [stage for stage in repo.index.stages if stage.changed()]
        return {stage.name for stage in plan_repro(repo.index.graph, first, downstream=True)} if first else set()


def test_dvc_has_nothing_to_add_to_what_git_ignores(project: Path) -> None:
    found = {str(path.relative_to(project)) for path in project.rglob(".gitignore")}
    assert found == {".gitignore", ".dvc/.gitignore"}
    assert (project / ".gitignore").read_text() == (ROOT / ".gitignore").read_text()


def test_a_new_network_reruns_nothing_else(project: Path) -> None:
    chosen = "defaults: brief, dataset: mnist, corruption: gaussian, model: {kind: mine}, loss: {kind: mse}"
    with edited(project, {"src/dae/networks/mine.py": comment, "params.yaml": entry("clean", "mine", chosen)}):
        assert rerun(project) == {"train_clean@mine", "evaluate_clean@mine", "plot"}


def test_a_new_corruption_reruns_nothing_else(project: Path) -> None:
    chosen = "defaults: brief, dataset: mnist, corruption: mine, model: {kind: conv}, loss: {kind: mse}"
    noise = entry("corruptions", "mine", "dataset: mnist, draws: 1, kind: mine")
    denoiser = entry("clean", "mine", chosen)
    new = {"src/dae/corruptions/mine.py": comment, "params.yaml": lambda text: denoiser(noise(text))}
    with edited(project, new):
        assert rerun(project) == {
            "corrupt@mine",
            "baselines@mine",
            "train_clean@mine",
            "evaluate_clean@mine",
            "plot",
        }


def test_an_edited_loss_reruns_what_is_trained_with_it(project: Path) -> None:
    with edited(project, {"src/dae/losses/l1.py": comment}):
        assert rerun(project) == {"train_clean@gaussian_l1", "evaluate_clean@gaussian_l1", "plot"}


def test_an_edited_network_reruns_the_entries_that_have_it(project: Path) -> None:
    with edited(project, {"src/dae/networks/unet.py": comment}):
        assert rerun(project) == OF_UNETS


def test_an_edit_of_what_gets_data_reruns_that_alone(project: Path) -> None:
    """If the data are the same again."""
    with edited(project, {"src/dae/sources/mnist.py": comment, "src/dae/sources/new.py": comment}):
        assert changed(project) == {"prepare@mnist"}


def test_an_edit_of_figures_trains_nothing(project: Path) -> None:
    with edited(project, {"src/dae/plots/__init__.py": comment}):
        found = rerun(project)
    assert found >= {"evaluate_clean@gaussian_conv", "latent@gaussian_conv", "plot"}
    assert not [name for name in found if name.startswith((*BEFORE_EVALUATION, "toy", "filters"))]


def test_an_edit_of_the_summary_reruns_the_summary(project: Path) -> None:
    with edited(project, {"src/dae/summary.py": comment, "src/dae/lectures.py": comment}):
        assert rerun(project) == {"plot"}


def test_an_edit_of_what_shapes_no_output_reruns_nothing(project: Path) -> None:
    """It checks params.yaml, words errors, tracks runs; and editors and systems leave files about."""
    code = (
        "params/__init__.py",
        "params/sections.py",
        "params/provable.py",
        "tracking.py",
        "courier.py",
        "registry.py",
    )
    litter = (
        "core/.DS_Store",
        "core/x.py~",
        "training/.x.swp",
        "core/.ipynb_checkpoints/x.py",
        "core/__pycache__/x.pyc",
    )
    paths = [f"src/dae/{name}" for name in (*code, *litter)]
    with edited(project, dict.fromkeys([*paths, "stages/common.py", "stages/context.py"], comment)):
        assert changed(project) == set()


def test_an_edit_of_how_results_are_measured_trains_nothing(project: Path) -> None:
    with edited(project, {"params.yaml": lambda text: text.replace("resamples: 1000", "resamples: 500")}):
        found = rerun(project)
    evaluations = {f"evaluate_{section}@{name}" for section in RESTORING for name in KEPT[section]}
    assert found >= evaluations | {"baselines@gaussian", "svm@rbf", "latent@gaussian_conv", "plot"}
    assert not [name for name in found if name.startswith(BEFORE_EVALUATION)]


def read(project: Path) -> Any:
    return YAML(typ="safe").load(project / "params.yaml")


def test_a_block_of_defaults_set_on_the_command_line_reruns_the_trainings_that_name_it(project: Path) -> None:
    """As by `dvc exp run -S`, whose own function this is. The entries stay as short as they were written."""
    expected = read(project)
    expected["defaults"]["deep"]["weight_decay"] = 0.01
    with edited(project, {"params.yaml": str}):
        apply_overrides(project / "params.yaml", ["defaults.deep.weight_decay=0.01"])
        assert read(project) == expected
        assert rerun(project) == OF_DEEP


def test_an_experiment_runs_what_it_changes_and_its_way_back_runs_nothing(project: Path, tmp_path: Path) -> None:
    """`++` sets a value that the entry has from its block. What is changed back comes from DVC's run cache."""
    folder = tmp_path / "project"
    shutil.copytree(project, folder, symlinks=True)
    files = [folder / "params.yaml", *(path for path in (folder / "results").rglob("*") if path.is_file())]
    before = {path: path.read_bytes() for path in files}
    expected = read(folder)
    expected["clean"]["gaussian_l1"]["learning_rate"] = 0.002
    output = dvc(folder, "exp", "run", "-S", "++clean.gaussian_l1.learning_rate=0.002")
    assert executed(output) == {"train_clean@gaussian_l1", "evaluate_clean@gaussian_l1", "plot"}
    assert read(folder) == expected
    assert (folder / "results/clean/gaussian_l1/metrics.json").read_bytes() not in before.values()

    (folder / "params.yaml").write_bytes(before[folder / "params.yaml"])
    output = dvc(folder, "repro")
    assert executed(output) == set()
    assert output.count("is cached") == 3
    assert {path: path.read_bytes() for path in files} == before
