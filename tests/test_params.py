"""params.yaml: what is right is read as it stands, every mistake is one line with the file and the key."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import load_yaml
from pydantic import ValidationError
from ruamel.yaml import YAML

from dae.params import (
    Clean,
    Compute,
    Corruption,
    Name,
    Noise2Noise,
    Params,
    Prepare,
    Seed,
    Stacked,
    Training,
    check,
    read,
)

ROOT = Path(__file__).parents[1] / "params.yaml"
TEXT = ROOT.read_text(encoding="utf-8")

SMALL = """
seed: 0
compute: {device: cpu, threads: 1}
defaults:
  training: &training
    epochs: 1
    batch_size: 8
    optimizer: adam
    learning_rate: 1e-3
    schedule: constant
    weight_decay: 0.0
    precision: float32
prepare: {dataset: mnist, raw: data/raw, validation: 10, limit: null}
corruptions:
  gaussian: {kind: gaussian, sigma: 0.5, draws: 2}
  downsample: {kind: downsample, factor: 2, draws: 1}
classifier:
  <<: *training
  model: {kind: cnn, channels: [4], hidden: 8}
clean:
  first:
    <<: *training
    model: {kind: mlp_2d}
    corruption: gaussian
    loss: {kind: mse}
    noise: fresh
noise2noise:
  second:
    <<: *training
    model: {kind: conv}
    corruption: gaussian
    loss: {kind: smooth_l1, beta: 0.5}
    noise: frozen
upscaler:
  third:
    <<: *training
    model: {kind: upscaler, channels: 4}
    corruption: downsample
    loss: {kind: sse}
    noise: frozen
stacked:
  fourth:
    hidden: [10, 5]
    corruption: {kind: masking, level: 0.25}
    pretraining:
      <<: *training
      epochs: 0
    finetuning:
      <<: *training
evaluation: {resamples: 100, confidence: 0.95, filter_images: 5, tuning_images: 5, require_gain: false}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


def fault(path: Path, content: str | bytes) -> str:
    """The message for a faulty file: one line that names the file."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match="params") as caught:
        check(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


# --- what is right


def test_the_projects_own_file() -> None:
    params = check(ROOT)
    assert isinstance(params, Params)
    assert params.prepare.dataset == "mnist"


def test_three_readers_agree_on_the_projects_file() -> None:
    """DVC's reader, this one (YAML 1.2) and PyYAML (YAML 1.1), which people use by habit."""
    ours = YAML(typ="safe", pure=True).load(ROOT)
    assert ours == load_yaml(str(ROOT))
    assert ours == yaml.safe_load(TEXT)


def types(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: types(item) for key, item in value.items()}
    return [types(item) for item in value] if isinstance(value, list) else type(value).__name__


def test_three_readers_agree_on_types() -> None:
    """1 == 1.0 == True for Python, so equality alone says too little."""
    ours = types(YAML(typ="safe", pure=True).load(ROOT))
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


def test_defaults_of_a_kind_are_filled_in_as_its_definition_has_them(path: Path) -> None:
    path.write_text(SMALL)
    gaussian = read(path, "corruptions.gaussian", Corruption)
    assert gaussian.arguments == {"sigma": 0.5, "mean": 0.0, "correlation_length": 0.0}
    assert gaussian.draws == 2
    assert read(path, "clean.first", Clean).model.arguments == {"hidden": [128, 64, 12], "latent": 2}


def test_what_is_dumped_reads_the_same(path: Path) -> None:
    """Sections go into result files as dictionaries."""
    path.write_text(SMALL)
    kinds: dict[str, Any] = {"corruptions.gaussian": Corruption, "clean.first": Clean, "stacked.fourth": Stacked}
    for key, kind in kinds.items():
        section = read(path, key, kind)
        assert kind.model_validate(section.model_dump()) == section


def test_sections_are_frozen(path: Path) -> None:
    path.write_text(SMALL)
    with pytest.raises(ValidationError):
        read(path, "compute", Compute).threads = 3


@pytest.mark.parametrize("section", ["clean", "noise2noise", "upscaler", "stacked"])
def test_a_section_without_entries(path: Path, section: str) -> None:
    content = YAML(typ="safe", pure=True).load(SMALL)
    content[section] = {}
    path.write_text(yaml.safe_dump(content))
    assert getattr(check(path), section) == {}


def test_reading_a_section_is_not_hindered_by_faults_in_another(path: Path) -> None:
    path.write_text(SMALL.replace("threads: 1", "threads: many"))
    assert read(path, "prepare", Prepare).validation == 10


# --- mistakes: what is replaced, by what, and what the message says

