"""Gather all results: a summary table, the lectures' claims beside what was measured, and one figure per question."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from torch import nn

from dae import lectures
from dae.core import models
from dae.core.files import load_table, write_csv
from dae.params import check
from dae.params.whole import RESTORING, Params
from dae.plots import (
    Interval,
    comparison,
    filter_grid,
    image_grid,
    interval_label,
    intervals,
    loss_curves,
    measures,
)
from dae.plots.points import arrow_fields, posterior_samples
from dae.summary import COLUMNS, INTACT, Row, gather, history, markdown
from stages.common import run
from stages.context import PARAMS, Out, stage

Images = dict[str, Any]

LECTURES = Path("lectures.yaml")

# The figures that the README shows, below the folder of all results; git keeps a copy of each.
README = (
    "summary/report/noise2noise_digits.png",
    "summary/report/networks_digits.png",
    "summary/report/modes_digits.png",
    "summary/report/modes_measures.png",
    "summary/report/pretraining.png",
    "summary/report/toy_open_circle_mean.png",
    "posterior/block_large/report/posterior.png",
)


def main(results: Annotated[Path, typer.Argument(help="the folder of all results")], *, out: Out) -> None:
    """Write the summary of the entries of params.yaml: a table, figures, and copies of those that the README shows."""
    params, systems = check(PARAMS), lectures.read_systems(LECTURES)
    items = [f"{section}.{name}" for section, name, _ in params.entries()]
    rows = gather(results, items)
    with stage("plot", None, out, {"items": ", ".join(items)}) as at:
        for name, figure in _figures(results, rows, params).items():
            at.figure(name, figure)
        write_csv(at.folder / "summary.csv", rows, COLUMNS)
        at.record.artifact(at.folder / "summary.csv")
        confidence = params.evaluation.confidence
        texts = {"summary": markdown(rows), "lectures": lectures.markdown(systems, results, items, confidence)}
        for name, text in texts.items():
            (at.report / f"{name}.md").write_text(text, encoding="utf-8")
            at.record.artifact(at.report / f"{name}.md")
        _copy_for_readme(results, out.name, at.folder)


def _copy_for_readme(results: Path, name: str, folder: Path) -> None:
    """Copies of the figures that the README shows, where there are such entries; `folder` will be results/`name`."""
    (folder / "readme").mkdir()
    for path in map(Path, README):
        source = folder.joinpath(*path.parts[1:]) if path.parts[0] == name else results / path
        if source.exists():
            shutil.copyfile(source, folder / "readme" / f"{path.parent.parent.name}_{path.name}")


def _figures(results: Path, rows: list[Row], params: Params) -> dict[str, Any]:
    confidence = params.evaluation.confidence
    by_name = {f"{row['section']}.{row['name']}": row for row in rows}
    figures: dict[str, Any] = {}
    for group, members in params.comparisons.items():
        chosen = _labelled({name: by_name[name] for name in members})
        title = f"{group.replace('_', ' ')}: digits of the test set, PSNR over all of its images"
        figures[f"{group}_digits"] = image_grid(_digits(results, chosen), title)
        figures[f"{group}_measures"] = measures(*_measured(chosen), confidence)
        histories = {name: _history(results, row) for name, row in chosen.items()}
        if curves := {name: rows for name, rows in histories.items() if len(rows) > 1}:
            figures[f"{group}_loss"] = loss_curves(curves)
    restoring = {name: row for name, row in by_name.items() if row["section"] in RESTORING}
    if restoring:
        scores = _scores(restoring, params.baselines.images)
        figures["psnr"] = intervals(scores, f"PSNR on the test set, dB (bars: {interval_label(confidence)}s)")
    for name in [name for name, row in restoring.items() if row["section"] in ("clean", "noise2noise")][:1]:
        figures["snapshots"] = _snapshots(results / Path(*name.split(".")), name)
    stacked = _stacked(results, [row for row in rows if row["section"] in ("stacked", "svm")])
    return figures | stacked | _toys(results, params) | _filters(results, params)


def _labelled(rows: dict[str, Row]) -> dict[str, Row]:
    """The rows of a comparison under what its figures call them: section.name, and the loss where losses differ."""
    differ = len({row["loss"] for row in rows.values()}) > 1
    return {f"{name}, {row['loss']}" if differ else name: row for name, row in rows.items()}


def _history(results: Path, row: Row) -> list[Row]:
    return history(results, row["section"], row["name"])


def _digits(results: Path, rows: dict[str, Row]) -> Images:
    """Original, inputs and restored digits; rows that several denoisers share are shown once."""
    pictures: Images = {}
    corruptions: set[str] = set()
    for name, row in rows.items():
        samples = load_table(results / "evaluate" / row["section"] / row["name"] / "report" / "samples.npz")
        pictures.setdefault("original", samples["original"])
        if row["corruption"] not in corruptions:
            pictures[f"{row['corruption']}, {row['psnr_input']:.1f} dB"] = samples["corrupted"]
        corruptions.add(row["corruption"])
        pictures |= {key: samples[key] for key in samples if key not in ("original", "corrupted", "restored")}
        pictures[f"{_label(name, row)}, {row['psnr']:.1f} dB"] = samples["restored"]
    return pictures


def _measured(rows: dict[str, Row]) -> tuple[dict[str, dict[str, Interval]], dict[str, dict[str, float]]]:
    read = "read by the judge M, %"
    shown = {
        "PSNR, dB": ("psnr", 1),
        "SSIM": ("ssim", 1),
        "sharpness, 1: the original's": ("sharpness", 1),
        read: ("accuracy_restored", 100),
    }
    rows = {_label(name, row): row for name, row in rows.items()}
    values = {
        name: {label: _interval(row, key, scale) for label, (key, scale) in shown.items()} for name, row in rows.items()
    }
    inputs = {
        name: {"PSNR, dB": row["psnr_input"], read: 100 * row["accuracy_corrupted"]} for name, row in rows.items()
    }
    return values, inputs


def _label(name: str, row: Row) -> str:
    """An item's name, and on how many of the test images it was measured, if not on all."""
    return f"{name} ({row['images']} images)" if row["images"] else name


