"""The small sample: what an entry names stays, nothing else does, and what is left is a whole params.yaml."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dae.params import check
from dae.params.whole import RESTORING, Params
from tools.quick import MARKER, ROOT, _git, copy_project, reduce, sample, shrink

SECTIONS = ("datasets", "corruptions", "classifiers", *RESTORING, "stacked", "svm", "latent", "posterior", "ablations",
            "toy", "filters")  # fmt: skip


@pytest.fixture
def params() -> Any:
    """The project's own file, as it is edited."""
    return YAML().load(ROOT / "params.yaml")


def checked(params: Any, folder: Path) -> Params:
    """The edited file, written and read again."""
    YAML().dump(params, folder / "params.yaml")
    return check(folder / "params.yaml")


def left(params: Any) -> dict[str, set[str]]:
    """What there is of each section that is not empty."""
    return {section: set(params[section]) for section in SECTIONS if params[section]}


MNIST = {"datasets": {"mnist"}}
JUDGED = {**MNIST, "classifiers": {"mnist"}}
GAUSSIAN = {**JUDGED, "corruptions": {"gaussian"}}


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ({}, {}),
        ({"toy": ["spiral"], "filters": ["masking"]}, {"toy": {"spiral"}, "filters": {"masking"}}),
        ({"classifiers": ["features"]}, {**MNIST, "classifiers": {"features"}}),
        ({"corruptions": ["blur"]}, {**MNIST, "corruptions": {"blur"}}),
        ({"stacked": ["dbn_3"]}, {**MNIST, "stacked": {"dbn_3"}}),
        ({"svm": ["rbf"]}, {**MNIST, "svm": {"rbf"}}),
        ({"clean": ["gaussian_l1"]}, {**GAUSSIAN, "clean": {"gaussian_l1"}}),
        (
            {"clean": ["fashion_conv"]},
            {
                "datasets": {"fashion_mnist"},
                "classifiers": {"fashion_mnist"},
                "corruptions": {"fashion_gaussian"},
                "clean": {"fashion_conv"},
            },
        ),
        (
            {"perceptual": ["lambda_1"]},
            {**GAUSSIAN, "classifiers": {"mnist", "features"}, "perceptual": {"lambda_1"}},
        ),
        (
            {"stochastic": ["heavy_flow"]},
            {**JUDGED, "corruptions": {"erasure_heavy"}, "stochastic": {"heavy_flow"}, "clean": {"heavy_l2"}},
        ),
        ({"latent": ["autoencoder_conv"]}, {**GAUSSIAN, "corruptions": {"none", "gaussian"},
                                            "latent": {"autoencoder_conv"}, "clean": {"autoencoder_conv"}}),
        (
            {"posterior": ["block_large"]},
            {
                **JUDGED,
                "corruptions": {"block_large"},
                "posterior": {"block_large"},
                "clean": {"block_large_deep_conv"},
            },
        ),
        (
            {"ablations": ["biased_unet"]},
            {
                **JUDGED,
                "corruptions": {"gaussian", "gaussian_biased"},
                "ablations": {"biased_unet"},
                "noise2noise": {"biased_unet", "gaussian_unet"},
            },
        ),
    ],
    ids=lambda value: "-".join(value) or "nothing",
)  # fmt: skip
def test_exactly_what_the_kept_entries_name_is_kept(
    params: Any, tmp_path: Path, kept: dict[str, list[str]], expected: dict[str, set[str]]
) -> None:
    reduce(params, kept)
    assert left(params) == expected
    assert left(checked(params, tmp_path).model_dump()) == expected


def test_keeping_all_changes_nothing(params: Any, tmp_path: Path) -> None:
    reduce(params, {section: list(params[section]) for section in SECTIONS})
    assert checked(params, tmp_path) == check(ROOT / "params.yaml")


def test_the_order_of_the_entries_stays(params: Any) -> None:
    before = list(params["clean"])
    reduce(params, {"clean": ["masking_conv", "gaussian_l1", "gaussian_conv"]})
    assert list(params["clean"]) == [name for name in before if name in params["clean"]]