GAUSSIAN = "{kind: gaussian, sigma: 0.5, draws: 2}"
MISTAKES: list[tuple[str, str, list[str]]] = [
    ("seed: 0", "seed: -1", ["seed: ", "found -1"]),
    ("seed: 0", "seed: 0.5", ["seed: ", "integer", "found 0.5"]),
    ("seed: 0", "seed: true", ["seed: ", "integer", "found True"]),
    ("seed: 0", "seed: '0'", ["seed: ", "integer", "found '0'"]),
    ("seed: 0", "seed:", ["seed: ", "found None"]),
    ("seed: 0", "sed: 0", ["seed: missing"]),
    ("seed: 0", "seed: 0\nsede: 1", ["sede: unknown key", "seed"]),
    ("device: cpu", "device: gpu", ["compute.device: ", "'auto', 'cpu' or 'cuda'", "found 'gpu'"]),
    ("threads: 1", "threads: 0", ["compute.threads: ", "found 0"]),
    ("threads: 1", "threads: 2.0", ["compute.threads: ", "integer", "found 2.0"]),
    (", threads: 1", "", ["compute.threads: missing"]),
    ("threads: 1", "threads: 1, thread: 2", ["compute.thread: unknown key"]),
    ("dataset: mnist", "dataset: nmist", ["prepare.dataset: ", "'mnist'", "found 'nmist'"]),
    ("raw: data/raw", "raw: ''", ["prepare.raw: "]),
    ("raw: data/raw", "raw: 3", ["prepare.raw: ", "string", "found 3"]),
    ("validation: 10", "validation: 0", ["prepare.validation: ", "found 0"]),
    ("limit: null", "limit: 0", ["prepare.limit: ", "found 0"]),
    ("limit: null", "limit: ten", ["prepare.limit: ", "integer", "found 'ten'"]),
    (", limit: null", "", ["prepare.limit: missing"]),
    ("sigma: 0.5", "sigma: -0.5", ["corruptions.gaussian", "sigma: ", "found -0.5"]),
    ("sigma: 0.5", "sigma: '0.5'", ["corruptions.gaussian", "sigma: ", "number", "found '0.5'"]),
    ("sigma: 0.5", "sigma: .nan", ["corruptions.gaussian", "sigma: ", "finite", "found nan"]),
    ("sigma: 0.5", "sigma: .inf", ["corruptions.gaussian", "sigma: ", "finite", "found inf"]),
    ("sigma: 0.5", "sigma: -.inf", ["corruptions.gaussian", "sigma: ", "found -inf"]),
    ("sigma: 0.5", "sgima: 0.5", ["corruptions.gaussian", "sgima: unknown key", "sigma"]),
    ("sigma: 0.5", "sigma: [0.5]", ["corruptions.gaussian", "sigma: ", "found [0.5]"]),
    (
        "{kind: gaussian,",
        "{kind: gausian,",
        ["corruptions.gaussian", "kind: expected one of gaussian, ", "salt_pepper"],
    ),
    ("{kind: gaussian,", "{kind: 3,", ["corruptions.gaussian", "kind: expected one of ", "found 3"]),
    ("{kind: gaussian,", "{", ["corruptions.gaussian.kind: missing"]),
    (GAUSSIAN, "gaussian", ["corruptions.gaussian: ", "found 'gaussian'"]),
    ("draws: 2", "draws: 0", ["corruptions.gaussian.draws: ", "found 0"]),
    ("draws: 2", "draws: true", ["corruptions.gaussian.draws: ", "integer", "found True"]),
    (", draws: 2", "", ["corruptions.gaussian.draws: missing"]),
    ("factor: 2, draws: 1", "factor: 2, draws: 2", ["corruptions.downsample", "draws: ", "downsample", "found 2"]),
    ("factor: 2,", "factor: 2.5,", ["corruptions.downsample", "factor: ", "found 2.5"]),
    ("  gaussian: {", "  my-noise: {", ["corruptions.my-noise"]),
    ("  gaussian: {", "  my.noise: {", ["corruptions.my.noise"]),
    ("  gaussian: {", "  Gaussian: {", ["corruptions.Gaussian"]),
    ("  gaussian: {", "  2_draws: {", ["corruptions.2_draws"]),
    ("  gaussian: {", "  7: {", ["corruptions.7"]),
    ("  first:", "  1st:", ["clean.1st"]),
    ("  fourth:", "  Fourth:", ["stacked.Fourth"]),
    ("corruption: downsample", "corruption: up", ["upscaler.third.corruption: ", "gaussian, downsample", "found 'up'"]),
    ("channels: [4]", "channels: 4", ["classifier.model", "channels: ", "found 4"]),
    ("channels: [4]", "channels: []", ["classifier.model", "channels: "]),
    ("channels: [4]", "channels: [4, 4, 4, 4, 4]", ["classifier.model", "channels: "]),
    ("kind: cnn", "kind: conv", ["classifier.model", "kind: expected one of cnn", "found 'conv'"]),
    ("{kind: mlp_2d}", "{kind: mlp2d}", ["clean.first.model", "kind: expected one of mlp_2d, conv", "found 'mlp2d'"]),
    ("{kind: mlp_2d}", "{kind: upscaler}", ["clean.first.model", "kind: expected one of ", "found 'upscaler'"]),
    ("{kind: mlp_2d}", "{kind: mlp_2d, latent: 0}", ["clean.first.model", "latent: ", "found 0"]),
    ("{kind: mlp_2d}", "{kind: mlp_2d, hidden: [8, 0]}", ["clean.first.model", "hidden.1: ", "found 0"]),
    ("{kind: mse}", "{kind: msee}", ["clean.first.loss", "kind: expected one of mse", "found 'msee'"]),
    ("{kind: mse}", "mse", ["clean.first.loss: ", "found 'mse'"]),
    ("{kind: mse}", "{kind: mse, beta: 1.0}", ["clean.first.loss", "beta: unknown key"]),
    ("beta: 0.5", "beta: 0", ["noise2noise.second.loss", "beta: ", "found 0"]),
    ("noise: fresh", "noise: new", ["clean.first.noise: ", "'frozen' or 'fresh'", "found 'new'"]),
    ("beta: 0.5}\n    noise: frozen", "beta: 0.5}\n    noise: fresh", ["noise2noise.second.noise: ", "'fresh'"]),
    ("hidden: [10, 5]", "hidden: []", ["stacked.fourth.hidden: "]),
    ("hidden: [10, 5]", "hidden: [10, -5]", ["stacked.fourth.hidden.1: ", "found -5"]),
    ("level: 0.25", "level: 25", ["stacked.fourth.corruption", "level: ", "found 25"]),
    ("level: 0.25", "level: 0.25, draws: 2", ["stacked.fourth.corruption", "draws: unknown key"]),
    ("      epochs: 0", "      epochs: -1", ["stacked.fourth.pretraining.epochs: ", "found -1"]),
    ("finetuning:\n", "finetuning:\n      epochs: 0\n", ["stacked.fourth.finetuning.epochs: ", "found 0"]),
    ("corruption: gaussian\n    loss: {kind: mse}", "loss: {kind: mse}", ["clean.first.corruption: missing"]),
    ("    noise: fresh", "    noise: fresh\n    nois: fresh", ["clean.first.nois: unknown key"]),
    ("    noise: fresh", "    noise: fresh\n    epochs: 0", ["clean.first.epochs: ", "found 0"]),
    ("    noise: fresh", "    noise: fresh\n    learning_rate: 0", ["clean.first.learning_rate: ", "found 0"]),
    ("    noise: fresh", "    noise: fresh\n    learning_rate: .nan", ["clean.first.learning_rate: ", "found nan"]),
    ("    noise: fresh", "    noise: fresh\n    learning_rate: fast", ["clean.first.learning_rate: ", "found 'fast'"]),
    (
        "    noise: fresh",
        "    noise: fresh\n    optimizer: Adam",
        ["clean.first.optimizer: ", "'adam'", "found 'Adam'"],
    ),
    ("    noise: fresh", "    noise: fresh\n    schedule: step", ["clean.first.schedule: ", "'one_cycle'"]),
    ("    noise: fresh", "    noise: fresh\n    precision: float16", ["clean.first.precision: ", "'bfloat16'"]),
    ("    noise: fresh", "    noise: fresh\n    batch_size: 1e2", ["clean.first.batch_size: ", "found 100.0"]),
    ("    noise: fresh", "    noise: fresh\n    weight_decay: -1", ["clean.first.weight_decay: ", "found -1"]),
    ("beta: 0.5}", "beta: 0.5}\n    allow_biased: 1", ["noise2noise.second.allow_biased: ", "found 1"]),
    ("resamples: 100", "resamples: 99", ["evaluation.resamples: ", "found 99"]),
    ("confidence: 0.95", "confidence: 95", ["evaluation.confidence: ", "found 95"]),
    ("confidence: 0.95", "confidence: 1", ["evaluation.confidence: ", "found 1"]),
    ("require_gain: false", "require_gain: 'no'", ["evaluation.require_gain: ", "boolean", "found 'no'"]),
    ("evaluation: {", "evaluatoin: {", ["evaluation: missing"]),
]


