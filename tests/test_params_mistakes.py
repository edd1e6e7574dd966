"""Mistakes in params.yaml: each is one line that names the file, the key and what was expected."""

import re
from pathlib import Path
from typing import Any

import pytest

from dae.params import check, read
from dae.params.sections import Clean, Corruption, Name, Seed
from dae.params.whole import RESTORING
from dae.settings import Compute, Training
from tests.settings import SMALL


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


def fault(path: Path, content: str | bytes) -> str:
    """The message for a faulty file, without the file's name: one line that begins with it."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match="params") as caught:
        check(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


# What is replaced, by what, the key that the message names, and what it says of it.
GAUSSIAN = "{dataset: digits, kind: gaussian, sigma: 0.5, draws: 2}"
FRESH = "    noise: fresh"
MISTAKES: list[tuple[str, str, str, list[str]]] = [
    ("seed: 0", "seed: -1", "seed", ["greater than or equal to 0", "found -1"]),
    ("seed: 0", "seed: 0.5", "seed", ["integer", "found 0.5"]),
    ("seed: 0", "seed: true", "seed", ["integer", "found True"]),
    ("seed: 0", "seed: '0'", "seed", ["integer", "found '0'"]),
    ("seed: 0", "seed:", "seed", ["found None"]),
    ("seed: 0", "sed: 0", "seed", ["missing"]),
    ("seed: 0", "seed: 0\nsede: 1", "sede", ["unknown key; known: seed, "]),
    ("device: cpu", "device: gpu", "compute.device", ["'auto', 'cpu' or 'cuda'", "found 'gpu'"]),
    ("threads: 1", "threads: 0", "compute.threads", ["found 0"]),
    ("threads: 1", "threads: 2.0", "compute.threads", ["integer", "found 2.0"]),
    (", threads: 1", "", "compute.threads", ["missing"]),
    ("threads: 1", "threads: 1, thread: 2", "compute.thread", ["unknown key"]),
    ("source: mnist", "source: nmist", "datasets.digits.source", ["expected one of mnist, ", "found 'nmist'"]),
    ("source: mnist", "source: _idx", "datasets.digits.source", ["expected one of ", "mnist", "found '_idx'"]),
    ("source: mnist", "source: 3", "datasets.digits.source", ["string", "found 3"]),
    ("raw: data/raw", "raw: ''", "datasets.digits.raw", ["at least 1", "found ''"]),
    ("raw: data/raw", "raw: 3", "datasets.digits.raw", ["string", "found 3"]),
    ("validation: 10", "validation: 0", "datasets.digits.validation", ["found 0"]),
    ("limit: null", "limit: 0", "datasets.digits.limit", ["found 0"]),
    ("limit: null", "limit: ten", "datasets.digits.limit", ["integer", "found 'ten'"]),
    (", limit: null", "", "datasets.digits.limit", ["missing"]),
    ("sigma: 0.5", "sigma: -0.5", "corruptions.gaussian.sigma", ["found -0.5"]),
    ("sigma: 0.5", "sigma: '0.5'", "corruptions.gaussian.sigma", ["number", "found '0.5'"]),
    ("sigma: 0.5", "sigma: .nan", "corruptions.gaussian.sigma", ["finite", "found nan"]),
    ("sigma: 0.5", "sigma: .inf", "corruptions.gaussian.sigma", ["finite", "found inf"]),
    ("sigma: 0.5", "sigma: -.inf", "corruptions.gaussian.sigma", ["found -inf"]),
    ("sigma: 0.5", "sgima: 0.5", "corruptions.gaussian.sgima", ["unknown key; known: sigma, "]),
    ("sigma: 0.5", "sigma: [0.5]", "corruptions.gaussian.sigma", ["found [0.5]"]),
    (
        "kind: gaussian,",
        "kind: gausian,",
        "corruptions.gaussian.kind",
        ["expected one of gaussian, ", "salt_pepper", "found 'gausian'"],
    ),
    ("kind: gaussian,", "kind: 3,", "corruptions.gaussian.kind", ["expected one of ", "found 3"]),
    ("kind: gaussian, ", "", "corruptions.gaussian.kind", ["missing"]),
    (GAUSSIAN, "gaussian", "corruptions.gaussian", ["found 'gaussian'"]),
    ("draws: 2", "draws: 0", "corruptions.gaussian.draws", ["found 0"]),
    ("draws: 2", "draws: true", "corruptions.gaussian.draws", ["integer", "found True"]),
    (", draws: 2", "", "corruptions.gaussian.draws", ["missing"]),
    ("factor: 2, draws: 1", "factor: 2, draws: 2", "corruptions.downsample.draws", ["expected 1", "found 2"]),
    ("factor: 2,", "factor: 2.5,", "corruptions.downsample.factor", ["found 2.5"]),
    ("  gaussian: {", "  my-noise: {", "corruptions.my-noise", ["lower-case letters", "found 'my-noise'"]),
    ("  gaussian: {", "  my.noise: {", "corruptions.my.noise", ["lower-case letters", "found 'my.noise'"]),
    ("  gaussian: {", "  Gaussian: {", "corruptions.Gaussian", ["lower-case letters", "found 'Gaussian'"]),
    ("  gaussian: {", "  2_draws: {", "corruptions.2_draws", ["begins with a letter", "found '2_draws'"]),
    ("  gaussian: {", "  7: {", "corruptions.7", ["found 7"]),
    ("  first:", "  1st:", "clean.1st", ["begins with a letter", "found '1st'"]),
    ("  fourth:", "  Fourth:", "stacked.Fourth", ["lower-case letters", "found 'Fourth'"]),
    ("  training:", "  my-training:", "defaults.my-training", ["lower-case letters", "found 'my-training'"]),
    ("baselines: {images: 6", "baselines: {images: 0", "baselines.images", ["found 0"]),
    (", tuning_images: 5}", "}", "baselines.tuning_images", ["missing"]),
    ("tuning_images: 5}", "tuning_images: 5, image: 1}", "baselines.image", ["unknown key; known: images, "]),
    ("baselines: {", "baseline: {", "baselines", ["missing"]),
    ("channels: [4]", "channels: 4", "classifiers.digits.model.channels", ["found 4"]),
    ("channels: [4]", "channels: []", "classifiers.digits.model.channels", ["at least 1 item", "found []"]),
    ("channels: [4]", "channels: [4, 4, 4, 4, 4]", "classifiers.digits.model.channels", ["at most 4 items"]),
    ("kind: cnn", "kind: conv", "classifiers.digits.model.kind", ["expected one of cnn, found 'conv'"]),
    ("{kind: mlp_2d}", "{kind: mlp2d}", "clean.first.model.kind", ["expected one of mlp_2d, ", "found 'mlp2d'"]),
    ("{kind: mlp_2d}", "{kind: cnn}", "clean.first.model.kind", ["expected one of ", "found 'cnn'"]),
    ("{kind: mlp_2d}", "{kind: toy_2d}", "clean.first.model.kind", ["expected one of ", "found 'toy_2d'"]),
    ("{kind: mlp_2d}", "{kind: stacked}", "clean.first.model.kind", ["expected one of ", "found 'stacked'"]),
    ("{kind: mlp_2d}", "{kind: mlp_2d, latent: 0}", "clean.first.model.latent", ["found 0"]),
    ("{kind: mlp_2d}", "{kind: mlp_2d, hidden: [8, 0]}", "clean.first.model.hidden.1", ["found 0"]),
    ("{kind: mse}", "{kind: msee}", "clean.first.loss.kind", ["expected one of mse, ", "found 'msee'"]),
    ("{kind: mse}", "mse", "clean.first.loss", ["found 'mse'"]),
    ("{kind: mse}", "{kind: mse, beta: 1.0}", "clean.first.loss.beta", ["unknown key; known: none"]),
    ("beta: 0.5", "beta: 0", "noise2noise.second.loss.beta", ["found 0"]),
    (FRESH, "    noise: new", "clean.first.noise", ["'frozen' or 'fresh'", "found 'new'"]),
    (
        "beta: 0.5}\n    noise: frozen",
        "beta: 0.5}\n    noise: fresh",
        "noise2noise.second.noise",
        ["expected 'frozen'", "clean images", "found 'fresh'"],
    ),
    ("hidden: [10, 5]", "hidden: []", "stacked.fourth.hidden", ["at least 1 item", "found []"]),
    ("hidden: [10, 5]", "hidden: [10, -5]", "stacked.fourth.hidden.1", ["found -5"]),
    ("level: 0.25", "level: 25", "stacked.fourth.corruption.level", ["found 25"]),
    ("level: 0.25", "level: 0.25, draws: 2", "stacked.fourth.corruption.draws", ["unknown key; known: level"]),
    ("      epochs: 0", "      epochs: -1", "stacked.fourth.pretraining.epochs", ["found -1"]),
    ("finetuning:\n", "finetuning:\n      epochs: 0\n", "stacked.fourth.finetuning.epochs", ["found 0"]),
    ("    corruption: gaussian\n", "", "clean.first.corruption", ["missing"]),
    (FRESH, f"{FRESH}\n    nois: fresh", "clean.first.nois", ["unknown key; known: noise, "]),
    (FRESH, f"{FRESH}\n    epochs: 0", "clean.first.epochs", ["found 0"]),
    (FRESH, f"{FRESH}\n    learning_rate: 0", "clean.first.learning_rate", ["found 0"]),
    (FRESH, f"{FRESH}\n    learning_rate: .nan", "clean.first.learning_rate", ["found nan"]),
    (FRESH, f"{FRESH}\n    learning_rate: fast", "clean.first.learning_rate", ["found 'fast'"]),
    (FRESH, f"{FRESH}\n    optimizer: Adam", "clean.first.optimizer", ["'adam'", "found 'Adam'"]),
    (FRESH, f"{FRESH}\n    schedule: step", "clean.first.schedule", ["'one_cycle'", "found 'step'"]),
    (FRESH, f"{FRESH}\n    precision: float16", "clean.first.precision", ["'bfloat16'", "found 'float16'"]),
    (FRESH, f"{FRESH}\n    batch_size: 1e2", "clean.first.batch_size", ["found 100.0"]),
    (FRESH, f"{FRESH}\n    weight_decay: -1", "clean.first.weight_decay", ["found -1"]),
    (FRESH, f"{FRESH}\n    steps_per_epoch: 0", "clean.first.steps_per_epoch", ["found 0"]),
    (FRESH, f"{FRESH}\n    keep: first", "clean.first.keep", ["'best' or 'last'", "found 'first'"]),
    (FRESH, f"{FRESH}\n    shared: 0.5", "clean.first.shared", ["unknown key"]),
    ("allow_biased: false", "allow_biased: 1", "noise2noise.second.allow_biased", ["boolean", "found 1"]),
    ("shared: 0.0", "shared: 1.5", "noise2noise.second.shared", ["found 1.5"]),
    ("shared: 0.0", "shared: -0.1", "noise2noise.second.shared", ["found -0.1"]),
    ("resamples: 100", "resamples: 99", "evaluation.resamples", ["found 99"]),
    ("confidence: 0.95", "confidence: 95", "evaluation.confidence", ["found 95"]),
    ("confidence: 0.95", "confidence: 1", "evaluation.confidence", ["found 1"]),
    ("require_gain: false", "require_gain: 'no'", "evaluation.require_gain", ["boolean", "found 'no'"]),
    ("evaluation: {", "evaluatoin: {", "evaluation", ["missing"]),
    ("factors: [2, 4]", "factors: []", "clean.third.model.factors", ["at least 1 item", "found []"]),
    ("factors: [2, 4]", "factors: [2, 0]", "clean.third.model.factors.1", ["found 0"]),
    ("steps: 3", "steps: 0", "stochastic.drawn.steps", ["found 0"]),
    ("steps: 3", "steps: 2.5", "stochastic.drawn.steps", ["integer", "found 2.5"]),
    ("samples: 4", "samples: 1", "stochastic.drawn.samples", ["greater than or equal to 2", "found 1"]),
    ("    images: 5", "    images: 0", "stochastic.drawn.images", ["found 0"]),
    (
        "inputs: 3}\n    corruption: gaussian\n    loss: {kind: mse}",
        "inputs: 3}\n    corruption: gaussian\n    loss: {kind: l1}",
        "stochastic.drawn.loss.kind",
        ["expected one of ", "mse", "found 'l1'"],
    ),
    ("    reference: first\n", "", "stochastic.drawn.reference", ["missing"]),
    ("activation: relu", "activation: tanh", "stacked.fourth.activation", ["'sigmoid'", "found 'tanh'"]),
    ("layers: denoising", "layers: dbn", "stacked.fourth.layers", ["'rbm'", "found 'dbn'"]),
    ("layers: denoising", "layers: rbm", "stacked.fourth.activation", ["expected 'sigmoid'", "rbm", "found 'relu'"]),
    (
        "activation: relu\n    layers: denoising",
        "activation: sigmoid\n    layers: rbm",
        "stacked.fourth.corruption",
        ["expected {kind: masking, level: 0.0}", "a Boltzmann machine takes no corruption", "'level': 0.25"],
    ),
    ("c: [1.0, 10.0]", "c: []", "svm.kernel.c", ["at least 1 item", "found []"]),
    ("c: [1.0, 10.0]", "c: [1.0, 0.0]", "svm.kernel.c.1", ["found 0.0"]),
    ("gamma: [0.02]", "gamma: 0.02", "svm.kernel.gamma", ["list", "found 0.02"]),
    ("components: 6", "components: 0", "svm.kernel.components", ["found 0"]),
    ("images: 30", "images: all", "latent.first.images", ["found 'all'"]),
    ("c: 10.0}", "c: -1.0}", "latent.first.c", ["found -1.0"]),
    ("kept: 7", "kept: 0", "posterior.many.kept", ["found 0"]),
    ("{kind: spiral}", "{kind: sprial}", "toy.plane.points.kind", ["expected one of spiral, ", "found 'sprial'"]),
    ("{kind: spiral}", "{kind: spiral, turns: 1.0}", "toy.plane.points.turns", ["1.5", "found 1.0"]),
    ("{kind: spiral}", "{kind: spiral, radius: 1.0}", "toy.plane.points.radius", ["unknown key"]),
    ("{kind: spiral}", "{kind: spiral, count: 3}", "toy.plane.points.count", ["unknown key"]),
    ("{kind: toy_2d, hidden: 3}", "{kind: mlp_2d}", "toy.plane.model.kind", ["expected one of toy_2d", "'mlp_2d'"]),
    ("{kind: toy_2d, hidden: 3}", "{kind: toy_2d, hidden: 0}", "toy.plane.model.hidden", ["found 0"]),
    ("sigma: 0.1", "sigma: 0", "toy.plane.sigma", ["found 0"]),
    ("repeats: 2", "repeats: 0", "toy.plane.repeats", ["found 0"]),
    ("size: 12", "size: 0", "patches.size", ["found 0"]),
    (", validation: 25", "", "patches.validation", ["missing"]),
    ("hidden: 11", "hidden: [11]", "filters.noisy.hidden", ["found [11]"]),
]
# Only `perceptual` has a classifier to look through.
MISTAKES += [
    ("{kind: mse}", "{kind: general}", "clean.first.loss.kind", ["expected one of ", "found 'general'"]),
    ("{kind: smooth_l1, beta: 0.5}", "{kind: general}", "noise2noise.second.loss.kind", ["found 'general'"]),
    ("{kind: sse}", "{kind: general}", "clean.third.loss.kind", ["found 'general'"]),
    ("{kind: general, ", "{kind: mse, ", "perceptual.seen.loss.kind", ["expected one of general, found 'mse'"]),
    ("weights: [1.0]", "weights: [-1.0]", "perceptual.seen.loss.weights.0", ["found -1.0"]),
    ("weights: [1.0]", "weight: [1.0]", "perceptual.seen.loss.weight", ["unknown key; known: weights, "]),
    ("lambda_perceptual: 0.1", "lambda_perceptual: -0.1", "perceptual.seen.loss.lambda_perceptual", ["found -0.1"]),
    ("    features: digits\n", "", "perceptual.seen.features", ["missing"]),
]
IDS = [" ".join(mistake[1].split())[:40] for mistake in MISTAKES]


def one_mistake(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new, 1)


# The shape of a message, and what no message has in it: words of the libraries that check.
SHAPE = re.compile(
    r"(?:\S+: )?(?:missing|unknown key; known: .+|(?:should|expected) .+, found .+)(?: \(and \d+ more\))?"
)
JARGON = ("after validation", "instance of", "pattern", "[key]", "Input", "List", "String", "pydantic")


@pytest.mark.parametrize(("old", "new", "key", "fragments"), MISTAKES, ids=IDS)
def test_a_mistake_is_one_line_with_file_and_key(
    path: Path, old: str, new: str, key: str, fragments: list[str]
) -> None:
    message = fault(path, one_mistake(old, new))
    assert message.startswith(f"{key}: ")
    assert [fragment for fragment in fragments if fragment not in message] == []
    assert SHAPE.fullmatch(message), message
    assert [word for word in JARGON if word in message] == []


@pytest.mark.parametrize("section", ["perceptual", "noise2noise", "stochastic"])
def test_only_clean_targets_have_upscalers(path: Path, section: str) -> None:
    """An upscaler takes images of another size than its targets'; the network of a flow and of noisy targets cannot."""
    before, found, after = SMALL.partition(f"\n{section}:\n")
    edited = re.sub(r"model: \{.*\}", "model: {kind: upscaler}", after, count=1)
    message = fault(path, before + found + edited)
    assert re.match(rf"{section}\.\w+\.model\.kind: expected one of .*, found 'upscaler'", message)


