"""All of params.yaml, with the check that what an entry names is there and fits it."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import model_validator

from dae.params.sections import (
    Ablation,
    Baselines,
    Classifier,
    Clean,
    Corruption,
    Dataset,
    Filters,
    Latent,
    Members,
    Name,
    Noise2Noise,
    Patches,
    Perceptual,
    Posterior,
    Seed,
    Stacked,
    Stochastic,
    Svm,
    Toy,
)
from dae.registry import suggest
from dae.settings import Compute, Evaluation, Section

RESTORING = ("clean", "perceptual", "noise2noise", "stochastic")  # sections of denoisers
OF_SAME_NAME = {"latent": "clean", "ablations": "noise2noise"}  # sections about the entry of that name elsewhere
NAMING = {"dataset": "datasets", "corruption": "corruptions", "features": "classifiers", "denoiser": "clean"}


def needed(section: str, name: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(field, section, name) of each entry that an entry needs; the field is "" where its own name says which.

    A denoiser needs the judge of its data set, which bears the name of that data set.
    """
    fields = {**NAMING, "reference": "noise2noise" if section == "ablations" else "clean"}
    for field, where in fields.items():
        if isinstance(entry.get(field), str):
            yield field, where, entry[field]
    if section in OF_SAME_NAME:
        yield "", OF_SAME_NAME[section], name
    if section in RESTORING:
        yield "dataset", "classifiers", entry["dataset"]


class Params(Section):
    """The whole file."""

    seed: Seed
    compute: Compute
    defaults: dict[Name, dict[str, Any]]
    datasets: dict[Name, Dataset]
    corruptions: dict[Name, Corruption]
    baselines: Baselines
    classifiers: dict[Name, Classifier]
    clean: dict[Name, Clean]
    perceptual: dict[Name, Perceptual]
    noise2noise: dict[Name, Noise2Noise]
    stochastic: dict[Name, Stochastic]
    stacked: dict[Name, Stacked]
    svm: dict[Name, Svm]
    latent: dict[Name, Latent]
    posterior: dict[Name, Posterior]
    ablations: dict[Name, Ablation]
    toy: dict[Name, Toy]
    patches: Patches
    filters: dict[Name, Filters]
    comparisons: dict[Name, Members]
    evaluation: Evaluation

    def entries(self) -> Iterator[tuple[str, str, Section]]:
        """(section, name, entry) of all sections that hold entries."""
        for section in type(self).model_fields:
            content = getattr(self, section)
            for name, entry in content.items() if isinstance(content, dict) else ():
                if isinstance(entry, Section):
                    yield section, name, entry

    @model_validator(mode="after")
    def _what_is_named_exists(self) -> Self:
        for section, name, entry in self.entries():
            for field, where, found in needed(section, name, dict(entry)):
                known = getattr(self, where)
                if found not in known:
                    key = ".".join(filter(None, [section, name, field]))
                    names = suggest(found, known)
                    judge = " of that name, as its judge" if (field, where) == ("dataset", "classifiers") else ""
                    raise ValueError(f"{key}: expected an entry of {where}{judge} ({names}), found {found!r}")
        for name, members in self.comparisons.items():
            for member in members:
                section, _, of = member.partition(".")
                if section not in RESTORING or of not in getattr(self, section):
                    raise ValueError(
                        f"comparisons.{name}: expected entries of {', '.join(RESTORING)}, each as section.entry, "
                        f"found {member!r}"
                    )
        return self

    @model_validator(mode="after")
    def _corruptions_are_of_the_data_set(self) -> Self:
        for section, name, entry in self.entries():
            corruption = getattr(entry, "corruption", None)
            if isinstance(corruption, str) and (of := self.corruptions[corruption].dataset) != entry.dataset:  # type: ignore[attr-defined]
                raise ValueError(
                    f"{section}.{name}.dataset: expected {of}, the data set of the corruption {corruption}, "
                    f"found {entry.dataset}"  # type: ignore[attr-defined]
                )
        return self

    @model_validator(mode="after")
    def _judges_are_of_their_data_set(self) -> Self:
        for name, judge in self.classifiers.items():
            if name in self.datasets and judge.dataset != name:
                raise ValueError(f"classifiers.{name}.dataset: expected {name}, which it judges, found {judge.dataset}")
        return self

    @model_validator(mode="after")
    def _what_is_compared_saw_the_same(self) -> Self:
        """Samples and their mean, a posterior and its denoiser, an ablation and its entry have the same corruption."""
        pairs: list[tuple[str, Any, Any]] = [
            *((f"stochastic.{name}", entry, self.clean[entry.reference]) for name, entry in self.stochastic.items()),
            *((f"posterior.{name}", entry, self.clean[entry.denoiser]) for name, entry in self.posterior.items()),
            *((f"ablations.{name}", entry, self.noise2noise[name]) for name, entry in self.ablations.items()),
        ]
        for where, entry, other in pairs:
            if entry.corruption != other.corruption:
                raise ValueError(
                    f"{where}.corruption: expected {other.corruption}, which the denoiser saw, found {entry.corruption}"
                )
        for name, ablation in self.ablations.items():
            if (kind := self.corruptions[ablation.corruption].kind) != "gaussian":
                raise ValueError(
                    f"ablations.{name}.corruption: expected one of kind gaussian, as the proof assumes, found {kind}"
                )
        return self
