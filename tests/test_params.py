"""params.yaml: what is right is read as it stands, sections complete, values strict."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import load_yaml
from pydantic import ValidationError
from ruamel.yaml import YAML

from dae.params import (
    RESTORING,
    Clean,
    Compute,
    Corruption,
    Dataset,
    Name,
    Noise2Noise,
    Params,
    Perceptual,
    Seed,
    Stacked,
    Stochastic,
    Toy,
    Upscaler,
    check,
    read,
)
from tests.settings import SMALL

ROOT = Path(__file__).parents[1] / "params.yaml"
TEXT = ROOT.read_text(encoding="utf-8")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


def test_the_projects_own_file() -> None:
    params = check(ROOT)
    assert isinstance(params, Params)
    assert {name: entry.source for name, entry in params.datasets.items()}["mnist"] == "mnist"


def test_the_projects_own_judges_and_corruptions_belong_to_the_data_set() -> None:
    """Every denoiser finds a judge under the name of its data set, and noisy images of that data set."""
    params = check(ROOT)
    for section in RESTORING:
        for entry in getattr(params, section).values():
            assert params.classifiers[entry.dataset].dataset == entry.dataset
            assert params.corruptions[entry.corruption].dataset == entry.dataset


def test_the_projects_own_figures_of_codes_and_ablations_have_their_networks() -> None:
    params = check(ROOT)
    assert set(params.latent) <= set(params.clean)
    assert set(params.ablations) <= set(params.noise2noise)


def test_three_readers_agree_on_the_projects_file() -> None:
    """DVC's reader, this one (YAML 1.2) and PyYAML (YAML 1.1), which people use by habit."""
    ours = YAML(typ="safe").load(ROOT)
    assert ours == load_yaml(str(ROOT))
    assert ours == YAML(typ="safe", pure=True).load(ROOT), "without libyaml"
    assert ours == yaml.safe_load(TEXT)


def types(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: types(item) for key, item in value.items()}
    return [types(item) for item in value] if isinstance(value, list) else type(value).__name__


def test_three_readers_agree_on_types() -> None:
    """1 == 1.0 == True for Python, so equality alone says too little."""
    ours = types(YAML(typ="safe").load(ROOT))
    assert ours == types(dict(load_yaml(str(ROOT))))
    assert ours == types(yaml.safe_load(TEXT))


def test_a_float_in_scientific_notation(path: Path) -> None:
    path.write_text(SMALL)
    params = check(path)
    assert params.clean["first"].learning_rate == 0.001
    assert isinstance(yaml.safe_load("1e-3"), str)  # PyYAML's reading
    assert load_yaml(str(path))["clean"]["first"]["learning_rate"] == 0.001


def test_merged_blocks_are_complete_and_own_keys_count_more(path: Path) -> None:
    path.write_text(SMALL)
    stacked = read(path, "stacked.fourth", Stacked)
    assert (stacked.pretraining.epochs, stacked.finetuning.epochs) == (0, 1)
    assert stacked.pretraining.batch_size == 8


def test_sections_and_plain_values(path: Path) -> None:
    path.write_text(SMALL)
    assert read(path, "seed", Seed) == 0
    assert read(path, "compute", Compute) == Compute(device="cpu", threads=1)
    assert list(read(path, "clean", dict[Name, Clean])) == ["first"]
    second = read(path, "noise2noise.second", Noise2Noise)
    assert second.loss.kind == "smooth_l1"
    assert second.loss.arguments == {"beta": 0.5}
    assert second.allow_biased is False
    assert second.shared == 0
    assert second.keep == "best"
    assert read(path, "upscaler.third", Upscaler).factors == [2, 4]
    drawn = read(path, "stochastic.drawn", Stochastic)
    assert (drawn.steps, drawn.samples, drawn.images, drawn.reference) == (3, 4, 5, "first")
    assert check(path).svm["kernel"].c == [1.0, 10.0]
    assert check(path).comparisons == {"both": ["clean.first", "noise2noise.second"]}


def test_defaults_of_a_kind_are_filled_in_as_its_definition_has_them(path: Path) -> None:
    path.write_text(SMALL)
    gaussian = read(path, "corruptions.gaussian", Corruption)
    assert gaussian.arguments == {"sigma": 0.5, "mean": 0.0, "correlation_length": 0.0}
    assert gaussian.draws == 2
    assert read(path, "clean.first", Clean).model.arguments == {"hidden": [128, 64, 12], "latent": 2}
    seen = read(path, "perceptual.seen", Perceptual).loss
    assert seen.arguments == {"lambda_perceptual": 0.1, "lambda_squared": 1.0, "weights": [1.0]}
    plane = read(path, "toy.plane", Toy)
    assert plane.points.arguments == {"turns": 1.75, "inner": 0.15, "growth": 0.45}
    assert plane.model.arguments == {"hidden": 3}


def test_what_is_dumped_reads_the_same(path: Path) -> None:
    """Sections go into result files as dictionaries."""
    path.write_text(SMALL)
    params = check(path)
    assert Params.model_validate(params.model_dump()) == params


def test_sections_are_frozen(path: Path) -> None:
    path.write_text(SMALL)
    with pytest.raises(ValidationError):
        read(path, "compute", Compute).threads = 3


NAMING = {"clean": ("comparisons", "stochastic", "latent", "posterior"), "noise2noise": ("comparisons", "ablations")}
LEAVES = (
    "perceptual",
    "upscaler",
    "stochastic",
    "stacked",
    "svm",
    "latent",
    "posterior",
    "ablations",
    "toy",
    "filters",
)


@pytest.mark.parametrize("section", [*NAMING, *LEAVES, "comparisons"])
def test_a_section_without_entries(path: Path, section: str) -> None:
    """Together with those whose entries name some of its own."""
    content = YAML(typ="safe", pure=True).load(SMALL)
    empty = (section, *NAMING.get(section, ()))
    path.write_text(yaml.safe_dump({**content, **{name: {} for name in empty}}))
    params = check(path)
    assert [name for name in empty if getattr(params, name)] == []


def test_reading_a_section_is_not_hindered_by_faults_in_another(path: Path) -> None:
    path.write_text(SMALL.replace("threads: 1", "threads: many"))
    assert read(path, "datasets.digits", Dataset).validation == 10


def test_keep(path: Path) -> None:
    path.write_text(SMALL.replace("noise: fresh", "noise: fresh\n    keep: last"))
    assert read(path, "clean.first", Clean).keep == "last"


@pytest.mark.parametrize("kind", ["open_circle", "two_moons"])
def test_other_points(path: Path, kind: str) -> None:
    path.write_text(SMALL.replace("points: {kind: spiral}", f"points: {{kind: {kind}, radius: 0.5}}"))
    points = read(path, "toy.plane", Toy).points
    assert points.kind == kind
    assert points.arguments["radius"] == 0.5