def test_comparisons_have_the_members_that_are_left(params: Any) -> None:
    reduce(params, {"clean": ["gaussian_conv", "downsample_edsr"], "noise2noise": ["gaussian_unet"]})
    assert params["comparisons"]["noise2noise"] == ["clean.gaussian_conv", "noise2noise.gaussian_unet"]
    assert params["comparisons"]["upscaling"] == ["clean.downsample_edsr"]
    assert not {"photons", "mri", "fashion"} & set(params["comparisons"])


def test_the_sample_has_an_entry_of_every_section(params: Any, tmp_path: Path) -> None:
    first = {section: next(iter(params[section])) for section in SECTIONS}
    sample(params)
    for section, name in first.items():
        assert name in params[section]
    assert sum(len(params[section]) for section in SECTIONS) < 50
    checked(params, tmp_path)


def numbers(node: Any, key: str) -> list[Any]:
    """All values of `key`, wherever it is written."""
    found = []
    for name, value in node.items() if isinstance(node, dict) else ():
        found += [value] if name == key else numbers(value, key)
    return found


def test_shrink(params: Any, tmp_path: Path) -> None:
    """Few images, one epoch everywhere but where there is none, and no demand on numbers that mean nothing."""
    before = check(ROOT / "params.yaml").model_dump()
    shrink(params, limit=123)
    found = checked(params, tmp_path)
    assert {dataset.limit for dataset in found.datasets.values()} == {123}
    assert not found.evaluation.require_gain
    assert found.patches.train == 123
    assert found.baselines.images <= 123
    rates = numbers(found.model_dump(), "learning_rate")
    assert rates
    assert max(rates) <= 0.002  # a few images bear no higher one
    assert left(found.model_dump()) == left(before)
    for section in SECTIONS:
        expected = [min(epochs, 1) for epochs in numbers(before[section], "epochs")]
        assert numbers(found.model_dump()[section], "epochs") == expected, section
    assert found.stacked["no_pretraining"].pretraining.epochs == 0


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_a_copy_is_a_repository_of_its_own_without_results(tmp_path: Path) -> None:
    folder = tmp_path / "copy"

    def edit(params: Any) -> None:
        params["seed"] = 7

    copy_project(folder, edit)
    assert git(folder, "status", "--porcelain") == ""
    assert check(folder / "params.yaml").seed == 7
    assert check(ROOT / "params.yaml").seed != 7
    assert {"dvc.yaml", "stages", "src", MARKER} <= {path.name for path in folder.iterdir()}
    assert not (folder / "results").exists()
    assert not (folder / "dvc.lock").exists()
    (folder / "left_over").touch()
    copy_project(folder, edit)  # what it made itself it makes anew
    assert not (folder / "left_over").exists()


def test_what_earlier_runs_made_can_stay(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    copy_project(folder, lambda params: None)
    made = [folder / name for name in (".checkpoints/train_clean/a/state.pt", "results/a.json", "data/prepared/a.npy")]
    stale = [folder / name for name in ("stages/old.py", "left_over")]
    for path in (*made, *stale, folder / "dvc.lock", folder / ".dvc" / "cache"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def edit(params: Any) -> None:
        params["seed"] = 7

    copy_project(folder, edit, afresh=False)
    assert all(path.exists() for path in (*made, folder / "dvc.lock", folder / ".dvc" / "cache"))
    assert not any(path.exists() for path in stale)
    assert check(folder / "params.yaml").seed == 7


def test_what_git_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"git log in .*: fatal: "):
        _git(tmp_path, "log")


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: (path.mkdir(), (path / "thesis.tex").touch())])
def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    folder = tmp_path / "mine"
    make(folder)
    before = list(folder.iterdir())
    with pytest.raises(ValueError, match=r"mine: expected a new folder, or one that this command made before"):
        copy_project(folder, lambda params: None)
    assert list(folder.iterdir()) == before
