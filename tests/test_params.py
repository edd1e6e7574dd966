"""params.yaml: what is right is read as it stands, sections complete, values strict."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from dvc.utils.serialize import load_yaml
from pydantic import ValidationError
from ruamel.yaml import YAML

from dae import registry
from dae.params import check, read
from dae.params.sections import (
    Baselines,
    Clean,
    Corruption,
    Dataset,
    FromBlock,
    Name,
    Noise2Noise,
    Perceptual,
    Seed,
    Stacked,
    Stochastic,
    Toy,
)
from dae.params.whole import RESTORING, Params
from dae.settings import Compute, Evaluation, Section
from tests.settings import SMALL
from tools.gpu import EXTRA, add

ROOT = Path(__file__).parents[1] / "params.yaml"
FILES = [ROOT, EXTRA]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


# --- the project's own files


def test_the_projects_own_file() -> None:
    params = check(ROOT)
    assert isinstance(params, Params)
    assert {name: entry.source for name, entry in params.datasets.items()}["mnist"] == "mnist"


def test_the_projects_own_file_with_the_papers_sizes(path: Path) -> None:
    """As `make gpu` puts them together; its entries have names of their own."""
    round_trip = YAML()
    params, extra = round_trip.load(ROOT), YAML(typ="safe").load(EXTRA)
    both = {f"{section}.{name}" for section, entries in extra.items() for name in entries if name in params[section]}
    assert both == set()
    add(params, extra)
    round_trip.dump(params, path)
    checked = check(path)
    for section in set(extra) & set(RESTORING):
        assert set(extra[section]) < set(getattr(checked, section))
    assert checked.clean["gaussian_conv_fresh"].noise == "fresh"  # the block says frozen


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


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_reader_agrees_on_the_projects_files(file: Path) -> None:
    """DVC's reader, this one (YAML 1.2) and PyYAML (YAML 1.1), which people use by habit."""
    ours = YAML(typ="safe").load(file)
    assert ours == load_yaml(str(file))
    assert ours == YAML(typ="safe", pure=True).load(file), "without libyaml"
    assert ours == YAML().load(file), "with comments, as copies of the project are written"
    assert ours == yaml.safe_load(file.read_text(encoding="utf-8"))


def types(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: types(item) for key, item in value.items()}
    return [types(item) for item in value] if isinstance(value, list) else type(value).__name__


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_reader_agrees_on_types(file: Path) -> None:
    """1 == 1.0 == True for Python, so equality alone says too little."""
    ours = types(YAML(typ="safe").load(file))
    assert ours == types(dict(load_yaml(str(file))))
    assert ours == types(yaml.safe_load(file.read_text(encoding="utf-8")))


def shorthand(text: str) -> list[str]:
    """Every anchor, alias and merge key of a YAML text: DVC expands them when `dvc exp run -S` writes the file."""
    found = []
    for event in yaml.parse(text, yaml.SafeLoader):
        if anchor := getattr(event, "anchor", None):
            found.append(f"{'*' if isinstance(event, yaml.AliasEvent) else '&'}{anchor}")
        if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.style is None:
            found.append("<<")
    return found