def _scores(rows: dict[str, Row], filtered: int) -> dict[str, dict[str, Interval]]:
    """PSNR of all denoisers, of their inputs, and of the best baseline; those of one corruption stand together.

    An entry whose input is intact has no dot for the input, and one that no baseline helps has none for a baseline.
    `filtered`: on how many of the test images the baselines were measured.
    """
    seen = [row["corruption"] for row in rows.values()]
    rows = dict(sorted(rows.items(), key=lambda pair: seen.index(pair[1]["corruption"])))
    labels = {name: f"{_label(name, row)} ({row['corruption']})" for name, row in rows.items()}
    corrupted = {name: row for name, row in rows.items() if row["psnr_input"] < INTACT}
    helped = {name: row for name, row in corrupted.items() if row["best_baseline"] != "input"}
    return {
        "denoiser": {labels[name]: _interval(row, "psnr") for name, row in rows.items()},
        f"best baseline ({filtered} images)": {
            labels[name]: _point(row["psnr_best_baseline"]) for name, row in helped.items()
        },
        "input": {labels[name]: _point(row["psnr_input"]) for name, row in corrupted.items()},
    }


def _interval(row: Row, name: str, scale: float = 1.0) -> Interval:
    return scale * row[name], scale * row[f"{name}_low"], scale * row[f"{name}_high"]


def _point(value: float) -> Interval:
    return value, value, value


def _snapshots(trained: Path, name: str) -> Any:
    """Validation digits as the network restores them after its first epochs and after its last."""
    pictures = load_table(trained / "model" / "snapshots.npz")
    restored = pictures.pop("restored")
    epochs = sorted({1, 2, len(restored) // 2, len(restored)} - {0})
    rows = {**pictures, **{f"after epoch {epoch}": restored[epoch - 1] for epoch in epochs if epoch <= len(restored)}}
    return image_grid({label: images.clip(0, 1) for label, images in rows.items()}, f"{name} while it is trained")


def _stacked(results: Path, rows: list[Row]) -> dict[str, Any]:
    """Fine-tuning with and without pretraining, test errors, and what the first layers look for."""
    trained = [row["name"] for row in rows if row["section"] == "stacked"]
    figures = {}
    if trained:
        figures["pretraining"] = comparison(
            {f"stacked.{name}": history(results, "finetune", name) for name in trained},
            "validation_error",
            "validation error, %",
            {f"{row['section']}.{row['name']}": _interval(row, "test_error") for row in rows},
            "test error, %",
        )
    for name in trained:
        stack, _ = models.load(results / "pretrain" / name / "model")
        weights = _first_layer(stack)
        title = f"stacked.{name}: pretrained filters of the first {len(weights)} units of the first layer"
        figures[f"filters_{name}"] = filter_grid(weights, title)
    return figures


def _toys(results: Path, params: Params) -> Images:
    """Where points in the plane are put, and one point whose mean lies where there are no points."""
    figures = {}
    for name, entry in params.toy.items():
        field, mean = (load_table(results / "toy" / name / "report" / f"{part}.npz") for part in ("field", "mean"))
        panels = {
            "trained denoiser $\\phi(\\tilde{x})$": field["denoiser"],
            "exact $E[X \\mid \\tilde{x}]$": field["exact"],
        }
        title = f"{name}: where points in the plane are put"
        figures[f"toy_{name}_field"] = arrow_fields(field["points"], field["near"], panels, title)
        figures[f"toy_{name}_mean"] = posterior_samples(
            *(mean[part] for part in ("points", "input", "kept", "mean_of_pairs", "denoiser")),
            reach=4 * entry.sigma,
            title=f"{name}: {len(mean['kept'])} pairs have their $\\tilde{{X}}$ near $\\tilde{{x}}$",
        )
    return figures


def _filters(results: Path, params: Params) -> Images:
    """What the units of the one-layer autoencoders of patches look for."""
    figures = {}
    for name, entry in params.filters.items():
        weights = np.load(results / "filters" / name / "report" / "weights.npy", allow_pickle=False)
        noise = [entry.corruption.kind, *(f"{key} {value:g}" for key, value in entry.corruption.arguments.items())]
        title = f"{name}: filters of {entry.hidden} units; {', '.join(noise)}; weight decay {entry.weight_decay:g}"
        figures[f"patches_{name}"] = filter_grid(weights, title)
    return figures


def _first_layer(stack: nn.Module, units: int = 200) -> NDArray[np.float32]:
    """Weights of the first hidden units of a stack, (units, pixels)."""
    weights = next(parameter for parameter in stack.parameters() if parameter.ndim == 2)
    return weights[:units].detach().cpu().numpy()


if __name__ == "__main__":
    run(main)