@pytest.mark.parametrize("kind", ["block, size: 3", "periodic", "downsample"])
@pytest.mark.parametrize(
    ("old", "key"),
    [
        ("kind: masking, level: 0.25", "stacked.fourth.corruption"),
        ("kind: salt_pepper, level: 0.1", "filters.noisy.corruption"),
    ],
)
def test_codes_take_only_noise_that_codes_can_have(path: Path, kind: str, old: str, key: str) -> None:
    """Layers above the first corrupt codes, which have no rows and columns."""
    assert fault(path, one_mistake(old, f"kind: {kind}")).startswith(f"{key}.kind: expected one of ")


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        ("", ["found None"]),
        ("# only a comment\n", ["found None"]),
        ("- a\n- b\n", ["found ['a', 'b']"]),
        ("text", ["found 'text'"]),
        ("5", ["found 5"]),
        ("seed: 0\nseed: 1\n", ["expected YAML", "duplicate key", "seed", "line 2"]),
        ("seed: [0\ncompute: 1\n", ["expected YAML", "line"]),
        ("seed: 0\n  compute: 1\n", ["expected YAML", "line"]),
        ("seed:\t0\n\tcompute: 1\n", ["expected YAML"]),
        ("seed: *nowhere\n", ["expected YAML", "undefined alias", "line 1"]),
        ("seed: 0\n---\nseed: 1\n", ["expected YAML", "a single document"]),
        ("seed: !!python/object/apply:os.system [echo]\n", ["expected YAML"]),
        (b"seed: \xff\xfe\n", ["expected YAML"]),
        (b"seed: \x00\n", ["expected YAML"]),
    ],
)
def test_what_is_no_such_file(path: Path, content: str | bytes, fragments: list[str]) -> None:
    message = fault(path, content)
    assert [fragment for fragment in fragments if fragment not in message] == []
    assert "http" not in message  # the readers' advice on their own options
    with pytest.raises(ValueError, match=re.escape(f"{path}: ")):  # nor does a stage get a section out of it
        read(path, "compute", Compute)


