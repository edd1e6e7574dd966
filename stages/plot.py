"""Gather all results: the summary table, what the lectures claim and what was measured, a figure per question."""

from pathlib import Path
from typing import Any

from dae import lectures, models
from dae.data.files import load_table, replacing, replacing_file, write_csv
from dae.params import RESTORING, Params, check
from dae.plots import (
    Interval,
    comparison,
    filter_grid,
    image_grid,
    interval_label,
    intervals,
    loss_curves,
    measures,
    save,
)
from dae.summary import COLUMNS, INTACT, Row, gather, history, markdown
from dae.tracking import run as track
from stages.common import PARAMS, run

Images = dict[str, Any]


def main(results: Path, output: Path) -> None:
    """Write RESULTS/summary.{csv,md}, RESULTS/lectures.md and the figures in OUTPUT, for the items of params.yaml."""
    params = check(PARAMS)
    items = [f"{section}.{name}" for section, name, _ in params.entries()]
    rows = gather(results, items)
    texts = {"summary": markdown(rows), "lectures": lectures.markdown(results, items, params.evaluation.confidence)}
    with track("plot", None, {"items": ", ".join(items)}) as record:
        with replacing(output) as folder:
            for name, figure in _figures(results, rows, params).items():
                save(figure, folder / f"{name}.png")
                record.artifact(folder / f"{name}.png", "figures")
        with replacing_file(results / "summary.csv") as path:
            write_csv(path, rows, COLUMNS)
        for name, text in texts.items():
            with replacing_file(results / f"{name}.md") as path:
                path.write_text(text, encoding="utf-8")
        for name in ("summary.csv", "summary.md", "lectures.md"):
            record.artifact(results / name)


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
        scores = _scores(restoring, params.evaluation.filter_images)
        figures["psnr"] = intervals(scores, f"PSNR on the test set, dB (bars: {interval_label(confidence)}s)")
    for name in [name for name, row in restoring.items() if row["section"] in ("clean", "noise2noise")][:1]:
        figures["snapshots"] = _snapshots(results / Path(*name.split(".")), name)
    return figures | _stacked(results, [row for row in rows if row["section"] in ("stacked", "svm")])


def _labelled(rows: dict[str, Row]) -> dict[str, Row]:
    """The rows of a comparison under what its figures call them: section.name, and the loss where losses differ."""
    differ = len({row["loss"] for row in rows.values()}) > 1
    return {f"{name}, {row['loss']}" if differ else name: row for name, row in rows.items()}


def _history(results: Path, row: Row) -> list[Row]:
    return history(results, row["section"], row["name"])


def _digits(results: Path, rows: dict[str, Row]) -> Images:
    """Original, inputs and restored digits; what several share is shown once."""
    pictures: Images = {}
    corruptions: set[str] = set()
    for name, row in rows.items():
        samples = load_table(results / "evaluate" / row["section"] / row["name"] / "samples.npz")
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
    """PSNR of all denoisers; those of one corruption stand together. Where nothing was corrupted, they alone; where
    no filter helps, none.

    `filtered`: on how many of the test images the filters were measured.
    """
    seen = [row["corruption"] for row in rows.values()]
    rows = dict(sorted(rows.items(), key=lambda pair: seen.index(pair[1]["corruption"])))
    labels = {name: f"{_label(name, row)} ({row['corruption']})" for name, row in rows.items()}
    corrupted = {name: row for name, row in rows.items() if row["psnr_input"] < INTACT}
    helped = {name: row for name, row in corrupted.items() if row["best_filter"] != "input"}
    return {
        "denoiser": {labels[name]: _interval(row, "psnr") for name, row in rows.items()},
        f"best classical filter ({filtered} images)": {
            labels[name]: _point(row["psnr_best_filter"]) for name, row in helped.items()
        },
        "input": {labels[name]: _point(row["psnr_input"]) for name, row in corrupted.items()},
    }


def _interval(row: Row, name: str, scale: float = 1.0) -> Interval:
    return scale * row[name], scale * row[f"{name}_low"], scale * row[f"{name}_high"]


def _point(value: float) -> Interval:
    return value, value, value


def _snapshots(trained: Path, name: str) -> Any:
    """Validation digits as the network restores them after its first epochs and its last."""
    pictures = load_table(trained / "snapshots.npz")
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
        weights = models.first_layer(stack)
        title = f"stacked.{name}: pretrained filters of the first {len(weights)} units of the first layer"
        figures[f"filters_{name}"] = filter_grid(weights, title)
    return figures


if __name__ == "__main__":
    run(main)