@pytest.mark.parametrize(("old", "new", "fragments"), MISTAKES, ids=[" ".join(m[1].split())[:40] for m in MISTAKES])
def test_a_mistake_is_one_line_with_file_and_key(path: Path, old: str, new: str, fragments: list[str]) -> None:
    assert old in SMALL
    message = fault(path, SMALL.replace(old, new, 1))
    assert [fragment for fragment in fragments if fragment not in message] == []


@pytest.mark.parametrize("kind", ["block, size: 3", "periodic", "downsample"])
def test_a_stack_takes_only_noise_that_codes_can_have(path: Path, kind: str) -> None:
    """Layers above the first corrupt codes, which have no rows and columns."""
    message = fault(path, SMALL.replace("kind: masking, level: 0.25", f"kind: {kind}"))
    assert "stacked.fourth.corruption" in message


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        ("", ["found None"]),
        ("# only a comment\n", ["found None"]),
        ("- a\n- b\n", ["found ['a', 'b']"]),
        ("text", ["found 'text'"]),
        ("seed: 0\nseed: 1\n", ["expected YAML", "duplicate key", "seed"]),
        ("seed: [0\ncompute: 1\n", ["expected YAML", "line"]),
        ("seed: 0\n  compute: 1\n", ["expected YAML", "line"]),
        ("seed:\t0\n\tcompute: 1\n", ["expected YAML"]),
        ("seed: *nowhere\n", ["expected YAML", "nowhere"]),
        ("seed: 0\n---\nseed: 1\n", ["expected YAML"]),
        ("seed: !!python/object/apply:os.system [echo]\n", ["expected YAML"]),
        (b"seed: \xff\xfe\n", ["expected YAML"]),
        (b"seed: \x00\n", ["expected YAML"]),
    ],
)
def test_what_is_no_such_file(path: Path, content: str | bytes, fragments: list[str]) -> None:
    message = fault(path, content)
    assert [fragment for fragment in fragments if fragment not in message] == []