NAMES: list[tuple[str, str, str, str]] = [  # section.entry, its field, what it says, what there is
    ("corruptions.gaussian", "dataset", "digits", "datasets (digits)"),
    ("classifiers.digits", "dataset", "digits", "datasets (digits)"),
    ("clean.first", "dataset", "digits", "datasets (digits)"),
    ("clean.first", "corruption", "gaussian", "corruptions (gaussian, downsample)"),
    ("perceptual.seen", "features", "digits", "classifiers (digits)"),
    ("noise2noise.second", "corruption", "gaussian", "corruptions (gaussian, downsample)"),
    ("stochastic.drawn", "reference", "first", "clean (first, third)"),
    ("stacked.fourth", "dataset", "digits", "datasets (digits)"),
    ("svm.kernel", "dataset", "digits", "datasets (digits)"),
    ("latent.first", "corruption", "gaussian", "corruptions (gaussian, downsample)"),
    ("posterior.many", "denoiser", "first", "clean (first, third)"),
    ("ablations.second", "reference", "second", "noise2noise (second)"),
]


@pytest.mark.parametrize(("entry", "field", "value", "known"), NAMES, ids=[f"{n[0]}.{n[1]}" for n in NAMES])
def test_what_an_entry_names_must_exist(path: Path, entry: str, field: str, value: str, known: str) -> None:
    section, name = entry.split(".")
    before, found, after = SMALL.partition(f"\n{section}:\n  {name}:")
    assert found
    assert f"{field}: {value}" in after
    message = fault(path, before + found + after.replace(f"{field}: {value}", f"{field}: nowhere", 1))
    assert message == f"{entry}.{field}: expected an entry of {known}, found 'nowhere'"