def test_what_shorthand_would_be_found() -> None:
    assert shorthand("a: &one {b: 1}\nc: *one\nd:\n  <<: {e: 2}\nf: 'a & b * c << d'\n") == ["&one", "*one", "<<"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_in_the_projects_files_is_shorthand(file: Path) -> None:
    assert shorthand(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_lines_of_the_projects_files_fit_the_screen(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [f"line {n}: {len(line)}" for n, line in enumerate(lines, 1) if len(line) > 120] == []
    assert [f"line {n}" for n, line in enumerate(lines, 1) if line != line.rstrip() or "\t" in line] == []


def test_every_section_of_the_projects_file_is_explained() -> None:
    """By a comment above it; a section whose every line has its own needs none."""
    blocks = re.split(r"\n(?:[ ]*\n)+", ROOT.read_text(encoding="utf-8").strip())
    explained = {}
    for block in blocks:
        lines = block.splitlines()
        for n, line in enumerate(lines):
            if section := re.match(r"(\w+):", line):
                inline = [" # " in own for own in lines[n + 1 :] or [line]]
                explained[section[1]] = (n > 0 and lines[n - 1].startswith("# ")) or all(inline)
    assert set(explained) == set(Params.model_fields)
    assert [section for section, is_so in explained.items() if not is_so] == []


# --- blocks of defaults


def test_an_entry_takes_from_its_block_what_it_does_not_say(path: Path) -> None:
    path.write_text(SMALL.replace("    noise: fresh", "    noise: fresh\n    batch_size: 9\n    keep: last"))
    first, third = read(path, "clean.first", Clean), read(path, "clean.third", Clean)
    assert (first.batch_size, first.keep) == (9, "last")
    assert (third.batch_size, third.keep) == (8, "best")
    own = {"batch_size", "keep", "dataset", "model", "corruption", "loss", "noise"}
    assert first.model_dump(exclude=own) == third.model_dump(exclude=own)
    assert first.learning_rate == 0.001
    assert check(path).clean == {"first": first, "third": third}


def test_an_entry_takes_from_its_block_wherever_a_training_stands(path: Path) -> None:
    path.write_text(SMALL)
    stacked = read(path, "stacked.fourth", Stacked)
    assert (stacked.pretraining.epochs, stacked.finetuning.epochs) == (0, 1)
    assert stacked.pretraining.batch_size == stacked.finetuning.batch_size == 8
    assert check(path).stacked == {"fourth": stacked} == read(path, "stacked", dict[Name, Stacked])


def test_null_is_something_that_an_entry_can_say(path: Path) -> None:
    edited = SMALL.replace("steps_per_epoch: null", "steps_per_epoch: 3")
    path.write_text(edited.replace("    noise: fresh", "    noise: fresh\n    steps_per_epoch: null"))
    params = check(path)
    assert [params.clean[name].steps_per_epoch for name in ("first", "third")] == [None, 3]


def test_what_comes_first_in_an_entry_changes_nothing(path: Path) -> None:
    path.write_text(SMALL)
    before = check(path)
    above, below = "      defaults: training\n", "      epochs: 0\n"
    assert above + below in SMALL
    path.write_text(SMALL.replace(above + below, below + above))
    assert check(path) == before


def test_an_entry_can_do_without_a_block(path: Path) -> None:
    path.write_text(SMALL)
    expected = read(path, "toy.plane", Toy)
    content = YAML(typ="safe", pure=True).load(SMALL)
    content["toy"]["plane"] |= content["defaults"]["training"]
    del content["toy"]["plane"]["defaults"], content["defaults"]["training"]
    path.write_text(yaml.safe_dump(content))
    assert read(path, "toy.plane", Toy) == expected


def test_the_name_of_the_block_is_no_setting(path: Path) -> None:
    path.write_text(SMALL)
    assert "defaults" not in read(path, "clean.first", Clean).model_dump()


TRAININGS = [  # every place in the small file that may name a block
    "classifiers.digits",
    "clean.first",
    "perceptual.seen",
    "noise2noise.second",
    "stochastic.drawn",
    "stacked.fourth.pretraining",
    "stacked.fourth.finetuning",
    "toy.plane",
    "filters.noisy",
]


def section_at(content: Any, key: str) -> Any:
    for part in key.split("."):
        content = content[part]
    return content


def message_of(path: Path, content: Any, key: str) -> str:
    """The one line with which the whole file is refused, and the stage too that reads this entry alone."""
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    section, name = key.split(".")[:2]
    with pytest.raises(ValueError, match="params") as caught:
        check(path)
    with pytest.raises(ValueError, match="params") as alone:
        read(path, f"{section}.{name}", get_args(Params.model_fields[section].annotation)[1])
    assert "\n" not in str(caught.value)
    assert re.sub(r" \(and \d+ more\)$", "", str(caught.value)) == re.sub(r" \(and \d+ more\)$", "", str(alone.value))
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("key", TRAININGS)
def test_a_block_that_is_not_there(path: Path, key: str) -> None:
    content = YAML(typ="safe", pure=True).load(SMALL)
    content["defaults"] = {"other": {}, **content["defaults"]}
    section_at(content, key)["defaults"] = "trainings"
    message = message_of(path, content, key)
    assert message == f"{key}.defaults: expected a block of defaults (training, other), found 'trainings'"


@pytest.mark.parametrize("name", [None, 3, True, ["training"], {"epochs": 1}])
def test_what_is_no_name_of_a_block(path: Path, name: Any) -> None:
    content = YAML(typ="safe", pure=True).load(SMALL)
    content["clean"]["first"]["defaults"] = name
    message = message_of(path, content, "clean.first")
    assert message == f"clean.first.defaults: expected a block of defaults (training), found {name!r}"


@pytest.mark.parametrize("blocks", [{}, None, [], "training"])
def test_no_block_at_all(path: Path, blocks: Any) -> None:
    content = YAML(typ="safe", pure=True).load(SMALL)
    path.write_text(yaml.safe_dump({**content, "defaults": blocks}))
    with pytest.raises(ValueError, match=r"clean\.first\.defaults: .* \(there is none\), found 'training'$"):
        read(path, "clean.first", Clean)


def test_a_block_of_another_name_than_a_word(path: Path) -> None:
    content = YAML(typ="safe", pure=True).load(SMALL)
    path.write_text(yaml.safe_dump({**content, "defaults": {7: {}}}))
    with pytest.raises(ValueError, match=r"clean\.first\.defaults: expected a block of defaults \(7\)"):
        read(path, "clean.first", Clean)


@pytest.mark.parametrize("key", TRAININGS)
def test_a_key_of_a_block_that_the_section_does_not_have(path: Path, key: str) -> None:
    content = YAML(typ="safe", pure=True).load(SMALL)
    content["defaults"]["other"] = {**content["defaults"]["training"], "nois": "frozen"}
    section_at(content, key)["defaults"] = "other"
    assert message_of(path, content, key).startswith(f"{key}.nois: unknown key; known: ")


@pytest.mark.parametrize("key", TRAININGS)
@pytest.mark.parametrize("setting", ["steps_per_epoch", "keep", "learning_rate"])
def test_a_block_that_lacks_a_setting(path: Path, key: str, setting: str) -> None:
    content = YAML(typ="safe", pure=True).load(SMALL)
    content["defaults"]["other"] = {name: v for name, v in content["defaults"]["training"].items() if name != setting}
    section_at(content, key)["defaults"] = "other"
    assert message_of(path, content, key) == f"{key}.{setting}: missing"


@pytest.mark.parametrize("block", [None, 3, [], {"defaults": "training", "epochs": 2}])
def test_a_block_is_complete_in_itself(path: Path, block: Any) -> None:
    """DVC looks at the block that an entry names, and would not see a change of another one behind it."""
    content = YAML(typ="safe", pure=True).load(SMALL)
    content["defaults"]["other"] = block
    content["clean"]["first"]["defaults"] = "other"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=r"clean\.first\.defaults: expected a block that is complete") as caught:
        read(path, "clean.first", Clean)
    assert str(caught.value).endswith("found 'other'")


ELSEWHERE = [  # what no stage depends on by way of a block
    "compute",
    "datasets.digits",
    "corruptions.gaussian",
    "baselines",
    "clean",
    "clean.first.model",
    "clean.first.loss",
    "perceptual.seen.loss",
    "stacked.fourth",
    "stacked.fourth.corruption",
    "svm.kernel",
    "latent.first",
    "posterior.many",
    "ablations.second",
    "toy.plane.points",
    "patches",
    "filters.noisy.corruption",
    "evaluation",
]


@pytest.mark.parametrize("key", ELSEWHERE)
def test_nothing_but_a_training_names_a_block(path: Path, key: str) -> None:
    """Otherwise an edit of the block would have no effect, silently: DVC does not know that the stage depends on it."""
    content = YAML(typ="safe", pure=True).load(SMALL)
    section_at(content, key)["defaults"] = "training"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=rf"params\.yaml: {re.escape(key)}\.defaults: ") as caught:
        check(path)
    assert "unknown key; known: " in str(caught.value) or key == "clean"


def test_dvc_knows_of_every_block_that_an_entry_may_name() -> None:
    """A stage that depends on an entry depends on its block as well."""
    sections = {name: get_args(field.annotation) for name, field in Params.model_fields.items()}
    naming = {name for name, kinds in sections.items() if any(issubclass(part, FromBlock) for part in classes(kinds))}
    assert naming == {key.split(".")[0] for key in TRAININGS}
    found = set()
    for name, stage in YAML(typ="safe").load(ROOT.with_name("dvc.yaml"))["stages"].items():
        section = stage.get("foreach", "")[2:-1]
        params = [param.replace("${section}", section) for param in stage.get("do", stage).get("params", [])]
        blocks = [param for param in params if param.startswith("defaults.")]
        depends = any(param.startswith(f"{section}.${{key}}") for param in params) and section in naming
        assert bool(blocks) == depends, name
        found |= {section} if blocks else set()
    assert found == naming


# --- sections


def classes(kind: Any = Params) -> Iterator[type[Section]]:
    """A section and all that are in it."""
    if isinstance(kind, type) and issubclass(kind, Section):
        yield kind
        for field in kind.model_fields.values():
            yield from classes(field.annotation)
    for part in kind if isinstance(kind, tuple) else get_args(kind):
        yield from classes(part)


def test_no_default_hides_in_the_code() -> None:
    """Every setting stands in params.yaml; the arguments of a kind alone have defaults, in that kind's own file."""
    found = set(classes())
    assert {Params, Compute, Evaluation, Baselines, Noise2Noise, Stochastic, FromBlock, Dataset} <= found
    optional = [
        f"{kind.__name__}.{name}" for kind in found for name, f in kind.model_fields.items() if not f.is_required()
    ]
    assert optional == []


@pytest.mark.parametrize("line", ["    shared: 0.0\n", "    allow_biased: false\n"])
def test_what_noise2noise_must_say(path: Path, line: str) -> None:
    assert line in SMALL
    path.write_text(SMALL.replace(line, ""))
    with pytest.raises(ValueError, match=rf"noise2noise\.second\.{line.split(':')[0].strip()}: missing$"):
        check(path)


def test_a_float_in_scientific_notation(path: Path) -> None:
    path.write_text(SMALL)
    params = check(path)
    assert params.clean["first"].learning_rate == 0.001
    assert isinstance(yaml.safe_load("1e-3"), str)  # PyYAML's reading
    assert load_yaml(str(path))["defaults"]["training"]["learning_rate"] == 0.001


def test_sections_and_plain_values(path: Path) -> None:
    path.write_text(SMALL)
    assert read(path, "seed", Seed) == 0
    assert read(path, "compute", Compute) == Compute(device="cpu", threads=1)
    assert read(path, "baselines", Baselines) == Baselines(images=6, tuning_images=5)
    assert list(read(path, "clean", dict[Name, Clean])) == ["first", "third"]
    second = read(path, "noise2noise.second", Noise2Noise)
    assert second.loss.kind == "smooth_l1"
    assert second.loss.arguments == {"beta": 0.5}
    assert second.loss.card == ("smooth_l1", {"beta": 0.5})
    assert second.allow_biased is False
    assert second.shared == 0
    assert second.keep == "best"
    assert read(path, "clean.third", Clean).model.arguments["factors"] == [2, 4]
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
LEAVES = ("perceptual", "stochastic", "stacked", "svm", "latent", "posterior", "ablations", "toy", "filters")


@pytest.mark.parametrize("section", [*NAMING, *LEAVES, "comparisons"])
def test_a_section_without_entries(path: Path, section: str) -> None:
    """Together with those whose entries name some of its own."""
    content = YAML(typ="safe", pure=True).load(SMALL)
    empty = (section, *NAMING.get(section, ()))
    path.write_text(yaml.safe_dump({**content, **{name: {} for name in empty}}))
    params = check(path)
    assert [name for name in empty if getattr(params, name)] == []


def test_reading_a_section_is_not_hindered_by_faults_in_another(path: Path) -> None:
    path.write_text(SMALL.replace("threads: 1", "threads: many").replace("    epochs: 1", "    epochs: few"))
    assert read(path, "datasets.digits", Dataset).validation == 10


@pytest.mark.parametrize("source", registry.kinds("sources"))
def test_every_source_of_data(path: Path, source: str) -> None:
    path.write_text(SMALL.replace("source: mnist", f"source: {source}"))
    assert check(path).datasets["digits"].source == source


@pytest.mark.parametrize("kind", ["upscaler", "edsr", "mdsr", "conv", "unet"])
def test_clean_targets_train_denoisers_and_upscalers(path: Path, kind: str) -> None:
    path.write_text(SMALL.replace("{kind: mlp_2d}", f"{{kind: {kind}}}"))
    assert read(path, "clean.first", Clean).model.kind == kind


@pytest.mark.parametrize("kind", ["open_circle", "two_moons"])
def test_other_points(path: Path, kind: str) -> None:
    path.write_text(SMALL.replace("points: {kind: spiral}", f"points: {{kind: {kind}, radius: 0.5}}"))
    points = read(path, "toy.plane", Toy).points
    assert points.kind == kind
    assert points.arguments["radius"] == 0.5
