"""What the lectures show, which entry of params.yaml shows it here, and the metrics that were measured."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dae.core.files import flat, read_json
from dae.params.whole import RESTORING
from dae.plots import interval_label
from dae.registry import describe, suggest
from dae.settings import Section
from dae.summary import CLASSIFYING, Row, interval, table


@dataclass(frozen=True)
class Measure:
    """A metric in an entry's metrics.json, with its interval if it has one."""

    label: str
    key: str
    digits: int = 2
    scale: float = 1.0


# The names that a system of lectures.yaml may list as its `measures`.
MEASURES: dict[str, tuple[Measure, ...]] = {
    "psnr": (Measure("PSNR, dB", "psnr"),),
    "read": (Measure("read by M, %", "accuracy_restored", scale=100),),
    "sharp": (Measure("sharpness", "sharpness", 3),),
    "mse": (Measure("squared error", "mse", 4),),
    "error": (Measure("test error, %", "test_error"),),
    "bias": (Measure("bias", "bias", 3),),
    "gain": (Measure("gain over bicubic, dB", "gain_over_bicubic"),),
    "kept": (Measure("noise kept", "kept_noise", 3), Measure("predicted", "predicted_kept_noise", 3)),
    "shift": (Measure("bias", "bias", 3), Measure("predicted", "predicted_bias", 3)),
    "codes": (Measure("SVM on noisy codes, %", "svm_accuracy", scale=100),),
    "nats": (
        Measure("log p(x given z), nats per image", "log_likelihood_clean_code", 0),
        Measure("with z of the noisy image", "log_likelihood_noisy_code", 0),
    ),
    "posterior": (
        Measure("mean squared error between its mean and the denoiser's output", "mean_to_denoiser", 4),
        Measure("between its mean and a draw", "draw_to_mean", 4),
        Measure("images whose draws are of several digits, %", "several_labels", 0, 100),
    ),
    "toy": (
        Measure("squared distance of the denoiser's output to the exact mean", "denoiser_to_mean", 5),
        Measure("of the input", "input_to_mean", 5),
    ),
    "midway": (
        Measure("distance of the mean of pairs to the nearest point, sigma", "midway.mean_of_pairs.sigmas_to_data"),
        Measure("of the denoiser's output", "midway.denoiser.sigmas_to_data"),
    ),
    "spread": (
        Measure("variance", "variance", 4),
        Measure("squared error of least squares on these images", "mse_of_reference", 4),
    ),
    "sampled": (
        Measure("PSNR of the mean, dB", "mean_of_samples.psnr"),
        Measure("of least squares on these images, dB", "reference.psnr"),
        Measure("least squares read by M, %", "reference.accuracy_restored", scale=100),
    ),
    "smaller": (Measure("PSNR, dB", "factor_4.psnr"), Measure("gain over bicubic, dB", "factor_4.gain_over_bicubic")),
    "oriented": (Measure("orientation selectivity", "selectivity"),),
}


class System(Section):
    """A thing that the lectures show; lectures.yaml says what its fields mean."""

    lecture: str
    shows: str
    entry: str
    see: str
    measures: list[str]
    reported: str = ""

    @field_validator("measures")
    @classmethod
    def _known(cls, measures: list[str]) -> list[str]:
        if unknown := [name for name in measures if name not in MEASURES]:
            raise ValueError(f"expected some of {suggest(unknown[0], MEASURES)}, found {unknown[0]!r}")
        return measures

    @property
    def path(self) -> str:
        """Where the figure or table to see lies below results/."""
        folder, _, name = self.see.rpartition("/")
        return f"{folder}/report/{name}"


def read_systems(path: Path) -> list[System]:
    """The systems that a file such as lectures.yaml lists.

    Raises ValueError, one line that names the file, if it is no such list.
    """
    kind = list[System]
    try:
        return TypeAdapter(kind).validate_python(YAML(typ="safe").load(path))
    except ValidationError as error:
        raise ValueError(f"{path}: {describe(error, kind)}") from None
    except YAMLError as error:
        raise ValueError(f"{path}: expected YAML: {' '.join(str(error).split())}") from None


def markdown(systems: Collection[System], results: Path, items: Collection[str], confidence: float) -> str:
    """A row for each of `systems` whose entry is one of `items` (section.name), with its metrics in `results`."""
    rows = [
        [
            system.lecture,
            f"&nbsp;&nbsp;{system.shows.strip()}" if system.shows.startswith(" ") else system.shows,
            f"`{system.entry}`",
            f"`{system.path}`",
            _figures(results, system),
            system.reported,
        ]
        for system in systems
        if system.entry in items
    ]
    return table(
        ["lecture", "system", "entry", "below `results/`", f"measured [{interval_label(confidence)}]", "reported"], rows
    )


def _figures(results: Path, system: System) -> str:
    section, _, name = system.entry.partition(".")
    evaluated = section in (*RESTORING, *CLASSIFYING)
    folder = results / "evaluate" if evaluated else results
    figures = read_json(folder / section / name / "metrics.json")
    measures = [measure for name in system.measures for measure in MEASURES[name]]
    return "; ".join(f"{measure.label} {_value(flat(figures), measure)}" for measure in measures)


def _value(figures: Row, measure: Measure) -> str:
    scaled = {
        key: value * measure.scale
        for key, value in figures.items()
        if key.startswith(measure.key) and value is not None
    }
    has_interval = f"{measure.key}_low" in scaled
    return (
        interval(scaled, measure.key, measure.digits) if has_interval else f"{scaled[measure.key]:.{measure.digits}f}"
    )