def test_the_corruption_of_an_upscaler_must_exist(path: Path) -> None:
    message = fault(path, one_mistake("corruption: downsample", "corruption: downsampled"))
    expected = "clean.third.corruption: expected an entry of corruptions (downsample, gaussian), found 'downsampled'"
    assert message == expected


LETTERS = SMALL.replace("datasets:\n", "datasets:\n  letters: {source: idx, raw: data, validation: 3, limit: null}\n")


def of_letters(section: str, content: str = LETTERS) -> str:
    """The small file with another data set, of which the first entry of a section says that it is."""
    before, found, after = content.partition(f"\n{section}:\n")
    return before + found + after.replace("dataset: digits", "dataset: letters", 1)


@pytest.mark.parametrize("section", RESTORING)
def test_a_denoiser_needs_the_judge_of_its_data_set(path: Path, section: str) -> None:
    message = fault(path, of_letters(section))
    assert re.match(rf"{section}\.\w+\.dataset: expected an entry of classifiers of that name, as its judge", message)
    assert message.endswith(" (digits), found 'letters'")


def test_a_judge_is_of_the_data_set_whose_name_it_bears(path: Path) -> None:
    assert fault(path, of_letters("classifiers")) == (
        "classifiers.digits.dataset: expected digits, which it judges, found letters"
    )