def test_duplicate_keys_deep_in_the_file(path: Path) -> None:
    message = fault(path, SMALL.replace("sigma: 0.5", "sigma: 0.5, sigma: 0.6"))
    assert "duplicate key" in message
    assert "sigma" in message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ValueError, match="cannot be read") as caught:
            check(path)
        assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("key", ["nothing", "clean.nothing", "seed.nothing", "clean.first.model.kind.x"])
def test_a_key_that_is_not_there(path: Path, key: str) -> None:
    path.write_text(SMALL)
    with pytest.raises(ValueError, match=r"missing$") as caught:
        read(path, key, Training)
    assert str(caught.value) == f"{path}: {key}: missing"


@pytest.mark.parametrize(
    ("key", "kind", "old", "new", "expected"),
    [
        ("compute", Compute, "threads: 1", "threads: 0", "compute.threads: "),
        ("compute", Compute, "threads: 1", "thread: 1", "compute.threads: missing"),
        ("compute", Compute, "threads: 1", "threads: 1, devise: 1", "compute.devise: unknown key; known: device, "),
        ("corruptions.gaussian", Corruption, "sigma: 0.5", "sigma: -1", "corruptions.gaussian.sigma: "),
        (
            "corruptions.gaussian",
            Corruption,
            "sigma: 0.5",
            "sgima: 1",
            "corruptions.gaussian.sgima: unknown key; known",
        ),
        ("corruptions.gaussian", Corruption, "kind: gaussian", "kind: gausian", "corruptions.gaussian.kind: expected"),
        ("corruptions.gaussian", Corruption, GAUSSIAN, "none", "corruptions.gaussian: "),
        ("clean.first", Clean, "kind: mlp_2d", "kind: mlp", "clean.first.model: kind: expected one of mlp_2d"),
        ("clean", dict[Name, Clean], "kind: mlp_2d", "kind: mlp", "clean.first.model: kind: expected one of mlp_2d"),
        ("seed", Seed, "seed: 0", "seed: a b: c", "expected YAML"),
        ("seed", Seed, "seed: 0", "seed: 'a: b'", "seed: should be a valid integer, found 'a: b'"),
    ],
)
def test_a_mistake_in_one_section(path: Path, key: str, kind: Any, old: str, new: str, expected: str) -> None:
    assert old in SMALL
    path.write_text(SMALL.replace(old, new, 1))
    with pytest.raises(ValueError, match="params") as caught:
        read(path, key, kind)
    assert str(caught.value).startswith(f"{path}: {expected}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["'0'", "true", "1.0"])
def test_a_plain_value_is_read_as_strictly_as_a_section(path: Path, value: str) -> None:
    path.write_text(SMALL.replace("seed: 0", f"seed: {value}"))
    with pytest.raises(ValueError, match=r"seed: .*integer, found"):
        read(path, "seed", Seed)


def test_an_unknown_key_deep_in_the_file_names_its_neighbours(path: Path) -> None:
    message = fault(path, SMALL.replace("    noise: fresh", "    noise: fresh\n    nois: fresh"))
    assert "nois: unknown key; known: noise, " in message
