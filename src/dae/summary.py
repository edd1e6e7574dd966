"""One row per trained item, gathered from the evaluations."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dae.core.files import read_csv, read_json
from dae.params.whole import RESTORING

Row = dict[str, Any]
INTACT = 60.0  # dB; an input above this is not corrupted, only rounded
CLASSIFYING = {"classifiers": "classifiers", "stacked": "finetune"}  # section -> the folder it is trained in
COLUMNS = (
    "section",
    "name",
    "corruption",
    "model",
    "loss",
    "parameters",
    "epochs",
    "images",
    *(f"psnr{end}" for end in ("", "_low", "_high", "_input")),
    "best_baseline",
    "psnr_best_baseline",
    *(f"gain{end}" for end in ("", "_low", "_high")),
    *(f"ssim{end}" for end in ("", "_low", "_high")),
    *(f"mse{end}" for end in ("", "_low", "_high")),
    *(f"sharpness{end}" for end in ("", "_low", "_high")),
    *(f"bias{end}" for end in ("", "_low", "_high")),
    *(f"accuracy_{images}" for images in ("corrupted", "restored")),
    *(f"accuracy_restored_{end}" for end in ("low", "high")),
    *(f"test_error{end}" for end in ("", "_low", "_high")),
)


def restoration_row(results: Path, section: str, name: str) -> Row:
    """Metrics of one denoiser, from `results`/evaluate/`section`/`name` and from the baselines of its corruption."""
    figures = read_json(results / "evaluate" / section / name / "metrics.json")
    params = read_json(results / section / name / "model" / "params.json")
    filters = read_json(results / "baselines" / params["corruption"]["name"] / "metrics.json")
    best = filters["best_baseline"]  # chosen on validation images
    return {
        "section": section,
        "name": name,
        "corruption": params["corruption"]["name"],
        "model": params["model"]["kind"],
        "loss": params["loss"]["kind"],
        "epochs": params["epochs"],
        "images": params.get("images"),
        "best_baseline": best,
        "psnr_best_baseline": figures["psnr_input"] if best == "input" else filters[best]["psnr"],
        **{f"gain{end}": figures[f"gain_over_{best}{end}"] for end in ("", "_low", "_high")},
        **{key: value for key, value in figures.items() if key in COLUMNS},
    }


def classifier_row(results: Path, section: str, name: str, trained: Path) -> Row:
    """Metrics of one classifier, from `results`/evaluate/`section`/`name` and from the folder of its training."""
    params = read_json(trained / "model" / "params.json")
    card = read_json(trained / "model" / "model.json")
    figures = read_json(results / "evaluate" / section / name / "metrics.json")
    row = {"section": section, "name": name, "model": card["kind"], "loss": "cross_entropy", "epochs": params["epochs"]}
    return {**row, **{key: value for key, value in figures.items() if key in COLUMNS}}


def svm_row(results: Path, name: str) -> Row:
    """Metrics of one support vector machine, from `results`/svm/`name`."""
    figures = read_json(results / "svm" / name / "metrics.json")
    row = {"section": "svm", "name": name, "model": "svm", "loss": "hinge"}
    return {**row, **{key: value for key, value in figures.items() if key in COLUMNS}}


def gather(results: Path, items: Iterable[str]) -> list[Row]:
    """A row for each of `items` (section.name) that was trained and tested, in their order, with keys of COLUMNS."""
    rows = []
    for section, _, name in (item.partition(".") for item in items):
        if section in RESTORING:
            rows.append(restoration_row(results, section, name))
        elif section in CLASSIFYING:
            rows.append(classifier_row(results, section, name, results / CLASSIFYING[section] / name))
        elif section == "svm":
            rows.append(svm_row(results, name))
    return rows


def history(results: Path, section: str, name: str) -> list[Row]:
    """Rows of history.csv of one item."""
    return read_csv(results / section / name / "history.csv")


def markdown(rows: Sequence[Row]) -> str:
    """The summary as two Markdown tables: restoration and classification."""
    restoring = [
        [
            f"{row['section']}: {row['name']}",
            row["corruption"],
            f"{row['psnr_input']:.2f}",
            interval(row, "psnr", 2),
            ""
            if row["psnr_input"] > INTACT
            else f"{interval(row, 'gain', 2)} ({row['best_baseline'].replace('_', ' ')})",
            interval(row, "ssim", 3),
            f"{row['sharpness']:.3f}",
            f"{100 * row['accuracy_corrupted']:.2f}",
            interval(
                {key: 100 * row[key] for key in row if key.startswith("accuracy_restored")}, "accuracy_restored", 2
            ),
        ]
        for row in rows
        if "psnr" in row
    ]
    classifying = [
        [f"{row['section']}: {row['name']}", str(row.get("parameters", "")), interval(row, "test_error", 2)]
        for row in rows
        if "test_error" in row
    ]
    header = [
        *("denoiser", "corruption", "input, dB", "PSNR, dB", "gain over the best baseline, dB", "SSIM", "sharpness"),
        *("M on corrupted, %", "M on restored, %"),
    ]
    return table(header, restoring) + "\n" + table(["classifier", "parameters", "test error, %"], classifying)


def interval(row: Row, name: str, digits: int) -> str:
    """`value [low, high]` of a metric with its interval."""
    value, low, high = (f"{row[name + end]:.{digits}f}" for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