@pytest.mark.parametrize(("section", "name"), [("latent", "first"), ("ablations", "second")])
def test_what_is_about_an_entry_bears_its_name(path: Path, section: str, name: str) -> None:
    of = {"latent": "clean (first, third)", "ablations": "noise2noise (second)"}[section]
    message = fault(path, one_mistake(f"\n{section}:\n  {name}:", f"\n{section}:\n  another:"))
    assert message == f"{section}.another: expected an entry of {of}, found 'another'"


def test_a_reference_is_sought_where_its_section_wants_it(path: Path) -> None:
    """An ablation's among `noise2noise`, that of samples among `clean`."""
    assert fault(path, SMALL.replace("reference: second", "reference: first")).startswith(
        "ablations.second.reference: "
    )
    assert fault(path, SMALL.replace("reference: first", "reference: second")).startswith(
        "stochastic.drawn.reference: "
    )


OTHERS = "  other: {dataset: digits, kind: gaussian, sigma: 0.1, draws: 2}\n  downsample:"


@pytest.mark.parametrize("where", ["posterior.many", "ablations.second", "stochastic.drawn"])
def test_what_is_compared_saw_the_same_corruption(path: Path, where: str) -> None:
    section, name = where.split(".")
    before, found, after = SMALL.replace("  downsample:", OTHERS, 1).partition(f"\n{section}:\n  {name}:")
    message = fault(path, before + found + after.replace("corruption: gaussian", "corruption: other", 1))
    assert message == f"{where}.corruption: expected gaussian, which the denoiser saw, found other"


@pytest.mark.parametrize("section", ["latent", "posterior", "ablations"])
def test_a_corruption_is_of_the_data_set_of_the_entry(path: Path, section: str) -> None:
    message = fault(path, of_letters(section))
    assert re.match(rf"{section}\.\w+\.dataset: expected digits, the data set of the corruption gaussian, ", message)
    assert message.endswith("found letters")


@pytest.mark.parametrize("section", RESTORING)
def test_a_corruption_is_of_the_data_set_of_the_denoiser(path: Path, section: str) -> None:
    judge = "  letters: {defaults: training, dataset: letters, model: {kind: cnn}}"
    judged = LETTERS.replace("classifiers:\n", f"classifiers:\n{judge}\n")
    message = fault(path, of_letters(section, judged))
    assert re.match(rf"{section}\.\w+\.dataset: expected digits, the data set of the corruption ", message)


def test_an_ablation_is_of_gaussian_noise(path: Path) -> None:
    message = fault(path, SMALL.replace("kind: gaussian, sigma: 0.5", "kind: speckle, sigma: 0.5"))
    assert message.startswith("ablations.second.corruption: expected one of kind gaussian")
    assert message.endswith("found speckle")


@pytest.mark.parametrize(
    "member", ["clean.second", "noise2noise.first", "stacked.fourth", "nothing.first", "seed.first", "upscaler.third"]
)
def test_a_comparison_is_of_denoisers_that_exist(path: Path, member: str) -> None:
    message = fault(path, SMALL.replace("[clean.first, noise2noise.second]", f"[clean.first, {member}]"))
    assert message.startswith("comparisons.both: expected entries of clean, perceptual, ")
    assert message.endswith(f"found {member!r}")


@pytest.mark.parametrize("members", ["[]", "[first]", "[clean.first.x]", "clean.first", "[clean.First]", "[3]", "[.]"])
def test_a_comparison_is_a_list_of_section_and_entry(path: Path, members: str) -> None:
    message = fault(path, SMALL.replace("[clean.first, noise2noise.second]", members))
    assert re.match(r"comparisons\.both(\.0)?: (should|expected) ", message)


def test_duplicate_keys_deep_in_the_file(path: Path) -> None:
    message = fault(path, SMALL.replace("sigma: 0.5", "sigma: 0.5, sigma: 0.6"))
    assert "duplicate key" in message
    assert "sigma" in message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.yaml", tmp_path):
        for attempt in (lambda path: check(path), lambda path: read(path, "seed", Seed)):
            with pytest.raises(ValueError, match="cannot be read") as caught:
                attempt(path)
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
        ("compute", Compute, "seed: 0", "sede: 0", "sede: unknown key; known: seed, "),
        ("corruptions.gaussian", Corruption, "sigma: 0.5", "sigma: -1", "corruptions.gaussian.sigma: "),
        (
            "corruptions.gaussian",
            Corruption,
            "sigma: 0.5",
            "sgima: 1",
            "corruptions.gaussian.sgima: unknown key; known: sigma, ",
        ),
        ("corruptions.gaussian", Corruption, "kind: gaussian", "kind: gausian", "corruptions.gaussian.kind: expected"),
        ("corruptions.gaussian", Corruption, GAUSSIAN, "none", "corruptions.gaussian: "),
        ("clean.first", Clean, "kind: mlp_2d", "kind: mlp", "clean.first.model.kind: expected one of mlp_2d"),
        ("clean", dict[Name, Clean], "kind: mlp_2d", "kind: mlp", "clean.first.model.kind: expected one of mlp_2d"),
        ("clean", dict[Name, Clean], "  first:", "  1st:", "clean.1st: expected a name"),
        ("seed", Seed, "seed: 0", "seed: a b: c", "expected YAML"),
        ("seed", Seed, "seed: 0", "seed: 'a: b'", "seed: should be a valid integer, found 'a: b'"),
    ],
)
def test_a_mistake_in_one_section(path: Path, key: str, kind: Any, old: str, new: str, expected: str) -> None:
    path.write_text(one_mistake(old, new))
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
    message = fault(path, SMALL.replace(FRESH, f"{FRESH}\n    nois: fresh"))
    assert "nois: unknown key; known: noise, " in message
